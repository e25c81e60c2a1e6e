//! Each error that a server can be brought to give, and what it is taken for.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::thread;

use futures_lite::future;
use tenure_core::Claimer;
use tenure_redis::{RedisClaimer, StoreError};
use tenure_testkit::server::Server;

use crate::support::*;

type Outcome = Result<(), Box<dyn Error>>;

fn check(claimer: &RedisClaimer) -> Result<(), tenure_core::ClaimerError> {
    future::block_on(claimer.check())
}

/// A claimer that comes in as `user`, who has these permissions besides all keys and channels.
fn as_user(server: &Server, user: &str, rules: &[&str]) -> RedisClaimer {
    let mut command = vec!["ACL", "SETUSER", user, "on", ">s3cret", "~*", "&*"];
    command.extend(rules);
    cli(server, &command).unwrap();
    let address = server.address();
    with_url(&format!("redis://{user}:s3cret@{address}/?hold_off=unsafely-never"))
}

#[test]
fn a_server_and_a_user_that_will_do_pass_the_check_and_nothing_is_left() -> Outcome {
    let server = fast();
    check(&open(server.address(), ""))?;
    let documented = "+info +config|get +time +eval +evalsha +get +set +del +pexpire +pttl +exists \
                      +hget +hset +hmget +hincrby +publish +subscribe";
    let mut rules = vec!["resetkeys", "resetchannels", "~tenure:*", "&tenure:*"];
    rules.extend(documented.split_whitespace());
    let claimer = as_user(&server, "documented", &rules);
    check(&claimer)?;
    assert_eq!(cli(&server, &["DBSIZE"])?, "0");
    let first = candidate("mysql/0");
    let term = granted(&claimer, &first, LONG);
    assert_eq!(granted(&claimer, &first, LONG), term);
    denied(&claimer, &candidate("mysql/1"), LONG);
    future::block_on(claimer.guarded_eval(&service(), term, "return 1", &[], &[]))?;
    future::block_on(claimer.leader(&service()))?.ok_or("it leads")?;
    release(&claimer, &first);
    future::block_on(claimer.released(&service()))?;
    Ok(())
}

#[test]
fn a_password_that_is_wrong_or_missing_or_not_wanted_is_refused() -> Outcome {
    let server = fast();
    let address = server.address();
    cli(&server, &["ACL", "SETUSER", "me", "on", ">s3cret", "~*", "+@all"])?;
    let refused = |url: &str| {
        let error = refused(check(&with_url(url)));
        assert!(matches!(error, StoreError::Authentication { .. }), "{error}");
        assert!(!error.to_string().contains("wr0ng"), "{error}");
    };
    refused(&format!("redis://me:wr0ng@{address}"));
    refused(&format!("redis://nobody:wr0ng@{address}"));
    refused(&format!("redis://:wr0ng@{address}"));
    cli(&server, &["CONFIG", "SET", "requirepass", "s3cret"])?;
    refused(&format!("redis://{address}"));
    check(&with_url(&format!("redis://:s3cret@{address}")))?;
    Ok(())
}

#[test]
fn a_permission_that_lacks_is_refused() {
    let server = fast();
    let first = candidate("mysql/0");
    let lacks: [(&str, &[&str]); 4] = [
        ("nothing", &[]),
        ("no-keys", &["+@all", "resetkeys", "~jobs:*"]),
        ("no-scripts", &["+@all", "-eval", "-evalsha"]),
        ("no-terms", &["+@all", "-hincrby"]),
    ];
    for (user, rules) in lacks {
        let claimer = as_user(&server, user, rules);
        for result in [check(&claimer), claim(&claimer, &first, LONG).map(drop)] {
            let error = refused(result);
            assert!(matches!(error, StoreError::Permission { .. }), "{user}: {error}");
        }
    }
    // Who may not publish can lead all the same, and whoever waits looks in time; but is told.
    let claimer = as_user(&server, "no-news", &["+@all", "-publish", "-subscribe"]);
    granted(&claimer, &first, LONG);
    let waits = future::block_on(claimer.released(&service()));
    for result in [check(&claimer), waits] {
        let error = refused(result);
        assert!(matches!(error, StoreError::Permission { .. }), "{error}");
    }
    release(&claimer, &first);
    granted(&claimer, &candidate("mysql/1"), LONG);
}

#[test]
fn a_server_that_may_not_be_asked_about_itself_is_refused_unless_that_is_unsafely_waived() {
    let server = fast();
    let claimer = as_user(&server, "blind", &["+@all", "-info"]);
    granted(&claimer, &candidate("mysql/0"), LONG);
    let claimer = with_url(&format!("redis://blind:s3cret@{}", server.address()));
    let error = refused(claim(&claimer, &candidate("mysql/1"), LONG));
    assert!(matches!(error, StoreError::NoInfo), "{error}");
    assert!(future::block_on(claimer.leader(&service())).unwrap().is_some());
}

#[test]
fn a_database_that_is_not_there_is_refused() {
    let server = fast();
    let claimer = with_url(&format!("redis://{}/16", server.address()));
    let error = refused(check(&claimer));
    assert!(matches!(error, StoreError::NoDatabase { database: 16 }), "{error}");
}

#[test]
fn a_server_that_evicts_keys_is_refused() {
    let server = Server::redis(&["--maxmemory", "64mb", "--maxmemory-policy", "volatile-lru"]);
    let server = server.unwrap();
    let claimer = open(server.address(), "");
    let results = [check(&claimer), claim(&claimer, &candidate("mysql/0"), LONG).map(drop)];
    for error in results.map(refused) {
        assert!(error.to_string().contains("maxmemory-policy volatile-lru"), "{error}");
    }
}

#[test]
fn a_part_of_a_cluster_is_refused() {
    let server = Server::redis(&["--appendonly", "no", "--cluster-enabled", "yes"]).unwrap();
    let error = refused(check(&open(server.address(), "")));
    assert!(matches!(error, StoreError::Cluster), "{error}");
}

#[test]
fn what_may_pass_is_unknown() -> Outcome {
    let server = Server::redis(&["--appendonly", "no", "--enable-protected-configs", "local"])?;
    let claimer = open(server.address(), "");
    let first = candidate("mysql/0");
    let said = |what: &str| {
        let error = unknown(claim(&claimer, &first, LONG));
        let StoreError::Server { said } = &error else { panic!("{error}") };
        assert!(said.starts_with(what), "{said}");
    };
    // No memory, and nothing that may be dropped.
    cli(&server, &["CONFIG", "SET", "maxmemory", "1"])?;
    said("OOM");
    cli(&server, &["CONFIG", "SET", "maxmemory", "0"])?;
    granted(&claimer, &first, LONG);

    // A snapshot that cannot be written.
    let directory = server.directory().join("gone");
    std::fs::create_dir(&directory)?;
    cli(&server, &["CONFIG", "SET", "dir", &directory.display().to_string()])?;
    std::fs::remove_dir(&directory)?;
    cli(&server, &["CONFIG", "SET", "save", "3600 1"])?;
    cli(&server, &["BGSAVE"])?;
    eventually("it has failed", || {
        cli(&server, &["INFO", "persistence"]).unwrap().contains("last_bgsave_status:err")
    });
    said("MISCONF");
    cli(&server, &["CONFIG", "SET", "save", ""])?;
    granted(&claimer, &first, LONG);

    // Too few replicas.
    cli(&server, &["CONFIG", "SET", "min-replicas-to-write", "1"])?;
    said("NOREPLICAS");
    cli(&server, &["CONFIG", "SET", "min-replicas-to-write", "0"])?;
    granted(&claimer, &first, LONG);

    // Somebody's script that does not end.
    cli(&server, &["CONFIG", "SET", "busy-reply-threshold", "1"])?;
    let port = server.address().port().to_string();
    let mut endless = Command::new("redis-cli");
    let endless = endless.args(["-p", &port, "EVAL", "while true do end", "0"]);
    let mut endless = endless.stdout(Stdio::null()).spawn()?;
    eventually("it hangs", || cli(&server, &["PING"]).is_err());
    said("BUSY");
    cli(&server, &["SCRIPT", "KILL"])?;
    endless.wait()?;
    granted(&claimer, &first, LONG);
    Ok(())
}

/// Something that answers the first thing it hears with `answer`, and goes on for `times`.
fn something(answer: &'static [u8], times: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for _ in 0..times {
            let (mut session, _) = listener.accept().unwrap();
            let _ = session.read(&mut [0; 1024]);
            let _ = session.write_all(answer);
        }
    });
    address
}

#[test]
fn what_is_no_redis_is_refused() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"N", b"\x15\x03\x03\0\x02\x02\x46"] {
        let error = refused(check(&open(something(answer, 1), "")));
        assert!(matches!(error, StoreError::NotRedis), "{answer:?}: {error}");
    }
    // It says nothing that could be understood wrongly: it may be a Redis that is going away.
    let error = unknown(check(&open(something(b"", 1), "")));
    assert!(matches!(error, StoreError::Hung(_)), "{error}");
}

#[test]
fn a_server_that_wants_no_password_and_knows_few_commands_is_refused() {
    let answer = b"-ERR unknown command 'INFO'\r\n-ERR unknown command\r\n-ERR unknown command\r\n";
    let error = refused(check(&with_url(&format!("redis://{}", something(answer, 1)))));
    assert!(matches!(error, StoreError::NoInfo), "{error}");
}

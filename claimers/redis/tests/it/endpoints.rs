//! Servers that go away, come back, change their role, or never answer.

use std::error::Error;
use std::net::TcpListener;

use futures_lite::future;
use tenure_redis::StoreError;
use tenure_testkit::server::{Link, Proxy, Server};

use crate::support::*;

type Outcome = Result<(), Box<dyn Error>>;

#[test]
fn a_claimer_outlasts_its_server() -> Outcome {
    let mut server = Server::redis(&[])?;
    let claimer = open(server.address(), "&time_limit=30");
    let first = candidate("mysql/0");
    let term = granted(&claimer, &first, LONG);
    server.kill();
    for _ in 0..2 {
        let error = unknown(claim(&claimer, &first, LONG));
        assert!(matches!(error, StoreError::Io(_)), "{error}");
    }
    server.restart()?;
    assert_eq!(granted(&claimer, &first, LONG), term);
    Ok(())
}

#[test]
fn a_claimer_may_be_opened_before_its_server() -> Outcome {
    let mut server = fast();
    server.kill();
    let claimer = open(server.address(), "");
    let error = unknown(future::block_on(claimer.check()));
    assert!(error.to_string().contains("refused"), "{error}");
    server.restart()?;
    granted(&claimer, &candidate("mysql/0"), LONG);
    Ok(())
}

#[test]
fn one_that_swallows_everything_does_not_stop_the_others() -> Outcome {
    let server = fast();
    let hole = Proxy::new(server.address())?;
    hole.requests(Link::Stalled);
    let gone = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let hosts = format!("{gone},{},{}", hole.address(), server.address());
    let url = format!("redis://{hosts}/?hold_off=unsafely-never&time_limit=3");
    let claimer = with_url(&url);
    let first = candidate("mysql/0");
    let term = granted(&claimer, &first, LONG);
    // From now on it begins with the one that did.
    let before = hole.accepted();
    let others = with_url(&url);
    assert_eq!(granted(&claimer, &first, LONG), term);
    assert_eq!(hole.accepted(), before);
    // Where none will do, each is named.
    hole.requests(Link::Passing);
    drop(server);
    let error = unknown(claim(&others, &first, LONG)).to_string();
    assert!(error.contains(&gone.to_string()), "{error}");
    assert!(error.contains(&hole.address().to_string()), "{error}");
    Ok(())
}

#[test]
fn a_primary_that_is_demoted_in_mid_session_is_left_for_another() -> Outcome {
    let (old, new) = (fast(), fast());
    let url = format!("redis://{},{}/?hold_off=unsafely-never", old.address(), new.address());
    let claimer = with_url(&url);
    let first = candidate("mysql/0");
    granted(&claimer, &first, LONG);
    let port = new.address().port().to_string();
    cli(&old, &["REPLICAOF", "127.0.0.1", &port])?;
    let error = unknown(claim(&claimer, &first, LONG));
    assert!(matches!(error, StoreError::Replica), "{error}");
    granted(&claimer, &first, LONG);
    assert_eq!(cli(&new, &["EXISTS", "tenure:lease:{mysql}"])?, "1");
    // Alone, it is no use, but it may be promoted again.
    let error = unknown(claim(&open(old.address(), ""), &first, LONG));
    assert!(matches!(error, StoreError::Replica), "{error}");
    Ok(())
}

#[test]
fn an_answer_that_is_late_is_unknown_and_reaches_nobody_else() -> Outcome {
    let server = fast();
    let proxy = Proxy::new(server.address())?;
    let claimer = open(proxy.address(), "&time_limit=0.3");
    let [first, second] = ["mysql/0", "mysql/1"].map(candidate);
    let term = granted(&claimer, &first, LONG);
    proxy.answers(Link::Stalled);
    let error = unknown(claim(&claimer, &second, LONG));
    assert!(matches!(error, StoreError::TimedOut(_)), "{error}");
    proxy.answers(Link::Passing);
    eventually("it is granted again, and hears its own answer", || {
        matches!(
            claim(&claimer, &first, LONG),
            Ok(tenure_core::ClaimAnswer::Granted { term: again }) if again == term
        )
    });
    Ok(())
}

#[test]
fn idle_connections_that_the_server_closed_are_not_used() -> Outcome {
    let server = fast();
    let claimer = open(server.address(), "");
    let first = candidate("mysql/0");
    for _ in 0..3 {
        granted(&claimer, &first, LONG);
        cli(&server, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])?;
    }
    Ok(())
}

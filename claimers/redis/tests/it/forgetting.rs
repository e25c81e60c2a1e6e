//! What is held off after a server may have forgotten leases.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use async_io::Timer;
use futures_lite::future;
use tenure_core::Claimer;
use tenure_testkit::server::Server;

use crate::support::*;

type Outcome = Result<(), Box<dyn Error>>;

const SHORT: Duration = Duration::from_millis(1_500);

/// What is granted by a server that may forget.
fn careful(server: &Server, more: &str) -> tenure_redis::RedisClaimer {
    with_url(&format!("redis://{}/{more}", server.address()))
}

#[test]
fn a_server_that_forgot_all_grants_nothing_before_a_lease_is_over() -> Outcome {
    grants_nothing_before_a_lease_is_over(Server::forgetful_redis(&[])?)
}

#[test]
fn a_valkey_that_forgot_all_grants_nothing_before_a_lease_is_over() -> Outcome {
    grants_nothing_before_a_lease_is_over(Server::valkey(&["--appendonly", "no"])?)
}

fn grants_nothing_before_a_lease_is_over(mut server: Server) -> Outcome {
    let claimer = careful(&server, "");
    let [first, second] = ["mysql/0", "mysql/1"].map(candidate);
    // It has just been started, and may have been another before.
    let (leader, after) = denied(&claimer, &first, SHORT);
    assert!(leader.is_none() && after <= SHORT + Duration::from_secs(1), "{after:?}");
    let term = granted_at_last(&claimer, &first, SHORT);
    let asked = Instant::now();
    granted(&claimer, &first, SHORT);
    server.kill();
    server.restart()?;
    let rose = granted_at_last(&claimer, &second, SHORT);
    assert!(asked.elapsed() >= SHORT, "{:?}", asked.elapsed());
    assert!(rose > term);
    Ok(())
}

/// The negative control: so much for what holds it off.
#[test]
fn without_holding_off_a_server_that_forgot_all_makes_two_leaders() -> Outcome {
    let mut server = Server::forgetful_redis(&[])?;
    let claimer = open(server.address(), "");
    let term = granted(&claimer, &candidate("mysql/0"), LONG);
    server.kill();
    server.restart()?;
    assert!(granted(&claimer, &candidate("mysql/1"), LONG) > term, "but with a higher term");
    Ok(())
}

#[test]
fn what_a_server_may_have_forgotten_is_waited_out_by_the_longest_lease() -> Outcome {
    let mut server = Server::redis(&["--appendfsync", "everysec"])?;
    let [first, second] = ["mysql/0", "mysql/1"].map(candidate);
    let term = granted(&open(server.address(), ""), &first, LONG);
    // Who holds a lease renews it, whatever may have been forgotten besides.
    let claimer = careful(&server, "");
    assert_eq!(granted(&claimer, &first, SHORT), term);
    // Killed, it might really forget: here it is only not trusted.
    server.stop();
    server.restart()?;
    let claimer = careful(&server, "");
    assert_eq!(granted(&claimer, &first, SHORT), term);
    let (leader, _) = denied(&claimer, &second, SHORT);
    assert_eq!(leader.as_deref(), Some("mysql/0"));

    release(&claimer, &first);
    let (leader, after) = denied(&claimer, &second, SHORT);
    assert!(leader.is_none() && after > LONG / 2, "{after:?}");
    assert_eq!(future::block_on(claimer.leader(&service()))?, None);
    // And who waits does not come back at once, only to be denied again.
    let returned = async {
        claimer.released(&service()).await?;
        Ok(true)
    };
    let waited = async {
        Timer::after(Duration::from_millis(200)).await;
        Ok::<_, tenure_core::ClaimerError>(false)
    };
    assert!(!future::block_on(future::or(returned, waited))?);
    // Nor is the lease that is asked for long enough.
    thread::sleep(SHORT);
    denied(&claimer, &second, SHORT);
    Ok(())
}

#[test]
fn another_run_is_waited_out_from_when_it_is_met_though_it_began_long_ago() -> Outcome {
    let server = Server::forgetful_redis(&[])?;
    let [first, second] = ["mysql/0", "mysql/1"].map(candidate);
    granted(&open(server.address(), ""), &first, SHORT);
    let run = ["HSET", "tenure:fence:{mysql}", "run", "of another server", "since_ms", "0"];
    cli(&server, &run)?;
    settle(&server, "tenure:");
    // Long enough, if it counted from the start of the server.
    thread::sleep(2 * SHORT + Duration::from_secs(1));
    let claimer = careful(&server, "");
    let asked = Instant::now();
    let (leader, _) = denied(&claimer, &second, SHORT);
    assert_eq!(leader, None);
    granted_at_last(&claimer, &second, SHORT);
    assert!(asked.elapsed() >= SHORT, "{:?}", asked.elapsed());
    Ok(())
}

#[test]
fn a_server_that_syncs_always_is_held_off_from_only_if_that_is_asked_for() -> Outcome {
    let mut server = Server::redis(&[])?;
    let [first, second] = ["mysql/0", "mysql/1"].map(candidate);
    let claimer = careful(&server, "");
    settle(&server, "tenure:");
    granted(&claimer, &first, LONG);
    server.kill();
    server.restart()?;
    let claimer = careful(&server, "");
    release(&claimer, &first);
    granted(&claimer, &second, LONG);
    release(&claimer, &second);
    let (leader, after) = denied(&careful(&server, "?hold_off=always"), &first, SHORT);
    assert!(leader.is_none() && after > LONG / 2, "{after:?}");
    Ok(())
}

#[test]
fn a_server_that_keeps_its_settings_to_itself_is_taken_for_one_that_forgets() -> Outcome {
    let server = Server::redis(&[])?;
    let address = server.address();
    let rules = ["ACL", "SETUSER", "blind", "on", ">x", "~*", "&*", "+@all", "-config"];
    cli(&server, &rules)?;
    settle(&server, "tenure:");
    settle(&server, "other:");
    let claimer = with_url(&format!("redis://blind:x@{address}"));
    let (leader, after) = denied(&claimer, &candidate("mysql/0"), LONG);
    assert!(leader.is_none() && after > LONG / 2, "{after:?}");
    granted(&careful(&server, "?prefix=other:"), &candidate("mysql/0"), LONG);
    Ok(())
}

#[test]
fn a_replica_that_was_promoted_is_held_off_from() -> Outcome {
    let mut primary = Server::redis(&[])?;
    let port = primary.address().port().to_string();
    let replica = Server::redis(&["--replicaof", "127.0.0.1", &port])?;
    let url = format!("redis://{},{}", replica.address(), primary.address());
    let [first, second] = ["mysql/0", "mysql/1"].map(candidate);
    settle(&primary, "tenure:");
    let claimer = with_url(&url);
    // The replica is passed over.
    let term = granted(&claimer, &first, LONG);
    eventually("the grant is replicated", || {
        cli(&replica, &["EXISTS", "tenure:lease:{mysql}"]).is_ok_and(|answer| answer == "1")
    });
    primary.kill();
    assert!(claim(&claimer, &first, LONG).is_err_and(|error| !error.is_fatal()));
    cli(&replica, &["REPLICAOF", "NO", "ONE"])?;
    assert_eq!(granted(&claimer, &first, LONG), term, "the same claimer finds it");

    // As if the grant had not come over.
    cli(&replica, &["DEL", "tenure:lease:{mysql}"])?;
    cli(&replica, &["HSET", "tenure:fence:{mysql}", "until_ms", "0"])?;
    let (leader, after) = denied(&claimer, &second, SHORT);
    assert!(leader.is_none() && after > LONG / 2, "{after:?}");
    Ok(())
}

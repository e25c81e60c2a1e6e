//! What waiting costs the server, and what ends it.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future;
use tenure_core::Claimer;
use tenure_testkit::server::{Link, Proxy};

use crate::support::*;

type Outcome = Result<(), Box<dyn Error>>;

/// A lease that outlasts any hitch of the machine, and its renewals.
const LEASE: Duration = Duration::from_secs(3);

#[test]
fn waiting_for_a_leader_that_renews_costs_one_look() -> Outcome {
    let server = fast();
    let claimer = open(server.address(), "");
    let leader = candidate("mysql/0");
    for _ in 0..5 {
        granted(&claimer, &leader, LEASE);
        let before = calls(&server, "evalsha");
        let is_over = AtomicBool::new(false);
        let (renewals, longest) = thread::scope(|scope| {
            scope.spawn(|| {
                future::block_on(claimer.released(&service())).unwrap();
                is_over.store(true, Ordering::SeqCst);
            });
            let mut last = Instant::now();
            let mut longest = Duration::ZERO;
            // Two leases long.
            for _ in 0..12 {
                thread::sleep(LEASE / 6);
                granted(&claimer, &leader, LEASE);
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            assert!(!is_over.load(Ordering::SeqCst) || longest > LEASE / 2);
            let asked = calls(&server, "evalsha") - before;
            release(&claimer, &leader);
            (asked - 12, longest)
        });
        // A machine that stood still shows nothing.
        if longest < LEASE / 2 {
            assert_eq!(renewals, 1, "looks");
            return Ok(());
        }
    }
    panic!("the machine is too slow for a lease of {LEASE:?}");
}

#[test]
fn a_wait_ends_when_its_connection_does() -> Outcome {
    let server = fast();
    let proxy = Proxy::new(server.address())?;
    let claimer = open(proxy.address(), "");
    granted(&claimer, &candidate("mysql/0"), LONG);
    thread::scope(|scope| {
        let wait = scope.spawn(|| future::block_on(claimer.released(&service())));
        eventually("it listens", || {
            cli(&server, &["PUBSUB", "CHANNELS"]).is_ok_and(|channels| !channels.is_empty())
        });
        proxy.cut();
        unknown(wait.join().unwrap());
    });
    Ok(())
}

#[test]
fn a_wait_on_a_connection_that_died_without_a_sign_ends_at_a_heartbeat() -> Outcome {
    let server = fast();
    let proxy = Proxy::new(server.address())?;
    let claimer = open(proxy.address(), "&heartbeat=0.1&time_limit=0.3");
    granted(&claimer, &candidate("mysql/0"), LONG);
    thread::scope(|scope| {
        let wait = scope.spawn(|| future::block_on(claimer.released(&service())));
        eventually("it listens", || {
            cli(&server, &["PUBSUB", "CHANNELS"]).is_ok_and(|channels| !channels.is_empty())
        });
        proxy.answers(Link::Stalled);
        unknown(wait.join().unwrap());
    });
    Ok(())
}

#[test]
fn what_somebody_else_publishes_changes_nothing() -> Outcome {
    let server = fast();
    let claimer = open(server.address(), "");
    let leader = candidate("mysql/0");
    granted(&claimer, &leader, LONG);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            future::block_on(claimer.released(&service())).unwrap();
            is_over.store(true, Ordering::SeqCst);
        });
        let publish = |what: &str| cli(&server, &["PUBLISH", "tenure:changed:0:{mysql}", what]);
        eventually("it listens", || publish("nonsense").is_ok_and(|heard| heard == "1"));
        publish("-1").unwrap();
        thread::sleep(Duration::from_millis(50));
        assert!(!is_over.load(Ordering::SeqCst));
        release(&claimer, &leader);
    });
    Ok(())
}

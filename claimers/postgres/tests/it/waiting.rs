//! One who waits: told of a release, woken by the end of a lease, and of little cost.

use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::{block_on, or};
use tenure_core::{Candidate, Claimer, Nonce};
use tenure_postgres::{PostgresClaimer, StoreError};
use tenure_testkit::server::{Link, Proxy};

use crate::support::{
    Bench, LEASE, claim, denied, eventually, granted, open, service, unit, unknown,
};

/// Waits on a thread of its own.
fn waits(claimer: &PostgresClaimer) -> thread::JoinHandle<()> {
    let claimer = claimer.clone();
    thread::spawn(move || block_on(claimer.released(&unit(0).service)).unwrap())
}

/// Fails if the wait does not end by itself.
#[track_caller]
fn ends(waiting: thread::JoinHandle<()>) {
    eventually("the wait ends", || waiting.is_finished());
    waiting.join().unwrap();
}

/// How many sessions have asked to be told, and who holds the lease then.
fn has_looked(bench: &Bench, count: usize) {
    eventually("they listen and have looked", || {
        let looked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tenure' \
                      AND state = 'idle' AND query LIKE '%remaining_us FROM \"{table}\"%' \
                      AND query NOT LIKE '%INSERT%'";
        bench.sql(looked) == count.to_string()
    });
}

#[test]
fn all_are_told_of_a_release_and_ask_nothing_meanwhile() {
    let bench = Bench::new();
    let holder = bench.claimer();
    granted(claim(&holder, 0, LEASE));
    let claimers: Vec<_> = (0..3).map(|_| open(&bench.url("&heartbeat=3600"))).collect();
    let waiting: Vec<_> = claimers.iter().map(waits).collect();
    has_looked(&bench, 3);
    let before = bench.asked();
    // They are not told of what is none of theirs: another service, or another table's.
    let other = Candidate { service: service("mysql-router"), ..unit(0) };
    block_on(holder.claim(&other, LEASE)).unwrap();
    block_on(holder.release(&other)).unwrap();
    let elsewhere = Bench::new().claimer();
    granted(claim(&elsewhere, 0, LEASE));
    block_on(elsewhere.release(&unit(0))).unwrap();
    thread::sleep(Duration::from_millis(300));
    assert!(waiting.iter().all(|waits| !waits.is_finished()));
    block_on(holder.release(&unit(0))).unwrap();
    for waits in waiting {
        ends(waits);
    }
    // The claim and the two releases: to be told is enough.
    assert_eq!(bench.asked() - before, 3);
}

#[test]
fn long_names_that_have_a_channel_in_common_are_told_apart() {
    let bench = Bench::new();
    let claimer = bench.claimer();
    let named = |last: char| Candidate {
        service: service(&format!("{}{last}", "x".repeat(100))),
        unit: "unit/0".parse().unwrap(),
        nonce: Nonce::from_bytes([1; 16]),
    };
    let (one, two) = (named('1'), named('2'));
    block_on(async {
        claimer.claim(&one, LEASE).await.unwrap();
        claimer.claim(&two, LEASE).await.unwrap();
        let waits = async { Some(claimer.released(&one.service).await) };
        let meddles = async {
            async_io::Timer::after(Duration::from_millis(200)).await;
            claimer.release(&two).await.unwrap();
            async_io::Timer::after(Duration::from_millis(300)).await;
            None
        };
        assert!(or(waits, meddles).await.is_none());
        let waits = async { claimer.released(&one.service).await };
        let frees = async {
            async_io::Timer::after(Duration::from_millis(100)).await;
            claimer.release(&one).await.unwrap();
            std::future::pending().await
        };
        or(waits, frees).await.unwrap();
    });
}

#[test]
fn a_wait_for_a_leader_that_renews_costs_nothing() {
    let bench = Bench::new();
    let holder = bench.claimer();
    let lease = Duration::from_millis(600);
    granted(claim(&holder, 0, lease));
    let waiting = waits(&open(&bench.url("&heartbeat=3600")));
    has_looked(&bench, 1);
    let before = bench.asked();
    let began = Instant::now();
    let mut renewals = 0;
    while began.elapsed() < lease * 5 {
        thread::sleep(lease / 3);
        // A machine that stood still for a lease has let it lapse.
        if waiting.is_finished() {
            return;
        }
        granted(claim(&holder, 0, lease));
        renewals += 1;
    }
    let looks = bench.asked() - before - renewals;
    // One, if this machine was slow to renew just once.
    assert!(looks <= 1, "{looks} looks");
    drop(holder);
    ends(waiting);
}

#[test]
fn a_lease_that_nobody_renews_ends_the_wait() {
    let bench = Bench::new();
    let claimer = open(&bench.url("&heartbeat=3600"));
    granted(claim(&claimer, 0, Duration::from_millis(300)));
    let before = bench.asked();
    ends(waits(&claimer));
    assert!(bench.asked() - before <= 3, "it looked and slept");
    granted(claim(&claimer, 1, LEASE));
}

#[test]
fn a_heartbeat_finds_out_what_nobody_told() {
    let bench = Bench::new();
    let claimer = open(&bench.url("&heartbeat=0.1"));
    granted(claim(&claimer, 0, LEASE));
    let waiting = waits(&claimer);
    has_looked(&bench, 1);
    // As a pooler does that keeps notifications to itself.
    bench.sql("UPDATE {table} SET expires_at = 'epoch'");
    ends(waiting);
}

#[test]
fn a_wait_whose_connection_is_cut_says_so_at_once_and_one_that_is_dead_at_its_next_look() {
    let bench = Bench::new();
    let address = bench.server.address();
    let proxy = Proxy::new(address).unwrap();
    let url = bench.url("&time_limit=0.5&heartbeat=0.3");
    let url = url.replace(&address.to_string(), &proxy.address().to_string());
    let claimer = open(&url);
    granted(claim(&claimer, 0, LEASE));
    let waiting = |claimer: &PostgresClaimer| {
        let claimer = claimer.clone();
        thread::spawn(move || block_on(claimer.released(&unit(0).service)))
    };
    let first = waiting(&claimer);
    thread::sleep(Duration::from_millis(100));
    proxy.cut();
    let error = unknown(first.join().unwrap());
    assert!(matches!(error, StoreError::Lost { .. }), "{error}");

    let second = waiting(&claimer);
    thread::sleep(Duration::from_millis(100));
    proxy.answers(Link::Stalled);
    let error = unknown(second.join().unwrap());
    assert!(matches!(error, StoreError::TimedOut { .. }), "{error}");
    proxy.answers(Link::Passing);
    denied(claim(&open(&url), 1, LEASE));
}

#[test]
fn releases_wake_waits_in_turn_on_one_connection() {
    let bench = Bench::new();
    let address = bench.server.address();
    let proxy = Proxy::new(address).unwrap();
    let url = bench.url("&heartbeat=3600");
    let claimer = open(&url.replace(&address.to_string(), &proxy.address().to_string()));
    let holder = bench.claimer();
    for _ in 0..40 {
        granted(claim(&holder, 0, LEASE));
        let waiting = waits(&claimer);
        // Wherever in its course the release meets it.
        thread::sleep(Duration::from_micros(u64::from(fastrand()) % 3_000));
        block_on(holder.release(&unit(0))).unwrap();
        ends(waiting);
    }
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn a_release_that_is_told_while_one_looks_is_not_missed() {
    let bench = Bench::new();
    let address = bench.server.address();
    let proxy = Proxy::new(address).unwrap();
    // Within a heartbeat a server that has much to do has told, too.
    let url = bench.url("&heartbeat=2&time_limit=60");
    let claimer = open(&url.replace(&address.to_string(), &proxy.address().to_string()));
    let holder = bench.claimer();
    granted(claim(&holder, 0, LEASE));
    let waiting = waits(&claimer);
    has_looked(&bench, 1);
    // The answer to the next look is still on its way when the release is told behind it.
    proxy.answers(Link::Stalled);
    let before = bench.asked();
    eventually("it looks again", || bench.asked() > before);
    thread::sleep(Duration::from_millis(300));
    let before = bench.asked();
    block_on(holder.release(&unit(0))).unwrap();
    thread::sleep(Duration::from_millis(50));
    proxy.answers(Link::Passing);
    ends(waiting);
    assert_eq!(bench.asked() - before, 1, "the release, and no look after it");
}

/// Some number, another each time.
fn fastrand() -> u32 {
    let nonce = tenure_runtime::fresh_nonce();
    let bytes = nonce.as_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

//! A server that is away for an hour of the candidate's clock: the candidate comes back by itself.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tenure_core::{BlockingClaimer, Claimer, Config, Outcome, ServiceName, UnitName};
use tenure_etcd::EtcdOptions;
use tenure_postgres::PostgresOptions;
use tenure_redis::RedisOptions;
use tenure_runtime::{Calls, ManualClock};
use tenure_std::BlockOn;
use tenure_testkit::server::{Server, redis_cli};

/// How long the server is away, and how far the clock moves at a time: the longest back-off.
const AWAY: Duration = Duration::from_secs(3_600);
const STEP: Duration = Duration::from_millis(2_500);

/// In real time; only a guard against hanging.
const PATIENCE: Duration = Duration::from_secs(60);

fn names() -> (ServiceName, UnitName, Config) {
    let config = Config::new(4 * STEP).unwrap();
    ("mysql".parse().unwrap(), "mysql/0".parse().unwrap(), config)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Takes the server away and back, and moves the clock; `calls` are those of a tracker that leads.
fn hour_without(server: &mut Server, clock: &ManualClock, calls: impl Fn() -> Calls) {
    server.kill();
    let mut away = Duration::ZERO;
    while away < AWAY {
        clock.advance(STEP);
        away += STEP;
        until("an attempt ends", || !calls().claim);
    }
    server.restart().unwrap();
    until("the last attempt ends", || !calls().claim);
    // One back-off, and then one claim must do.
    clock.advance(STEP);
}

fn on_threads(server: &mut Server, claimer: impl BlockingClaimer) {
    let clock = Arc::new(ManualClock::new());
    let (service, unit, config) = names();
    let (tracker, driver) =
        tenure_std::Tracker::with_clock(claimer, service, unit, config, clock.clone());
    driver.spawn().unwrap();
    assert!(matches!(tracker.wait_leader().wait(), Outcome::Leader { .. }));
    hour_without(server, &clock, || tracker.calls());
    assert!(tracker.last_error().is_some(), "it has tried");
    let outcome = tracker.wait_leader().wait_timeout(PATIENCE);
    assert!(matches!(outcome, Some(Outcome::Leader { .. })), "{outcome:?}");
    tracker.stop().unwrap();
}

fn on_smol(server: &mut Server, claimer: impl Claimer) {
    let clock = Arc::new(ManualClock::new());
    let (service, unit, config) = names();
    let (tracker, driver) =
        tenure_smol::Tracker::with_clock(claimer, service, unit, config, clock.clone());
    let driver = thread::spawn(|| smol::block_on(driver.run()));
    assert!(matches!(smol::block_on(tracker.wait_leader()), Outcome::Leader { .. }));
    hour_without(server, &clock, || tracker.calls());
    assert!(tracker.last_error().is_some(), "it has tried");
    let leads = async { Some(tracker.wait_leader().await) };
    let patience = async {
        smol::Timer::after(PATIENCE).await;
        None
    };
    let outcome = smol::block_on(smol::future::or(leads, patience));
    assert!(matches!(outcome, Some(Outcome::Leader { .. })), "{outcome:?}");
    smol::block_on(tracker.stop()).unwrap();
    driver.join().unwrap();
}

#[test]
fn etcd_may_be_away_for_an_hour() {
    let mut server = Server::etcd(&[]).unwrap();
    let url = format!("etcd://{}", server.address());
    let open = || EtcdOptions::from_url(&url).unwrap().open();
    on_threads(&mut server, BlockOn::new(open()));
    on_smol(&mut server, open());
}

#[test]
fn postgres_may_be_away_for_an_hour() {
    let mut server = Server::postgres(&[]).unwrap();
    let url = format!("postgres://postgres@{}/postgres", server.address());
    let open = || PostgresOptions::from_url(&url).unwrap().open();
    on_threads(&mut server, BlockOn::new(open()));
    on_smol(&mut server, open());
}

#[test]
fn redis_may_be_away_for_an_hour() {
    let mut server = Server::redis(&[]).unwrap();
    // Else it could be one that was wiped.
    let marked = ["HSET", "tenure:marker", "schema", "1", "since_ms", "0"];
    redis_cli(server.address(), &marked).unwrap();
    let url = format!("redis://{}", server.address());
    let open = || RedisOptions::from_url(&url).unwrap().open();
    on_threads(&mut server, BlockOn::new(open()));
    on_smol(&mut server, open());
}

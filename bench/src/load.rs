//! What contending costs a store, counted at its server.

use std::thread;
use std::time::{Duration, Instant};

use tenure_core::{Claimer, Config, Outcome, Standing};
use tenure_smol::Tracker;

use crate::fixtures;
use crate::stores::{Kind, Store};
use crate::table::{Quantity, Row, Target};

const GUARANTEE: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(2);

/// Leases in an hour at the command's own guarantee of 10 s.
const LEASES_AN_HOUR: f64 = 180.0;

/// How long after a release the last of those who were roused has claimed, and been denied.
const AFTERMATH: Duration = Duration::from_millis(300);

/// Rows for one store: a leader, each of 1, 10 and 100 minions, and a release while they wait.
pub(crate) fn run(store: &Store, leases: u32) -> Vec<Row> {
    match store.kind {
        Kind::Etcd => measure(store, leases, |name| store.etcd(name)),
        Kind::Postgres => measure(store, leases, |name| store.postgres(name)),
        Kind::Redis => measure(store, leases, |name| store.redis(name)),
        // It has no server that could count.
        Kind::Sqlite => Vec::new(),
    }
}

fn measure<C: Claimer>(store: &Store, leases: u32, open: impl Fn(&str) -> C) -> Vec<Row> {
    let kind = store.kind;
    eprintln!("{kind}: a leader alone");
    let name = store.fresh();
    let leader = contend(&open, &name, 0);
    let alone = steady(store, leases);
    smol::block_on(leader.stop()).expect("the store works");
    let mut rows = vec![per_lease(format!("{kind}: leader"), alone)];
    for minions in [1, 10, 100] {
        eprintln!("{kind}: a leader and {minions} minions");
        let name = store.fresh();
        let mut trackers: Vec<Tracker> =
            (0..=minions).map(|unit| contend(&open, &name, unit)).collect();
        let each = (steady(store, leases) - alone) / minions as f64;
        // A count may begin and end in the midst of a round of claims, and so may the leader's own,
        // which is taken from it: each is right to one claim.
        let error = 2.0 / (f64::from(leases) * minions as f64);
        let target = Target::AtMost(Quantity::Count(1.0 + error));
        let what = format!("{kind}: each of {minions} minions");
        rows.push(per_lease(what, each.max(0.0)).target(target));
        let cost = release(store, &trackers);
        let what = format!("{kind}: a release while {minions} wait, operations");
        rows.push(Row::new(what, Quantity::Count(cost)));
        // The leader last, or each of the others would lead in turn.
        trackers.sort_by_key(is_leader);
        for tracker in trackers {
            smol::block_on(tracker.stop()).expect("the store works");
        }
    }
    rows
}

fn per_lease(what: String, operations: f64) -> Row {
    let an_hour = Quantity::Count((operations * LEASES_AN_HOUR).round());
    Row::new(format!("{what}, operations a lease"), Quantity::Count(operations))
        .beside("an hour at 10 s", an_hour)
}

/// A tracker in a client of its own, once it leads or has been denied.
fn contend<C: Claimer>(open: impl Fn(&str) -> C, name: &str, unit: usize) -> Tracker {
    let config = Config::new(GUARANTEE).expect("is in order");
    let (service, unit) = (fixtures::service(0), fixtures::unit(0, unit));
    let (tracker, driver) = Tracker::new(open(name), service, unit, config);
    smol::spawn(driver.run()).detach();
    let outcome = smol::block_on(tracker.claim_leader());
    assert!(!matches!(outcome, Outcome::Stopped), "the store works");
    tracker
}

fn is_leader(tracker: &Tracker) -> bool {
    matches!(tracker.standing(), Standing::Leader { .. })
}

/// Operations a lease while nothing happens.
fn steady(store: &Store, leases: u32) -> f64 {
    // Whoever has just begun to wait is not counted.
    thread::sleep(LEASE);
    let before = count(store);
    let start = Instant::now();
    thread::sleep(LEASE * leases);
    let spent = start.elapsed();
    let operations = count(store) - before - cost_of_asking(store);
    operations.max(0.0) / (spent.as_secs_f64() / LEASE.as_secs_f64())
}

/// Operations from a release until those who waited for it wait once more.
fn release(store: &Store, trackers: &[Tracker]) -> f64 {
    let leader = trackers.iter().find(|tracker| is_leader(tracker)).expect("somebody leads");
    let asking = cost_of_asking(store);
    let before = count(store);
    leader.step_down(LEASE);
    while !trackers.iter().any(is_leader) {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(AFTERMATH);
    count(store) - before - asking
}

fn count(store: &Store) -> f64 {
    store.operations().expect("there is a server") as f64
}

fn cost_of_asking(store: &Store) -> f64 {
    let before = count(store);
    count(store) - before
}

//! Who waits is told, and costs nothing while it waits.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use tenure_core::{Claimer, ClaimerError};
use tenure_etcd::EtcdClaimer;
use tenure_testkit::server::{Link, Proxy, Server};

use crate::contract::requests;
use crate::support::*;

fn wait(claimer: &EtcdClaimer) -> JoinHandle<Result<(), ClaimerError>> {
    let claimer = claimer.clone();
    thread::spawn(move || block_on(claimer.released(&web())))
}

/// What the wait came to, which should be over by now.
fn ended(waiting: JoinHandle<Result<(), ClaimerError>>) -> Result<(), ClaimerError> {
    eventually("the wait is over", || waiting.is_finished());
    waiting.join().unwrap()
}

/// How many watches the server has.
fn watches(server: &Server) -> usize {
    let metrics = get(server.address(), "/metrics");
    let count = metrics.lines().find(|line| line.starts_with("etcd_debugging_mvcc_watcher_total"));
    count.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[test]
fn a_wait_costs_nothing_while_the_lease_is_renewed_and_ends_with_it() {
    let server = Server::etcd(&FAST).unwrap();
    let options = tenure_etcd::EtcdOptions::new(endpoint(server.address())).time_limit(PATIENCE);
    let (ours, theirs) = (options.clone().open(), options.open());
    let holder = unit(0);
    let lease = Duration::from_secs(5);
    granted(claim(&ours, &holder, lease));
    let waiting = wait(&theirs);
    eventually("it watches", || watches(&server) == 1);
    // Without what the renewals say, it would have to look within a lease.
    let (began, before) = (Instant::now(), requests(&server));
    let mut renewals = 0;
    while began.elapsed() < lease * 2 {
        thread::sleep(Duration::from_millis(200));
        granted(claim(&ours, &holder, lease));
        renewals += 1;
    }
    let [ranges, .., time_to_live, watches] = requests(&server);
    assert_eq!(ranges - before[0], renewals, "only who renewed asked");
    assert_eq!((time_to_live, watches), (before[3], before[4]));
    assert!(!waiting.is_finished());
    block_on(ours.release(&holder)).unwrap();
    ended(waiting).unwrap();
}

#[test]
fn who_is_cancelled_leaves_no_watch() {
    let server = Server::etcd(&FAST).unwrap();
    let claimer = tenure_etcd::EtcdOptions::new(endpoint(server.address())).open();
    granted(claim(&claimer, &unit(0), LONG));
    for _ in 0..3 {
        let timer = async {
            async_io::Timer::after(Duration::from_millis(200)).await;
            Ok(())
        };
        block_on(futures_lite::future::or(claimer.released(&web()), timer)).unwrap();
    }
    eventually("they are gone", || watches(&server) == 0);
}

#[test]
fn a_wait_outlives_its_connection() {
    let bench = Bench::new();
    let proxy = Proxy::new(bench.server.address()).unwrap();
    let holder = unit(0);
    granted(claim(&bench.open(), &holder, LONG));
    let claimer = tenure_etcd::EtcdOptions::new(endpoint(proxy.address()))
        .prefix(&bench.prefix)
        .time_limit(PATIENCE)
        .open();
    let waiting = wait(&claimer);
    // One for what it asks, and one for the watch.
    eventually("it watches", || proxy.accepted() == 2);
    thread::sleep(Duration::from_millis(100));
    proxy.cut();
    eventually("it watches again", || proxy.accepted() == 4);
    block_on(bench.open().release(&holder)).unwrap();
    ended(waiting).unwrap();
}

#[test]
fn a_wait_notices_that_nothing_comes_any_more_and_goes_elsewhere() {
    let bench = Bench::new();
    let proxy = Proxy::new(bench.server.address()).unwrap();
    let holder = unit(0);
    granted(claim(&bench.open(), &holder, LONG));
    let options = tenure_etcd::EtcdOptions::new(endpoint(proxy.address()))
        .prefix(&bench.prefix)
        .time_limit(Duration::from_secs(3))
        .heartbeat(Duration::from_millis(500));
    let waiting = wait(&options.clone().endpoint(endpoint(bench.server.address())).open());
    let alone = wait(&options.open());
    eventually("both watch", || proxy.accepted() >= 4);
    // No reset comes, and no release.
    proxy.answers(Link::Stalled);
    block_on(bench.open().release(&holder)).unwrap();
    ended(waiting).unwrap();
    unknown(ended(alone));
}

#[test]
fn a_lease_that_runs_out_wakes_who_waits() {
    let bench = Bench::new();
    granted(claim(&bench.open(), &unit(0), SHORT));
    ended(wait(&bench.open())).unwrap();
    granted(claim(&bench.open(), &unit(1), LONG));
}

//! A tracker outlives its store's restart, on each runtime.

use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use tenure_core::{Config, Outcome};
use tenure_etcd::EtcdOptions;
use tenure_std::BlockOn;
use tenure_testkit::server::Server;

use crate::support::*;

const GUARANTEE: Duration = Duration::from_secs(2);

fn options(server: &Server) -> EtcdOptions {
    EtcdOptions::new(endpoint(server.address()))
}

#[test]
fn a_tracker_on_threads_leads_again_after_its_server_was_killed() {
    let mut server = Server::etcd(&FAST).unwrap();
    let claimer = BlockOn::new(options(&server).open());
    let config = Config::new(GUARANTEE).unwrap();
    let (tracker, driver) =
        tenure_std::Tracker::new(claimer, web(), "web/0".parse().unwrap(), config);
    driver.spawn().unwrap();
    assert!(matches!(tracker.wait_leader().wait(), Outcome::Leader { .. }));
    server.kill();
    assert_eq!(tracker.wait_minion().wait(), Outcome::Minion);
    server.restart().unwrap();
    assert!(matches!(tracker.wait_leader().wait(), Outcome::Leader { .. }));
    tracker.stop().unwrap();
    assert_eq!(leader(&options(&server).open()), None);
}

#[test]
fn a_tracker_on_smol_leads_again_after_its_server_was_killed() {
    let mut server = Server::etcd(&FAST).unwrap();
    let config = Config::new(GUARANTEE).unwrap();
    let (tracker, driver) =
        tenure_smol::Tracker::new(options(&server).open(), web(), "web/0".parse().unwrap(), config);
    thread::spawn(move || block_on(driver.run()));
    assert!(matches!(block_on(tracker.wait_leader()), Outcome::Leader { .. }));
    server.kill();
    assert_eq!(block_on(tracker.wait_minion()), Outcome::Minion);
    server.restart().unwrap();
    assert!(matches!(block_on(tracker.wait_leader()), Outcome::Leader { .. }));
    block_on(tracker.stop()).unwrap();
    assert_eq!(leader(&options(&server).open()), None);
}

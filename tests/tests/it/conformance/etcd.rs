//! etcd's store, through a real server.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tenure_etcd::{Endpoint, EtcdClaimer, EtcdOptions};
use tenure_std::BlockOn;
use tenure_testkit::conformance::{self, Conformance};
use tenure_testkit::server::{Link, Proxy, Server};

use super::{NOT_BLOCKING, left_out_only};

/// What etcd cannot show: a client has no clock of its own, no revision comes near its end, and a
/// claim is some requests, of which one transaction takes the lease. What it costs is counted in
/// that crate's own tests.
const NOT_IN_ETCD: [&str; 4] = [
    "atomicity::asks_once",
    "lease::heeds_no_client_clock",
    "terms::end_fatally",
    "waiting::waits_without_asking",
];

/// With which a lease of a second lasts a second, and not two.
const FAST: [&str; 4] = ["--heartbeat-interval", "20", "--election-timeout", "200"];

/// The suite over a server of its own, with what can be done to it from outside.
fn suite<C>(make: impl FnOnce(Box<dyn Fn() -> EtcdClaimer>) -> Conformance<C>) -> Conformance<C>
where
    C: 'static,
{
    let server = Rc::new(RefCell::new(Server::etcd(&FAST).unwrap()));
    let proxy = Rc::new(Proxy::new(server.borrow().address()).unwrap());
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: proxy.address().port() };
    let options = EtcdOptions::new(endpoint).time_limit(Duration::from_millis(1_500));
    let (frozen, losing, counted) = (server.clone(), proxy.clone(), proxy.clone());
    let (holding, held) = (proxy.clone(), proxy);
    make(Box::new(move || options.clone().open()))
        .shortest_lease(Duration::from_secs(1))
        // It counts in seconds, and rounds in the holder's favour.
        .granularity(Duration::from_secs(1))
        .losing_answers(move |loses| {
            losing.answers(if loses { Link::Lost } else { Link::Passing });
            if !loses {
                losing.cut();
            }
        })
        // It looks first; what follows from that is a transaction.
        .holding_up(
            move |holds| match holds {
                true => holding.hold_next(b"POST /v3/kv/txn"),
                false => holding.let_go(),
            },
            move || held.is_holding(),
        )
        .unavailable(move |is_away| match is_away {
            true => frozen.borrow().freeze(),
            false => frozen.borrow().thaw(),
        })
        .restarting(move || {
            let mut server = server.borrow_mut();
            server.kill();
            server.restart().unwrap();
        })
        // A claimer keeps two for its next calls.
        .counting("connections in use", move || counted.open().saturating_sub(2))
}

#[test]
fn etcd_keeps_the_contract() {
    let report = suite(conformance::asynchronous).check();
    left_out_only(&report, &[&NOT_IN_ETCD]);
}

#[test]
fn etcd_keeps_the_contract_when_its_calls_block() {
    let report = suite(|open| conformance::blocking(move || BlockOn::new(open()))).check();
    left_out_only(&report, &[&NOT_IN_ETCD, &NOT_BLOCKING]);
}

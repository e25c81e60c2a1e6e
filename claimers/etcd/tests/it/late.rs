//! Calls whose transaction is held up on its way, and overtaken.

use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use tenure_core::{Claimer, ClaimerError};
use tenure_etcd::{EtcdClaimer, EtcdOptions, StoreError};
use tenure_testkit::server::Proxy;

use crate::support::*;

/// Has `call` look, and holds up what it makes of that until `meanwhile` is done.
fn overtaken<T: Send>(
    bench: &Bench,
    call: impl FnOnce(EtcdClaimer) -> Result<T, ClaimerError> + Send,
    meanwhile: impl FnOnce(),
) -> Result<T, ClaimerError> {
    let proxy = Proxy::new(bench.server.address()).unwrap();
    let options = EtcdOptions::new(endpoint(proxy.address())).prefix(&bench.prefix);
    let late = options.time_limit(PATIENCE).open();
    proxy.hold_next(b"POST /v3/kv/txn");
    thread::scope(|scope| {
        let call = scope.spawn(|| call(late));
        eventually("it has looked", || proxy.is_holding());
        meanwhile();
        proxy.let_go();
        call.join().unwrap()
    })
}

#[test]
fn a_release_that_comes_late_leaves_the_next_holder_its_lease() {
    let bench = Bench::new();
    let claimer = bench.open();
    let (holder, next) = (unit(0), unit(1));
    granted(claim(&claimer, &holder, LONG));
    let late = overtaken(
        &bench,
        |late| block_on(late.release(&holder)),
        || {
            block_on(claimer.release(&holder)).unwrap();
            granted(claim(&claimer, &next, LONG));
        },
    );
    late.unwrap();
    assert_eq!(leader(&claimer).map(|(unit, _)| unit).as_deref(), Some("web/1"));
    denied(claim(&claimer, &unit(2), LONG));
}

#[test]
fn a_renewal_that_comes_late_shortens_nothing() {
    let bench = Bench::new();
    let claimer = bench.open();
    let holder = unit(0);
    let short = Duration::from_secs(30);
    let term = granted(claim(&claimer, &holder, short));
    let late = overtaken(
        &bench,
        |late| claim(&late, &holder, short),
        || assert_eq!(granted(claim(&claimer, &holder, LONG)), term),
    );
    let (error, line) = unknown(late);
    assert!(matches!(error, StoreError::Raced), "{line}");
    let leader = block_on(claimer.leader(&web())).unwrap().unwrap();
    assert!(leader.remaining > LONG / 2, "{leader:?}");
}

#[test]
fn a_renewal_that_comes_late_takes_nothing_from_the_next_holder() {
    let bench = Bench::new();
    let claimer = bench.open();
    let (holder, next) = (unit(0), unit(1));
    granted(claim(&claimer, &holder, LONG));
    let late = overtaken(
        &bench,
        |late| claim(&late, &holder, LONG),
        || {
            block_on(claimer.release(&holder)).unwrap();
            granted(claim(&claimer, &next, LONG));
        },
    );
    assert_eq!(denied(late).0, "web/1");
}

//! A write that only the leader of a term can make.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_lite::future::block_on;
use serde_json::json;
use tenure_core::{Claimer, Term};
use tenure_etcd::GuardedWrite;

use crate::support::*;

#[test]
fn a_leader_that_was_frozen_is_refused_and_its_successor_is_not() {
    let bench = Bench::new();
    let (frozen, next) = (bench.open(), bench.open());
    let key = format!("{}/report", bench.prefix);
    let read = || {
        let found = bench.post("/v3/kv/range", json!({ "key": STANDARD.encode(&key) }));
        String::from_utf8(STANDARD.decode(found["kvs"][0]["value"].as_str().unwrap()).unwrap())
    };
    let put = |claimer: &tenure_etcd::EtcdClaimer, term: Term, value: &str| {
        block_on(claimer.put_guarded(&web(), term, &key, value)).unwrap()
    };
    let old = granted(claim(&frozen, &unit(0), SHORT));
    assert!(matches!(put(&frozen, old, "by the first"), GuardedWrite::Done { .. }));
    // It hears of nothing while its lease runs out, and another leads.
    block_on(next.released(&web())).unwrap();
    let successor = unit(1);
    let new = granted(claim(&next, &successor, LONG));
    assert!(new > old);
    let done = put(&next, new, "by the second");
    assert!(matches!(done, GuardedWrite::Done { revision } if revision as u64 > new.number()));
    assert_eq!(put(&frozen, old, "by the first, late"), GuardedWrite::Refused);
    assert_eq!(read().unwrap(), "by the second");

    // Without a holder, too, and by a term that never was.
    block_on(next.release(&successor)).unwrap();
    for term in [new, Term::new(0), Term::new(u64::MAX)] {
        assert_eq!(put(&next, term, "by nobody"), GuardedWrite::Refused);
    }
    assert_eq!(read().unwrap(), "by the second");
}

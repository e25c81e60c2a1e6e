//! The claimers' contract: the stores keep it, and whoever breaks a clause of it is found out.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::Term;
use tenure_memory::MemoryStore;
use tenure_runtime::ManualClock;
use tenure_testkit::conformance::{self, Conformance, Report};

/// What memory cannot show: it has no client with a clock, no answers that could be lost, nothing
/// to restart, and its claims are calls under a lock.
const NOT_IN_MEMORY: [&str; 7] = [
    "answers::says_unknown_when_away",
    "answers::says_unknown_when_lost",
    "atomicity::asks_once",
    "lease::heeds_no_client_clock",
    "lease::outlives_a_restart",
    "terms::outlive_a_restart",
    "waiting::waits_without_asking",
];

/// What no blocking claimer can show.
const NOT_BLOCKING: [&str; 2] =
    ["leaks::a_dropped_claim_holds_no_longer", "leaks::dropped_claims_leave_nothing"];

fn memory(
    make: fn(MemoryStore) -> Conformance<MemoryStore>,
    store: MemoryStore,
) -> Conformance<MemoryStore> {
    let counted = store.clone();
    let exhausted = store.clone();
    make(store)
        .counting("waiters", move || counted.waiting())
        .exhausting_terms(move |service| exhausted.raise_term(service, Term::new(u64::MAX)))
}

fn blocking(store: MemoryStore) -> Conformance<MemoryStore> {
    conformance::blocking(move || store.clone())
}

fn asynchronous(store: MemoryStore) -> Conformance<MemoryStore> {
    conformance::asynchronous(move || store.clone())
}

fn left_out_only(report: &Report, expected: &[&[&'static str]]) {
    let expected = expected.concat().into_iter().collect();
    assert_eq!(report.left_out(), expected, "{report}");
}

#[test]
fn memory_keeps_the_contract_by_a_manual_clock() {
    let clock = Arc::new(ManualClock::new());
    let store = MemoryStore::with_clock(clock.clone());
    let report = memory(blocking, store).advancing(move |span| clock.advance(span)).check();
    left_out_only(&report, &[&NOT_IN_MEMORY, &NOT_BLOCKING]);
}

#[test]
fn async_memory_keeps_the_contract_by_a_manual_clock() {
    let clock = Arc::new(ManualClock::new());
    let store = MemoryStore::with_clock(clock.clone());
    let report = memory(asynchronous, store).advancing(move |span| clock.advance(span)).check();
    left_out_only(&report, &[&NOT_IN_MEMORY]);
}

#[test]
fn memory_keeps_the_contract_in_real_time() {
    memory(blocking, MemoryStore::new()).shortest_lease(Duration::from_millis(100)).check();
}

#[test]
fn async_memory_keeps_the_contract_in_real_time() {
    memory(asynchronous, MemoryStore::new()).shortest_lease(Duration::from_millis(100)).check();
}

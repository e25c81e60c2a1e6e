//! The claimers' contract: the stores keep it, and whoever breaks a clause of it is found out.

mod bugs;
mod etcd;
mod flawed;
mod postgres;
mod redis;
mod sqlite;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tenure_core::Term;
use tenure_memory::MemoryStore;
use tenure_runtime::ManualClock;
use tenure_testkit::conformance::{self, Clause, Conformance, Report};

use bugs::Bug;
use flawed::Flawed;

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

/// What only a store can show whose requests are held up on their way.
const NOT_HELD_UP: [&str; 3] = [
    "late::a_release_frees_nobody_elses",
    "late::a_renewal_shortens_no_later_one",
    "late::a_renewal_takes_nothing_from_the_next",
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
    left_out_only(&report, &[&NOT_IN_MEMORY, &NOT_HELD_UP, &NOT_BLOCKING]);
}

#[test]
fn async_memory_keeps_the_contract_by_a_manual_clock() {
    let clock = Arc::new(ManualClock::new());
    let store = MemoryStore::with_clock(clock.clone());
    let report = memory(asynchronous, store).advancing(move |span| clock.advance(span)).check();
    left_out_only(&report, &[&NOT_IN_MEMORY, &NOT_HELD_UP]);
}

#[test]
fn memory_keeps_the_contract_in_real_time() {
    memory(blocking, MemoryStore::new()).shortest_lease(Duration::from_millis(100)).check();
}

#[test]
fn async_memory_keeps_the_contract_in_real_time() {
    memory(asynchronous, MemoryStore::new()).shortest_lease(Duration::from_millis(100)).check();
}

fn flawed<C: 'static>(
    bug: Option<Bug>,
    make: fn(Box<dyn Fn() -> C>) -> Conformance<C>,
    wrap: fn(flawed::Client) -> C,
) -> Report {
    let store = Flawed::new(bug);
    // Where a bug makes the suite wait in vain, it need not wait as long as for the others.
    let hangs = |&(clause, hanging): &(Clause, Bug)| {
        Some(hanging) == bug && matches!(clause, Clause::Waiting | Clause::Leaks)
    };
    let patience = Duration::from_millis(if Bug::ALL.iter().any(hangs) { 1_500 } else { 10_000 });
    let [client, skewed, clock, lost, away] = std::array::from_fn(|_| store.clone());
    let [restarted, exhausted, requests, waiters] = std::array::from_fn(|_| store.clone());
    make(Box::new(move || wrap(client.client(None))))
        .advancing(move |span| clock.advance(span))
        .wrong_clock(move |skew| wrap(skewed.client(Some(skew))))
        .losing_answers(move |loses| lost.lose_answers(loses))
        .unavailable(move |is_away| away.make_unavailable(is_away))
        .restarting(move || restarted.restart())
        .exhausting_terms(move |service| exhausted.exhaust_terms(service))
        .counting_requests(move || requests.requests())
        .counting("waiters", move || waiters.waiters())
        // It is moved by hand: a short lease only shortens what waits for real time besides.
        .shortest_lease(Duration::from_millis(20))
        .patience(patience)
        .report()
}

fn blocking_with(bug: Option<Bug>) -> Report {
    flawed(bug, conformance::blocking, bugs::Blocking)
}

fn asynchronous_with(bug: Option<Bug>) -> Report {
    flawed(bug, conformance::asynchronous, bugs::Asynchronous)
}

#[test]
fn a_store_without_bugs_passes_every_check() {
    let report = blocking_with(None);
    assert!(report.passed(), "{report}");
    left_out_only(&report, &[&NOT_HELD_UP, &NOT_BLOCKING]);
    let report = asynchronous_with(None);
    assert!(report.passed(), "{report}");
    left_out_only(&report, &[&NOT_HELD_UP]);
}

/// Each bug that breaks `clause` fails that clause and no other.
fn bugs_are_found(clause: Clause) {
    for &(_, bug) in Bug::ALL.iter().filter(|(broken, _)| *broken == clause) {
        // At once: they mostly wait.
        let reports: Vec<Report> = thread::scope(|scope| {
            let blocking = (bug != Bug::DroppedClaimHoldsOn)
                .then(|| scope.spawn(move || blocking_with(Some(bug))));
            let asynchronous = (bug != Bug::CancelIgnored)
                .then(|| scope.spawn(move || asynchronous_with(Some(bug))));
            let reports = blocking.into_iter().chain(asynchronous);
            reports.map(|report| report.join().unwrap()).collect()
        });
        for report in reports {
            let failed = report.failed_clauses().into_iter().collect::<Vec<_>>();
            assert_eq!(failed, [clause], "{bug:?}\n{report}");
        }
    }
}

#[test]
fn who_breaks_clause_1_fails_it_alone() {
    bugs_are_found(Clause::Lease);
}

#[test]
fn who_breaks_clause_2_fails_it_alone() {
    bugs_are_found(Clause::Exclusion);
}

#[test]
fn who_breaks_clause_3_fails_it_alone() {
    bugs_are_found(Clause::Terms);
}

#[test]
fn who_breaks_clause_4_fails_it_alone() {
    bugs_are_found(Clause::Atomicity);
}

#[test]
fn who_breaks_clause_5_fails_it_alone() {
    bugs_are_found(Clause::LostAnswers);
}

#[test]
fn who_breaks_clause_6_fails_it_alone() {
    bugs_are_found(Clause::Release);
}

#[test]
fn who_breaks_clause_7_fails_it_alone() {
    bugs_are_found(Clause::Waiting);
}

#[test]
fn who_breaks_clause_8_fails_it_alone() {
    bugs_are_found(Clause::Leaks);
}

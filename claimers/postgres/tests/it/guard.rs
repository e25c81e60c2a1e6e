//! The guarded write: a leader whose term is over writes nothing.

use std::time::Duration;

use futures_lite::future::block_on;
use tenure_core::{Claimer, Term};
use tenure_postgres::PostgresClaimer;

use crate::support::{
    Bench, LEASE, claim, denied, eventually, granted, is_locked, open, unit, unknown, while_open,
};

/// The guard of the leader in `term`.
fn guard(claimer: &PostgresClaimer, term: Term) -> String {
    claimer.guard_sql().replace("$1", "'mysql'").replace("$2", &term.to_string())
}

/// A leader's own write, if its term still stands.
fn write(bench: &Bench, claimer: &PostgresClaimer, term: Term, value: &str) -> bool {
    let guard = guard(claimer, term);
    let sql = format!(
        "WITH guard AS ({guard}) INSERT INTO {{table}}_work SELECT '{value}' FROM guard \
         RETURNING true"
    );
    bench.sql(&sql) == "t"
}

#[test]
fn a_leader_that_thaws_after_its_term_writes_nothing() {
    let bench = Bench::new();
    bench.sql("CREATE TABLE {table}_work (value text)");
    let (first, second) = (bench.claimer(), bench.claimer());
    let old = granted(claim(&first, 0, Duration::from_millis(200)));
    assert!(write(&bench, &first, old, "first"));
    // It stands still for longer than its lease, and somebody else takes over.
    let mut new = None;
    eventually("another leads", || {
        let answer = claim(&second, 1, LEASE).unwrap();
        if let tenure_core::ClaimAnswer::Granted { term } = answer {
            new = Some(term);
        }
        new.is_some()
    });
    assert!(!write(&bench, &first, old, "stale"));
    assert!(write(&bench, &second, new.unwrap(), "second"));
    assert_eq!(bench.sql("SELECT string_agg(value, ',') FROM {table}_work"), "first,second");
}

#[test]
fn nobody_takes_over_between_the_look_and_the_commit() {
    let bench = Bench::new();
    let claimer = bench.claimer();
    let term = granted(claim(&claimer, 0, LEASE));
    block_on(claimer.release(&unit(0))).unwrap();
    bench.sql("CREATE TABLE {table}_work (value text)");
    let guard = guard(&claimer, term);
    let guarded = bench.sql_meanwhile(&format!(
        "BEGIN; {guard}; SELECT pg_sleep(1); INSERT INTO {{table}}_work VALUES ('first'); COMMIT"
    ));
    is_locked(&bench);
    // Free, but guarded: whoever takes it does so after the write.
    assert_eq!(granted(claim(&claimer, 1, LEASE)).number(), 2);
    assert_eq!(bench.sql("SELECT value FROM {table}_work"), "first");
    guarded.join().unwrap();
}

#[test]
fn a_leader_renews_and_releases_while_it_writes_and_only_a_take_over_waits() {
    let bench = Bench::new();
    let (claimer, hasty) = (bench.claimer(), open(&bench.url("&time_limit=0.3")));
    let term = granted(claim(&claimer, 0, LEASE));
    while_open(&bench, &guard(&claimer, term), || {
        assert_eq!(granted(claim(&claimer, 0, 2 * LEASE)), term);
        denied(claim(&claimer, 1, LEASE));
        block_on(claimer.release(&unit(0))).unwrap();
        unknown(claim(&hasty, 1, LEASE));
        assert_eq!(bench.sql("SELECT term FROM {table}"), term.to_string());
    });
    assert_eq!(granted(claim(&claimer, 1, LEASE)).number(), term.number() + 1);
}

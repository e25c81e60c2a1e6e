//! The guarded write: a leader whose term is over writes nothing.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};
use tenure_core::{BlockingClaimer, Term};
use tenure_sqlite::{StoreError, guard_sql};

use crate::support::{Bench, LEASE, granted, meddler, unit, unknown};

/// The program's own tables: in the store itself, or in a file that it is attached to.
fn own_tables(store: &Path, is_attached: bool) -> (Connection, &'static str) {
    let (own, schema) = match is_attached {
        true => (meddler(&store.with_file_name("own.db")), "leases"),
        false => (meddler(store), "main"),
    };
    if is_attached {
        own.execute("ATTACH ?1 AS leases", [store.to_str().unwrap()]).unwrap();
    }
    own.execute_batch("CREATE TABLE main.work (value TEXT)").unwrap();
    (own, schema)
}

fn write(own: &mut Connection, schema: &str, term: Term, value: &str) -> bool {
    let term = i64::try_from(term.number()).unwrap();
    let transaction = own.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let sql = guard_sql(schema);
    let stands = transaction.prepare(&sql).unwrap().exists(params!["mysql", term]).unwrap();
    if stands {
        transaction.execute("INSERT INTO main.work VALUES (?1)", [value]).unwrap();
    }
    transaction.commit().unwrap();
    stands
}

#[test]
fn a_leader_that_thaws_after_its_term_writes_nothing() {
    for is_attached in [true, false] {
        let bench = Bench::new();
        let first = bench.open();
        let old = granted(first.claim(&unit(0), LEASE));
        let (mut own, schema) = own_tables(&bench.path, is_attached);
        assert!(write(&mut own, schema, old, "first"));
        // It stands still for longer than its lease, and somebody else takes over: with tables in
        // the store that are none of its business.
        bench.clock.advance(LEASE);
        let new = granted(bench.open().claim(&unit(1), LEASE));
        assert!(!write(&mut own, schema, old, "stale"));
        assert!(write(&mut own, schema, new, "second"));
        let written: String = own
            .query_row("SELECT group_concat(value) FROM main.work", [], |row| row.get(0))
            .unwrap();
        assert_eq!(written, "first,second");
    }
}

#[test]
fn nobody_takes_over_between_the_look_and_the_commit() {
    for is_attached in [true, false] {
        let bench = Bench::new();
        let claimer = bench.options().busy_timeout(Duration::from_millis(10));
        let claimer = claimer.open(&bench.path).unwrap();
        granted(claimer.claim(&unit(0), LEASE));
        bench.clock.advance(LEASE);
        let (mut own, _) = own_tables(&bench.path, is_attached);
        let transaction = own.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let error = unknown(claimer.claim(&unit(1), LEASE));
        assert!(matches!(*error, StoreError::Busy { .. }), "{error}");
        transaction.commit().unwrap();
        assert_eq!(granted(claimer.claim(&unit(1), LEASE)).number(), 2);
    }
}

//! Claims that meet at one row: who decides, when, and by which clock.

use std::thread;
use std::time::Duration;

use futures_lite::future::{block_on, or};
use tenure_core::Claimer;
use tenure_postgres::StoreError;

use crate::support::{
    Bench, LEASE, claim, denied, eventually, fatal, granted, is_locked, leader, open, unit,
    unknown, while_open,
};

/// Locks the row, does `then`, and ends the transaction a second later.
fn lock_row(bench: &Bench, then: &str) -> thread::JoinHandle<String> {
    let lock = bench.sql_meanwhile(&format!(
        "BEGIN; SELECT 1 FROM {{table}} FOR UPDATE; {then}; SELECT pg_sleep(1); COMMIT"
    ));
    is_locked(bench);
    lock
}

/// Keeps the row locked for as long as `meanwhile` takes.
fn while_locked(bench: &Bench, meanwhile: impl FnOnce()) {
    while_open(bench, "SELECT 1 FROM {table} FOR UPDATE", meanwhile);
}

#[test]
fn who_is_denied_waits_for_no_lock() {
    let bench = Bench::new();
    let claimer = bench.claimer();
    granted(claim(&claimer, 0, LEASE));
    while_locked(&bench, || {
        let (holder, _) = denied(claim(&claimer, 1, LEASE));
        assert_eq!(holder, "mysql/0");
    });
}

/// So a denial does not wait for a disk, and minions cost a server nothing to speak of.
#[test]
fn who_is_denied_writes_nothing() {
    let bench = Bench::alone(&["autovacuum=off"]);
    let claimer = bench.claimer();
    granted(claim(&claimer, 0, LEASE));
    let next_transaction = || bench.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())");
    let before = next_transaction();
    denied(claim(&claimer, 1, LEASE));
    assert_eq!(next_transaction(), before);
    granted(claim(&claimer, 0, LEASE));
    assert_ne!(next_transaction(), before);
}

#[test]
fn the_clock_is_read_after_the_row_was_got() {
    let bench = Bench::new();
    let claimer = bench.claimer();
    granted(claim(&claimer, 0, LEASE));
    // It finds the lease over, and waits for the row, in which there is another one by then: that
    // one ends while it waits.
    bench.sql("UPDATE {table} SET expires_at = 'epoch'");
    let meanwhile = "UPDATE {table} SET expires_at = clock_timestamp() + interval '0.5 seconds'";
    let lock = lock_row(&bench, meanwhile);
    let (claiming, again) = (claimer.clone(), claimer.clone());
    assert_eq!(granted(claim(&claiming, 1, LEASE)).number(), 2);
    lock.join().unwrap();
    let leader = block_on(again.leader(&unit(1).service)).unwrap().unwrap();
    assert!(leader.remaining > LEASE - Duration::from_secs(60), "{leader:?}");
}

#[test]
fn the_row_is_looked_at_as_it_is_after_the_wait() {
    let bench = Bench::new();
    // A user whose transactions would see no change that was made while they wait, if they might.
    bench.sql(
        "CREATE ROLE {table}_user LOGIN SUPERUSER; \
         ALTER ROLE {table}_user SET default_transaction_isolation = 'serializable'",
    );
    let claimer = open(&bench.url("").replace("postgres@", &format!("{}_user@", bench.table)));
    granted(claim(&claimer, 0, LEASE));
    // What it finds when it begins to wait is free; its holder renews meanwhile.
    bench.sql("UPDATE {table} SET expires_at = 'epoch'");
    let renewal = "UPDATE {table} SET expires_at = clock_timestamp() + interval '1 hour'";
    let lock = lock_row(&bench, renewal);
    let (holder, retry_after) = denied(claim(&claimer, 1, LEASE));
    lock.join().unwrap();
    assert_eq!(holder, "mysql/0");
    assert!(retry_after > LEASE - Duration::from_secs(60), "{retry_after:?}");
    assert_eq!(leader(&claimer), Some(("mysql/0".to_owned(), 1)));
}

#[test]
fn a_claim_that_waits_for_too_long_is_unknown_and_leaves_nothing_at_the_server() {
    let bench = Bench::new();
    let patient = bench.claimer();
    granted(claim(&patient, 0, LEASE));
    block_on(patient.release(&unit(0))).unwrap();
    let hasty = open(&bench.url("&time_limit=0.3"));
    while_locked(&bench, || {
        // The server is to say so before the client gives up.
        let error = unknown(claim(&hasty, 1, LEASE));
        assert!(matches!(error, StoreError::Busy { .. } | StoreError::TimedOut { .. }), "{error}");
        eventually("nobody waits any more", || bench.waiting_for("Lock") == "0");
    });
    // It was not granted meanwhile.
    assert_eq!(leader(&patient), None);
    assert_eq!(granted(claim(&patient, 2, LEASE)).number(), 2);
}

#[test]
fn a_cancelled_claim_that_waits_at_the_server_ends_with_its_limit() {
    let bench = Bench::new();
    let claimer = open(&bench.url("&time_limit=0.5"));
    granted(claim(&claimer, 0, LEASE));
    block_on(claimer.release(&unit(0))).unwrap();
    while_locked(&bench, || {
        let waits = async {
            let _ = claimer.claim(&unit(1), LEASE).await;
        };
        let cancel = async {
            async_io::Timer::after(Duration::from_millis(100)).await;
        };
        block_on(or(waits, cancel));
        eventually("nobody waits any more", || bench.waiting_for("Lock") == "0");
    });
}

#[test]
fn a_term_at_its_end_is_fatal_and_its_holder_still_renews() {
    let bench = Bench::new();
    let claimer = bench.claimer();
    granted(claim(&claimer, 0, LEASE));
    bench.sql("UPDATE {table} SET term = 9223372036854775807");
    assert_eq!(granted(claim(&claimer, 0, LEASE)).number(), i64::MAX as u64);
    block_on(claimer.release(&unit(0))).unwrap();
    let error = fatal(claim(&claimer, 1, LEASE));
    assert!(matches!(error, StoreError::TermExhausted { .. }), "{error}");
    assert_eq!(bench.sql("SELECT term FROM {table}"), "9223372036854775807");
}

#[test]
fn a_lease_is_granted_whole_or_not_at_all() {
    let bench = Bench::new();
    let claimer = bench.claimer();
    let error = fatal(claim(&claimer, 0, Duration::MAX));
    assert!(matches!(error, StoreError::LeaseTooLong { .. }), "{error}");
    let longest = Duration::from_secs(100_000 * 365 * 24 * 3600);
    let error = fatal(claim(&claimer, 0, longest + Duration::from_nanos(1)));
    assert!(matches!(error, StoreError::LeaseTooLong { .. }), "{error}");
    granted(claim(&claimer, 0, longest));
    let (_, retry_after) = denied(claim(&claimer, 1, LEASE));
    assert!(retry_after > longest - Duration::from_secs(60), "{retry_after:?}");
    assert!(retry_after <= longest);
}

#[test]
fn the_server_counts_in_microseconds_and_rounds_up() {
    let bench = Bench::new();
    let claimer = bench.claimer();
    block_on(claimer.check()).unwrap();
    for lease in [Duration::from_nanos(3_600_000_000_001), Duration::from_micros(7_200_000_001)] {
        bench.sql("TRUNCATE {table}");
        granted(claim(&claimer, 0, lease));
        // A clock that stands still shows what was written. The grant was made before now.
        let micros = lease.as_nanos().div_ceil(1_000);
        let least = bench.sql(&format!(
            "SELECT expires_at - {micros} * interval '1 microsecond' <= clock_timestamp(), \
             extract(microseconds FROM expires_at) IS NOT NULL FROM {{table}}"
        ));
        assert_eq!(least, "t|t");
    }
}

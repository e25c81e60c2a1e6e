//! What goes wrong with a store that is open.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::TransactionBehavior;
use tenure_core::{BlockingClaimer, Instant};
use tenure_runtime::{CancelToken, Clock};
use tenure_sqlite::{Access, SqliteClaimer, StoreError};

use crate::support::*;

#[test]
fn a_busy_store_is_unknown_and_never_a_denial() {
    let bench = Bench::new();
    let claimer =
        bench.options().busy_timeout(Duration::from_millis(20)).open(&bench.path).unwrap();
    granted(claimer.claim(&unit(0), LEASE));
    let mut other = meddler(&bench.path);
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let busy = |error: Box<StoreError>| assert!(matches!(*error, StoreError::Busy { .. }));
    busy(unknown(claimer.claim(&unit(0), LEASE)));
    busy(unknown(claimer.claim(&unit(1), LEASE)));
    busy(unknown(claimer.release(&unit(0))));
    assert!(leader_of(&claimer, "mysql").is_some(), "who looks needs no lock");
    drop(lock);
    assert_eq!(granted(claimer.claim(&unit(0), LEASE)).number(), 1);
}

#[test]
fn claims_that_queue_in_one_process_share_one_busy_timeout() {
    let bench = Bench::new();
    // One after the other they would take twice as long as anybody waits.
    const CLAIMS: u8 = 200;
    let timeout = PATIENCE * 2 / u32::from(CLAIMS);
    let claimer = bench.options().busy_timeout(timeout).open(&bench.path).unwrap();
    let mut other = meddler(&bench.path);
    let _lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        for number in 0..CLAIMS {
            let claimer = claimer.clone();
            scope.spawn(move || unknown(claimer.claim(&unit(number), LEASE)));
        }
    });
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn a_term_at_its_end_is_fatal_and_does_not_wrap() {
    let bench = Bench::new();
    let claimer = bench.open();
    granted(claimer.claim(&unit(0), LEASE));
    meddler(&bench.path).execute("UPDATE lease SET term = ?1", [i64::MAX]).unwrap();
    assert_eq!(granted(claimer.claim(&unit(0), LEASE)).number(), i64::MAX as u64);
    denied(claimer.claim(&unit(1), LEASE));
    claimer.release(&unit(0)).unwrap();
    let error = fatal(claimer.claim(&unit(1), LEASE));
    assert!(matches!(*error, StoreError::TermExhausted { .. }), "{error}");
    granted(claimer.claim(&of_service("redis", 0), LEASE));
}

#[test]
fn a_store_that_was_replaced_grants_nothing_any_more() {
    let (bench, newer) = (Bench::new(), Bench::new());
    let claimer = bench.open();
    granted(claimer.claim(&unit(0), LEASE));
    drop(newer.open());
    fs::rename(&newer.path, &bench.path).unwrap();
    for error in [
        fatal(claimer.claim(&unit(0), LEASE)),
        fatal(claimer.release(&unit(0))),
        fatal(claimer.leader(&service("mysql"))),
        fatal(claimer.released(&service("mysql"), &CancelToken::new())),
    ] {
        assert!(matches!(*error, StoreError::Replaced { .. }), "{error}");
    }
}

#[test]
fn a_store_that_was_deleted_grants_nothing_and_is_not_made_anew() {
    for suffix in ["", "-wal", "-shm"] {
        let bench = Bench::new();
        let claimer = bench.open();
        granted(claimer.claim(&unit(0), LEASE));
        let victim = bench.directory.path().join(format!("leases.db{suffix}"));
        fs::remove_file(&victim).unwrap();
        let error = fatal(claimer.claim(&unit(0), LEASE));
        assert!(matches!(&*error, StoreError::Deleted { path } if *path == victim), "{error}");
        fatal(claimer.claim(&unit(1), LEASE));
        claimer.leader(&service("mysql")).unwrap_err();
        fatal(claimer.claim(&unit(1), LEASE));
    }
}

#[test]
fn processes_on_two_files_under_one_path_are_not_both_granted() {
    for suffixes in [&["", "-wal", "-shm"][..], &["-wal", "-shm"], &["-shm"]] {
        let bench = Bench::new();
        let old = bench.open();
        granted(old.claim(&unit(0), LEASE));
        for suffix in suffixes {
            fs::remove_file(bench.directory.path().join(format!("leases.db{suffix}"))).unwrap();
        }
        // Another process would make or recover what is missing. In this process, SQLite would
        // go on with the index that is deleted, and the second connection must notice.
        if let Ok(new) = bench.options().open(&bench.path) {
            let _ = new.claim(&unit(1), LEASE);
        }
        fatal(old.claim(&unit(0), LEASE));
    }
}

#[test]
fn a_store_that_is_moved_away_and_back_goes_on() {
    let bench = Bench::new();
    let claimer = bench.open();
    granted(claimer.claim(&unit(0), LEASE));
    let elsewhere = bench.directory.path().join("elsewhere");
    fs::rename(&bench.path, &elsewhere).unwrap();
    fatal(claimer.claim(&unit(0), LEASE));
    fs::rename(&elsewhere, &bench.path).unwrap();
    assert_eq!(granted(claimer.claim(&unit(0), LEASE)).number(), 1);
}

#[test]
fn a_link_that_comes_to_lead_elsewhere_is_a_replaced_store() {
    let (bench, newer) = (Bench::new(), Bench::new());
    drop((bench.open(), newer.open()));
    let link = bench.directory.path().join("link");
    std::os::unix::fs::symlink(&bench.path, &link).unwrap();
    let claimer = bench.options().open(&link).unwrap();
    granted(claimer.claim(&unit(0), LEASE));
    denied(bench.open().claim(&unit(1), LEASE));
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&newer.path, &link).unwrap();
    let error = fatal(claimer.claim(&unit(0), LEASE));
    assert!(matches!(*error, StoreError::Replaced { .. }), "{error}");
}

#[test]
fn a_store_that_somebody_emptied_is_damaged() {
    let bench = Bench::new();
    let claimer = bench.open();
    granted(claimer.claim(&unit(0), LEASE));
    meddler(&bench.path).execute_batch("DROP TABLE lease").unwrap();
    let error = fatal(claimer.claim(&unit(0), LEASE));
    assert!(matches!(*error, StoreError::Damaged { .. }), "{error}");
    fatal(claimer.leader(&service("mysql")));
}

#[test]
fn a_name_that_is_none_is_damage_to_who_looks_and_nobody_to_who_claims() {
    let bench = Bench::new();
    let claimer = bench.open();
    granted(claimer.claim(&unit(0), LEASE));
    meddler(&bench.path).execute("UPDATE lease SET unit = 'a/b/c'", []).unwrap();
    let error = fatal(claimer.leader(&service("mysql")));
    assert!(matches!(*error, StoreError::Damaged { .. }), "{error}");
    let answer = claimer.claim(&unit(1), LEASE).unwrap();
    let nobody = tenure_core::ClaimAnswer::Denied { leader: None, retry_after: Some(LEASE) };
    assert_eq!(answer, nobody);
}

#[test]
fn a_claimer_for_looking_claims_nothing() {
    let bench = Bench::new();
    granted(bench.open().claim(&unit(0), LEASE));
    let look = bench.options().access(Access::Look).open(&bench.path).unwrap();
    for error in [fatal(look.claim(&unit(1), LEASE)), fatal(look.release(&unit(0)))] {
        assert!(matches!(*error, StoreError::LookingOnly { .. }), "{error}");
    }
    assert_eq!(leader_of(&look, "mysql"), Some(("mysql/0".to_owned(), 1, LEASE)));
    drop(look);
    assert_eq!(bench.files(), ["leases.db"]);
}

/// Puts something that cannot be synced where the log is, when it is read: that is within a claim,
/// after the files were looked at and before the commit, which goes to the log that is open.
#[derive(Debug)]
struct Unsyncable {
    wal: std::path::PathBuf,
    is_armed: AtomicBool,
}

impl Unsyncable {
    fn kept(&self) -> std::path::PathBuf {
        self.wal.with_extension("kept")
    }

    /// What comes of `claim` when the log cannot be synced.
    fn during<T>(&self, claim: impl FnOnce() -> T) -> T {
        self.is_armed.store(true, Ordering::SeqCst);
        let result = claim();
        fs::rename(self.kept(), &self.wal).unwrap();
        result
    }
}

impl Clock for Unsyncable {
    fn now(&self) -> Instant {
        if self.is_armed.swap(false, Ordering::SeqCst) {
            fs::rename(&self.wal, self.kept()).unwrap();
            std::os::unix::fs::symlink("/dev/null", &self.wal).unwrap();
        }
        Instant::from_nanos(1_000_000_000)
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_first_grant_of_a_service_is_an_answer_only_when_it_is_on_the_disk() {
    let bench = Bench::new();
    let wal = bench.directory.path().join("leases.db-wal");
    let clock = Arc::new(Unsyncable { wal, is_armed: AtomicBool::new(false) });
    let claimer = bench.options().clock(clock.clone()).open(&bench.path).unwrap();
    let claim = |service| claimer.claim(&of_service(service, 0), LEASE);
    // What a crash of the host may lose is not granted, however often it is asked for.
    for _ in 0..2 {
        let error = unknown(clock.during(|| claim("mysql")));
        assert!(matches!(*error, StoreError::Io { .. }), "{error}");
    }
    assert_eq!(granted(claim("mysql")).number(), 1);
    // No renewal needs the disk, nor does another holder.
    granted(clock.during(|| claim("mysql")));
    claimer.release(&of_service("mysql", 0)).unwrap();
    granted(clock.during(|| claimer.claim(&unit(1), LEASE)));
    // Another service is a row of its own.
    unknown(clock.during(|| claim("redis")));
    assert_eq!(granted(claim("redis")).number(), 1);
}

#[derive(Debug, Default)]
struct Panicking(AtomicBool);

impl Clock for Panicking {
    fn now(&self) -> Instant {
        assert!(!self.0.load(Ordering::SeqCst), "the clock is broken");
        Instant::from_nanos(1_000_000_000)
    }
}

#[test]
fn a_panic_within_a_claim_leaves_no_lock_behind() {
    let bench = Bench::new();
    let clock = Arc::new(Panicking::default());
    let claimer = bench.options().clock(clock.clone()).open(&bench.path).unwrap();
    granted(claimer.claim(&unit(0), LEASE));
    clock.0.store(true, Ordering::SeqCst);
    let claim = || claimer.claim(&unit(0), LEASE);
    catch_unwind(AssertUnwindSafe(claim)).unwrap_err();
    catch_unwind(AssertUnwindSafe(|| claimer.leader(&service("mysql")))).unwrap_err();
    clock.0.store(false, Ordering::SeqCst);
    granted(claimer.claim(&unit(0), LEASE));
    denied(bench.options().clock(clock).open(&bench.path).unwrap().claim(&unit(1), LEASE));
    assert!(leader_of(&claimer, "mysql").is_some());
}

#[test]
fn clones_are_one_claimer() {
    fn is_shareable<T: Clone + Send + Sync + 'static>(value: &T) -> T {
        value.clone()
    }
    let bench = Bench::new();
    let claimer = bench.open();
    let clone: SqliteClaimer = is_shareable(&claimer);
    drop(claimer);
    granted(clone.claim(&unit(0), LEASE));
    assert_eq!(clone.path(), bench.path);
}

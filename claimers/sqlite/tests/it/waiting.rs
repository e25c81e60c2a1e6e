//! `released`: what ends it, what does not, and what it leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::TransactionBehavior;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use tenure_core::{BlockingClaimer, ClaimerError};
use tenure_runtime::{BootClock, CancelToken, Clock, ManualClock};
use tenure_sqlite::{SqliteClaimer, SqliteOptions, Watch};

use crate::support::*;

const WATCHES: [Watch; 2] = [Watch::Notify, Watch::Poll(Duration::from_millis(20))];

/// Who has just begun to wait may look more than once without being roused. That does not happen
/// every time.
const ROUNDS: u32 = 3;

/// A thread that waits for the release of `mysql`.
struct Waiter {
    cancel: CancelToken,
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<(), ClaimerError>>,
}

impl Waiter {
    fn start(claimer: &SqliteClaimer) -> Waiter {
        Waiter::until(CancelToken::new(), claimer)
    }

    fn until(cancel: CancelToken, claimer: &SqliteClaimer) -> Waiter {
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (claimer, cancel, over) = (claimer.clone(), cancel.clone(), over.clone());
            move || {
                let result = claimer.released(&service("mysql"), &cancel);
                over.store(true, Ordering::SeqCst);
                result
            }
        });
        Waiter { cancel, over, thread }
    }

    /// Gives a wait that should not be over the time to show that it is.
    #[track_caller]
    fn goes_on(&self) {
        thread::sleep(Duration::from_millis(150));
        assert!(!self.over.load(Ordering::SeqCst), "the lease is held");
    }

    #[track_caller]
    fn ends(self) {
        self.result().unwrap();
    }

    #[track_caller]
    fn result(self) -> Result<(), ClaimerError> {
        eventually("the wait ends", || self.over.load(Ordering::SeqCst));
        self.thread.join().unwrap()
    }
}

#[test]
fn who_waits_for_what_is_free_already_is_told_at_once() {
    let bench = Bench::new();
    let claimer = bench.open();
    Waiter::start(&claimer).ends();
    granted(claimer.claim(&unit(0), LEASE));
    claimer.release(&unit(0)).unwrap();
    Waiter::start(&claimer).ends();
    granted(claimer.claim(&unit(1), LEASE));
    let rebooted = bench.options().boot_id("next boot").clock(Arc::new(ManualClock::new()));
    Waiter::start(&rebooted.open(&bench.path).unwrap()).ends();
    bench.clock.advance(LEASE);
    Waiter::start(&claimer).ends();
    granted(claimer.claim(&unit(1), LEASE));
    let cancelled = CancelToken::new();
    cancelled.cancel();
    Waiter::until(cancelled, &claimer).ends();
}

#[test]
fn a_release_ends_the_wait_and_other_changes_do_not() {
    for watch in WATCHES {
        let bench = Bench::new();
        let claimer = bench.options().watch(watch).open(&bench.path).unwrap();
        let holder = bench.open();
        granted(holder.claim(&unit(0), LEASE));
        let waiter = Waiter::start(&claimer);
        waiter.goes_on();
        granted(holder.claim(&unit(0), LEASE));
        denied(holder.claim(&unit(1), LEASE));
        granted(holder.claim(&of_service("redis", 0), LEASE));
        holder.release(&of_service("redis", 0)).unwrap();
        holder.release(&unit(1)).unwrap();
        waiter.goes_on();
        holder.release(&unit(0)).unwrap();
        waiter.ends();
    }
}

#[test]
fn a_lease_that_expires_ends_the_wait_and_a_renewed_one_does_not() {
    for watch in WATCHES {
        let bench = Bench::new();
        let claimer = bench.options().watch(watch).open(&bench.path).unwrap();
        granted(claimer.claim(&unit(0), LEASE));
        let waiter = Waiter::start(&claimer);
        waiter.goes_on();
        bench.clock.advance(LEASE - MILLI);
        granted(claimer.claim(&unit(0), LEASE));
        bench.clock.advance(MILLI);
        waiter.goes_on();
        bench.clock.advance(LEASE - MILLI - MILLI);
        waiter.goes_on();
        bench.clock.advance(MILLI);
        waiter.ends();
    }
}

#[test]
fn a_lease_that_expires_on_the_hosts_clock_ends_the_wait() {
    let bench = Bench::new();
    let claimer = SqliteOptions::new().heartbeat(AGES).open(&bench.path).unwrap();
    let lease = Duration::from_millis(300);
    for _ in 0..ROUNDS {
        let start = BootClock.now();
        granted(claimer.claim(&unit(0), lease));
        Waiter::start(&claimer).ends();
        assert!(BootClock.now() >= start.saturating_add(lease));
    }
}

#[test]
fn a_clock_that_jumps_rouses() {
    let bench = Bench::new();
    let claimer = bench.open();
    for _ in 0..ROUNDS {
        granted(claimer.claim(&unit(0), LEASE));
        let waiter = Waiter::start(&claimer);
        waiter.goes_on();
        bench.clock.advance(LEASE);
        waiter.ends();
    }
}

#[test]
fn a_cancelled_wait_ends() {
    for watch in WATCHES {
        let bench = Bench::new();
        let claimer = bench.options().watch(watch).open(&bench.path).unwrap();
        granted(claimer.claim(&unit(0), LEASE));
        for _ in 0..ROUNDS {
            let waiter = Waiter::start(&claimer);
            waiter.goes_on();
            waiter.cancel.cancel();
            waiter.ends();
        }
    }
}

#[test]
fn a_store_that_is_replaced_ends_the_wait_with_an_error() {
    for watch in WATCHES {
        let (bench, newer) = (Bench::new(), Bench::new());
        let claimer = bench.options().watch(watch).open(&bench.path).unwrap();
        granted(claimer.claim(&unit(0), LEASE));
        let waiter = Waiter::start(&claimer);
        waiter.goes_on();
        drop(newer.open());
        std::fs::rename(&newer.path, &bench.path).unwrap();
        fatal(waiter.result());
    }
}

#[test]
fn wake_ups_come_from_the_file_and_survive_a_log_that_starts_anew() {
    for watch in WATCHES {
        let bench = Bench::new();
        let claimer = bench.options().watch(watch).open(&bench.path).unwrap();
        let holder = bench.open();
        for _ in 0..ROUNDS {
            granted(holder.claim(&unit(0), LEASE));
            let waiter = Waiter::start(&claimer);
            waiter.goes_on();
            meddler(&bench.path).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            holder.release(&unit(0)).unwrap();
            waiter.ends();
        }
    }
}

/// Those who are roused by the write alone may look before it can be seen.
#[test]
fn a_release_touches_the_store_and_nothing_else_does() {
    let bench = Bench::new();
    let claimer =
        bench.options().busy_timeout(Duration::from_millis(20)).open(&bench.path).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    // Without opening it: closing it would lose SQLite's locks.
    let then = Timespec { tv_sec: 0, tv_nsec: 0 };
    let times = Timestamps { last_access: then, last_modification: then };
    utimensat(CWD, &bench.path, &times, AtFlags::empty()).unwrap();
    let modified = || std::fs::metadata(&bench.path).unwrap().modified().unwrap();
    granted(claimer.claim(&unit(0), LEASE));
    granted(claimer.claim(&unit(0), LEASE));
    claimer.release(&unit(1)).unwrap();
    let mut other = meddler(&bench.path);
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    unknown(claimer.release(&unit(0)));
    drop(lock);
    assert_eq!(modified(), long_ago);
    claimer.release(&unit(0)).unwrap();
    assert_ne!(modified(), long_ago);
}

#[test]
fn who_waits_does_not_keep_others_from_claiming() {
    let bench = Bench::new();
    let claimer = bench.open();
    granted(claimer.claim(&unit(0), LEASE));
    let waiters: Vec<_> = (0..4).map(|_| Waiter::start(&claimer)).collect();
    waiters[0].goes_on();
    for _ in 0..100 {
        granted(claimer.claim(&unit(0), LEASE));
    }
    // The log can be put into the database: no waiter holds on to an old state of it. One may be
    // looking just now, but not for long.
    let meddler = meddler(&bench.path);
    let checkpoint = || -> (i64, i64, i64) {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        meddler.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], row).unwrap()
    };
    let start = Instant::now();
    loop {
        let (busy, frames, done) = checkpoint();
        if (busy, frames) == (0, done) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "a waiter holds on: {busy} {frames} {done}");
        thread::sleep(Duration::from_millis(1));
    }
    claimer.release(&unit(0)).unwrap();
    waiters.into_iter().for_each(Waiter::ends);
}

/// Tells nobody that it jumps, as after a suspend.
#[derive(Debug)]
struct Untold {
    clock: Arc<ManualClock>,
    readings: AtomicUsize,
}

impl Clock for Untold {
    fn now(&self) -> tenure_core::Instant {
        self.readings.fetch_add(1, Ordering::SeqCst);
        self.clock.now()
    }
}

#[test]
fn what_nothing_tells_of_is_noticed_at_the_heartbeat_that_was_set() {
    let bench = Bench::new();
    granted(bench.open().claim(&unit(0), AGES));
    let start = |heartbeat| {
        let clock = Arc::new(Untold { clock: bench.clock.clone(), readings: AtomicUsize::new(0) });
        let options = bench.options().clock(clock.clone()).watch(Watch::Poll(AGES));
        let claimer = options.heartbeat(heartbeat).open(&bench.path).unwrap();
        (Waiter::start(&claimer), clock)
    };
    let (patient, its_clock) = start(AGES);
    let (eager, clock) = start(Duration::from_millis(10));
    // At the default heartbeat this would take longer than anybody waits.
    let looks = 2 * (PATIENCE.as_millis() / SqliteOptions::DEFAULT_HEARTBEAT.as_millis()) as usize;
    eventually("it looks again and again", || clock.readings.load(Ordering::SeqCst) > looks);
    // One look before it starts to watch, and one after.
    assert!(its_clock.readings.load(Ordering::SeqCst) <= 2, "{its_clock:?}");
    bench.clock.advance(AGES);
    eager.ends();
    patient.cancel.cancel();
    patient.ends();
}

/// What runs in a process of its own, so that it can count threads and descriptors.
pub(crate) fn leaks() {
    for watch in WATCHES {
        let bench = Bench::new();
        let clock = Arc::new(ManualClock::new());
        let options = || bench.options().clock(clock.clone()).watch(watch);
        let claimers = [options().open(&bench.path).unwrap(), options().open(&bench.path).unwrap()];
        granted(claimers[0].claim(&unit(0), LEASE));
        let alone = threads();
        // What is opened once stays: a connection for looking, and the one descriptor that SQLite
        // keeps of a closed connection for the next, as closing it would lose its locks.
        let cycle = |check: bool| {
            let waiters: Vec<_> = (0..8).map(|turn| Waiter::start(&claimers[turn % 2])).collect();
            if check {
                eventually("eight wait and one watches", || threads() == alone + 8 + 1);
                waiters[0].goes_on();
                assert_eq!(threads(), alone + 8 + 1, "one watcher");
                assert_eq!(descriptors("inotify"), usize::from(watch == Watch::Notify));
            }
            for waiter in waiters {
                waiter.cancel.cancel();
                waiter.ends();
            }
            // Who is joined is still to be seen for a moment.
            eventually("the threads are gone", || threads() == alone);
        };
        cycle(false);
        let before = descriptors("");
        for _ in 0..3 {
            cycle(true);
            assert_eq!(descriptors(""), before);
        }
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn descriptors(kind: &str) -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.to_string_lossy().contains(kind))
        .count()
}

//! Section 5 of the design, clause by clause.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::TransactionBehavior;
use tenure_core::{BlockingClaimer, Instant, Judge};
use tenure_runtime::{Clock, ManualClock};
use tenure_sqlite::{SqliteClaimer, SqliteOptions};

use crate::support::*;

#[test]
fn a_grant_lasts_exactly_as_long_as_it_was_asked_for() {
    let bench = Bench::new();
    let (mine, other) = (bench.open(), bench.open());
    assert_eq!(granted(mine.claim(&unit(0), LEASE)).number(), 1);
    bench.clock.advance(LEASE - MILLI);
    assert_eq!(denied(other.claim(&unit(1), LEASE)), ("mysql/0".to_owned(), MILLI));
    assert_eq!(leader_of(&other, "mysql"), Some(("mysql/0".to_owned(), 1, MILLI)));
    bench.clock.advance(MILLI);
    assert_eq!(leader_of(&other, "mysql"), None);
    assert_eq!(granted(other.claim(&unit(1), LEASE)).number(), 2);
    assert_eq!(denied(mine.claim(&unit(0), LEASE)), ("mysql/1".to_owned(), LEASE));
}

#[test]
fn a_renewal_never_shortens_the_lease_and_keeps_its_term() {
    let bench = Bench::new();
    let claimer = bench.open();
    let term = granted(claimer.claim(&unit(0), LEASE));
    assert_eq!(granted(claimer.claim(&unit(0), MILLI)), term);
    assert_eq!(leader_of(&claimer, "mysql"), Some(("mysql/0".to_owned(), 1, LEASE)));
    bench.clock.advance(MILLI);
    assert_eq!(granted(claimer.claim(&unit(0), LEASE)), term);
    assert_eq!(leader_of(&claimer, "mysql"), Some(("mysql/0".to_owned(), 1, LEASE)));
    bench.clock.advance(LEASE * 2);
    assert_eq!(granted(claimer.claim(&unit(0), LEASE)), term, "nobody else held it in between");
}

#[test]
fn terms_rise_with_every_holder_and_survive_release_expiry_and_reopening() {
    let bench = Bench::new();
    for term in 1..=6 {
        let claimer = bench.open();
        let candidate = unit(term);
        assert_eq!(granted(claimer.claim(&candidate, LEASE)).number(), u64::from(term));
        match term % 2 {
            0 => bench.clock.advance(LEASE),
            _ => claimer.release(&candidate).unwrap(),
        }
        assert_eq!(leader_of(&claimer, "mysql"), None);
    }
    assert_eq!(bench.files(), ["leases.db"], "the last to close clears the log away");
}

#[test]
fn services_do_not_touch_each_other() {
    let bench = Bench::new();
    let claimer = bench.open();
    for name in ["a", "A", "ab", "a.b", "a:b@c_d-e"] {
        assert_eq!(granted(claimer.claim(&of_service("a", 1).named(name), LEASE)).number(), 1);
    }
    claimer.release(&of_service("a", 1)).unwrap();
    assert_eq!(leader_of(&claimer, "a"), None);
    assert!(leader_of(&claimer, "A").is_some());
    assert_eq!(leader_of(&claimer, "never-claimed"), None);
}

#[test]
fn two_processes_with_one_unit_name_are_two_holders() {
    let bench = Bench::new();
    let claimer = bench.open();
    let (mine, mut twin) = (unit(0), unit(0));
    twin.nonce = unit(1).nonce;
    granted(claimer.claim(&mine, LEASE));
    denied(claimer.claim(&twin, LEASE));
    // A release by name alone would free it.
    claimer.release(&twin).unwrap();
    denied(claimer.claim(&twin, LEASE));
    // So would a release by nonce alone.
    let mut namesake = unit(1);
    namesake.nonce = mine.nonce;
    claimer.release(&namesake).unwrap();
    denied(claimer.claim(&twin, LEASE));
    // And one of another service's.
    claimer.release(&mine.clone().named("other")).unwrap();
    denied(claimer.claim(&twin, LEASE));
    claimer.release(&mine).unwrap();
    assert_eq!(granted(claimer.claim(&twin, LEASE)).number(), 2);
}

#[test]
fn a_release_is_idempotent_and_a_late_one_frees_nobody_elses_claim() {
    let bench = Bench::new();
    let claimer = bench.open();
    claimer.release(&unit(0)).unwrap();
    granted(claimer.claim(&unit(0), LEASE));
    claimer.release(&unit(0)).unwrap();
    claimer.release(&unit(0)).unwrap();
    granted(claimer.claim(&unit(1), LEASE));
    claimer.release(&unit(0)).unwrap();
    assert!(leader_of(&claimer, "mysql").is_some());
}

#[test]
fn after_a_reboot_every_holder_is_dead_and_no_term_comes_back() {
    let bench = Bench::new();
    let before = bench.open();
    granted(before.claim(&unit(0), LEASE));
    granted(before.claim(&of_service("redis", 0), LEASE));
    let term = leader_of(&before, "mysql").unwrap().1;
    // The clock starts anew with the machine.
    let clock = Arc::new(ManualClock::new());
    let rebooted = bench.options().clock(clock.clone()).boot_id("next boot");
    let after = rebooted.open(&bench.path).unwrap();
    assert_eq!(leader_of(&after, "mysql"), None);
    // A crash of the host may have lost terms that were granted: they are skipped.
    let next = granted(after.claim(&unit(1), LEASE));
    assert!(next.number() > term + 1_000_000, "{next}");
    assert_eq!(leader_of(&after, "mysql").unwrap().2, LEASE, "on the new clock");
    clock.advance(LEASE);
    assert_eq!(granted(after.claim(&unit(2), LEASE)).number(), next.number() + 1);
    // Also for one with the same nonce: the lease would be counted on the old clock.
    granted(after.claim(&of_service("redis", 0), LEASE));
    assert_eq!(leader_of(&after, "redis").unwrap().2, LEASE);
}

/// Says at each reading whether the store was locked then.
#[derive(Debug)]
struct LockWitness {
    path: std::path::PathBuf,
    readings: std::sync::Mutex<Vec<bool>>,
}

impl Clock for LockWitness {
    fn now(&self) -> Instant {
        let mut connection = meddler(&self.path);
        let locked = connection.transaction_with_behavior(TransactionBehavior::Immediate).is_err();
        self.readings.lock().unwrap().push(locked);
        Instant::from_nanos(1_000_000_000)
    }
}

#[test]
fn a_claim_reads_the_clock_once_and_only_when_it_has_the_write_lock() {
    let bench = Bench::new();
    let witness =
        Arc::new(LockWitness { path: bench.path.clone(), readings: std::sync::Mutex::default() });
    let claimer = SqliteOptions::new().clock(witness.clone()).open(&bench.path).unwrap();
    granted(claimer.claim(&unit(0), LEASE));
    denied(claimer.claim(&unit(1), LEASE));
    assert_eq!(*witness.readings.lock().unwrap(), [true, true]);
}

/// The first reading comes at the expiry of a lease, which its holder renews at that moment.
#[derive(Debug)]
struct RenewedAtLast {
    holder: SqliteClaimer,
    clock: Arc<ManualClock>,
    reading: std::sync::Once,
}

impl Clock for RenewedAtLast {
    fn now(&self) -> Instant {
        self.reading.call_once(|| {
            self.clock.advance(LEASE - MILLI);
            granted(self.holder.claim(&unit(0), LEASE));
            self.clock.advance(MILLI);
        });
        self.clock.now()
    }
}

#[test]
fn a_lease_that_is_renewed_during_a_look_is_seen_as_held() {
    let bench = Bench::new();
    let holder = bench.open();
    granted(holder.claim(&unit(0), LEASE));
    let reading = std::sync::Once::new();
    let clock = Arc::new(RenewedAtLast { holder, clock: bench.clock.clone(), reading });
    let claimer = bench.options().clock(clock).open(&bench.path).unwrap();
    assert_eq!(leader_of(&claimer, "mysql"), Some(("mysql/0".to_owned(), 1, LEASE - MILLI)));
}

#[test]
fn the_hosts_own_clock_and_boot_are_used_unless_told() {
    let bench = Bench::new();
    let (mine, other) = (
        SqliteOptions::new().open(&bench.path).unwrap(),
        SqliteOptions::new().open(&bench.path).unwrap(),
    );
    assert_eq!(mine.judge(), Judge::Host);
    granted(mine.claim(&unit(0), LEASE));
    let (leader, retry_after) = denied(other.claim(&unit(1), LEASE));
    assert_eq!(leader, "mysql/0");
    assert!(retry_after <= LEASE + MILLI && retry_after > Duration::ZERO, "{retry_after:?}");
    // The expiry that is stored is the boot clock's, in milliseconds: no wall clock is near it.
    let (boot, expires_ms): (String, i64) = meddler(&bench.path)
        .query_row("SELECT boot, expires_ms FROM lease", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    if cfg!(target_os = "linux") {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let ahead = expires_ms as f64 / 1e3 - uptime;
        assert!(ahead > 0.0 && ahead <= LEASE.as_secs_f64() + 0.1, "{ahead}");
        let kernels = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        assert_eq!(boot, kernels.trim());
    }
}

trait Named {
    fn named(self, service: &str) -> Self;
}

impl Named for tenure_core::Candidate {
    fn named(self, name: &str) -> Self {
        tenure_core::Candidate { service: service(name), ..self }
    }
}

//! SQLite's store, through real files.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tenure_core::ServiceName;
use tenure_runtime::ManualClock;
use tenure_sqlite::{SqliteClaimer, SqliteOptions};
use tenure_testkit::conformance::{self, Conformance};

use super::{NOT_BLOCKING, NOT_HELD_UP, left_out_only};

/// What a file cannot show: an answer that is lost between a process and its own memory, a client
/// with a clock of its own. How often SQLite is asked is seen from nowhere.
const NOT_IN_SQLITE: [&str; 4] = [
    "answers::says_unknown_when_lost",
    "atomicity::asks_once",
    "lease::heeds_no_client_clock",
    "waiting::waits_without_asking",
];

fn store() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leases.db");
    (directory, path)
}

/// The suite over the store at `path`, with what can be done to it from outside.
fn suite(path: &Path, options: SqliteOptions) -> Conformance<SqliteClaimer> {
    let path = path.to_owned();
    // Where it is locked on purpose, each call takes that long. A busy disk takes a part of it.
    let options = options.busy_timeout(Duration::from_secs(2));
    options.clone().open(&path).unwrap();
    let (locked, restarted, exhausted) = (path.clone(), path.clone(), path.clone());
    let lock = RefCell::new(None);
    conformance::blocking(move || options.clone().open(&path).unwrap())
        // It counts in milliseconds, and rounds in the holder's favour.
        .granularity(Duration::from_millis(1))
        .unavailable(move |is_away| {
            lock.replace(is_away.then(|| write_lock(&locked)));
        })
        // Every process is gone, and the log with them.
        .restarting(move || {
            let wal = Connection::open(&restarted).unwrap();
            wal.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        })
        .exhausting_terms(move |service| exhaust_terms(&exhausted, service))
}

/// A process that was stopped in the middle of a claim.
fn write_lock(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

fn exhaust_terms(path: &Path, service: &ServiceName) {
    let row = "INSERT INTO lease (service, unit, nonce, term, boot, written_ms, expires_ms)
               VALUES (?1, 'unit/9', zeroblob(16), 9223372036854775807, 'another', 0, 0)";
    Connection::open(path).unwrap().execute(row, [service.as_str()]).unwrap();
}

#[test]
fn sqlite_keeps_the_contract_by_a_manual_clock() {
    let (_directory, path) = store();
    let clock = Arc::new(ManualClock::new());
    let options = SqliteOptions::new().clock(clock.clone());
    let report = suite(&path, options).advancing(move |span| clock.advance(span)).check();
    left_out_only(&report, &[&NOT_IN_SQLITE, &NOT_HELD_UP, &NOT_BLOCKING]);
}

#[test]
fn sqlite_keeps_the_contract_in_real_time() {
    let (_directory, path) = store();
    suite(&path, SqliteOptions::new()).check();
}

#[test]
fn sqlite_keeps_the_contract_when_a_process_shares_one_claimer() {
    let (_directory, path) = store();
    let claimer = SqliteClaimer::open(path).unwrap();
    conformance::blocking(move || claimer.clone()).granularity(Duration::from_millis(1)).check();
}

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tenure_core::{BlockingClaimer, Candidate, ClaimerError, Nonce, ServiceName};
use tenure_runtime::ManualClock;
use tenure_sqlite::{SqliteClaimer, SqliteOptions, StoreError};
pub(crate) use tenure_testkit::expect::{denied, granted};

pub(crate) const MILLI: Duration = Duration::from_millis(1);

/// Longer than anything takes that a test waits for, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than that by far. Nothing that takes this long happens in a test.
pub(crate) const AGES: Duration = Duration::from_secs(3600);

pub(crate) const LEASE: Duration = AGES;

#[track_caller]
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not even in a minute: {what}");
        std::thread::sleep(MILLI);
    }
}

/// A store in a directory of its own, on a clock that stands still.
pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) clock: Arc<ManualClock>,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("leases.db");
        let clock = Arc::new(ManualClock::new());
        clock.advance(Duration::from_secs(1_000));
        Bench { directory, path, clock }
    }

    /// Who waits must be roused: neither a heartbeat nor the end of a lease comes to the rescue.
    pub(crate) fn options(&self) -> SqliteOptions {
        SqliteOptions::new().clock(self.clock.clone()).boot_id("this boot").heartbeat(AGES)
    }

    pub(crate) fn open(&self) -> SqliteClaimer {
        self.options().open(&self.path).unwrap()
    }

    /// The names of all that is in the directory.
    pub(crate) fn files(&self) -> Vec<String> {
        names_in(self.directory.path())
    }
}

pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn service(name: &str) -> ServiceName {
    name.parse().unwrap()
}

/// Unit `mysql/<number>` of `mysql`.
pub(crate) fn unit(number: u8) -> Candidate {
    of_service("mysql", number)
}

pub(crate) fn of_service(name: &str, number: u8) -> Candidate {
    Candidate {
        service: service(name),
        unit: format!("{name}/{number}").parse().unwrap(),
        nonce: Nonce::from_bytes([number; 16]),
    }
}

#[track_caller]
pub(crate) fn unknown<T: std::fmt::Debug>(answer: Result<T, ClaimerError>) -> Box<StoreError> {
    match answer {
        Err(ClaimerError::Unknown(source)) => source.downcast().unwrap(),
        other => panic!("not unknown: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn fatal<T: std::fmt::Debug>(answer: Result<T, ClaimerError>) -> Box<StoreError> {
    match answer {
        Err(ClaimerError::Fatal(source)) => source.downcast().unwrap(),
        other => panic!("not fatal: {other:?}"),
    }
}

/// A plain SQLite connection, as a meddler has.
pub(crate) fn meddler(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    connection
}

pub(crate) fn leader_of(claimer: &SqliteClaimer, name: &str) -> Option<(String, u64, Duration)> {
    let leader = claimer.leader(&service(name)).unwrap()?;
    Some((leader.unit.to_string(), leader.term.number(), leader.remaining))
}

//! What cannot be brought about through the public door.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tenure_core::{BlockingClaimer, Candidate, ClaimAnswer, ClaimerError, Nonce};

use crate::bell::Bell;
use crate::database;
use crate::file::{Identity, Paths, beside};
use crate::watch::Subscription;
use crate::{Access, OpenError, SqliteClaimer, SqliteOptions, StoreError, Watch};

const LEASE: Duration = Duration::from_secs(600);

/// SQLite's page, unless set otherwise.
const PAGE: usize = 4096;

fn candidate(service: &str) -> Candidate {
    Candidate {
        service: service.parse().unwrap(),
        unit: "unit/0".parse().unwrap(),
        nonce: Nonce::from_bytes([7; 16]),
    }
}

/// Lets the database have `pages` pages: what SQLite then says is what it says of a full disk.
fn bound_pages(claimer: &SqliteClaimer, pages: i64) {
    let pragma = format!("PRAGMA max_page_count = {pages}");
    claimer.store().on_writer(|database| database.connection.execute_batch(&pragma).unwrap());
}

#[test]
fn a_full_disk_is_unknown_and_loses_nothing_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let claimer = SqliteClaimer::open(directory.path().join("leases.db")).unwrap();
    claimer.claim(&candidate("mysql"), LEASE).unwrap();
    bound_pages(&claimer, 1);
    let full =
        (0..10_000).map(|number| candidate(&format!("{number:0>128}"))).find_map(|candidate| {
            match claimer.claim(&candidate, LEASE) {
                Ok(_) => None,
                Err(error) => Some((candidate, error)),
            }
        });
    let (refused, error) = full.expect("the database cannot grow without end");
    let ClaimerError::Unknown(source) = &error else { panic!("{error:?}") };
    assert!(matches!(source.downcast_ref(), Some(StoreError::Full { .. })), "{source}");
    // What is there is as it was, and can still be renewed and released.
    assert_eq!(claimer.leader(&refused.service).unwrap(), None);
    assert!(claimer.leader(&candidate("mysql").service).unwrap().is_some());
    claimer.claim(&candidate("mysql"), LEASE).unwrap();
    claimer.release(&candidate("mysql")).unwrap();

    bound_pages(&claimer, 1_000_000);
    let answer = claimer.claim(&refused, LEASE).unwrap();
    assert!(matches!(answer, ClaimAnswer::Granted { .. }), "{answer:?}");
}

#[test]
fn a_claim_does_not_wait_for_ever_for_another_in_its_process() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new().busy_timeout(Duration::from_millis(10));
    let claimer = options.open(directory.path().join("leases.db")).unwrap();
    let (sender, receiver) = mpsc::channel();
    claimer.store().on_writer(|_| {
        let second = claimer.clone();
        thread::spawn(move || sender.send(second.claim(&candidate("mysql"), LEASE)));
        let answer = receiver.recv_timeout(Duration::from_secs(30)).expect("it ends");
        let Err(ClaimerError::Unknown(source)) = answer else { panic!("{answer:?}") };
        assert!(matches!(source.downcast_ref(), Some(StoreError::Busy { .. })), "{source}");
    });
    claimer.claim(&candidate("mysql"), LEASE).unwrap();
}

#[test]
fn a_write_that_fails_is_unknown_and_the_next_has_a_new_connection() {
    let directory = tempfile::tempdir().unwrap();
    let claimer = SqliteClaimer::open(directory.path().join("leases.db")).unwrap();
    claimer.claim(&candidate("mysql"), LEASE).unwrap();
    // What SQLite then says is what it says of a file system that turned read-only.
    claimer.store().on_writer(|database| {
        database.connection.execute_batch("PRAGMA query_only = ON").unwrap();
    });
    let error = claimer.claim(&candidate("mysql"), LEASE).unwrap_err();
    let ClaimerError::Unknown(source) = &error else { panic!("{error:?}") };
    assert!(matches!(source.downcast_ref(), Some(StoreError::ReadOnly { .. })), "{source}");
    claimer.claim(&candidate("mysql"), LEASE).unwrap();
}

#[test]
fn a_connection_opened_anew_does_not_go_to_another_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leases.db");
    let claimer = SqliteClaimer::open(&path).unwrap();
    claimer.claim(&candidate("mysql"), LEASE).unwrap();
    let other = directory.path().join("other.db");
    drop(SqliteClaimer::open(&other).unwrap());
    claimer.store().vacate_writer();
    fs::rename(&other, &path).unwrap();
    let error = claimer.claim(&candidate("mysql"), LEASE).unwrap_err();
    assert!(error.is_fatal(), "{error:?}");
    claimer.store().vacate_writer();
    fs::remove_file(&path).unwrap();
    let error = claimer.claim(&candidate("mysql"), LEASE).unwrap_err();
    assert!(error.is_fatal(), "{error:?}");
    assert!(!path.exists());
}

#[test]
fn a_store_that_cannot_be_opened_again_is_lost_unless_somebody_can_mend_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leases.db");
    let claimer = SqliteClaimer::open(&path).unwrap();
    claimer.claim(&candidate("mysql"), LEASE).unwrap();
    claimer.store().vacate_writer();
    let obstacle = beside(&path, "-shm");
    fs::create_dir(&obstacle).unwrap();
    let error = claimer.claim(&candidate("mysql"), LEASE).unwrap_err();
    assert!(error.is_fatal(), "{error:?}");
    let ClaimerError::Fatal(source) = error else { unreachable!("it is fatal") };
    let said = format!("{obstacle:?} is not a regular file: move it away");
    assert!(source.to_string().ends_with(&said), "{source}");

    let path = || path.clone();
    let read_only = OpenError::ReadOnly { path: path(), cause: String::new() };
    let denied =
        OpenError::Io { path: path(), source: std::io::ErrorKind::PermissionDenied.into() };
    let full = OpenError::Io { path: path(), source: std::io::ErrorKind::StorageFull.into() };
    for source in [read_only, denied, full] {
        let error = ClaimerError::from(StoreError::Reopen { source });
        assert!(!error.is_fatal(), "{error:?}");
    }
}

/// Between the look at the path and that for a log, another process makes the store, and opens it.
#[test]
fn a_store_that_another_makes_between_two_looks_is_opened() {
    for content in [None, Some("")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("leases.db");
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let (paths, found) = Paths::inspect(&path).unwrap();
        let _other = SqliteClaimer::open(&path).unwrap();
        assert!(beside(&path, "-wal").exists());
        database::prepare(&paths, found, true, Duration::ZERO).unwrap();
        database::prepare(&paths, found, false, Duration::ZERO).unwrap();
    }
}

/// Another process has written half of it, beside a journal.
#[test]
fn an_empty_file_that_becomes_a_store_just_now_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let [whole, path] = ["whole.db", "leases.db"].map(|name| directory.path().join(name));
    drop(SqliteClaimer::open(&whole).unwrap());
    let content = fs::read(&whole).unwrap();
    fs::write(&path, &content[..PAGE]).unwrap();
    let journal = beside(&path, "-journal");
    fs::write(&journal, "").unwrap();
    let options = SqliteOptions::new().access(Access::Existing);
    let in_vain = options.clone().busy_timeout(Duration::from_millis(20)).open(&path);
    assert!(matches!(in_vain, Err(OpenError::NotADatabase { .. })), "{in_vain:?}");
    thread::scope(|scope| {
        let opened = scope.spawn(|| options.busy_timeout(Duration::from_secs(60)).open(&path));
        thread::sleep(Duration::from_millis(50));
        fs::write(&path, &content).unwrap();
        fs::remove_file(&journal).unwrap();
        opened.join().unwrap().unwrap();
    });
}

/// A process that is killed between two steps would leave it with both names.
#[test]
#[cfg(target_os = "linux")]
fn a_store_that_is_made_gets_its_name_in_one_step() {
    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};

    let directory = tempfile::tempdir().unwrap();
    let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
    add_watch(&inotify, directory.path(), WatchFlags::CREATE | WatchFlags::MOVED_TO).unwrap();
    drop(SqliteClaimer::open(directory.path().join("leases.db")).unwrap());
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = Reader::new(inotify, &mut buffer);
    let mut named = Vec::new();
    while let Ok(event) = events.next() {
        if event.file_name() == Some(c"leases.db") {
            named.push(event.events());
        }
    }
    assert_eq!(named, [ReadFlags::MOVED_TO]);
}

/// Whether `bell` falls silent: nothing rings it for a while.
fn is_silent(bell: &Bell) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        if !bell.wait(Duration::from_millis(250)) {
            return true;
        }
    }
    false
}

fn write_to(path: &Path) {
    fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(b"x").unwrap();
}

#[test]
#[cfg(any(target_os = "android", target_os = "linux"))]
fn a_watcher_is_silent_until_a_write_and_follows_a_log_that_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("leases.db");
    let wal = beside(&database, "-wal");
    write_to(&database);
    write_to(&wal);
    let paths = Paths::new(database.clone(), database.clone());
    let identity = Identity::of(&database).unwrap();
    let bell = Arc::new(Bell::default());
    let subscription = Subscription::new(identity, &paths, Watch::Notify, bell.clone()).unwrap();
    let other = Arc::new(Bell::default());
    let _second = Subscription::new(identity, &paths, Watch::Notify, other.clone()).unwrap();
    let patience = Duration::from_secs(30);
    for _ in 0..3 {
        assert!(is_silent(&bell), "nothing happens");
        write_to(&wal);
        assert!(bell.wait(patience), "a write to the log");
        assert!(is_silent(&bell));
        write_to(&database);
        assert!(bell.wait(patience), "a write to the store");
        assert!(is_silent(&bell));
        fs::remove_file(&wal).unwrap();
        assert!(bell.wait(patience), "the log is gone");
        // More often than one deletion rings.
        for _ in 0..20 {
            assert!(bell.wait(patience), "then it is looked at, again and again");
        }
        write_to(&wal);
    }
    assert!(other.wait(patience));
    drop(subscription);
    is_silent(&bell);
    write_to(&wal);
    assert!(other.wait(patience), "the other one still hears");
    assert!(!bell.wait(Duration::from_millis(250)), "who left hears nothing");
}

//! What is at the path when a store is opened, and what is there afterwards.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tenure_core::BlockingClaimer;
use tenure_sqlite::{OpenError, SqliteClaimer};

use crate::support::*;

/// Opens `path` in each way; every time it is refused with the same one line.
fn refusal(path: &Path) -> OpenError {
    let errors = [
        SqliteClaimer::open(path).unwrap_err(),
        SqliteClaimer::open_existing(path).unwrap_err(),
        SqliteClaimer::open_to_look(path).unwrap_err(),
    ];
    let lines = errors.each_ref().map(ToString::to_string);
    assert_eq!(lines[0].lines().count(), 1);
    assert_eq!([&lines[1], &lines[2]], [&lines[0], &lines[0]]);
    let [error, ..] = errors;
    error
}

#[test]
fn what_cannot_be_a_store_is_refused_and_nothing_is_left_behind() {
    let bench = Bench::new();
    let directory = bench.directory.path();
    fs::write(directory.join("file"), "").unwrap();
    let dangling = directory.join("dangling");
    std::os::unix::fs::symlink(directory.join("nothing"), &dangling).unwrap();
    let before = bench.files();

    let error = refusal(directory);
    assert!(matches!(error, OpenError::NotAFile { what: "a directory", .. }), "{error}");
    assert_eq!(error.to_string(), format!("{directory:?} cannot be a store: it is a directory"));
    let error = refusal(Path::new("/"));
    assert!(matches!(error, OpenError::NotAFile { .. }), "{error}");
    let error = refusal(Path::new("/dev/null"));
    assert!(matches!(error, OpenError::NotAFile { what: "not a regular file", .. }), "{error}");
    let error = refusal(&dangling);
    assert!(matches!(error, OpenError::NotAFile { what: "a link to nothing", .. }), "{error}");
    let error = refusal(&directory.join("missing/leases.db"));
    assert!(matches!(error, OpenError::NoDirectory { .. }), "{error}");
    let error = refusal(&directory.join("file/leases.db"));
    assert!(matches!(error, OpenError::NoDirectory { .. }), "{error}");
    let error = refusal(Path::new(""));
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    let error = refusal(&directory.join("x".repeat(300)));
    assert!(matches!(error, OpenError::Io { .. }), "{error}");

    assert_eq!(bench.files(), before);
}

#[test]
fn a_store_that_does_not_exist_is_made_only_where_that_was_meant() {
    let bench = Bench::new();
    for error in [
        SqliteClaimer::open_existing(&bench.path).unwrap_err(),
        SqliteClaimer::open_to_look(&bench.path).unwrap_err(),
    ] {
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
        assert_eq!(error.to_string(), format!("store {:?} does not exist", bench.path));
    }
    assert_eq!(bench.files(), [""; 0]);
    drop(bench.open());
    assert_eq!(bench.files(), ["leases.db"]);
    drop(SqliteClaimer::open_existing(&bench.path).unwrap());
    drop(SqliteClaimer::open_to_look(&bench.path).unwrap());
    assert_eq!(bench.files(), ["leases.db"]);
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_is() {
    for content in ["x".to_owned(), "not a database\n".repeat(1_000)] {
        let bench = Bench::new();
        fs::write(&bench.path, &content).unwrap();
        let error = refusal(&bench.path);
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
        assert_eq!(fs::read_to_string(&bench.path).unwrap(), content);
        assert_eq!(bench.files(), ["leases.db"]);
    }
}

#[test]
fn a_database_of_somebody_elses_is_not_touched() {
    for mode in ["DELETE", "WAL"] {
        for mark in ["", "PRAGMA application_id = 7;", "PRAGMA application_id = 0x54454E55;"] {
            let bench = Bench::new();
            let setup = format!("{mark} CREATE TABLE lease (x); PRAGMA journal_mode = {mode};");
            meddler(&bench.path).execute_batch(&setup).unwrap();
            let before = (fs::read(&bench.path).unwrap(), modified(&bench.path));
            let error = refusal(&bench.path);
            assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
            assert_eq!((fs::read(&bench.path).unwrap(), modified(&bench.path)), before);
            assert_eq!(bench.files(), ["leases.db"]);
        }
    }
}

#[test]
fn a_database_that_somebody_else_has_open_keeps_its_log_and_its_locks() {
    let bench = Bench::new();
    let owner = meddler(&bench.path);
    owner
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1);")
        .unwrap();
    owner.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (2);").unwrap();
    let before = bench.files();
    assert_eq!(before, ["leases.db", "leases.db-shm", "leases.db-wal"]);
    let error = refusal(&bench.path);
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    assert_eq!(bench.files(), before);
    let other = meddler(&bench.path);
    other.execute_batch("BEGIN IMMEDIATE").expect_err("the owner's lock still holds");
    owner.execute_batch("COMMIT").unwrap();
    let sum: i64 = other.query_row("SELECT sum(x) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(sum, 3);
}

#[test]
fn a_database_that_somebody_elses_crash_left_is_theirs_to_recover() {
    let (crashed, bench) = (Bench::new(), Bench::new());
    let owner = meddler(&crashed.path);
    owner.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x);").unwrap();
    let log = |bench: &Bench| bench.directory.path().join("leases.db-wal");
    fs::copy(&crashed.path, &bench.path).unwrap();
    fs::copy(log(&crashed), log(&bench)).unwrap();
    let content = || (fs::read(&bench.path).unwrap(), fs::read(log(&bench)).ok());
    let before = content();
    let error = refusal(&bench.path);
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    assert!(content() == before, "the log was not put into the database");
    assert_eq!(bench.files(), ["leases.db", "leases.db-wal"]);
}

#[test]
fn a_store_of_a_later_version_is_refused_as_that() {
    let bench = Bench::new();
    drop(bench.open());
    meddler(&bench.path).execute_batch("PRAGMA user_version = 2").unwrap();
    let before = fs::read(&bench.path).unwrap();
    let error = refusal(&bench.path);
    assert!(matches!(error, OpenError::NewerSchema { found: 2, known: 1, .. }), "{error}");
    assert_eq!(fs::read(&bench.path).unwrap(), before);
    assert_eq!(bench.files(), ["leases.db"]);
}

#[test]
fn an_empty_file_becomes_a_store_only_where_that_was_meant() {
    let bench = Bench::new();
    fs::write(&bench.path, "").unwrap();
    for error in [
        SqliteClaimer::open_existing(&bench.path).unwrap_err(),
        SqliteClaimer::open_to_look(&bench.path).unwrap_err(),
    ] {
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    }
    assert_eq!(fs::metadata(&bench.path).unwrap().len(), 0);
    granted(bench.open().claim(&unit(0), LEASE));
    assert_eq!(bench.files(), ["leases.db"]);
}

#[test]
fn a_log_without_its_store_is_kept_and_nothing_is_made_over_it() {
    let bench = Bench::new();
    let wal = bench.directory.path().join("leases.db-wal");
    fs::write(&wal, "what somebody still needs").unwrap();
    let error = refusal(&bench.path);
    assert!(matches!(error, OpenError::Orphaned { .. }), "{error}");
    fs::write(&bench.path, "").unwrap();
    let error = refusal(&bench.path);
    assert!(matches!(error, OpenError::Orphaned { .. }), "{error}");
    assert_eq!(fs::read_to_string(&wal).unwrap(), "what somebody still needs");
    assert_eq!(fs::metadata(&bench.path).unwrap().len(), 0);
}

#[test]
fn a_store_with_two_names_is_refused() {
    let bench = Bench::new();
    drop(bench.open());
    let other = bench.directory.path().join("other.db");
    fs::hard_link(&bench.path, &other).unwrap();
    let error = refusal(&other);
    assert!(matches!(error, OpenError::Aliased { .. }), "{error}");
    fs::remove_file(&other).unwrap();
    bench.open();
}

#[test]
fn a_symbolic_link_leads_to_the_one_store() {
    let bench = Bench::new();
    let claimer = bench.open();
    let directory = bench.directory.path().join("links");
    fs::create_dir(&directory).unwrap();
    let link = directory.join("link.db");
    std::os::unix::fs::symlink(&bench.path, &link).unwrap();
    granted(claimer.claim(&unit(0), LEASE));
    denied(bench.options().open(&link).unwrap().claim(&unit(1), LEASE));
    assert_eq!(names_in(&directory), ["link.db"]);
}

#[test]
fn any_name_that_a_file_can_have_will_do() {
    let bench = Bench::new();
    let names = [&b"a b?mode=ro#c%20"[..], b":memory:", b"file:x", "naïve".as_bytes(), b"\xFF.db"];
    for name in names {
        let path = bench.directory.path().join(OsStr::from_bytes(name));
        granted(bench.options().open(&path).unwrap().claim(&unit(0), LEASE));
        denied(bench.options().open(&path).unwrap().claim(&unit(1), LEASE));
        assert!(path.exists(), "{path:?}");
    }
    assert_eq!(fs::read_dir(bench.directory.path()).unwrap().count(), names.len());
}

#[test]
fn many_who_make_one_store_at_once_make_one() {
    for _ in 0..20 {
        let bench = Bench::new();
        let terms: Vec<_> = std::thread::scope(|scope| {
            let claims: Vec<_> = (0..8)
                .map(|number| {
                    scope.spawn({
                        let bench = &bench;
                        move || bench.open().claim(&unit(number), LEASE)
                    })
                })
                .collect();
            claims.into_iter().map(|claim| claim.join().unwrap().unwrap()).collect()
        });
        let leads = |answer: &&_| matches!(answer, tenure_core::ClaimAnswer::Granted { .. });
        assert_eq!(terms.iter().filter(leads).count(), 1, "{terms:?}");
        // Of two that close at once neither may be the last, and then the log stays.
        drop(bench.open());
        assert_eq!(bench.files(), ["leases.db"]);
    }
}

/// As while several make it out of an empty file: each has it for a moment.
#[test]
fn a_store_that_keeps_no_log_yet_is_waited_for_while_another_writes_to_it() {
    let bench = Bench::new();
    drop(bench.open());
    let other = meddler(&bench.path);
    other.execute_batch("PRAGMA journal_mode = DELETE; BEGIN IMMEDIATE").unwrap();
    let in_vain = bench.options().busy_timeout(MILLI * 20).open(&bench.path);
    assert!(matches!(in_vain, Err(OpenError::Busy { .. })), "{in_vain:?}");
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| bench.options().busy_timeout(PATIENCE).open(&bench.path));
        std::thread::sleep(MILLI * 50);
        other.execute_batch("COMMIT").unwrap();
        opened.join().unwrap().unwrap();
    });
}

fn modified(path: &Path) -> std::time::SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

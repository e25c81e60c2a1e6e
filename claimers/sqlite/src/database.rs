//! A connection to the store: making the file, making sure that it is ours, opening it.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, OptionalExtension, TransactionBehavior};
use tenure_runtime::fresh_nonce;

use crate::access;
use crate::error::{OpenError, is_busy};
use crate::file::{Files, Found, Identity, Paths, beside};

/// What marks a database as a store: "TENU" in ASCII.
const APPLICATION_ID: i64 = 0x5445_4E55;
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE lease (
        service TEXT NOT NULL PRIMARY KEY,
        unit TEXT NOT NULL,
        nonce BLOB NOT NULL CHECK (length(nonce) = 16),
        term INTEGER NOT NULL CHECK (term > 0),
        boot TEXT NOT NULL,
        written_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;";

/// How often something is tried again that others keep from being done for a moment.
const INTERVAL: Duration = Duration::from_millis(1);

/// What a connection is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    Look,
    Write,
}

/// A connection, and the files that it works on.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) connection: Connection,
    pub(crate) files: Files,
    /// Whether it sees only what was there when it was opened.
    pub(crate) is_snapshot: bool,
}

impl Database {
    /// Opens a store that exists. Everything that it waits for is bounded by `busy_timeout`.
    pub(crate) fn open(
        paths: &Paths,
        purpose: Purpose,
        busy_timeout: Duration,
    ) -> Result<Database, OpenError> {
        paths.check_one_name()?;
        let before = Identity::of(&paths.store)
            .map_err(|source| OpenError::Io { path: paths.store.clone(), source })?;
        let (connection, is_snapshot) = match connect(paths, purpose, busy_timeout) {
            Ok(connection) => (connection, false),
            // Nobody has it open, or there were a log. Then a look needs neither log nor locks,
            // and leaves nothing behind where nothing can be written.
            Err(ConnectError::CannotWrite) if purpose == Purpose::Look && !paths.wal.exists() => {
                (connect_immutable(paths)?, true)
            }
            Err(ConnectError::CannotWrite) => return Err(access::read_only(paths)),
            Err(ConnectError::Other(error)) => return Err(error),
        };
        match Files::opened(paths, before, !is_snapshot) {
            Ok(Some(files)) => Ok(Database { connection, files, is_snapshot }),
            Ok(None) => Err(OpenError::Replaced { path: paths.store.clone() }),
            Err(source) => Err(OpenError::Io { path: paths.store.clone(), source }),
        }
    }

    /// Counts what other connections have committed.
    pub(crate) fn data_version(&self) -> rusqlite::Result<i64> {
        self.connection.pragma_query_value(None, "data_version", |row| row.get(0))
    }
}

/// Sees to it that there is a store of ours, without a change to anything that is not.
pub(crate) fn prepare(
    paths: &Paths,
    found: Found,
    create: bool,
    busy_timeout: Duration,
) -> Result<(), OpenError> {
    match (paths.confirm(found)?, create) {
        (Found::Nothing, true) => make(paths, busy_timeout),
        (Found::Nothing, false) => Err(OpenError::Missing { path: paths.store.clone() }),
        (Found::Empty, true) => fill(paths, &paths.database, busy_timeout),
        (Found::Empty, false) => Err(OpenError::NotAStore { path: paths.store.clone() }),
        (Found::Content, _) => probe(paths, busy_timeout),
    }
}

/// Makes a store under a name of its own, then gives it the name it should have: whoever comes by
/// finds all of it or nothing, and a failure leaves nothing.
fn make(paths: &Paths, busy_timeout: Duration) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { path: paths.store.clone(), source };
    let mut name = String::from(".");
    if let Some(own) = paths.database.file_name() {
        name.push_str(&own.to_string_lossy());
    }
    // A `String` takes every write.
    let _ = write!(name, ".{}", fresh_nonce());
    let draft = Draft(paths.database.with_file_name(name));
    // SQLite would not say why.
    fs::File::create_new(&draft.0).map_err(io)?;
    fill(paths, &draft.0, busy_timeout)?;
    match rename_unless_exists(&draft.0, &paths.database) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io(error)),
    }
    drop(draft);
    sync_directory(&paths.database);
    Ok(())
}

/// In one step where the system can. A file that has two names for a moment keeps them if the
/// process is killed then, and is refused as a store.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn rename_unless_exists(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;

    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system cannot, or the kernel.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::hard_link(from, to),
        renamed => Ok(renamed?),
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn rename_unless_exists(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)
}

/// A store in the making. What is left of it goes with the value.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            // Most of them never were.
            let _ = fs::remove_file(beside(&self.0, suffix));
        }
    }
}

/// So that the name of a file in it survives a crash of the host. There are file systems that
/// cannot.
pub(crate) fn sync_directory(file: &Path) {
    if let Some(directory) = file.parent() {
        let _ = fs::File::open(directory).and_then(|directory| directory.sync_all());
    }
}

/// Writes the schema into an empty file, unless somebody else has.
fn fill(paths: &Paths, file: &Path, busy_timeout: Duration) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::from_sqlite(&paths.store, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags).map_err(sqlite)?;
    if connection.is_readonly(MAIN_DB).map_err(sqlite)? {
        return Err(access::read_only(paths));
    }
    connection.busy_timeout(busy_timeout).map_err(sqlite)?;
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    let is_blank: bool = transaction
        .query_row("SELECT NOT EXISTS (SELECT * FROM sqlite_schema)", [], |row| row.get(0))
        .map_err(sqlite)?;
    if is_blank {
        let mark = format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
        );
        transaction.execute_batch(&mark).map_err(sqlite)?;
        transaction.execute_batch(SCHEMA).map_err(sqlite)?;
    }
    // The mark is in the file itself before there is a log: `probe` looks only there.
    transaction.commit().map_err(sqlite)?;
    // Who opens it does this too, but may have to wait then.
    let _ = connection.execute_batch("PRAGMA journal_mode = WAL");
    Ok(())
}

/// Refuses a file that is not ours before anything is done that could change it, or that could
/// put a log beside it.
fn probe(paths: &Paths, busy_timeout: Duration) -> Result<(), OpenError> {
    let start = Instant::now();
    loop {
        // An empty file becomes a store in several writes, beside a journal until the last is done.
        let is_unfinished = paths.journal.exists() && start.elapsed() < busy_timeout;
        match connect_immutable(paths).map(drop) {
            Err(OpenError::NotADatabase { .. }) if is_unfinished => thread::sleep(INTERVAL),
            // Without its log, a store may look damaged that is not. The connection to come sees
            // both.
            Err(OpenError::NotADatabase { .. }) if paths.wal.exists() => return Ok(()),
            other => return other,
        }
    }
}

enum ConnectError {
    CannotWrite,
    Other(OpenError),
}

fn connect(
    paths: &Paths,
    purpose: Purpose,
    busy_timeout: Duration,
) -> Result<Connection, ConnectError> {
    let sqlite = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => diagnose(paths, purpose, error),
        _ => ConnectError::Other(OpenError::from_sqlite(&paths.store, error)),
    };
    // Also for a look: a connection that may write clears the log away when it was the last.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&paths.database, flags).map_err(sqlite)?;
    connection.busy_timeout(busy_timeout).map_err(sqlite)?;
    let read_only = connection.is_readonly(MAIN_DB).map_err(sqlite)?;
    if read_only && (purpose == Purpose::Write || !paths.wal.exists()) {
        return Err(ConnectError::CannotWrite);
    }
    let mark = mark(&connection).map_err(sqlite)?;
    check_mark(mark, paths).map_err(ConnectError::Other)?;
    if !read_only {
        let mode = use_log(&connection, busy_timeout).map_err(sqlite)?;
        if mode != "wal" {
            let source = format!("the file system allows only journal mode {mode}").into();
            let path = paths.store.clone();
            return Err(ConnectError::Other(OpenError::Sqlite { path, source }));
        }
    }
    let settings = match purpose {
        Purpose::Look => "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;",
        Purpose::Write => "PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF;",
    };
    connection.execute_batch(settings).map_err(sqlite)?;
    // The first look opens the log and its index.
    check_table(&connection).map_err(sqlite)?;
    if purpose == Purpose::Write {
        check_log(&connection).map_err(sqlite)?;
        connection.busy_timeout(busy_timeout).map_err(sqlite)?;
    }
    Ok(connection)
}

/// Has the database keep a log, unless it does already; the mode that it is in then.
///
/// That reads the file and then writes to it. For who has read, SQLite does not wait until another
/// has written: others, who open the same new store, each do so for a moment.
fn use_log(connection: &Connection, busy_timeout: Duration) -> rusqlite::Result<String> {
    let start = Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)) {
            Err(error)
                if error.sqlite_error_code().is_some_and(is_busy)
                    && start.elapsed() < busy_timeout =>
            {
                thread::sleep(INTERVAL);
            }
            mode => return mode,
        }
    }
}

/// SQLite opens a log, or an index of it, that it may not write to for reading, and says nothing
/// before the first write.
fn check_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    match connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
        // It would have said so before it looks for the lock.
        Err(error) if error.sqlite_error_code().is_some_and(is_busy) => Ok(()),
        checked => checked,
    }
}

/// Opens the file as if nobody could write to it: without locks, without its log.
fn connect_immutable(paths: &Paths) -> Result<Connection, OpenError> {
    let sqlite = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) => match diagnose(paths, Purpose::Look, error) {
            ConnectError::Other(error) => error,
            ConnectError::CannotWrite => access::read_only(paths),
        },
        _ => OpenError::from_sqlite(&paths.store, error),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let connection =
        Connection::open_with_flags(immutable_uri(&paths.database), flags).map_err(sqlite)?;
    check_mark(mark(&connection).map_err(sqlite)?, paths)?;
    Ok(connection)
}

fn immutable_uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;

    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // A `String` takes every write.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri + "?immutable=1"
}

/// The application id and the schema version.
fn mark(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok((number("application_id")?, number("user_version")?))
}

/// Refuses a database that is no store, or none that this version knows.
fn check_mark((application, version): (i64, i64), paths: &Paths) -> Result<(), OpenError> {
    let path = paths.store.clone();
    if application != APPLICATION_ID || version < 1 {
        return Err(OpenError::NotAStore { path });
    }
    if version > SCHEMA_VERSION {
        return Err(OpenError::NewerSchema { path, found: version, known: SCHEMA_VERSION });
    }
    Ok(())
}

fn check_table(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .query_row("SELECT 1 FROM lease WHERE service = ''", [], |_| Ok(()))
        .optional()
        .map(|_| ())
}

/// SQLite says only that it could not open or write a file. Finds out what the system said.
fn diagnose(paths: &Paths, purpose: Purpose, error: rusqlite::Error) -> ConnectError {
    let refused = |source| ConnectError::Other(OpenError::Io { path: paths.store.clone(), source });
    if let Err(error) = access::check_database(paths, purpose == Purpose::Write) {
        return refused(error);
    }
    if let Some(foreign) = access::foreign(paths) {
        return ConnectError::Other(foreign);
    }
    match access::check_directory(paths) {
        // The log cannot be made.
        Err(_) if purpose == Purpose::Look => ConnectError::CannotWrite,
        Err(error) => refused(error),
        Ok(()) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => {
            ConnectError::CannotWrite
        }
        Ok(()) => ConnectError::Other(OpenError::from_sqlite(&paths.store, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_its_strange_characters_in_a_uri() {
        let uri = immutable_uri(Path::new("/tmp/a b?c=%20#d"));
        assert_eq!(uri, "file:/tmp/a%20b%3Fc%3D%2520%23d?immutable=1");
    }
}

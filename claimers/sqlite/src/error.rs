use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use tenure_core::ClaimerError;

/// Why a store could not be opened. Each is shown as one line.
///
/// Nothing was created, and what was there is as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The file goes by two names, and so has two logs: leases in one are not seen in the other.
    Aliased {
        /// The path of the store.
        path: PathBuf,
        /// What gives it two names.
        how: &'static str,
    },
    /// Another process has held the write lock for the whole busy timeout.
    Busy {
        /// The path of the store.
        path: PathBuf,
    },
    /// The clock or the id of this boot could not be read.
    Clock {
        /// What the system said.
        source: io::Error,
    },
    /// A file beside the store, its log or the log's index, cannot be opened for writing: another
    /// user left it there, or it is no file.
    Foreign {
        /// The path of the store.
        path: PathBuf,
        /// The path of the file beside it.
        file: PathBuf,
        /// Whose it is, what forbids to write to it, and what to do.
        cause: String,
    },
    /// The system refused: no permission, no space, a broken disk.
    Io {
        /// The path of the store.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such file, and none was to be made.
    Missing {
        /// The path of the store.
        path: PathBuf,
    },
    /// The store was made by a later version of this crate.
    NewerSchema {
        /// The path of the store.
        path: PathBuf,
        /// The schema version it has.
        found: i64,
        /// The latest one that this version knows.
        known: i64,
    },
    /// The directory that the store should be in does not exist.
    NoDirectory {
        /// The path of the store.
        path: PathBuf,
    },
    /// The file is no SQLite database, or a damaged one.
    NotADatabase {
        /// The path of the store.
        path: PathBuf,
    },
    /// There is something else than a file at the path.
    NotAFile {
        /// The path of the store.
        path: PathBuf,
        /// What there is.
        what: &'static str,
    },
    /// The file is a database of somebody else's.
    NotAStore {
        /// The path of the store.
        path: PathBuf,
    },
    /// The store itself is gone, but its log is there. It was deleted while it was in use, or not
    /// all of it was copied.
    Orphaned {
        /// The path of the store.
        path: PathBuf,
        /// The log that was left.
        wal: PathBuf,
    },
    /// The file, or the file system, cannot be written to.
    ReadOnly {
        /// The path of the store.
        path: PathBuf,
        /// What forbids it.
        cause: String,
    },
    /// The file was moved or replaced while it was opened.
    Replaced {
        /// The path of the store.
        path: PathBuf,
    },
    /// The file is on a file system that other machines may share.
    SharedFileSystem {
        /// The path of the store.
        path: PathBuf,
        /// Which one: `NFS`, say.
        kind: &'static str,
    },
    /// SQLite failed in another way.
    Sqlite {
        /// The path of the store.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl OpenError {
    pub(crate) fn from_sqlite(path: &Path, error: rusqlite::Error) -> OpenError {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(code) if is_busy(code) => OpenError::Busy { path },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                OpenError::NotADatabase { path }
            }
            // Plain SQLITE_ERROR: there is no such table.
            Some(ErrorCode::Unknown) => OpenError::NotAStore { path },
            Some(ErrorCode::DiskFull) => {
                OpenError::Io { path, source: io::ErrorKind::StorageFull.into() }
            }
            _ => OpenError::Sqlite { path, source: error.into() },
        }
    }

    /// Whether a store that was open, and could not be opened again because of this, is lost.
    fn is_fatal(&self) -> bool {
        match self {
            OpenError::Aliased { .. }
            | OpenError::Foreign { .. }
            | OpenError::Missing { .. }
            | OpenError::NewerSchema { .. }
            | OpenError::NoDirectory { .. }
            | OpenError::NotADatabase { .. }
            | OpenError::NotAFile { .. }
            | OpenError::NotAStore { .. }
            | OpenError::Orphaned { .. }
            | OpenError::Replaced { .. }
            | OpenError::SharedFileSystem { .. } => true,
            OpenError::Busy { .. }
            | OpenError::Clock { .. }
            | OpenError::Io { .. }
            | OpenError::ReadOnly { .. }
            | OpenError::Sqlite { .. } => false,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Aliased { path, how } => {
                write!(formatter, "store {path:?} {how}: leases would not be seen by all")
            }
            OpenError::Busy { path } => {
                write!(formatter, "store {path:?} is busy: another process holds its write lock")
            }
            OpenError::Clock { source } => {
                write!(formatter, "cannot read the clock of this boot: {source}")
            }
            OpenError::Foreign { path, file, cause } => {
                write!(formatter, "store {path:?} cannot be used: {file:?} {cause}")
            }
            OpenError::Io { path, source } => {
                write!(formatter, "cannot open store {path:?}: {source}")
            }
            OpenError::Missing { path } => write!(formatter, "store {path:?} does not exist"),
            OpenError::NewerSchema { path, found, known } => write!(
                formatter,
                "store {path:?} was made by a later version: its schema is {found}, \
                 this version knows up to {known}"
            ),
            OpenError::NoDirectory { path } => {
                write!(formatter, "cannot open store {path:?}: its directory does not exist")
            }
            OpenError::NotADatabase { path } => {
                write!(formatter, "{path:?} is not a SQLite database, or a damaged one")
            }
            OpenError::NotAFile { path, what } => {
                write!(formatter, "{path:?} cannot be a store: it is {what}")
            }
            OpenError::NotAStore { path } => {
                write!(formatter, "{path:?} is a database, but not a store of Tenure's")
            }
            OpenError::Orphaned { path, wal } => {
                write!(formatter, "store {path:?} is gone, but its log {wal:?} is there")
            }
            OpenError::ReadOnly { path, cause } => {
                write!(formatter, "store {path:?} is read-only: {cause}")
            }
            OpenError::Replaced { path } => {
                write!(formatter, "store {path:?} was replaced while it was opened")
            }
            OpenError::SharedFileSystem { path, kind } => write!(
                formatter,
                "store {path:?} is on {kind}, which other machines may share: use a local disk"
            ),
            OpenError::Sqlite { path, source } => {
                write!(formatter, "cannot open store {path:?}: {source}")
            }
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            OpenError::Clock { source } | OpenError::Io { source, .. } => Some(source),
            OpenError::Sqlite { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

/// Why a store that is open did not do as it was asked: the source of a [`ClaimerError`].
///
/// Which of these are [`ClaimerError::Unknown`] and which [`ClaimerError::Fatal`] is in the table
/// of the [crate's documentation](crate#errors).
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody held the write lock for the whole busy timeout.
    Busy {
        /// The path of the store.
        path: PathBuf,
    },
    /// What the file says makes no sense: it is damaged, or somebody else wrote to it.
    Damaged {
        /// The path of the store.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store, or one of the files beside it, was deleted or moved while it was open.
    Deleted {
        /// The path that leads to nothing.
        path: PathBuf,
    },
    /// There is no space left for the store.
    Full {
        /// The path of the store.
        path: PathBuf,
    },
    /// The system refused.
    Io {
        /// The path of the store, or of a file beside it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store was opened for looking only.
    LookingOnly {
        /// The path of the store.
        path: PathBuf,
    },
    /// The file, or the file system, cannot be written to.
    ReadOnly {
        /// The path of the store.
        path: PathBuf,
    },
    /// The store had to be opened again, and could not be.
    Reopen {
        /// Why.
        source: OpenError,
    },
    /// There is another file than the open one at the path of the store, or of a file beside it.
    Replaced {
        /// The path that leads elsewhere.
        path: PathBuf,
    },
    /// SQLite failed in another way.
    Sqlite {
        /// The path of the store.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The term of the service cannot rise any more.
    TermExhausted {
        /// The path of the store.
        path: PathBuf,
    },
}

impl StoreError {
    pub(crate) fn from_sqlite(path: &Path, error: rusqlite::Error) -> StoreError {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(code) if is_busy(code) => StoreError::Busy { path },
            Some(ErrorCode::DiskFull) => StoreError::Full { path },
            Some(ErrorCode::ReadOnly) => StoreError::ReadOnly { path },
            // `Unknown` is plain SQLITE_ERROR: there is no such table, say.
            Some(
                ErrorCode::ConstraintViolation
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::TypeMismatch
                | ErrorCode::Unknown,
            ) => StoreError::Damaged { path, source: error.into() },
            Some(_) => StoreError::Sqlite { path, source: error.into() },
            // Not from SQLite: a column was not of the type that we wrote.
            None => StoreError::Damaged { path, source: error.into() },
        }
    }

    /// Whether the connection may be the cause, so that the next call should have a new one.
    pub(crate) fn spoils_connection(&self) -> bool {
        match self {
            StoreError::Busy { .. }
            | StoreError::Deleted { .. }
            | StoreError::Full { .. }
            | StoreError::LookingOnly { .. }
            | StoreError::Reopen { .. }
            | StoreError::Replaced { .. }
            | StoreError::TermExhausted { .. } => false,
            StoreError::Damaged { .. }
            | StoreError::Io { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Sqlite { .. } => true,
        }
    }

    fn is_fatal(&self) -> bool {
        match self {
            StoreError::Busy { .. }
            | StoreError::Full { .. }
            | StoreError::Io { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Sqlite { .. } => false,
            StoreError::Damaged { .. }
            | StoreError::Deleted { .. }
            | StoreError::LookingOnly { .. }
            | StoreError::Replaced { .. }
            | StoreError::TermExhausted { .. } => true,
            StoreError::Reopen { source } => source.is_fatal(),
        }
    }
}

impl From<StoreError> for ClaimerError {
    fn from(error: StoreError) -> ClaimerError {
        match error.is_fatal() {
            true => ClaimerError::fatal(error),
            false => ClaimerError::unknown(error),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Busy { path } => {
                write!(formatter, "store {path:?} is busy: somebody holds its write lock")
            }
            StoreError::Damaged { path, source } => {
                write!(formatter, "store {path:?} is damaged: {source}")
            }
            StoreError::Deleted { path } => write!(formatter, "{path:?} was deleted while in use"),
            StoreError::Full { path } => write!(formatter, "no space is left for store {path:?}"),
            StoreError::Io { path, source } => write!(formatter, "store {path:?}: {source}"),
            StoreError::LookingOnly { path } => {
                write!(formatter, "store {path:?} was opened for looking only")
            }
            StoreError::ReadOnly { path } => write!(formatter, "store {path:?} is read-only"),
            StoreError::Reopen { source } => source.fmt(formatter),
            StoreError::Replaced { path } => {
                write!(formatter, "{path:?} was replaced while in use")
            }
            StoreError::Sqlite { path, source } => write!(formatter, "store {path:?}: {source}"),
            StoreError::TermExhausted { path } => {
                write!(formatter, "a term in store {path:?} cannot rise any more")
            }
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StoreError::Damaged { source, .. } | StoreError::Sqlite { source, .. } => {
                Some(&**source)
            }
            StoreError::Io { source, .. } => Some(source),
            StoreError::Reopen { source } => Some(source),
            _ => None,
        }
    }
}

pub(crate) fn is_busy(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::SchemaChanged
    )
}

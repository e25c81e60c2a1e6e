use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use tenure_core::ClaimerError;
use tenure_net::{Attempts, Endpoint, TimedOut};
use tokio_postgres::error::{DbError, SqlState};

use crate::table::TableName;
use crate::wire::Stranger;

/// Why a store did not do as it was asked: the source of a [`ClaimerError`]. Each is shown as one
/// line.
///
/// Which of these are [`ClaimerError::Unknown`] and which [`ClaimerError::Fatal`] is in the table
/// of the [crate's documentation](crate#errors).
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The server does not let this user in.
    Authentication {
        /// What the server said.
        message: String,
    },
    /// No connection could be made, or not kept for long enough to begin.
    Away {
        /// Where.
        endpoint: Endpoint,
        /// What the system said.
        source: io::Error,
    },
    /// Others were in the way for too long, or in a way that the server could not put in a row.
    Busy {
        /// What the server said.
        message: String,
    },
    /// The table that this claimer has used before is gone.
    Dropped {
        /// Its name.
        table: TableName,
    },
    /// There is no space left on the server.
    Full {
        /// What the server said.
        message: String,
    },
    /// The server cannot be asked to hold a lease for so long.
    LeaseTooLong {
        /// How long it was to be.
        lease: Duration,
    },
    /// The connection was lost before the answer had come.
    Lost {
        /// What is known of it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The table was made by a later version of this crate.
    NewerSchema {
        /// Its name.
        table: TableName,
        /// The schema version it has.
        found: u32,
        /// The latest one that this version knows.
        known: u32,
    },
    /// There is no such database, or no such schema to make the table in.
    NoDatabase {
        /// What the server said.
        message: String,
    },
    /// None of the servers would do.
    NoServer {
        /// What came of each.
        attempts: Box<Attempts<StoreError>>,
    },
    /// The server speaks no TLS, which was asked for.
    NoTls {
        /// Which server.
        endpoint: Endpoint,
    },
    /// What listens there is not a Postgres server.
    NotPostgres {
        /// Where.
        endpoint: Endpoint,
    },
    /// There is such a table, but it is somebody else's, or it was changed.
    NotOurs {
        /// Its name.
        table: TableName,
        /// What is wrong with it.
        what: String,
    },
    /// The user may not do this with the table, or not make it.
    Permission {
        /// Its name.
        table: TableName,
        /// What the server said.
        message: String,
    },
    /// The server is a standby, or takes no writes for another reason.
    ReadOnly {
        /// What it is.
        what: String,
    },
    /// The server failed in another way.
    Server {
        /// The condition, as SQLSTATE has it: `57P01`, say.
        code: String,
        /// What the server said.
        message: String,
    },
    /// The term of the service cannot rise any more.
    TermExhausted {
        /// The table that it is in.
        table: TableName,
    },
    /// The time limit was over.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The server's certificate is not good, or it does not like ours.
    Tls {
        /// Which server.
        endpoint: Endpoint,
        /// What is wrong.
        source: io::Error,
    },
    /// The certificates that were named cannot be used.
    TlsSetup {
        /// Why.
        message: String,
    },
    /// The server is older than any that this crate knows.
    TooOld {
        /// Its version, as `server_version_num` has it.
        version: u32,
    },
    /// The change was made, but the server warned that it may be lost again: the standby that it
    /// has to wait for has not acknowledged it. Other warnings are no errors.
    Unacknowledged {
        /// What the server said.
        message: String,
    },
    /// The server's answer makes no sense.
    Unexpected {
        /// What is wrong with it.
        what: String,
    },
}

impl StoreError {
    /// What an error that the server sent means, in a matter of `table`.
    pub(crate) fn from_server(error: &DbError, table: &TableName) -> StoreError {
        let message = error.message().to_owned();
        let table = table.clone();
        match error.code() {
            &SqlState::INSUFFICIENT_PRIVILEGE => StoreError::Permission { table, message },
            &SqlState::INVALID_CATALOG_NAME | &SqlState::INVALID_SCHEMA_NAME => {
                StoreError::NoDatabase { message }
            }
            &SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::ReadOnly { what: message },
            &SqlState::DISK_FULL => StoreError::Full { message },
            &SqlState::LOCK_NOT_AVAILABLE
            | &SqlState::QUERY_CANCELED
            | &SqlState::T_R_DEADLOCK_DETECTED
            | &SqlState::T_R_SERIALIZATION_FAILURE => StoreError::Busy { message },
            // The only number that can grow too large.
            &SqlState::NUMERIC_VALUE_OUT_OF_RANGE => StoreError::TermExhausted { table },
            &SqlState::UNDEFINED_TABLE => StoreError::Dropped { table },
            // Class 28: who it is that asks.
            code if code.code().starts_with("28") => StoreError::Authentication { message },
            // Classes 22, 23 and 42: the data, its constraints, and what the statement names.
            code if ["22", "23", "42"].iter().any(|class| code.code().starts_with(class)) => {
                StoreError::NotOurs { table, what: message }
            }
            code => StoreError::Server { code: code.code().to_owned(), message },
        }
    }

    /// What an error of the client means. `endpoint` is where the connection leads.
    pub(crate) fn from_client(
        error: tokio_postgres::Error,
        endpoint: &Endpoint,
        table: &TableName,
    ) -> StoreError {
        if let Some(error) = error.as_db_error() {
            return StoreError::from_server(error, table);
        }
        let is_stranger = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>())
            .and_then(io::Error::get_ref)
            .is_some_and(|reason| reason.is::<Stranger>());
        if is_stranger {
            return StoreError::NotPostgres { endpoint: endpoint.clone() };
        }
        StoreError::Lost { source: error.into() }
    }

    /// Whether a change may have been refused because those who wait could not be told of it: the
    /// queue of notifications is full, or this user may not call `pg_notify`. It has had no effect
    /// then.
    pub(crate) fn may_be_of_a_notification(&self) -> bool {
        match self {
            StoreError::Server { code, .. } => code == SqlState::PROGRAM_LIMIT_EXCEEDED.code(),
            StoreError::Permission { .. } => true,
            _ => false,
        }
    }

    /// Whether the call will never succeed while this process runs: nothing that anybody does to
    /// the server, the network or a file would change that.
    pub fn is_fatal(&self) -> bool {
        match self {
            StoreError::LeaseTooLong { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::TermExhausted { .. } => true,
            // One that may come back is reason enough to go on.
            StoreError::NoServer { attempts } => attempts.all(StoreError::is_fatal),
            StoreError::Authentication { .. }
            | StoreError::Away { .. }
            | StoreError::Busy { .. }
            | StoreError::Dropped { .. }
            | StoreError::Full { .. }
            | StoreError::Lost { .. }
            | StoreError::NoDatabase { .. }
            | StoreError::NoTls { .. }
            | StoreError::NotOurs { .. }
            | StoreError::NotPostgres { .. }
            | StoreError::Permission { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Server { .. }
            | StoreError::TimedOut { .. }
            | StoreError::Tls { .. }
            | StoreError::TlsSetup { .. }
            | StoreError::TooOld { .. }
            | StoreError::Unacknowledged { .. }
            | StoreError::Unexpected { .. } => false,
        }
    }

    /// Whether the call is refused, and will be until somebody changes something: the server, the
    /// user's rights, a certificate, or how this process is configured. Trying again alone will
    /// hardly help.
    pub fn needs_operator(&self) -> bool {
        match self {
            StoreError::Away { .. }
            | StoreError::Busy { .. }
            | StoreError::Full { .. }
            | StoreError::Lost { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Server { .. }
            | StoreError::TimedOut { .. }
            | StoreError::Unacknowledged { .. }
            | StoreError::Unexpected { .. } => false,
            StoreError::NoServer { attempts } => attempts.all(StoreError::needs_operator),
            StoreError::Authentication { .. }
            | StoreError::Dropped { .. }
            | StoreError::LeaseTooLong { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::NoDatabase { .. }
            | StoreError::NoTls { .. }
            | StoreError::NotOurs { .. }
            | StoreError::NotPostgres { .. }
            | StoreError::Permission { .. }
            | StoreError::TermExhausted { .. }
            | StoreError::Tls { .. }
            | StoreError::TlsSetup { .. }
            | StoreError::TooOld { .. } => true,
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

impl From<TimedOut> for StoreError {
    fn from(TimedOut { limit }: TimedOut) -> StoreError {
        StoreError::TimedOut { limit }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Authentication { message } => {
                write!(formatter, "the server does not let this user in: {message}")
            }
            StoreError::Away { endpoint, source } => {
                write!(formatter, "cannot connect to {endpoint}: {source}")
            }
            StoreError::Busy { message } => write!(formatter, "the store is busy: {message}"),
            StoreError::Dropped { table } => {
                write!(formatter, "table {table} was dropped while in use")
            }
            StoreError::Full { message } => {
                write!(formatter, "no space is left on the server: {message}")
            }
            StoreError::LeaseTooLong { lease } => {
                write!(formatter, "a lease of {lease:?} is longer than the server can count")
            }
            StoreError::Lost { source } => {
                write!(formatter, "the connection was lost before the answer: {}", chain(&**source))
            }
            StoreError::NewerSchema { table, found, known } => write!(
                formatter,
                "table {table} was made by a later version: its schema is {found}, \
                 this version knows up to {known}"
            ),
            StoreError::NoDatabase { message } => formatter.write_str(message),
            StoreError::NoServer { attempts } => {
                write!(formatter, "none of the servers will do: {attempts}")
            }
            StoreError::NoTls { endpoint } => {
                write!(formatter, "{endpoint} speaks no TLS, which was asked for")
            }
            StoreError::NotPostgres { endpoint } => {
                write!(formatter, "{endpoint} is not a Postgres server")
            }
            StoreError::NotOurs { table, what } => {
                write!(formatter, "table {table} is not a store of Tenure's: {what}")
            }
            StoreError::Permission { table, message } => {
                write!(formatter, "this user may not use table {table}: {message}")
            }
            StoreError::ReadOnly { what } => write!(formatter, "the server is read-only: {what}"),
            StoreError::Server { code, message } => {
                write!(formatter, "the server failed: {message} ({code})")
            }
            StoreError::TermExhausted { table } => {
                write!(formatter, "a term in table {table} cannot rise any more")
            }
            StoreError::TimedOut { limit } => write!(formatter, "no answer within {limit:?}"),
            StoreError::Tls { endpoint, source } => {
                write!(formatter, "no TLS with {endpoint}: {source}")
            }
            StoreError::TlsSetup { message } => formatter.write_str(message),
            StoreError::TooOld { version } => {
                write!(formatter, "the server's version {version} is too old: 130000 at least")
            }
            StoreError::Unacknowledged { message } => {
                write!(formatter, "done, but it may be lost again: {message}")
            }
            StoreError::Unexpected { what } => {
                write!(formatter, "the server's answer makes no sense: {what}")
            }
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StoreError::Away { source, .. } | StoreError::Tls { source, .. } => Some(source),
            StoreError::Lost { source } => Some(&**source),
            StoreError::NoServer { attempts } => Some(attempts),
            _ => None,
        }
    }
}

/// An error with its causes: the client's own say little without.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

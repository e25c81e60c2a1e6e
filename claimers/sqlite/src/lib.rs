//! A lease store in a SQLite file for Tenure: for the processes of one host.
#![forbid(unsafe_code)]

#[cfg(not(unix))]
compile_error!(
    "tenure-sqlite needs a clock that all the processes of the host share and that counts \
     suspended time, and file identities: it has them on Unix only"
);

mod bell;
mod claimer;
mod database;
mod error;
mod file;
mod host;
mod lease;
mod options;
mod slot;
mod store;
#[cfg(test)]
mod tests;
mod watch;

pub use claimer::SqliteClaimer;
pub use error::{OpenError, StoreError};
pub use options::{Access, SqliteOptions, Watch};

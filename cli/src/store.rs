//! Where the leases are: a store's URL, and the store itself.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, ClaimerError, Judge, Leader, ServiceName,
};
use tenure_sqlite::{Access, SqliteClaimer, SqliteOptions};

use crate::failure::{self, Failure};

/// Which store, as `--store` names it. Another kind of store is another variant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum StoreUrl {
    /// `sqlite:PATH`.
    Sqlite(PathBuf),
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<StoreUrl, String> {
        const KNOWN: &str = "this build knows sqlite:PATH";
        let Some((scheme, path)) = url.split_once(':') else {
            return Err(format!("it does not say which kind of store: {KNOWN}"));
        };
        match scheme {
            "sqlite" if path.is_empty() => Err("there is no path after sqlite:".to_owned()),
            "sqlite" if path == ":memory:" => {
                Err("a database in memory is not shared with anybody".to_owned())
            }
            // sqlite://host/path, or a relative path with two slashes too many: who can say?
            "sqlite" if path.starts_with("//") && !path.starts_with("///") => {
                Err("write sqlite:PATH, or sqlite:///PATH for one from the root".to_owned())
            }
            "sqlite" => Ok(StoreUrl::Sqlite(path.into())),
            "memory" => Err(format!("memory is not shared between processes: {KNOWN}")),
            _ => Err(format!("there is no kind of store named {scheme:?}: {KNOWN}")),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
        }
    }
}

impl StoreUrl {
    /// Opens the store to claim in it, and makes it if there is none.
    ///
    /// A call that waits for others gives up after `patience`.
    pub(crate) fn open(&self, patience: Duration) -> Result<Store, Failure> {
        self.open_for(Access::Create, patience)
    }

    /// Opens a store that is there, to release in it.
    pub(crate) fn open_existing(&self) -> Result<Store, Failure> {
        self.open_for(Access::Existing, SqliteOptions::DEFAULT_BUSY_TIMEOUT)
    }

    /// Opens a store that is there, to look. It may be read-only.
    pub(crate) fn open_to_look(&self) -> Result<Store, Failure> {
        self.open_for(Access::Look, SqliteOptions::DEFAULT_BUSY_TIMEOUT)
    }

    fn open_for(&self, access: Access, patience: Duration) -> Result<Store, Failure> {
        match self {
            StoreUrl::Sqlite(path) => SqliteOptions::new()
                .access(access)
                .busy_timeout(patience)
                .open(path)
                .map(|store| Store::new(Kind::Sqlite(store)))
                .map_err(|error| Failure::store(&error)),
        }
    }

    /// One text for all the ways to name this store, once it exists.
    pub(crate) fn canonical(&self) -> Result<String, Failure> {
        match self {
            StoreUrl::Sqlite(path) => match path.canonicalize() {
                Ok(path) => Ok(format!("sqlite:{}", path.display())),
                Err(error) => Err(Failure::new(
                    failure::STORE,
                    format_args!("cannot find store {path:?}: {error}"),
                )),
            },
        }
    }
}

/// A store that is open. All clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    kind: Kind,
    // Dropped after what is above it: fields go in order.
    _open: Sender<Infallible>,
    closed: Receiver<Infallible>,
}

#[derive(Clone, Debug)]
enum Kind {
    Sqlite(SqliteClaimer),
}

impl Store {
    fn new(kind: Kind) -> Store {
        let (open, closed) = crossbeam_channel::bounded(0);
        Store { kind, _open: open, closed }
    }

    /// What tells that the store was closed.
    pub(crate) fn closed(&self) -> Closed {
        Closed(self.closed.clone())
    }
}

/// Tells that a store was closed: that all clones are dropped.
///
/// A tracker's threads end a little after the tracker. A process that ends before them leaves
/// files that SQLite takes away when it closes its own.
#[derive(Debug)]
pub(crate) struct Closed(Receiver<Infallible>);

impl Closed {
    /// Waits until then. Not for long: a call to the store may hang.
    pub(crate) fn wait(&self) {
        let _ = self.0.recv_timeout(Duration::from_secs(1));
    }
}

impl BlockingClaimer for Store {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        match &self.kind {
            Kind::Sqlite(store) => store.claim(candidate, lease),
        }
    }

    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        match &self.kind {
            Kind::Sqlite(store) => store.released(service, cancel),
        }
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        match &self.kind {
            Kind::Sqlite(store) => store.release(candidate),
        }
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        match &self.kind {
            Kind::Sqlite(store) => store.leader(service),
        }
    }

    fn judge(&self) -> Judge {
        match &self.kind {
            Kind::Sqlite(store) => store.judge(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_kind_of_store_and_what_that_kind_needs() {
        let sqlite = |path: &str| Ok(StoreUrl::Sqlite(path.into()));
        assert_eq!("sqlite:leases.db".parse(), sqlite("leases.db"));
        assert_eq!("sqlite:/var/lib/a:b.db".parse(), sqlite("/var/lib/a:b.db"));
        assert_eq!("sqlite:///var/lib/a.db".parse(), sqlite("///var/lib/a.db"));
        for url in ["", "leases.db", "sqlite:", "sqlite://a/b", "sqlite::memory:", "memory:"] {
            assert!(url.parse::<StoreUrl>().is_err(), "{url}");
        }
        assert_eq!(
            "etcd:localhost".parse::<StoreUrl>(),
            Err("there is no kind of store named \"etcd\": this build knows sqlite:PATH".to_owned())
        );
    }
}

//! Where the leases are: a store's URL, and the store itself.

use std::convert::Infallible;
use std::error::Error as _;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, ClaimerError, Judge, Leader, ServiceName,
};
#[cfg(feature = "etcd")]
use tenure_etcd::{EtcdClaimer, EtcdOptions};
#[cfg(feature = "postgres")]
use tenure_postgres::{PostgresClaimer, PostgresOptions};
#[cfg(feature = "redis")]
use tenure_redis::{RedisClaimer, RedisOptions};
use tenure_sqlite::{Access, SqliteClaimer, SqliteOptions};
#[cfg(any(feature = "etcd", feature = "postgres", feature = "redis"))]
use tenure_std::BlockOn;

use crate::failure::{self, Failure};

/// The environment's way to name a store, also for the processes that are started here: other
/// users can see a process's arguments, and so a password in them.
pub(crate) const VARIABLE: &str = "TENURE_STORE";

/// How long a claim on a file waits for those of others at most.
const BUSY_MAX: Duration = Duration::from_secs(1);

/// How long whoever only looks waits for an answer.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// What `--store` was given, as it was given: clap would show it in its errors, with the password.
#[derive(Clone)]
pub(crate) struct StoreText(String);

impl FromStr for StoreText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<StoreText, Infallible> {
        Ok(StoreText(text.to_owned()))
    }
}

impl fmt::Debug for StoreText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl StoreText {
    pub(crate) fn url(&self) -> Result<StoreUrl, Failure> {
        let explained = |error| Failure::new(failure::USAGE, format_args!("--store: {error}"));
        Ok(StoreUrl { text: self.0.clone(), place: self.0.parse().map_err(explained)? })
    }
}

/// etcd makes no lease shorter, with its default timing: one and a half of its election timeouts,
/// in whole seconds.
#[cfg(feature = "etcd")]
const ETCD_LEASE_MIN: Duration = Duration::from_secs(2);
/// etcd looks for leases that are over this often.
#[cfg(feature = "etcd")]
const ETCD_LATENESS: Duration = Duration::from_millis(500);

/// Which store, as `--store` names it.
#[derive(Clone, Debug)]
pub(crate) struct StoreUrl {
    /// With the password, if there is one.
    text: String,
    place: Place,
}

/// Where leases are, by the kind of store. Another kind is another variant.
#[derive(Clone, Debug)]
enum Place {
    /// `etcd://HOST,HOST/PREFIX`.
    #[cfg(feature = "etcd")]
    Etcd(Box<EtcdOptions>),
    /// `postgres://HOST/DATABASE`.
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresOptions>),
    /// `redis://HOST/NUMBER`.
    #[cfg(feature = "redis")]
    Redis(Box<RedisOptions>),
    /// `sqlite:PATH`.
    Sqlite(PathBuf),
}

/// What this build knows.
const KNOWN: &[&str] = &[
    "sqlite:PATH",
    #[cfg(feature = "etcd")]
    "etcd://HOST",
    #[cfg(feature = "postgres")]
    "postgres://HOST/DATABASE",
    #[cfg(feature = "redis")]
    "redis://HOST",
];

impl FromStr for Place {
    type Err = String;

    fn from_str(url: &str) -> Result<Place, String> {
        let known = || format!("this build knows {}", KNOWN.join(", "));
        let Some((scheme, path)) = url.split_once(':') else {
            return Err(format!("it does not say which kind of store: {}", known()));
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
            "sqlite" => Ok(Place::Sqlite(path.into())),
            #[cfg(feature = "etcd")]
            "etcd" => {
                let options = EtcdOptions::from_url(url).map_err(|error| failure::chain(&error))?;
                Ok(Place::Etcd(Box::new(options)))
            }
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                let options =
                    PostgresOptions::from_url(url).map_err(|error| failure::chain(&error))?;
                Ok(Place::Postgres(Box::new(options)))
            }
            #[cfg(feature = "redis")]
            "redis" | "rediss" | "valkey" | "valkeys" => {
                let options =
                    RedisOptions::from_url(url).map_err(|error| failure::chain(&error))?;
                Ok(Place::Redis(Box::new(options)))
            }
            "memory" => Err(format!("memory is not shared between processes: {}", known())),
            _ => Err(format!("there is no kind of store named {scheme:?}: {}", known())),
        }
    }
}

/// Without the password.
impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            #[cfg(any(feature = "etcd", feature = "postgres", feature = "redis"))]
            _ => formatter.write_str(&tenure_net::StoreUrl::without_password(&self.text)),
        }
    }
}

/// What becomes of a store that does not answer when it is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Absence {
    /// It is waited for: whoever contends goes on contending.
    Borne,
    /// It is a failure.
    Told,
}

impl StoreUrl {
    /// The file at `path`.
    pub(crate) fn sqlite(path: &Path) -> StoreUrl {
        let place = Place::Sqlite(path.to_owned());
        StoreUrl { text: format!("sqlite:{}", path.display()), place }
    }

    /// For [`VARIABLE`]: with the password.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// When a lease that nobody renews is over at the latest, counted from its last claim.
    pub(crate) fn expiry(&self, lease: Duration) -> Duration {
        match &self.place {
            #[cfg(feature = "etcd")]
            Place::Etcd(_) => {
                let up = u64::from(lease.subsec_nanos() > 0);
                let whole = Duration::from_secs(lease.as_secs().saturating_add(up));
                whole.max(ETCD_LEASE_MIN).saturating_add(ETCD_LATENESS)
            }
            _ => lease,
        }
    }

    /// Opens the store to claim in it, and makes it if there is none.
    ///
    /// A call gives up after `patience`.
    pub(crate) fn open(&self, patience: Duration) -> Result<Store, Failure> {
        self.open_for(Access::Create, patience, Absence::Told)
    }

    /// As [`open`](StoreUrl::open), but a server that is away is waited for: by whoever claims
    /// again and again anyway.
    pub(crate) fn open_to_contend(&self, patience: Duration) -> Result<Store, Failure> {
        self.open_for(Access::Create, patience, Absence::Borne)
    }

    /// Opens a store that is there, to release in it.
    pub(crate) fn open_existing(&self) -> Result<Store, Failure> {
        self.open_for(Access::Existing, LOOK_MAX, Absence::Told)
    }

    /// Opens a store that is there, to look. It may be read-only.
    pub(crate) fn open_to_look(&self) -> Result<Store, Failure> {
        self.open_for(Access::Look, LOOK_MAX, Absence::Told)
    }

    fn open_for(
        &self,
        access: Access,
        patience: Duration,
        absence: Absence,
    ) -> Result<Store, Failure> {
        // Without any of these stores there is nothing that could be away.
        let _ = absence;
        match &self.place {
            #[cfg(feature = "etcd")]
            Place::Etcd(options) => {
                let claimer = EtcdOptions::clone(options).time_limit(patience).open();
                checked(access, absence, || claimer.check())?;
                Ok(Store::new(Kind::Etcd(BlockOn::new(claimer))))
            }
            #[cfg(feature = "postgres")]
            Place::Postgres(options) => {
                let claimer = PostgresOptions::clone(options).time_limit(patience).open();
                checked(access, absence, || claimer.check())?;
                Ok(Store::new(Kind::Postgres(BlockOn::new(claimer))))
            }
            #[cfg(feature = "redis")]
            Place::Redis(options) => {
                let claimer = RedisOptions::clone(options).time_limit(patience).open();
                checked(access, absence, || claimer.check())?;
                let store = BlockOn::new(claimer.clone());
                Ok(Store::new(Kind::Redis(Redis { store, claimer })))
            }
            Place::Sqlite(path) => SqliteOptions::new()
                .access(access)
                .busy_timeout(patience.min(BUSY_MAX))
                .open(path)
                .map(|store| Store::new(Kind::Sqlite(store)))
                .map_err(|error| Failure::store(&error)),
        }
    }

    /// One text for all the ways to name this store, once it exists; of a server, for those ways
    /// that differ in the password alone.
    pub(crate) fn canonical(&self) -> Result<String, Failure> {
        match &self.place {
            Place::Sqlite(path) => match path.canonicalize() {
                Ok(path) => Ok(format!("sqlite:{}", path.display())),
                Err(error) => Err(Failure::new(
                    failure::STORE,
                    format_args!("cannot find store {path:?}: {error}"),
                )),
            },
            #[cfg(any(feature = "etcd", feature = "postgres", feature = "redis"))]
            _ => Ok(self.to_string()),
        }
    }
}

/// Tells what is wrong with a server before anything else is done with it. Who only looks is told
/// by looking, and needs nothing made.
#[cfg(any(feature = "etcd", feature = "postgres", feature = "redis"))]
fn checked<F: Future<Output = Result<(), ClaimerError>>>(
    access: Access,
    absence: Absence,
    check: impl FnOnce() -> F,
) -> Result<(), Failure> {
    if access != Access::Create {
        return Ok(());
    }
    match (futures_lite::future::block_on(check()), absence) {
        (Ok(()), _) => Ok(()),
        // What was refused at the very first contact is a mistake to tell of, not to sit out; a
        // store that has once done well is waited for whatever it says.
        (Err(error), Absence::Borne) if !needs_operator(&error) => {
            tracing::warn!(error = failure::chain(&error), "the store is not there yet");
            Ok(())
        }
        (Err(error), _) => Err(Failure::store(&error)),
    }
}

/// Whether somebody has to mend something, a password or a certificate, say, before the store can
/// be used.
pub(crate) fn needs_operator(error: &ClaimerError) -> bool {
    let Some(source) = error.source() else { return error.is_fatal() };
    #[cfg(feature = "etcd")]
    if let Some(error) = source.downcast_ref::<tenure_etcd::StoreError>() {
        return error.needs_operator();
    }
    #[cfg(feature = "postgres")]
    if let Some(error) = source.downcast_ref::<tenure_postgres::StoreError>() {
        return error.needs_operator();
    }
    #[cfg(feature = "redis")]
    if let Some(error) = source.downcast_ref::<tenure_redis::StoreError>() {
        return error.needs_operator();
    }
    error.is_fatal()
}

/// A store that is open. All clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    kind: Kind,
    // Dropped after what is above it: fields go in order.
    _open: Sender<Infallible>,
    closed: Closed,
}

#[derive(Clone, Debug)]
enum Kind {
    #[cfg(feature = "etcd")]
    Etcd(BlockOn<EtcdClaimer>),
    #[cfg(feature = "postgres")]
    Postgres(BlockOn<PostgresClaimer>),
    #[cfg(feature = "redis")]
    Redis(Redis),
    Sqlite(SqliteClaimer),
}

/// Redis, as what blocks, and as what says more than any store does.
#[cfg(feature = "redis")]
#[derive(Clone, Debug)]
struct Redis {
    store: BlockOn<RedisClaimer>,
    claimer: RedisClaimer,
}

/// Has whichever store it is make a call.
macro_rules! forward {
    ($kind:expr, $store:ident => $call:expr) => {
        match $kind {
            #[cfg(feature = "etcd")]
            Kind::Etcd($store) => $call,
            #[cfg(feature = "postgres")]
            Kind::Postgres($store) => $call,
            #[cfg(feature = "redis")]
            Kind::Redis(Redis { store: $store, .. }) => $call,
            Kind::Sqlite($store) => $call,
        }
    };
}

impl Store {
    fn new(kind: Kind) -> Store {
        let (open, closed) = crossbeam_channel::bounded(0);
        let patience = match kind {
            // A file is closed once it is on the disk, which may have much to do.
            Kind::Sqlite(_) => Duration::from_secs(10),
            // A server sees to what is left by itself, and a call to it may hang.
            #[cfg(any(feature = "etcd", feature = "postgres", feature = "redis"))]
            _ => Duration::from_secs(1),
        };
        Store { kind, _open: open, closed: Closed { closed, patience } }
    }

    /// Whether those who wait are told of each release, also of one after which somebody else has
    /// claimed at once.
    pub(crate) fn tells_each_release(&self) -> bool {
        !matches!(self.kind, Kind::Sqlite(_))
    }

    /// Why nobody leads `service` for a while, though nobody is known to; if the store can say. If
    /// it cannot be asked now, that is not worth an error.
    pub(crate) fn held_off(&self, service: &ServiceName) -> Option<String> {
        match &self.kind {
            #[cfg(feature = "redis")]
            Kind::Redis(Redis { claimer, .. }) => {
                let held_off = futures_lite::future::block_on(claimer.held_off(service));
                held_off.ok().flatten().map(|held_off| held_off.to_string())
            }
            _ => {
                let _ = service;
                None
            }
        }
    }

    /// What tells that the store was closed.
    pub(crate) fn closed(&self) -> Closed {
        self.closed.clone()
    }
}

/// Tells that a store was closed: that all clones are dropped.
///
/// A tracker's threads end a little after the tracker. A process that ends before them leaves
/// files that SQLite takes away when it closes its own.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    closed: Receiver<Infallible>,
    patience: Duration,
}

impl Closed {
    /// Waits until then, with an end to its patience.
    pub(crate) fn wait(&self) {
        let _ = self.closed.recv_timeout(self.patience);
    }
}

impl BlockingClaimer for Store {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        forward!(&self.kind, store => store.claim(candidate, lease))
    }

    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        forward!(&self.kind, store => store.released(service, cancel))
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        forward!(&self.kind, store => store.release(candidate))
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        forward!(&self.kind, store => store.leader(service))
    }

    fn judge(&self) -> Judge {
        forward!(&self.kind, store => store.judge())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<String, String> {
        StoreText(url.to_owned()).url().map(|url| url.to_string()).map_err(|failure| {
            let shown = format!("{failure:?}");
            assert!(!shown.contains("secret"), "{shown}");
            shown
        })
    }

    #[test]
    fn a_url_is_a_kind_of_store_and_what_that_kind_needs() {
        for url in ["sqlite:leases.db", "sqlite:/var/lib/a:b.db", "sqlite:///var/lib/a.db"] {
            assert_eq!(place(url).as_deref(), Ok(url));
        }
        for url in ["", "leases.db", "sqlite:", "sqlite://a/b", "sqlite::memory:", "memory:"] {
            assert!(place(url).is_err(), "{url}");
        }
        let unknown = place("oracle://u:secret@h").unwrap_err();
        let expected = "no kind of store named \\\"oracle\\\": this build knows sqlite:PATH";
        assert!(unknown.contains(expected), "{unknown}");
    }

    #[cfg(all(feature = "etcd", feature = "postgres", feature = "redis"))]
    #[test]
    fn no_password_is_shown() {
        for scheme in ["etcd", "postgres", "redis"] {
            let url = format!("{scheme}://u:secret@h:1");
            let shown = place(&url).unwrap();
            assert!(!shown.contains("secret") && shown.contains("h:1"), "{shown}");
            let debug = format!("{:?}", StoreText(url).url().unwrap().place);
            assert!(!debug.contains("secret"), "{debug}");
            for wrong in ["h:secret", "u:secret@h:0", "u:secret@h?colour=red", "u:sec/ret@h"] {
                assert!(place(&format!("{scheme}://{wrong}")).is_err(), "{scheme} {wrong}");
            }
        }
    }
}

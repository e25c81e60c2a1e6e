//! Where the leases are: a store's URL, and the store itself.

mod file;
mod place;

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
#[cfg(any(feature = "etcd", feature = "postgres", feature = "redis"))]
use futures_lite::future::block_on;
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
use crate::store::place::Place;

/// The environment's way to name a store, also for the processes that are started here: other
/// users can see a process's arguments, and so a password in them.
pub(crate) const VARIABLE: &str = "TENURE_STORE";

/// How long a claim on a file waits for those of others at most.
const BUSY_MAX: Duration = Duration::from_secs(1);

/// How long whoever only looks waits for an answer.
pub(crate) const LOOK_MAX: Duration = Duration::from_secs(5);

/// How much longer than its limit a call may take before nobody waits for it any more.
const CALL_EXTRA: Duration = Duration::from_secs(1);

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

/// Without the password.
impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Sqlite(path) => write!(formatter, "sqlite:{}", file::show(path)),
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
        StoreUrl { text: format!("sqlite:{}", file::show(path)), place }
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

    /// Whether the store says when a lease is over by a wall clock, which may be stepped.
    pub(crate) fn has_wall_clock(&self) -> bool {
        match &self.place {
            // The clock of the host since its boot.
            Place::Sqlite(_) => false,
            // The monotonic clock of the cluster's leader.
            #[cfg(feature = "etcd")]
            Place::Etcd(_) => false,
            #[cfg(feature = "postgres")]
            Place::Postgres(_) => true,
            #[cfg(feature = "redis")]
            Place::Redis(_) => true,
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
                let checking = claimer.clone();
                checked(access, absence, patience, move || block_on(checking.check()))?;
                Ok(Store::new(Kind::Etcd(BlockOn::new(claimer))))
            }
            #[cfg(feature = "postgres")]
            Place::Postgres(options) => {
                let claimer = PostgresOptions::clone(options).time_limit(patience).open();
                let checking = claimer.clone();
                checked(access, absence, patience, move || block_on(checking.check()))?;
                Ok(Store::new(Kind::Postgres(BlockOn::new(claimer))))
            }
            #[cfg(feature = "redis")]
            Place::Redis(options) => {
                let claimer = RedisOptions::clone(options).time_limit(patience).open();
                let checking = claimer.clone();
                checked(access, absence, patience, move || block_on(checking.check()))?;
                let store = BlockOn::new(claimer.clone());
                Ok(Store::new(Kind::Redis(Redis { store, claimer })))
            }
            Place::Sqlite(path) => {
                self.check_unencoded()?;
                SqliteOptions::new()
                    .access(access)
                    .busy_timeout(patience.min(BUSY_MAX))
                    .open(path)
                    .map(|store| Store::new(Kind::Sqlite(store)))
                    .map_err(|error| Failure::store(&error))
            }
        }
    }

    /// Refuses a path that is encoded where there is a file which it could mean as it stands: up to
    /// version 0.1 it did.
    fn check_unencoded(&self) -> Result<(), Failure> {
        match self.text.strip_prefix("sqlite:").and_then(file::unencoded) {
            Some(path) if path.exists() => Err(Failure::new(
                failure::USAGE,
                format_args!(
                    "--store: there is a file {path:?}, and {} means another: write each % of its \
                     name as %25, or rename it",
                    self.text
                ),
            )),
            _ => Ok(()),
        }
    }

    /// One text for all the ways to name this store, once it exists; of a server, for those ways
    /// that differ in the password alone.
    pub(crate) fn canonical(&self) -> Result<String, Failure> {
        match &self.place {
            Place::Sqlite(path) => match path.canonicalize() {
                Ok(path) => Ok(format!("sqlite:{}", file::show(&path))),
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
fn checked(
    access: Access,
    absence: Absence,
    patience: Duration,
    check: impl FnOnce() -> Result<(), ClaimerError> + Send + 'static,
) -> Result<(), Failure> {
    if access != Access::Create {
        return Ok(());
    }
    match (within(patience, check), absence) {
        (Ok(Ok(())), _) => Ok(()),
        // What was refused at the very first contact is a mistake to tell of, not to sit out; a
        // store that has once done well is waited for whatever it says.
        (Ok(Err(error)), Absence::Borne) if !needs_operator(&error) => {
            tracing::warn!(error = failure::chain(&error), "the store is not there yet");
            Ok(())
        }
        (Err(failure), Absence::Borne) => {
            tracing::warn!(error = %failure, "the store is not there yet");
            Ok(())
        }
        (Ok(Err(error)), _) => Err(Failure::store(&error)),
        (Err(failure), Absence::Told) => Err(failure),
    }
}

/// Whether somebody has to mend something, a password or a certificate, say, before the store can
/// be used.
pub(crate) fn needs_operator(error: &ClaimerError) -> bool {
    #[cfg(feature = "etcd")]
    if let Some(error) = cause::<tenure_etcd::StoreError>(error) {
        return error.needs_operator();
    }
    #[cfg(feature = "postgres")]
    if let Some(error) = cause::<tenure_postgres::StoreError>(error) {
        return error.needs_operator();
    }
    #[cfg(feature = "redis")]
    if let Some(error) = cause::<tenure_redis::StoreError>(error) {
        return error.needs_operator();
    }
    error.is_fatal()
}

/// The store's own error, if it is of this store.
#[cfg(any(feature = "etcd", feature = "postgres", feature = "redis"))]
fn cause<E: std::error::Error + 'static>(error: &ClaimerError) -> Option<&E> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Makes a call on a thread of its own, which is left to itself when the call is not over in time.
///
/// Each store has a limit of its own, which ends a call first and says more. This one also holds
/// where that does not: a server that never stops talking, a disk that hangs.
fn within<T: Send + 'static>(
    patience: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (answer, answered) = crossbeam_channel::bounded(1);
    let limit = patience.saturating_add(CALL_EXTRA);
    std::thread::Builder::new()
        .name("tenure-call".to_owned())
        .spawn(move || {
            let _ = answer.send(call());
        })
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    answered.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => {
            let why = "the store's answer is not known: the call is not over after";
            Failure::new(failure::STORE, format_args!("{why} {limit:?}"))
        }
        RecvTimeoutError::Disconnected => {
            Failure::new(failure::STORE, "the store's answer is not known: the call panicked")
        }
    })
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
                let (claimer, service) = (claimer.clone(), service.clone());
                let held_off = within(LOOK_MAX, move || block_on(claimer.held_off(&service)));
                held_off.ok()?.ok().flatten().map(|held_off| held_off.to_string())
            }
            _ => {
                let _ = service;
                None
            }
        }
    }

    /// Who leads; or why that cannot be told, at the latest after what a look may take.
    ///
    /// The outer error is that of a call that kept to no limit, and may still go on.
    pub(crate) fn look(
        &self,
        service: &ServiceName,
    ) -> Result<Result<Option<Leader>, ClaimerError>, Failure> {
        let service = service.clone();
        self.within(LOOK_MAX, move |store| store.leader(&service))
    }

    /// Makes a call that takes no longer than `patience` and a little, whatever the store does.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        patience: Duration,
        call: impl FnOnce(&Store) -> Result<T, ClaimerError> + Send + 'static,
    ) -> Result<Result<T, ClaimerError>, Failure> {
        let store = self.clone();
        within(patience, move || call(&store))
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

    #[test]
    fn a_call_that_does_not_end_is_left_to_itself() {
        let (end, ended) = crossbeam_channel::bounded::<()>(0);
        let left = within(Duration::ZERO, move || ended.recv().is_err());
        assert!(format!("{left:?}").contains("the call is not over after 1s"), "{left:?}");
        drop(end);
        assert_eq!(within(Duration::MAX, || 7).unwrap(), 7);
        let panicked = within(Duration::MAX, || -> u8 { panic!("as it is meant to") });
        assert!(format!("{panicked:?}").contains("the call panicked"), "{panicked:?}");
    }
}

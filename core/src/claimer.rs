use alloc::boxed::Box;
use core::error::Error;
use core::fmt;
use core::future::Future;
use core::task::Waker;
use core::time::Duration;

use crate::{Candidate, ServiceName, Term, UnitName};

/// The contract to a lease store, for stores that are asynchronous by nature.
///
/// A store implements this trait or [`BlockingClaimer`], whichever is natural to it; each runtime
/// drives both. What a store promises, whichever it implements:
///
/// 1. A grant lasts at least `lease` from the moment the call was made, by the store's clock,
///    never by the client's.
/// 2. While it lasts, no other (unit, nonce) is granted. The same one renews; a renewal never
///    shortens the lease, and keeps its term.
/// 3. The term rises whenever the holder changes and never falls: not after a release, an expiry
///    or a deletion. A term that cannot rise any more is a fatal error.
/// 4. One claim is one atomic operation on the store. It retries nothing inside.
/// 5. An answer that was lost is [`ClaimerError::Unknown`]: never a denial, and never turned into
///    a grant by reading back.
/// 6. A release frees only the caller's own (unit, nonce), and is idempotent.
/// 7. `released` also returns when a lease expires unrenewed, and wakes without polling where the
///    store can notify.
/// 8. Cancelling any call leaks nothing: no thread, task, connection, or lease beyond its time.
///
/// The conformance suite in `tenure-testkit` checks all eight.
///
/// # Cancel safety
///
/// A call is cancelled by dropping its future. A claim or a release that is cancelled may have
/// happened or not: whoever cancels must reckon with both.
pub trait Claimer: Send + Sync + 'static {
    /// Asks the store to make `candidate` the leader for `lease`, or to renew its lease.
    ///
    /// # Errors
    ///
    /// [`ClaimerError::Unknown`] when the claim may or may not have been granted, or may be once
    /// something is mended, and [`ClaimerError::Fatal`] when this store will never grant it.
    fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> impl Future<Output = Result<ClaimAnswer, ClaimerError>> + Send;

    /// Returns when `service` has no leader, or may have none. At once, if that is so already.
    ///
    /// It may return too early: the caller claims, and is told.
    ///
    /// # Errors
    ///
    /// As for [`claim`](Claimer::claim), when the store can no longer be watched. Whoever waits
    /// calls again after a while: what was released meanwhile is seen by then.
    fn released(
        &self,
        service: &ServiceName,
    ) -> impl Future<Output = Result<(), ClaimerError>> + Send;

    /// Frees the lease, if it is `candidate`'s own, and wakes those who wait for that. Otherwise
    /// does nothing, successfully.
    ///
    /// # Errors
    ///
    /// As for [`claim`](Claimer::claim).
    fn release(
        &self,
        candidate: &Candidate,
    ) -> impl Future<Output = Result<(), ClaimerError>> + Send;

    /// Looks up who leads `service`: for people, never as a reason to act.
    ///
    /// # Errors
    ///
    /// As for [`claim`](Claimer::claim).
    fn leader(
        &self,
        service: &ServiceName,
    ) -> impl Future<Output = Result<Option<Leader>, ClaimerError>> + Send;

    /// Whose clock decides that a lease has expired.
    fn judge(&self) -> Judge;
}

/// The contract to a lease store, for stores that block by nature.
///
/// The same words and the same eight promises as [`Claimer`], which states them.
///
/// # Blocking
///
/// Every call blocks its thread until the store has answered. Only
/// [`released`](BlockingClaimer::released) waits for something that may never come, so only that
/// has a cancel handle.
pub trait BlockingClaimer: Send + Sync + 'static {
    /// As [`Claimer::claim`].
    ///
    /// # Errors
    ///
    /// As [`Claimer::claim`].
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError>;

    /// As [`Claimer::released`]; also returns, with either result, soon after `cancel` is
    /// cancelled.
    ///
    /// # Errors
    ///
    /// As [`Claimer::released`].
    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError>;

    /// As [`Claimer::release`].
    ///
    /// # Errors
    ///
    /// As [`Claimer::release`].
    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError>;

    /// As [`Claimer::leader`].
    ///
    /// # Errors
    ///
    /// As [`Claimer::leader`].
    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError>;

    /// As [`Claimer::judge`].
    fn judge(&self) -> Judge;
}

/// Tells a blocking call that nobody waits for it any more. `tenure-runtime` has one.
pub trait Cancel: Send + Sync {
    /// Whether the call has been cancelled.
    fn is_cancelled(&self) -> bool;

    /// Wakes `waker` when the call is cancelled; at once, if it is already. One waker at a time:
    /// a later one takes an earlier one's place.
    ///
    /// A blocking call passes a waker that rouses its own thread, and then looks at
    /// [`is_cancelled`](Cancel::is_cancelled).
    fn on_cancel(&self, waker: Waker);
}

/// What a store said to a claim.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClaimAnswer {
    /// The candidate holds the lease, for at least as long as it asked for.
    Granted {
        /// The fencing number of this holding.
        term: Term,
    },
    /// Somebody else holds it, or may hold it: a store that has perhaps forgotten a lease grants
    /// none before that is over.
    Denied {
        /// Who holds it, if the store says.
        leader: Option<UnitName>,
        /// How long until that lease may be over by the store's clock, if the store says.
        retry_after: Option<Duration>,
    },
}

/// Who leads a service, as its store has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leader {
    /// The unit that holds the lease.
    pub unit: UnitName,
    /// The fencing number of its holding.
    pub term: Term,
    /// How long the lease still lasts by the store's clock, unless it is renewed or released.
    pub remaining: Duration,
}

/// Whose clock decides that a lease has expired.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Judge {
    /// The store's server.
    Server,
    /// The host that all the processes share.
    Host,
    /// Each client for itself, from the changes that it sees.
    Observer,
}

/// Why a store did not answer.
///
/// The machine hears only which of the two it was. The runtimes keep the error with its source and
/// hand it out where the user asks why.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClaimerError {
    /// The call may have taken effect, or may not: the store was busy or away, the connection
    /// broke, the answer was lost, the claimer panicked. Or it was refused for a reason that
    /// somebody can mend while the process runs: a certificate, a password, a permission, a proxy,
    /// another server behind the address. Trying again may help; a leader keeps the lease that it
    /// has, and renews it if that happens in time.
    Unknown(Box<dyn Error + Send + Sync>),
    /// The call will never succeed while this process runs, whatever anybody does to the store: a
    /// lease that it cannot count, a schema of a later version, a term counter at its end. It ends
    /// the tracker, so what may pass must not be called that.
    Fatal(Box<dyn Error + Send + Sync>),
}

impl ClaimerError {
    /// An [`Unknown`](ClaimerError::Unknown) outcome, because of `source`.
    pub fn unknown(source: impl Into<Box<dyn Error + Send + Sync>>) -> ClaimerError {
        ClaimerError::Unknown(source.into())
    }

    /// A [`Fatal`](ClaimerError::Fatal) error, because of `source`.
    pub fn fatal(source: impl Into<Box<dyn Error + Send + Sync>>) -> ClaimerError {
        ClaimerError::Fatal(source.into())
    }

    /// Whether this store will never say yes to this process: see [`Fatal`](ClaimerError::Fatal).
    pub fn is_fatal(&self) -> bool {
        match self {
            ClaimerError::Unknown(_) => false,
            ClaimerError::Fatal(_) => true,
        }
    }
}

impl fmt::Display for ClaimerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClaimerError::Unknown(_) => formatter.write_str("the store's answer is not known"),
            ClaimerError::Fatal(_) => formatter.write_str("the store will never grant this"),
        }
    }
}

impl Error for ClaimerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ClaimerError::Unknown(source) | ClaimerError::Fatal(source) => Some(&**source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_error_says_what_it_means_and_keeps_its_source() {
        let unknown = ClaimerError::unknown("the connection broke");
        let fatal = ClaimerError::fatal("a bad password");
        assert_eq!((unknown.is_fatal(), fatal.is_fatal()), (false, true));
        assert_eq!(unknown.to_string(), "the store's answer is not known");
        assert_eq!(fatal.to_string(), "the store will never grant this");
        let source = |error: ClaimerError| error.source().unwrap().to_string();
        assert_eq!(source(unknown), "the connection broke");
        assert_eq!(source(fatal), "a bad password");
    }
}

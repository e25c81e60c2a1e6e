//! The bugs, by the clause that each breaks; and both traits over a store that has one.

use std::thread;
use std::time::Duration;

use async_io::Timer;
use futures_lite::future;
use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, Claimer, ClaimerError, Judge, Leader,
    ServiceName,
};
use tenure_testkit::conformance::Clause;

use super::flawed::{Client, Wait};

macro_rules! bugs {
    ($($clause:ident { $($(#[doc = $doc:literal])* $bug:ident,)* })*) => {
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(super) enum Bug {
            $($($(#[doc = $doc])* $bug,)*)*
        }

        impl Bug {
            pub(super) const ALL: &[(Clause, Bug)] = &[$($((Clause::$clause, Bug::$bug),)*)*];
        }
    };
}

bugs! {
    Lease {
        /// A lease lasts four fifths of what was asked for.
        LeaseCountedShort,
        /// The client's clock says when a lease began, and whether another is over.
        LeaseByClientClock,
        /// After a restart everything is free.
        LeaseForgottenOnRestart,
    }
    Exclusion {
        /// Whoever claims is granted.
        GrantsWhileHeld,
        /// A restarted unit takes over from the one before it.
        UnitAloneIsTheHolder,
        /// Another unit with the holder's nonce takes over.
        NonceAloneIsTheHolder,
        /// A renewal sets the lease's end, also when that was later.
        RenewalShortens,
        /// Each renewal has a term of its own.
        RenewalRaisesTerm,
        /// `web/10` renews for `web/1`.
        NamesByPrefix,
        /// `Web` and `web` are one service.
        CaseFolded,
    }
    Terms {
        /// A release deletes the term with the lease.
        TermResetOnRelease,
        /// Who takes over a lapsed lease gets its term as well.
        TermKeptOnTakeOver,
        /// A unit that comes back gets its old term.
        TermKeptForTheUnit,
        /// After the highest term comes 0.
        TermWraps,
        /// After a restart the terms begin anew.
        TermForgottenOnRestart,
    }
    Atomicity {
        /// A claim reads, waits, and writes.
        ReadThenWrite,
        /// A claim that is denied is made once more.
        RetriesWhenDenied,
        /// A claim without an answer is made three times.
        RetriesWhenLost,
    }
    LostAnswers {
        /// No answer is a no.
        LostIsDenied,
        /// No connection is a no.
        AwayIsDenied,
        /// No answer is a yes, if the store then names the unit.
        LostIsReadBack,
        /// No answer is the end.
        SilenceIsFatal,
        /// A release without an answer was done.
        LostReleaseIsDone,
        /// Nobody leads, if the store does not say who.
        LostLeaderIsNobody,
    }
    Release {
        /// A unit releases whatever a unit of its name holds.
        ReleaseByUnit,
        /// Any unit with the holder's nonce releases.
        ReleaseByNonce,
        /// Everybody releases.
        ReleaseByAnybody,
        /// Nobody releases.
        ReleaseIgnored,
        /// A release of what is not held is an error.
        ReleaseTwiceFails,
    }
    Waiting {
        /// Waits for a release only.
        SleepsThroughExpiry,
        /// Waits for the lease's end only.
        SleepsThroughRelease,
        /// Waits for the end that the lease had when the wait began.
        HeedsNoRenewal,
        /// Never waits.
        ReturnsAtOnce,
        /// Waits for a change, though there is nothing to wait for.
        HangsWhenFree,
        /// Asks the store again and again.
        Polls,
    }
    Leaks {
        /// A cancelled wait leaves a thread.
        LeaksThreads,
        /// A cancelled wait leaves an open file.
        LeaksFiles,
        /// A cancelled wait stays in the store's list.
        LeaksWaiters,
        /// Waits on after it was cancelled: what only a blocking claimer can get wrong.
        CancelIgnored,
        /// A claim that is dropped holds for ever: what only an async claimer can get wrong.
        DroppedClaimHoldsOn,
    }
}

pub(super) struct Blocking(pub(super) Client);

impl BlockingClaimer for Blocking {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        self.0.claim(candidate, lease)
    }

    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        let mut wait = self.0.wait(service);
        while !wait.look() && (self.0.has(Bug::CancelIgnored) || !cancel.is_cancelled()) {
            thread::sleep(Wait::NAP);
        }
        Ok(())
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.0.release(candidate)
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        self.0.leader(service)
    }

    fn judge(&self) -> Judge {
        Judge::Server
    }
}

pub(super) struct Asynchronous(pub(super) Client);

impl Claimer for Asynchronous {
    async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        // Once before the request and once before its answer, so that a claim can be dropped there.
        future::yield_now().await;
        let answer = self.0.claim(candidate, lease);
        if self.0.has(Bug::DroppedClaimHoldsOn) {
            let put_right = self.0.stretch(candidate);
            future::yield_now().await;
            put_right();
        }
        future::yield_now().await;
        answer
    }

    async fn released(&self, service: &ServiceName) -> Result<(), ClaimerError> {
        let mut wait = self.0.wait(service);
        while !wait.look() {
            Timer::after(Wait::NAP).await;
        }
        Ok(())
    }

    async fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.0.release(candidate)
    }

    async fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        self.0.leader(service)
    }

    fn judge(&self) -> Judge {
        Judge::Server
    }
}

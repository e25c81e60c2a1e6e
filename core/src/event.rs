use core::fmt;
use core::time::Duration;

use crate::Term;

/// What can happen to a [`Tracker`](crate::Tracker).
///
/// Any event may come in any state at any time: one whose number is not the one that is out
/// changes nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Event {
    /// A claim has ended.
    ClaimFinished {
        /// The number that the claim went out with.
        attempt: AttemptId,
        /// How it ended.
        outcome: ClaimOutcome,
    },
    /// The guarded work has ended that a [`Drain`](crate::Action::Drain) asked to.
    Drained {
        /// The number that the drain went out with.
        tenure: TenureId,
    },
    /// A release has ended, well or badly.
    ReleaseFinished {
        /// The number that the release went out with.
        tenure: TenureId,
    },
    /// The service that a watch is on has no leader, or may have none.
    ReleaseObserved {
        /// The number that the watch went out with.
        watch: WatchId,
    },
    /// Step down, or stop.
    Resign {
        /// What comes after.
        then: Then,
    },
    /// A question, already parked under its kind: the answer may be among the actions.
    TicketRequested {
        /// What is asked.
        kind: TicketKind,
    },
    /// Time has passed. Needed when the armed timer is due; harmless at any other time.
    TimerFired,
    /// A watch has ended without an answer. It is begun again after a back-off.
    WatchFailed {
        /// The number that the watch went out with.
        watch: WatchId,
    },
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ClaimOutcome {
    /// Somebody else holds the lease.
    Denied {
        /// How long until that lease may expire, if the store says.
        retry_after: Option<Duration>,
    },
    /// The store will never say yes.
    Fatal,
    /// The lease is ours, for its whole length from the moment of the call.
    Granted {
        /// The fencing number that came with it.
        term: Term,
    },
    /// It may have been granted, and it may not.
    Unknown,
}

/// What a ticket asks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TicketKind {
    /// Do I lead now?
    ClaimLeader,
    /// Tell me when I lead.
    WaitLeader,
    /// Tell me when I may no longer rely on leading.
    WaitMinion,
}

/// What comes after a resignation.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Then {
    /// Stay a candidate.
    StepDown {
        /// How long to wait after the release before claiming again.
        cool_off: Duration,
    },
    /// Be a candidate no more.
    Stop,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(u64);

        impl $name {
            /// The one with this number.
            pub const fn new(number: u64) -> $name {
                $name(number)
            }

            /// Its number.
            pub const fn number(self) -> u64 {
                self.0
            }

            /// The one after it.
            pub(crate) const fn next(self) -> $name {
                $name(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

id! {
    /// Numbers the claims of a tracker, from 1.
    AttemptId
}
id! {
    /// Numbers the tenures of a tracker, from 1: a new one begins with each release, and has a
    /// nonce of its own.
    TenureId
}
id! {
    /// Numbers the watches of a tracker, from 1.
    WatchId
}

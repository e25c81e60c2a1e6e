use core::time::Duration;

use crate::{AttemptId, Instant, TenureId, Term, TicketKind, WatchId};

/// What a [`Tracker`](crate::Tracker) wants done.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Action {
    /// Give up this claim; its outcome will be ignored.
    AbandonClaim {
        /// The number that the claim went out with.
        attempt: AttemptId,
    },
    /// Give up this release; it has taken too long.
    AbandonRelease {
        /// The number that the release went out with.
        tenure: TenureId,
    },
    /// Give up this watch.
    AbandonWatch {
        /// The number that the watch went out with.
        watch: WatchId,
    },
    /// Hand in [`TimerFired`](crate::Event::TimerFired) once the clock has reached `at`. There is
    /// one timer: this takes the place of what was armed before, and stays until it is replaced.
    ArmTimer {
        /// When.
        at: Instant,
    },
    /// Wait until the service has no leader, or may have none.
    AwaitRelease {
        /// Hand it back with what the watch saw.
        watch: WatchId,
    },
    /// Claim the lease.
    Claim {
        /// Hand it back with the outcome.
        attempt: AttemptId,
        /// Which tenure it is for: one nonce for each.
        tenure: TenureId,
        /// How long a lease to ask for.
        lease: Duration,
    },
    /// Tell the guarded work to end, and hand in [`Drained`](crate::Event::Drained) when it has:
    /// at once, if there is none.
    Drain {
        /// Hand it back.
        tenure: TenureId,
    },
    /// Nothing more will come.
    Finish {
        /// Why.
        reason: FinishReason,
    },
    /// Something happened that logs and metrics want to know.
    Notify(Transition),
    /// Release the lease, if the store has it as ours.
    Release {
        /// Which tenure's: the nonce to release by. Hand it back when the call has ended.
        tenure: TenureId,
    },
    /// Answer all the tickets that are parked under `kind`.
    Resolve {
        /// Which ones.
        kind: TicketKind,
        /// What to answer.
        outcome: Outcome,
    },
}

/// The answer to a ticket.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// The unit leads, and will at least for the guarantee.
    Leader {
        /// The fencing number of its holding.
        term: Term,
        /// Until then nobody else can hold the lease.
        valid_until: Instant,
    },
    /// The unit cannot promise that it leads.
    Minion,
    /// The tracker has stopped, and the unit is no candidate any more.
    Stopped,
}

/// Something that happened to a tracker.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transition {
    /// A claim ended with its outcome unknown.
    AttemptFailed {
        /// The number of the claim.
        attempt: AttemptId,
        /// How that is known.
        failure: AttemptFailure,
    },
    /// The unit does not lead any more.
    Demoted {
        /// The term that ended.
        term: Term,
        /// Why.
        reason: Demotion,
    },
    /// The unit leads.
    Promoted {
        /// The fencing number of its holding.
        term: Term,
        /// Until then nobody else can hold the lease.
        valid_until: Instant,
    },
    /// The unit leads on.
    Renewed {
        /// The fencing number of its holding.
        term: Term,
        /// Until then nobody else can hold the lease.
        valid_until: Instant,
    },
    /// A watch ended in an error, so a release would not be heard of. It is begun again after a
    /// while.
    WatchFailed {
        /// The number of the watch.
        watch: WatchId,
        /// Whether the one before has failed as well, and this one has not stood for long.
        repeated: bool,
    },
}

/// Why the outcome of a claim is not known.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AttemptFailure {
    /// The claimer said so.
    Unknown,
    /// It had not answered by the attempt's deadline.
    TimedOut,
}

/// Why a unit stopped leading.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Demotion {
    /// The store named somebody else.
    Denied,
    /// The store granted another term than the one held, so somebody else led in between.
    Interrupted,
    /// The lease could not be renewed in time.
    NotRenewed,
    /// The tracker was asked to step down or to stop.
    Resigned,
    /// The tracker stopped because of its store.
    StoreFailed,
}

/// Why a tracker stopped.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FinishReason {
    /// The store will never say yes.
    Fatal,
    /// It was asked to.
    Resigned,
    /// The store is broken: it granted a term lower than one seen before.
    TermFell {
        /// The highest term seen.
        seen: Term,
        /// The one granted.
        granted: Term,
    },
    /// The store is broken: it granted a term for the second time, with another holder in between.
    TermRepeated {
        /// The one granted.
        term: Term,
    },
}

/// What a [`Tracker`](crate::Tracker) wants done, in order.
///
/// At most [`Actions::CAPACITY`], kept in place. To be done by whoever drives the machine: one that
/// is dropped is an answer that never comes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[must_use = "actions that are not carried out leave tickets without an answer"]
pub struct Actions {
    items: [Option<Action>; Actions::CAPACITY],
    len: usize,
}

impl Actions {
    /// The most actions that one event can cause. Exhausting the histories of one tracker shows
    /// that no more come.
    pub const CAPACITY: usize = 10;

    pub(crate) const fn new() -> Actions {
        Actions { items: [None; Actions::CAPACITY], len: 0 }
    }

    pub(crate) fn push(&mut self, action: Action) {
        let slot = self.items.get_mut(self.len);
        debug_assert!(slot.is_some(), "more actions than there is room for");
        if let Some(slot) = slot {
            *slot = Some(action);
            self.len = self.len.saturating_add(1);
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The actions, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Action> {
        self.items.iter().flatten()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }
}

impl IntoIterator for Actions {
    type Item = Action;
    type IntoIter =
        core::iter::Flatten<core::array::IntoIter<Option<Action>, { Actions::CAPACITY }>>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_come_in_the_order_in_which_they_were_added() {
        let mut actions = Actions::new();
        assert!(actions.is_empty());
        assert_eq!(actions.len(), 0);
        let watches = [1, 2, 3].map(|number| Action::AwaitRelease { watch: WatchId::new(number) });
        watches.into_iter().for_each(|watch| actions.push(watch));
        assert!(!actions.is_empty());
        assert_eq!(actions.len(), 3);
        assert!(actions.iter().eq(&watches));
        assert!(actions.into_iter().eq(watches));
    }
}

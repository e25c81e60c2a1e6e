use crate::{AttemptId, FinishReason, Instant, TenureId, Term, Then, WatchId};

/// Where a tracker stands. Each deadline lives in the state that it belongs to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum State {
    /// Wants the lease, and may have it.
    Contending { lead: Lead, claim: Claim },
    /// Wants to be rid of the lease, and renews it while guarded work winds down.
    Resigning { held: Held, claim: Claim, then: Then },
    /// Believes no more, but work may still wind down in the lease that it had.
    Draining { until: Instant, then: Then },
    /// Waits for the release of `tenure`.
    Releasing { tenure: TenureId, until: Instant, then: Then },
    /// Has stepped down and waits before it contends again.
    CoolingOff { until: Instant },
    /// Nothing more will come.
    Stopped { reason: FinishReason },
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Lead {
    Leader(Held),
    Minion,
}

/// A lease that is believed in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Held {
    pub(crate) term: Term,
    pub(crate) valid_until: Instant,
}

/// One attempt at a time: either one is out, or the next is due at some instant.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Claim {
    Due { at: Instant },
    Out { attempt: AttemptId, sent: Instant, deadline: Instant },
}

/// The watch of a minion that contends. Nobody else has one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Watch {
    /// None is needed: a claim is out, or due before long. If that is denied, one begins.
    None,
    /// The last one failed, and the next begins then.
    Due {
        at: Instant,
    },
    Out {
        watch: WatchId,
        begun: Instant,
    },
}

impl Watch {
    pub(crate) fn is_out(self, number: WatchId) -> bool {
        match self {
            Watch::Out { watch, .. } => watch == number,
            Watch::None | Watch::Due { .. } => false,
        }
    }
}

/// The terms that the store has granted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Terms {
    /// None so far.
    Unseen,
    /// The highest one may be granted again: nobody else is known to have led since.
    Ours(Term),
    /// The next one has to be higher: somebody else has led since, or our nonce is another.
    Over(Term),
}

impl Terms {
    /// Takes note of a term that was granted.
    ///
    /// # Errors
    ///
    /// Why no store that keeps its promises would have granted it.
    pub(crate) fn admit(&mut self, granted: Term) -> Result<(), FinishReason> {
        match *self {
            Terms::Ours(seen) | Terms::Over(seen) if granted < seen => {
                Err(FinishReason::TermFell { seen, granted })
            }
            Terms::Over(seen) if granted == seen => Err(FinishReason::TermRepeated { term: seen }),
            Terms::Unseen | Terms::Ours(_) | Terms::Over(_) => {
                *self = Terms::Ours(granted);
                Ok(())
            }
        }
    }

    /// Takes note that the highest term so far is over.
    pub(crate) fn end(&mut self) {
        match *self {
            Terms::Unseen => {}
            Terms::Ours(seen) | Terms::Over(seen) => *self = Terms::Over(seen),
        }
    }
}

/// Whether tickets may be parked, by kind. A ticket that was parked may have been dropped since.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Parked {
    pub(crate) claim_leader: bool,
    pub(crate) wait_leader: bool,
    pub(crate) wait_minion: bool,
}

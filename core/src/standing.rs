use crate::{Instant, Outcome, Term};

/// What a tracker holds to be true of its unit at one instant.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Standing {
    /// The unit leads.
    Leader {
        /// The fencing number of its holding.
        term: Term,
        /// Until then a ticket may be answered yes. The origin, if the tracker is resigning.
        fresh_until: Instant,
        /// Until then nobody else can hold the lease.
        valid_until: Instant,
    },
    /// The unit cannot promise that it leads.
    Minion,
    /// The tracker has stopped.
    Stopped,
}

/// What a tracker believes until it says otherwise: a [`Standing`] for every instant to come.
///
/// It changes only when an event is handled. A driver publishes it, and whoever reads it needs
/// nothing but a clock to know the standing now, also when the driver is late.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Belief {
    /// The unit leads, while it is not yet `step_down_at`.
    Leader {
        /// The fencing number of its holding.
        term: Term,
        /// Until then a ticket may be answered yes. The origin, if the tracker is resigning.
        fresh_until: Instant,
        /// From then on the unit is a minion, so that its users have time to stop.
        step_down_at: Instant,
        /// Until then nobody else can hold the lease.
        valid_until: Instant,
    },
    /// The unit cannot promise that it leads.
    Minion,
    /// The tracker has stopped.
    Stopped,
}

impl Belief {
    /// The standing at `now`.
    #[inline]
    pub fn standing(&self, now: Instant) -> Standing {
        match *self {
            Belief::Leader { term, fresh_until, step_down_at, valid_until }
                if now < step_down_at =>
            {
                Standing::Leader { term, fresh_until, valid_until }
            }
            Belief::Leader { .. } | Belief::Minion => Standing::Minion,
            Belief::Stopped => Standing::Stopped,
        }
    }

    /// The answer yes, if a ticket may be given that at `now`.
    #[inline]
    pub fn yes(&self, now: Instant) -> Option<Outcome> {
        match *self {
            Belief::Leader { term, fresh_until, valid_until, .. } if now < fresh_until => {
                Some(Outcome::Leader { term, valid_until })
            }
            Belief::Leader { .. } | Belief::Minion | Belief::Stopped => None,
        }
    }
}

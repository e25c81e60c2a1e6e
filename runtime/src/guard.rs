use std::sync::Arc;

use tenure_core::{Demotion, Instant, Standing, Term};

use crate::Hub;

/// Leadership for a piece of work: what the runtimes' guards are made of.
///
/// As long as it lives the lease is not released, however the tracker is asked to resign.
#[derive(Debug)]
pub struct Guard {
    hub: Arc<Hub>,
    term: Term,
    granted_until: Instant,
}

impl Guard {
    pub(crate) fn new(hub: Arc<Hub>, term: Term, granted_until: Instant) -> Guard {
        Guard { hub, term, granted_until }
    }

    /// Whether the unit leads now, in the term of this guard. Reads the clock each time.
    #[inline]
    pub fn holds(&self) -> bool {
        match self.hub.standing() {
            Standing::Leader { term, .. } => term == self.term,
            Standing::Minion | Standing::Stopped => false,
        }
    }

    /// The fencing number.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Why the leadership was lost, if it was: the latest reason.
    pub fn loss(&self) -> Demotion {
        self.hub.loss()
    }

    /// Until then nobody else can hold the lease, as far as is known now: each renewal moves it.
    /// Also after the loss, as the end of the time that the work has to stop.
    pub fn valid_until(&self) -> Instant {
        self.hub.granted_until(self.term).unwrap_or(self.granted_until)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.hub.drop_guard();
    }
}

use std::sync::Arc;

use tenure_core::{Instant, Standing, Term};

use crate::holding::Holding;
use crate::{Hub, Loss, LossWatch};

/// Leadership for a piece of work: what the runtimes' guards are made of.
///
/// As long as it or a clone of it lives the lease is not released, however the tracker is asked to
/// resign.
#[derive(Debug)]
pub struct Guard {
    watch: LossWatch,
}

impl Guard {
    /// One that the hub has counted already.
    pub(crate) fn new(hub: Arc<Hub>, holding: Arc<Holding>) -> Guard {
        Guard { watch: LossWatch::new(hub, holding) }
    }

    /// Whether the unit leads now, in the term of this guard. Reads the clock each time.
    #[inline]
    pub fn holds(&self) -> bool {
        match self.watch.hub().standing() {
            Standing::Leader { term, .. } => term == self.term(),
            Standing::Minion | Standing::Stopped => false,
        }
    }

    /// The fencing number.
    pub fn term(&self) -> Term {
        self.watch.term()
    }

    /// That the work has to end, once it has to.
    pub fn loss(&self) -> Option<Loss> {
        self.watch.loss()
    }

    /// Until then nobody else can hold the lease, as far as is known now: each renewal moves it.
    /// Also after the loss, as the end of the time that the work has to stop.
    pub fn valid_until(&self) -> Instant {
        self.watch.valid_until()
    }

    /// What tells of the loss, and does not hold back the release.
    pub fn watch(&self) -> &LossWatch {
        &self.watch
    }
}

/// One more guard, which holds back the release like the first.
impl Clone for Guard {
    fn clone(&self) -> Guard {
        self.watch.hub().add_guard();
        Guard { watch: self.watch.clone() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.watch.hub().drop_guard();
    }
}

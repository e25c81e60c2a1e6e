use tenure_core::{Instant, Term};

/// Leadership for a piece of work, as [`Tracker::while_leader`](crate::Tracker::while_leader)
/// hands it out.
///
/// While it lives the lease is not released, however the tracker is asked to resign: the work is
/// over before the next leader begins. It is dropped with the future that it was given to.
#[derive(Debug)]
pub struct Guard(pub(crate) tenure_runtime::Guard);

impl Guard {
    /// Whether the unit leads now, in this guard's term. Reads the clock at each call, takes no
    /// lock and needs no driver: it is right also when nothing else of this process has run for
    /// long.
    ///
    /// Look at it before each step that only a leader may take.
    pub fn holds(&self) -> bool {
        self.0.holds()
    }

    /// The fencing number: hand it to what you act on, so that it can refuse a lower one.
    pub fn term(&self) -> Term {
        self.0.term()
    }

    /// Until then nobody else can hold the lease, as far as is known now: each renewal moves it. On
    /// the clock of the tracker. After a loss it is the end of the time that the work has to stop.
    pub fn valid_until(&self) -> Instant {
        self.0.valid_until()
    }
}

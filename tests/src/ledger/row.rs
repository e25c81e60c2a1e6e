use tenure_core::{Config, Then};

use super::{Ledger, fresh_until, step_down_at};

/// The rows of the answer table: where a tracker stands, as far as an answer depends on it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Row {
    /// A leader that says yes.
    LeaderFresh,
    /// A leader that is not fresh, with its renewal out.
    LeaderRenewing,
    /// A leader that is not fresh and waits for its next try.
    LeaderBackingOff,
    /// A leader that is not fresh and should have renewed already.
    LeaderTimerLate,
    /// A minion whose very first claim is out.
    MinionFirstClaim,
    /// A minion with a later claim out.
    MinionClaiming,
    /// A minion that should have claimed already.
    MinionTimerLate,
    /// A minion with no claim out.
    MinionIdle,
    /// Stepping down, and still a leader.
    SteppingDownHeld,
    /// Stepping down, not a leader any more, with work that winds down.
    SteppingDownDraining,
    /// Stepping down, with the release out.
    SteppingDownReleasing,
    /// Has stepped down, and waits before it contends again.
    CoolingOff,
    /// Stopping, and still a leader.
    StoppingHeld,
    /// Stopping, not a leader any more, with work that winds down.
    StoppingDraining,
    /// Stopping, with the release out.
    StoppingReleasing,
    /// Stopped.
    Stopped,
}

impl Row {
    /// All of them.
    pub const ALL: [Row; 16] = [
        Row::LeaderFresh,
        Row::LeaderRenewing,
        Row::LeaderBackingOff,
        Row::LeaderTimerLate,
        Row::MinionFirstClaim,
        Row::MinionClaiming,
        Row::MinionTimerLate,
        Row::MinionIdle,
        Row::SteppingDownHeld,
        Row::SteppingDownDraining,
        Row::SteppingDownReleasing,
        Row::CoolingOff,
        Row::StoppingHeld,
        Row::StoppingDraining,
        Row::StoppingReleasing,
        Row::Stopped,
    ];
}

impl Ledger {
    /// Where the tracker stands at the latest `now`.
    pub fn row(&self, config: &Config) -> Row {
        if self.finished.is_some() {
            return Row::Stopped;
        }
        let held = self.held.filter(|&held| self.now < step_down_at(config, held));
        match (self.resigning, held) {
            (Some(Then::StepDown { .. }), Some(_)) => Row::SteppingDownHeld,
            (Some(Then::Stop), Some(_)) => Row::StoppingHeld,
            (Some(Then::StepDown { .. }), None) => {
                if self.release.is_some() {
                    Row::SteppingDownReleasing
                } else if self.cooling_until.is_some() {
                    Row::CoolingOff
                } else {
                    Row::SteppingDownDraining
                }
            }
            (Some(Then::Stop), None) => {
                if self.release.is_some() {
                    Row::StoppingReleasing
                } else {
                    Row::StoppingDraining
                }
            }
            (None, Some(held)) => {
                if self.now < fresh_until(config, held) {
                    Row::LeaderFresh
                } else if self.claim.is_some() {
                    Row::LeaderRenewing
                } else if self.is_timer_late() {
                    Row::LeaderTimerLate
                } else {
                    Row::LeaderBackingOff
                }
            }
            (None, None) => {
                if self.claim.is_some() && self.attempts == 1 {
                    Row::MinionFirstClaim
                } else if self.claim.is_some() {
                    Row::MinionClaiming
                } else if self.is_timer_late() {
                    Row::MinionTimerLate
                } else {
                    Row::MinionIdle
                }
            }
        }
    }

    fn is_timer_late(&self) -> bool {
        self.armed.is_some_and(|armed| armed <= self.now)
    }

    /// The row at `now`, before anything is handed in: what a ticket that is asked then meets.
    pub fn row_at(&self, config: &Config, now: tenure_core::Instant) -> Row {
        let mut then = self.clone();
        then.now = then.now.max(now);
        then.claim = then.claim.filter(|claim| then.now < claim.deadline);
        if self.claim != then.claim {
            // It timed out just now: the back-off begins, so nothing is late yet.
            then.armed = None;
        }
        then.row(config)
    }
}

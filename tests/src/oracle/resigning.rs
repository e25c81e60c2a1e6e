use tenure_core::{Action, Demotion, FinishReason, Outcome, Then, TicketKind};

use super::Oracle;
use super::facts::Fact;

/// 4.5: resigning.
impl Oracle {
    pub(super) fn resign(&mut self, then: Then) {
        if self.facts.has_finished() {
            return;
        }
        if let Some(until) = self.facts.cooling_until() {
            return match then {
                Then::StepDown { cool_off } => {
                    let until = until.max(self.now.saturating_add(cool_off));
                    self.facts.add(Fact::CoolingOff { until });
                }
                Then::Stop => self.finish(FinishReason::Resigned),
            };
        }
        let is_first = self.facts.resigning().is_none();
        self.facts.add(Fact::Resigned(then));
        if is_first {
            self.tell(TicketKind::WaitMinion, Outcome::Minion);
            self.tell(TicketKind::ClaimLeader, Outcome::Minion);
        }
        if then == Then::Stop {
            self.tell(TicketKind::WaitLeader, Outcome::Stopped);
        }
        if !is_first {
            return;
        }
        let tenure = self.facts.tenure();
        if self.facts.held().is_some() {
            self.actions.push(Action::Drain { tenure });
        } else {
            let may_have_work = self.now < self.facts.work_until();
            if may_have_work {
                self.abandon_claim();
                self.abandon_watch();
                self.actions.push(Action::Drain { tenure });
            }
            self.wind_down();
        }
    }

    /// Belief has ended. The lease is never released before the work is done, or must be.
    pub(super) fn wind_down(&mut self) {
        if self.facts.work_until() <= self.now {
            self.release();
        } else {
            self.abandon_claim();
        }
    }

    pub(super) fn release(&mut self) {
        self.abandon_claim();
        self.abandon_watch();
        let tenure = self.facts.tenure();
        let until = self.now.saturating_add(self.config.claim_timeout());
        self.facts.add(Fact::Released { tenure, until });
        self.actions.push(Action::Release { tenure });
    }

    pub(super) fn follow_release(&mut self) {
        self.facts.add(Fact::ReleaseEnded);
        match self.facts.resigning() {
            Some(Then::StepDown { cool_off }) => {
                let until = self.now.saturating_add(cool_off);
                self.facts.add(Fact::CoolingOff { until });
            }
            Some(Then::Stop) => self.finish(FinishReason::Resigned),
            None => {}
        }
    }

    pub(super) fn finish(&mut self, reason: FinishReason) {
        self.lose(Demotion::StoreFailed);
        self.abandon_watch();
        for kind in [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion] {
            self.tell(kind, Outcome::Stopped);
        }
        self.facts.add(Fact::Finished);
        self.actions.push(Action::Finish { reason });
    }
}

use tenure_core::{Action, AttemptFailure, AttemptId, Demotion, Instant, Outcome, TicketKind};

use super::facts::{Due, Fact};
use super::{Oracle, Peek};

/// 4.4: time passing.
impl Oracle {
    pub(super) fn pass_time(&mut self) {
        if let Some((attempt, _, deadline)) = self.facts.claim_out()
            && deadline <= self.now
        {
            self.abandon_claim();
            self.fail(attempt, AttemptFailure::TimedOut);
        }
        let is_past = |held| self.step_down_at(held) <= self.now;
        if self.facts.held().is_some_and(is_past) {
            self.lose(Demotion::NotRenewed);
            if self.facts.resigning().is_some() {
                self.wind_down();
            } else {
                self.tell(TicketKind::WaitMinion, Outcome::Minion);
                self.tell(TicketKind::ClaimLeader, Outcome::Minion);
            }
        } else if let Some((tenure, until)) = self.facts.release_out() {
            if until <= self.now {
                self.actions.push(Action::AbandonRelease { tenure });
                self.follow_release();
            }
        } else if self.facts.is_winding_down() && self.facts.held().is_none() {
            self.wind_down();
        }
    }

    pub(super) fn do_what_is_due(&mut self, peek: Peek) {
        self.claim_if_due(peek);
        let is_due = self.facts.watch_due().is_some_and(|due| due.is_due(self.now, peek.watches));
        if is_due && !self.facts.has_finished() && self.now < Instant::MAX {
            self.watch();
        }
    }

    fn claim_if_due(&mut self, peek: Peek) {
        if let Some(until) = self.facts.cooling_until()
            && until <= self.now
        {
            self.facts.add(Fact::CandidateAgain);
            self.facts.add(Fact::ClaimDue(self.not_too_soon(Due::at(until))));
        }
        let held = self.facts.held();
        let wants_it = self.facts.resigning().is_none() || held.is_some();
        let is_due = self.facts.claim_due().is_due(self.now, peek.claims);
        let is_free = self.facts.claim_out().is_none() && !self.facts.has_finished();
        if !wants_it || !is_due || !is_free || self.now == Instant::MAX {
            return;
        }
        let attempt = AttemptId::new(self.facts.attempts() + 1);
        let mut deadline = self.now.saturating_add(self.config.claim_timeout());
        if let Some(held) = held {
            deadline = deadline.min(self.step_down_at(held));
        }
        let (tenure, lease) = (self.facts.tenure(), self.config.lease());
        self.facts.add(Fact::Sent { attempt, at: self.now, deadline });
        self.actions.push(Action::Claim { attempt, tenure, lease });
    }

    pub(super) fn arm(&mut self, peek: Peek) {
        if self.facts.has_finished() {
            return;
        }
        let step_down_at = self.facts.held().map_or(Instant::MAX, |held| self.step_down_at(held));
        let at = if let Some((_, until)) = self.facts.release_out() {
            until
        } else if let Some(until) = self.facts.cooling_until() {
            until
        } else if self.facts.is_winding_down() && self.facts.held().is_none() {
            self.facts.work_until()
        } else {
            self.next_due(peek).min(step_down_at)
        };
        if self.facts.armed() != Some(at) {
            self.facts.add(Fact::Armed(at));
            self.actions.push(Action::ArmTimer { at });
        }
    }

    /// When the claim is due, or its deadline, or when the watch is to begin again: the first of
    /// them. Which of two the core's timer is for may be open.
    fn next_due(&mut self, peek: Peek) -> Instant {
        let held = self.facts.held().map(|held| self.step_down_at(held));
        let step_down_at = Due::at(held.unwrap_or(Instant::MAX));
        let is_over = self.now == Instant::MAX;
        let watch = self.facts.watch_due().filter(|_| !is_over);
        let claim = match self.facts.claim_out() {
            Some((_, _, deadline)) => Due::at(deadline),
            // Nothing is claimed any more.
            None if is_over => Due::at(Instant::MAX),
            None => self.facts.claim_due(),
        };
        let known = claim.narrow(peek.deadline, watch.unwrap_or(step_down_at));
        if self.facts.claim_out().is_none() && !is_over {
            self.facts.add(Fact::ClaimDue(known));
        }
        let Some(watch) = watch else { return known.earliest };
        let watch = watch.narrow(peek.deadline, claim);
        self.facts.add(Fact::WatchDue(watch));
        known.earliest.min(watch.earliest)
    }
}

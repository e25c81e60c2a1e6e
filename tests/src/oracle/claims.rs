use tenure_core::{
    Action, AttemptFailure, AttemptId, ClaimOutcome, Demotion, FinishReason, Instant, Outcome,
    Term, TicketKind, Transition, WatchId,
};

use super::Oracle;
use super::facts::{Due, Fact, Grant};

/// 4.3: what ends an attempt.
impl Oracle {
    pub(super) fn end_claim(&mut self, attempt: AttemptId, sent: Instant, outcome: ClaimOutcome) {
        match outcome {
            ClaimOutcome::Denied { retry_after } => {
                let recheck = self.now.saturating_add(self.config.recheck());
                let named = retry_after.map(|span| self.now.saturating_add(span));
                let at = named.map_or(recheck, |named| named.min(recheck));
                self.facts.add(Fact::SomebodyElse);
                self.facts.add(Fact::ClaimDue(self.not_too_soon(Due::at(at))));
                self.lose(Demotion::Denied);
                if self.facts.resigning().is_some() {
                    return self.wind_down();
                }
                self.tell(TicketKind::ClaimLeader, Outcome::Minion);
                self.tell(TicketKind::WaitMinion, Outcome::Minion);
                if self.facts.watch_out().is_none() && self.facts.watch_due().is_none() {
                    self.watch();
                }
            }
            ClaimOutcome::Fatal => self.finish(FinishReason::Fatal),
            ClaimOutcome::Granted { term } => {
                if let Some(reason) = self.refusal(term) {
                    return self.finish(reason);
                }
                self.facts.add(Fact::TermSeen(term));
                let valid_until = sent.saturating_add(self.valid_for());
                let grant = Grant { term, valid_until };
                if self.fresh_until(grant) <= self.now {
                    // Proves nothing fresh.
                    self.fail(attempt, AttemptFailure::Unknown);
                } else {
                    self.be_granted(sent, grant);
                }
            }
            ClaimOutcome::Unknown => self.fail(attempt, AttemptFailure::Unknown),
        }
    }

    /// A term lower than any seen, or the same after a loss to somebody else: a broken store.
    pub(super) fn refusal(&self, granted: Term) -> Option<FinishReason> {
        let (seen, is_over) = self.facts.highest_term()?;
        if granted < seen {
            Some(FinishReason::TermFell { seen, granted })
        } else if granted == seen && is_over {
            Some(FinishReason::TermRepeated { term: granted })
        } else {
            None
        }
    }

    pub(super) fn be_granted(&mut self, sent: Instant, grant: Grant) {
        let held = self.facts.held();
        let Grant { term, valid_until } = grant;
        let renew_after = self.valid_for() - self.config.guarantee() - self.config.renew_lead();
        self.facts.add(Fact::ClaimDue(Due::at(sent.saturating_add(renew_after))));
        if held.is_some_and(|held| held.term == term) {
            self.facts.add(Fact::Granted(grant));
            self.actions.push(Action::Notify(Transition::Renewed { term, valid_until }));
        } else {
            // Somebody else led in between, or nobody has led so far.
            self.lose(Demotion::Interrupted);
            self.facts.add(Fact::Granted(grant));
            if self.facts.resigning().is_some() {
                self.facts.add(Fact::Lost);
                return self.wind_down();
            }
            if held.is_some() {
                self.tell(TicketKind::WaitMinion, Outcome::Minion);
            }
            self.actions.push(Action::Notify(Transition::Promoted { term, valid_until }));
            self.abandon_watch();
        }
        if self.facts.resigning().is_none() {
            let yes = Outcome::Leader { term, valid_until };
            self.tell(TicketKind::ClaimLeader, yes);
            self.tell(TicketKind::WaitLeader, yes);
        }
    }

    /// It may have been granted, it may not.
    pub(super) fn fail(&mut self, attempt: AttemptId, failure: AttemptFailure) {
        self.actions.push(Action::Notify(Transition::AttemptFailed { attempt, failure }));
        let due = self.back_off(self.facts.failures_in_a_row());
        self.facts.add(Fact::Failed);
        self.facts.add(Fact::ClaimDue(self.not_too_soon(due)));
        if self.facts.resigning().is_some() {
            return;
        }
        if self.yes().is_none() {
            self.tell(TicketKind::ClaimLeader, Outcome::Minion);
        }
        if self.facts.held().is_none() {
            self.tell(TicketKind::WaitMinion, Outcome::Minion);
        }
    }

    pub(super) fn watch(&mut self) {
        let watch = WatchId::new(self.facts.watches() + 1);
        self.facts.add(Fact::Watched { watch, at: self.now });
        self.actions.push(Action::AwaitRelease { watch });
    }

    /// A watch that fails is begun again with back-off, and no sooner than a claim may follow a
    /// claim. One that had stood for a lease is the first to fail.
    pub(super) fn fail_watch(&mut self, watch: WatchId, begun: Instant) {
        self.facts.add(Fact::WatchEnded);
        if begun.saturating_add(self.config.lease()) <= self.now {
            self.facts.add(Fact::WatchSpoke);
        }
        let failures = self.facts.watch_failures_in_a_row();
        let failed = Transition::WatchFailed { watch, repeated: failures > 0 };
        self.actions.push(Action::Notify(failed));
        self.facts.add(Fact::WatchFailed);
        let earliest = begun.saturating_add(self.config.min_interval());
        self.facts.add(Fact::WatchDue(self.back_off(failures).not_before(earliest)));
    }
}

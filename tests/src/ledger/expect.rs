use tenure_core::{ClaimOutcome, Config, Event, FinishReason, TenureId, Term};

use super::{Claim, Drain, Held, Ledger, Seen, fresh_until, step_down_at, valid_for};

/// What an event at an instant has to lead to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Expected {
    pub(super) held: Option<Held>,
    /// The held term was given up and another one taken.
    pub(super) interrupted: bool,
    pub(super) finished: Option<FinishReason>,
    /// The claim that was out when the event came, if its outcome counts.
    pub(super) ended: Option<Ended>,
}

/// How the claim that was out has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    Answered(ClaimOutcome),
    TimedOut,
    /// Granted, but of no use any more.
    TooLate,
}

impl Ledger {
    /// What has to be believed after `event`, and why it may be the end. Also takes note of the
    /// terms that the store has shown.
    pub(super) fn expect(&mut self, event: Event, config: &Config) -> Expected {
        let held = self.held.filter(|&held| self.now < step_down_at(config, held));
        let mut expected = Expected { held, interrupted: false, finished: None, ended: None };
        if self.claim.is_some_and(|claim| claim.deadline <= self.now) {
            expected.ended = Some(Ended::TimedOut);
            self.failures += 1;
        }
        match event {
            Event::ClaimFinished { attempt, outcome } => match self.claim {
                Some(claim) if claim.attempt == attempt && self.now < claim.deadline => {
                    expected.ended = Some(Ended::Answered(outcome));
                    self.expect_outcome(claim, outcome, config, &mut expected);
                }
                Some(_) | None => {}
            },
            Event::Drained { tenure } => {
                if self.drain == Drain::Asked && tenure == TenureId::new(self.tenure) {
                    expected.held = None;
                }
            }
            Event::ReleaseFinished { .. }
            | Event::ReleaseObserved { .. }
            | Event::Resign { .. }
            | Event::TicketRequested { .. }
            | Event::TimerFired
            | Event::WatchFailed { .. } => {}
        }
        expected
    }

    fn expect_outcome(
        &mut self,
        claim: Claim,
        outcome: ClaimOutcome,
        config: &Config,
        expected: &mut Expected,
    ) {
        match outcome {
            ClaimOutcome::Denied { .. } => {
                expected.held = None;
                self.failures = 0;
                self.see_the_end_of_a_term();
            }
            ClaimOutcome::Fatal => {
                expected.held = None;
                expected.finished = Some(FinishReason::Fatal);
            }
            ClaimOutcome::Granted { term } => {
                let valid_until = claim.sent.saturating_add(valid_for(config));
                let granted = Held { term, sent: claim.sent, valid_until };
                if let Some(reason) = self.refusal(term) {
                    expected.held = None;
                    expected.finished = Some(reason);
                } else if self.now < fresh_until(config, granted) {
                    self.expect_grant(granted, expected);
                } else {
                    // Only where the sum saturates: any other is past its attempt's deadline.
                    self.seen = Some(Seen { term, over: false });
                    self.failures += 1;
                    expected.ended = Some(Ended::TooLate);
                }
            }
            ClaimOutcome::Unknown => self.failures += 1,
        }
    }

    fn expect_grant(&mut self, granted: Held, expected: &mut Expected) {
        (self.failures, self.watch_failures) = (0, 0);
        self.seen = Some(Seen { term: granted.term, over: false });
        self.work_until = self.work_until.max(granted.valid_until);
        expected.interrupted = expected.held.is_some_and(|held| held.term != granted.term);
        // One who resigns renews, but starts nothing new.
        let may_believe = self.resigning.is_none() || !expected.interrupted;
        expected.held = may_believe.then_some(granted);
    }

    /// Why no store that keeps its promises would grant this term.
    fn refusal(&self, granted: Term) -> Option<FinishReason> {
        let seen = self.seen?;
        if granted < seen.term {
            Some(FinishReason::TermFell { seen: seen.term, granted })
        } else if granted == seen.term && seen.over {
            Some(FinishReason::TermRepeated { term: granted })
        } else {
            None
        }
    }

    /// Somebody else leads, or our nonce is a new one: what was seen is never granted again.
    pub(super) fn see_the_end_of_a_term(&mut self) {
        if let Some(seen) = &mut self.seen {
            seen.over = true;
        }
    }

    /// What ended by itself is not out any more, however the machine takes it.
    pub(super) fn take_back(&mut self, event: Event, config: &Config) {
        match event {
            Event::ClaimFinished { attempt, .. } => {
                if self
                    .claim
                    .is_some_and(|claim| claim.attempt == attempt && self.now < claim.deadline)
                {
                    self.claim = None;
                }
            }
            Event::Drained { tenure } => {
                if self.drain == Drain::Asked && tenure == TenureId::new(self.tenure) {
                    self.drain = Drain::Done;
                }
            }
            Event::ReleaseFinished { tenure } => {
                // One that is due has to be given up first: time passes before the event counts.
                self.release = self
                    .release
                    .filter(|release| release.tenure != tenure || release.until <= self.now);
            }
            Event::ReleaseObserved { watch } if self.watch() == Some(watch) => {
                self.watch = None;
                self.watch_failures = 0;
            }
            Event::WatchFailed { watch: failed } => {
                if let Some(watch) = self.watch.filter(|watch| watch.number == failed) {
                    self.watch = None;
                    self.watch_due = Some(self.expect_watch(watch, config));
                }
            }
            Event::ReleaseObserved { .. } => {}
            Event::Resign { .. } | Event::TicketRequested { .. } | Event::TimerFired => {}
        }
    }
}

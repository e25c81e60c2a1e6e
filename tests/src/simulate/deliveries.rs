use tenure_core::{AttemptId, Belief, Instant, Then};

use super::calls::{Answer, Call, Number};
use super::classes::Class;
use super::knobs::CallFault;
use super::world::World;

/// What comes back from the store.
impl World {
    /// An answer has come to the host of the process that called.
    pub(crate) fn deliver(
        &mut self,
        call: usize,
        answer: Answer,
        again: bool,
    ) -> Result<(), String> {
        let Call { member, number, .. } = self.calls[call];
        if !self.members[member].is_alive || !self.members[member].process.is_driven {
            return Ok(());
        }
        self.tune(member)?;
        let kind = number.kind();
        let is_current = self.members[member].lines[kind].out == Some(call);
        if self.members[member].drops_calls && !again {
            // Its driver takes its orders before it looks at its calls, and may drop this one.
            if is_current {
                self.take_orders(member)?;
            }
            if self.members[member].lines[kind].out != Some(call) {
                return self.look(member);
            }
        }
        self.calls[call].is_out = false;
        if is_current {
            let line = &mut self.members[member].lines[kind];
            line.out = line.next.take();
        }
        match number {
            Number::Claim(attempt) => self.deliver_claim(call, attempt, answer, again)?,
            Number::Watch(watch) => {
                if answer != Answer::Done && !self.weather.has_healed {
                    self.members[member].owes_claim.push(Class::WatchCancelled);
                }
                self.members[member].process.watch_finished(watch, answer.to_other())?;
            }
            Number::Release(tenure) => {
                self.members[member].process.release_finished(tenure, answer.to_other())?;
            }
        }
        if is_current && let Some(next) = self.members[member].lines[kind].out {
            self.send(next);
        }
        self.look(member)
    }

    fn deliver_claim(
        &mut self,
        call: usize,
        attempt: AttemptId,
        answer: Answer,
        again: bool,
    ) -> Result<(), String> {
        let member = self.calls[call].member;
        let was = self.members[member].process.shadow.tracker.belief();
        let now = self.members[member].process.now();
        let out = self.members[member].process.shadow.ledger.claim();
        let is_heard = out.is_some_and(|claim| claim.attempt == attempt && now < claim.deadline);
        self.members[member].process.claim_finished(attempt, answer.to_claim())?;
        let is = self.members[member].process.shadow.tracker.belief();
        self.log.note(&[3, call as u64, u64::from(is_heard), now.as_nanos()], || {
            let heard = if is_heard { "" } else { ", which is over" };
            format!("p{member} at {} hears {answer:?} of #{call}{heard}", now.as_nanos())
        });
        if is_heard && let Answer::Granted { .. } = answer {
            self.members[member].forgot = self.calls[call].forgot.unwrap_or(self.store.forgot);
        }
        self.check_delivery(call, answer, again, is_heard, now, (was, is))
    }

    /// What a claim's answer may do, by what is wrong with it.
    fn check_delivery(
        &mut self,
        call: usize,
        answer: Answer,
        again: bool,
        is_heard: bool,
        now: Instant,
        (was, is): (Belief, Belief),
    ) -> Result<(), String> {
        let member = self.calls[call].member;
        let stops = self.members[member].process.shadow.ledger.resigning() == Some(Then::Stop);
        let passed = match was {
            _ if stops && is == Belief::Stopped => true,
            Belief::Leader { step_down_at, .. } if step_down_at <= now => is == Belief::Minion,
            Belief::Leader { .. } | Belief::Minion | Belief::Stopped => is == was,
        };
        let own_end = self.calls[call].sent.saturating_add(self.knobs.config.valid_for());
        let fault = self.calls[call].fault;
        let demand = |holds: bool, rule: &str| match holds {
            true => Ok(()),
            false => Err(format!("{rule}: p{member}, #{call}, {answer:?}: {was:?} -> {is:?}")),
        };
        if again {
            // Another reply to the same: only the first one counts.
            demand(passed || is_heard, "S5: a second reply counts")?;
            self.tally.check(Class::Duplicated);
        }
        match (answer, is_heard) {
            (Answer::Granted { .. }, false) => {
                self.tally.inject(Class::GrantedStale);
                demand(passed, "S5: a grant of an attempt that is over counts")?;
                self.tally.check(Class::GrantedStale);
            }
            (Answer::Denied { .. }, false) => {
                self.tally.inject(Class::DeniedStale);
                demand(passed, "S5: a denial of an attempt that is over counts")?;
                self.tally.check(Class::DeniedStale);
            }
            (Answer::Denied { .. }, true) => {
                demand(!matches!(is, Belief::Leader { .. }), "S6: believes after a denial")?;
            }
            (Answer::Unknown | Answer::Panic, _) => {
                demand(passed, "S5: an answer that is not known counts")?;
            }
            (Answer::Granted { .. }, true) if fault == Some(CallFault::GrantTwice) => {
                demand(is == Belief::Stopped, "a store that grants twice is believed")?;
                self.tally.check(Class::GrantedTwice);
            }
            (Answer::Granted { .. }, true) => {
                let until = match is {
                    Belief::Leader { valid_until, .. } => valid_until,
                    Belief::Minion | Belief::Stopped => own_end,
                };
                demand(until == own_end, "S3: a grant counts from another instant")?;
            }
            (Answer::Fatal, true) => demand(is == Belief::Stopped, "a fatal error is no end")?,
            (Answer::Fatal, false) => demand(passed, "S5: a stale fatal error counts")?,
            (Answer::Done, _) => {}
        }
        if let Answer::Granted { .. } = answer
            && own_end <= now
        {
            self.tally.inject(Class::GrantedLate);
            let by_it = matches!(is, Belief::Leader { valid_until, .. } if valid_until == own_end);
            demand(!by_it, "S3: leads by a grant that is over")?;
            self.tally.check(Class::GrantedLate);
        }
        self.see_delivery(call, answer, is_heard);
        Ok(())
    }
}

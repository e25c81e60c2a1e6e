use tenure_core::{AttemptId, Belief, FinishReason};

use super::calls::{Answer, Number};
use super::classes::Class;
use super::knobs::CallFault;
use super::process::News;
use super::store::{Holder, Record};
use super::world::World;

/// Where the expected outcome of a class of faults shows.
impl World {
    /// A process claims.
    pub(crate) fn see_claim(&mut self, member: usize) {
        let watch = self.members[member].lines[1].out;
        let silent = watch.is_some_and(|call| {
            self.calls[call].fault == Some(CallFault::WatchNever) && self.calls[call].is_out
        });
        if silent {
            self.tally.check(Class::WatchNever);
        }
        if self.hosts[self.members[member].host].watches_at_once {
            // The books have seen that it is not too soon after the one before.
            self.tally.check(Class::WatchAtOnce);
        }
    }

    /// A process begins a watch: the books have seen that it may, and that it does so before long.
    pub(crate) fn see_watch(&mut self, member: usize) {
        if std::mem::take(&mut self.members[member].watch_broke) {
            self.tally.check(Class::WatchBroken);
        }
    }

    /// The machine gave an attempt up: its belief goes on as it was.
    pub(crate) fn see_timeout(
        &mut self,
        member: usize,
        attempt: AttemptId,
        news: &News,
    ) -> Result<(), String> {
        let same = |call: &&super::calls::Call| {
            call.member == member && call.number == Number::Claim(attempt)
        };
        let Some(call) = self.calls.iter().rev().find(same) else { return Ok(()) };
        let class = match call.fault {
            Some(CallFault::LoseReply | CallFault::LoseRequest) => Class::Lost,
            Some(CallFault::Hang) => Class::Hang,
            Some(_) | None => return Ok(()),
        };
        let grew = match (news.before, news.after) {
            (
                Belief::Leader { term, valid_until, .. },
                Belief::Leader { term: after, valid_until: until, .. },
            ) => (term, valid_until) != (after, until),
            (Belief::Minion | Belief::Stopped, Belief::Leader { .. }) => true,
            (_, Belief::Minion | Belief::Stopped) => false,
        };
        if grew {
            return Err(format!("S5: a time-out changes what p{member} believes"));
        }
        self.tally.check(class);
        Ok(())
    }

    /// One tick before a belief ends, with the store still on its side.
    pub(crate) fn see_last_moment(&mut self, member: usize) {
        if self.hosts[self.members[member].host].rate != self.knobs.store_rate {
            self.tally.check(Class::ClockRate);
        }
        if self.weather.step_unchecked {
            self.weather.step_unchecked = false;
            self.tally.check(Class::StoreClockStep);
        }
    }

    /// A process has been told how a claim ended, and that had no more effect than it may.
    pub(crate) fn see_delivery(&mut self, call: usize, answer: Answer, is_heard: bool) {
        let member = self.calls[call].member;
        match self.calls[call].fault {
            Some(CallFault::CommitTimeout) if answer == Answer::Unknown => {
                self.tally.check(Class::CommitTimeout);
            }
            Some(CallFault::ErrorAfter | CallFault::SpuriousDenial) => {
                self.tally.check(Class::Wrong);
            }
            Some(CallFault::Hang) => self.tally.check(Class::Hang),
            Some(CallFault::Panic) if is_heard && answer == Answer::Panic => {
                self.members[member].owes_claim.push(Class::Panic);
            }
            Some(_) | None => {}
        }
        if self.calls[call].is_slow {
            self.tally.inject(Class::Slow);
            self.tally.check(Class::Slow);
        }
    }

    /// The store has granted a lease, or renewed one.
    pub(crate) fn see_grant(
        &mut self,
        call: usize,
        again: bool,
        before: Option<Record>,
        is_new: bool,
    ) -> Result<(), String> {
        let Holder { process, tenure } = self.calls[call].bid.holder;
        let record = self.store.record;
        if again && !is_new {
            let shortened = match (before, record) {
                (Some(before), Some(record)) => record.expires_at < before.expires_at,
                (_, _) => true,
            };
            if shortened {
                return Err("a duplicate request shortens the lease".to_owned());
            }
            self.tally.check(Class::Duplicated);
        }
        if is_new {
            self.see_end_of(before);
            if std::mem::take(&mut self.weather.herd) {
                // One has it, and S1 holds: all the others will be denied.
                self.tally.check(Class::Herd);
            }
        }
        let subject = &self.members[process];
        let is_over = subject.process.shadow.ledger.tenure().number() > tenure;
        if is_over || !subject.is_alive || subject.process.has_ended() {
            self.tally.inject(Class::Zombie);
            self.weather.zombie = record.map(|record| (record.bid.holder, record.expires_at));
        }
        if let Some((held, _)) = self.weather.before_down.take()
            && !is_new
            && record.is_some_and(|record| record.bid.holder == held)
        {
            self.tally.check(Class::StoreRestart);
        }
        if let Some(class) = self.weather.forgot_unchecked
            && is_new
        {
            self.weather.forgot_unchecked = None;
            let others = (0..self.members.len()).any(|member| {
                member != process && self.believes(member) && self.options.broken.is_none()
            });
            if others {
                return Err("S1: somebody believes when the hold-off is over".to_owned());
            }
            self.tally.check(class);
        }
        Ok(())
    }

    /// What a process believes in at this instant of real time.
    pub(crate) fn believes(&self, member: usize) -> bool {
        let subject = &self.members[member];
        subject.is_alive && subject.held.is_some_and(|(_, until)| self.local_now(member) < until)
    }

    /// A lease of before gives way to another: it has expired, or it was released.
    fn see_end_of(&mut self, before: Option<Record>) {
        let at = self.store.clock.read(self.now);
        if let Some((holder, until)) = self.weather.lost_release
            && before.is_some_and(|record| record.bid.holder == holder)
            && until <= at
        {
            self.weather.lost_release = None;
            self.tally.check(Class::ReleaseLost);
        }
    }

    /// Nobody holds the lease any more.
    pub(crate) fn see_expiry(&mut self) {
        let at = self.store.clock.read(self.now);
        if let Some((holder, until)) = self.weather.zombie
            && until <= at
        {
            self.weather.zombie = None;
            let believes = self.believes(holder.process)
                && self.members[holder.process].process.shadow.ledger.tenure().number()
                    == holder.tenure;
            if !believes {
                self.tally.check(Class::Zombie);
            }
        }
    }

    /// A claim was denied: to a process that has the name of the holder, but is another.
    pub(crate) fn see_denied_names(&mut self, denied: Holder) {
        let Some(record) = self.store.record else { return };
        let (holder, own) = (record.bid.holder.process, denied.process);
        let name = |member: usize| self.hosts[self.members[member].host].name;
        if holder == own || name(holder) != name(own) {
            return;
        }
        if self.members[holder].host == self.members[own].host {
            self.tally.check(Class::Restart);
        } else {
            self.tally.check(Class::SameName);
        }
    }

    /// A driver has come to its end: everybody has been answered, and the reason is there.
    pub(crate) fn end(&mut self, member: usize) -> Result<(), String> {
        self.members[member].process.lose_driver()?;
        for kind in 0..self.members[member].lines.len() {
            self.abandon(member, kind);
            self.members[member].lines[kind].out = None;
        }
        while let Some(taken) = self.members[member].process.tickets.take_answered(true) {
            taken?;
        }
        let subject = &self.members[member];
        let guards = subject.process.tickets.guards();
        if subject.process.tickets.len() > 0 {
            return Err(format!("T2: tickets of p{member} are parked after the end"));
        }
        if guards == 0 && subject.process.hub.has_tickets() {
            return Err(format!("B3: p{member} keeps places for tickets that are gone"));
        }
        let end = subject.process.hub.poll_end(&mut None, std::task::Waker::noop());
        let Some(end) = end else { return Err(format!("p{member} has no end")) };
        let reason = subject.process.shadow.tracker.finished();
        let is_good = reason == Some(FinishReason::Resigned) && end.is_ok()
            || reason != Some(FinishReason::Resigned) && end.is_err();
        if !is_good {
            return Err(format!("hub: p{member} ended with {end:?}, not {reason:?}"));
        }
        if subject.stop_asked > 0 && reason == Some(FinishReason::Resigned) {
            self.tally.check(Class::Shutdown);
        }
        self.log.note(&[8, member as u64], || format!("p{member} has ended: {reason:?}"));
        Ok(())
    }
}

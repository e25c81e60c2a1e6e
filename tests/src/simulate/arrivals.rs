use super::calls::{Answer, Number};
use super::classes::Class;
use super::happenings::Happening;
use super::knobs::{CallFault, ticks};
use super::store::{Holder, Verdict};
use super::world::World;

/// What comes to the store.
impl World {
    /// A request arrives.
    pub(crate) fn arrive(&mut self, call: usize, again: bool) -> Result<(), String> {
        if self.weather.is_down {
            return self.reply(call, Answer::Unknown, again);
        }
        match self.calls[call].number {
            Number::Claim(_) | Number::Release(_) if self.weather.is_read_only => {
                self.reply(call, Answer::Unknown, again)
            }
            Number::Claim(_) => self.arrive_claim(call, again),
            Number::Watch(_) => self.arrive_watch(call),
            Number::Release(_) => self.arrive_release(call, again),
        }
    }

    fn arrive_claim(&mut self, call: usize, again: bool) -> Result<(), String> {
        let bid = self.calls[call].bid;
        let before = self.store.record;
        let lease = self.knobs.config.lease();
        let verdict = self.store.claim(bid, lease, self.now);
        self.calls[call].executed = true;
        self.note_verdict(call, verdict);
        let answer = match verdict {
            Verdict::Denied { retry_after } => {
                self.see_denied_names(bid.holder);
                Answer::Denied { retry_after }
            }
            Verdict::Granted { term, is_new } => {
                self.summary.store_grants += 1;
                // Of a claim that arrives twice the first grant may be the one that is heard.
                self.calls[call].forgot.get_or_insert(self.store.forgot);
                if is_new {
                    self.check_names(before.map(|record| record.bid.holder))?;
                    self.summary.grants += 1;
                }
                self.see_grant(call, again, before, is_new)?;
                self.expire_later();
                Answer::Granted { term }
            }
            Verdict::HeldOff if self.knobs.tells_retry => Answer::Unknown,
            Verdict::HeldOff => Answer::Denied { retry_after: None },
        };
        self.reply(call, answer, again)
    }

    fn note_verdict(&mut self, call: usize, verdict: Verdict) {
        let word = match verdict {
            Verdict::Denied { .. } => 0,
            Verdict::Granted { term, .. } => term.number(),
            Verdict::HeldOff => u64::MAX,
        };
        let Holder { process, tenure } = self.calls[call].bid.holder;
        let at = self.store.clock.read(self.now).as_nanos();
        self.log.note(&[4, call as u64, word, at], || {
            format!("store at {at}: claim #{call} of p{process}.{tenure}: {verdict:?}")
        });
    }

    /// The lease's end is looked at when it comes.
    pub(crate) fn expire_later(&mut self) {
        let Some(record) = self.store.record else { return };
        if let Some(when) = self.store.clock.when(record.expires_at) {
            self.at(when, Happening::Expiry);
        }
    }

    /// A lease may have expired: those who watch are told.
    pub(crate) fn expire(&mut self) {
        if self.store.live(self.now).is_none() {
            self.see_expiry();
            self.tell_watchers();
        }
    }

    pub(crate) fn tell_watchers(&mut self) {
        if self.weather.is_down {
            return;
        }
        let watchers = std::mem::take(&mut self.store.watchers);
        if watchers.len() > 1 {
            self.tally.inject(Class::Herd);
            self.weather.herd = true;
        }
        for call in watchers {
            let delay = self.delay(call);
            let cut = self.hosts[self.members[self.calls[call].member].host].cut_in;
            if !cut {
                self.after(delay, Happening::Reply { call, answer: Answer::Done, again: false });
            }
        }
    }

    fn arrive_watch(&mut self, call: usize) -> Result<(), String> {
        match self.calls[call].fault {
            Some(CallFault::WatchNever) => Ok(()),
            Some(CallFault::WatchAtOnce) => self.reply(call, Answer::Done, false),
            _ if self.store.live(self.now).is_none() => self.reply(call, Answer::Done, false),
            _ if !self.calls[call].is_out => Ok(()),
            _ => {
                self.store.watchers.push(call);
                Ok(())
            }
        }
    }

    fn arrive_release(&mut self, call: usize, again: bool) -> Result<(), String> {
        let bid = self.calls[call].bid;
        let before = self.store.record;
        let frees = self.store.release(bid);
        self.calls[call].executed = true;
        let Holder { process, tenure } = bid.holder;
        self.log.note(&[5, call as u64, u64::from(frees)], || {
            let what = if frees { "frees" } else { "changes nothing" };
            format!("store: release #{call} of p{process}.{tenure} {what}")
        });
        if frees {
            self.see_expiry();
            self.tell_watchers();
        } else if let Some(record) = before
            && record.bid.name == bid.name
            && record.bid.holder != bid.holder
        {
            self.tally.inject(Class::ReleaseLate);
            if self.store.record != before {
                return Err("a late release frees another tenure".to_owned());
            }
            self.tally.check(Class::ReleaseLate);
        }
        self.reply(call, Answer::Done, again)
    }

    /// Sends the answer back, as the fault of the call will have it.
    fn reply(&mut self, call: usize, answer: Answer, again: bool) -> Result<(), String> {
        let fault = self.calls[call].fault;
        let delay = self.delay(call);
        let lease = self.lease();
        let timeout = ticks(self.knobs.config.claim_timeout());
        let host = self.members[self.calls[call].member].host;
        if self.hosts[host].is_stuck {
            return Ok(());
        }
        if self.hosts[host].cut_in || (fault == Some(CallFault::LoseReply) && !again) {
            let wait = self.choices.span(timeout / 2, 2 * lease);
            self.after(wait, Happening::Reply { call, answer: Answer::Unknown, again });
            return Ok(());
        }
        let answer = match fault {
            Some(CallFault::ErrorAfter | CallFault::CommitTimeout) => Answer::Unknown,
            Some(CallFault::Panic) => Answer::Panic,
            Some(CallFault::SpuriousDenial) => Answer::Denied { retry_after: None },
            _ => answer,
        };
        let delay = match fault {
            Some(CallFault::CommitTimeout) => delay.max(timeout * 3 / 4),
            _ => delay,
        };
        if fault == Some(CallFault::DuplicateReply) && !again {
            let wait = self.choices.span(1, lease);
            self.after(delay + wait, Happening::Reply { call, answer, again: true });
        }
        self.after(delay, Happening::Reply { call, answer, again });
        Ok(())
    }
}

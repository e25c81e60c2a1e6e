use tenure_core::Term;

use super::calls::{Answer, Call, Number};
use super::classes::Class;
use super::clock::Tick;
use super::happenings::Happening;
use super::knobs::{CallFault, ticks};
use super::world::World;

/// What goes wrong with single calls.
impl World {
    pub(crate) fn send(&mut self, call: usize) {
        let fault = self.draw_fault(call);
        self.calls[call].fault = fault;
        let host = self.members[self.calls[call].member].host;
        let number = self.calls[call].number;
        let words = [2, call as u64, self.calls[call].member as u64, number.kind() as u64];
        let fault_word = fault.map_or(0, |fault| fault as u64 + 1);
        let member = self.calls[call].member;
        self.log.note(&[words[0], words[1], words[2], words[3], fault_word], || {
            let fault = fault.map_or(String::new(), |fault| format!(", {fault:?}"));
            format!("p{member} calls #{call} {number:?}{fault}")
        });
        if self.hosts[host].is_stuck {
            return;
        }
        let delay = self.delay(call);
        let timeout = ticks(self.knobs.config.claim_timeout());
        let unknown = Happening::Reply { call, answer: Answer::Unknown, again: false };
        match fault {
            Some(CallFault::LoseRequest) => {
                self.lose_release(call);
                let lease = self.lease();
                let wait = self.choices.span(timeout / 2, 2 * lease);
                return self.after(wait, unknown);
            }
            Some(CallFault::ErrorBefore) => return self.after(delay, unknown),
            Some(CallFault::Hang) => return,
            Some(CallFault::Panic) if !self.choices.chance(128) => {
                let answer = Answer::Panic;
                return self.after(delay, Happening::Reply { call, answer, again: false });
            }
            Some(CallFault::Fatal) => {
                let answer = Answer::Fatal;
                return self.after(delay, Happening::Reply { call, answer, again: false });
            }
            Some(CallFault::GrantTwice) => return self.grant_twice(call, delay),
            Some(CallFault::WatchCancelled) => {
                let wait = self.choices.span(1, self.lease());
                return self.after(wait, unknown);
            }
            Some(CallFault::Duplicate) => {
                let wait = self.choices.span(1, self.lease());
                self.after(delay + wait, Happening::Request { call, again: true });
            }
            Some(
                CallFault::CommitTimeout
                | CallFault::DuplicateReply
                | CallFault::ErrorAfter
                | CallFault::Late
                | CallFault::LoseReply
                | CallFault::Panic
                | CallFault::SpuriousDenial
                | CallFault::WatchAtOnce
                | CallFault::WatchNever,
            )
            | None => {}
        }
        if self.hosts[host].cut_out {
            self.tally.inject(Class::Partition);
            let wait = self.choices.span(timeout / 2, 2 * self.lease());
            return self.after(wait, unknown);
        }
        self.after(delay, Happening::Request { call, again: false });
    }

    fn lose_release(&mut self, call: usize) {
        let (number, holder) = (self.calls[call].number, self.calls[call].bid.holder);
        if let (Number::Release(_), Some(record)) = (number, self.store.live(self.now))
            && record.bid.holder == holder
        {
            self.tally.inject(Class::ReleaseLost);
            self.weather.lost_release = Some((holder, record.expires_at));
        }
    }

    /// What goes wrong with a call, if that can go wrong with one of its kind.
    fn draw_fault(&mut self, call: usize) -> Option<CallFault> {
        let host = self.members[self.calls[call].member].host;
        let kind = self.calls[call].number.kind();
        if kind == 1 && self.hosts[host].watches_at_once && !self.weather.has_healed {
            return Some(CallFault::WatchAtOnce);
        }
        if kind == 1 && self.hosts[host].watches_broken {
            self.tally.inject(Class::WatchBroken);
            self.members[self.calls[call].member].watch_broke = true;
            return Some(CallFault::ErrorBefore);
        }
        if self.weather.has_healed || self.knobs.call_faults.is_empty() {
            return None;
        }
        if self.is_first_of_tenure(call)
            && self.knobs.call_faults.contains(&CallFault::GrantTwice)
            && self.choices.chance(64)
        {
            // Where the term of the tenure before must not come again.
            self.tally.inject(Class::GrantedTwice);
            return Some(CallFault::GrantTwice);
        }
        if !self.choices.chance(self.knobs.call_fault_rate) {
            return None;
        }
        let fault = self.knobs.call_faults[self.choices.below(self.knobs.call_faults.len())];
        // Few of these end a process for good.
        let is_rare = matches!(fault, CallFault::Fatal | CallFault::GrantTwice);
        let fits = match fault {
            CallFault::CommitTimeout | CallFault::Fatal | CallFault::SpuriousDenial => kind == 0,
            CallFault::GrantTwice => kind == 0 && self.can_be_found_out(call),
            CallFault::WatchAtOnce | CallFault::WatchCancelled | CallFault::WatchNever => kind == 1,
            CallFault::Duplicate
            | CallFault::DuplicateReply
            | CallFault::ErrorAfter
            | CallFault::ErrorBefore
            | CallFault::Hang
            | CallFault::Late
            | CallFault::LoseReply
            | CallFault::LoseRequest
            | CallFault::Panic => true,
        };
        if !fits || (is_rare && !self.choices.chance(96)) {
            return None;
        }
        if let Some(class) = class_of(fault, kind) {
            self.tally.inject(class);
        }
        Some(fault)
    }

    /// Whether the tracker has seen a term that a second grant could fall below.
    fn can_be_found_out(&self, call: usize) -> bool {
        let ledger = &self.members[self.calls[call].member].process.shadow.ledger;
        ledger.seen().is_some_and(|term| term.number() > 1)
    }

    /// Whether this is the first claim after a release, of one that has led before.
    fn is_first_of_tenure(&self, call: usize) -> bool {
        let Call { member, number, bid, .. } = self.calls[call];
        let ledger = &self.members[member].process.shadow.ledger;
        let before = self.calls[..call].iter().rev();
        let before = before
            .filter(|call| call.member == member)
            .find(|call| matches!(call.number, Number::Claim(_)));
        matches!(number, Number::Claim(_))
            && ledger.seen().is_some()
            && before.is_some_and(|before| before.bid.holder != bid.holder)
    }

    /// A claimer makes up a grant that the store knows nothing of, in a term of the past.
    fn grant_twice(&mut self, call: usize, delay: Tick) {
        let member = self.calls[call].member;
        let ledger = &self.members[member].process.shadow.ledger;
        let seen = ledger.seen().map_or(1, Term::number);
        let repeats = ledger.is_over() && (seen < 2 || self.choices.chance(128));
        let term = if repeats { seen } else { seen - 1 };
        let answer = Answer::Granted { term: Term::new(term) };
        self.members[member].expects_broken_store = true;
        self.after(delay, Happening::Reply { call, answer, again: false });
    }

    /// How long one leg of a call takes.
    pub(crate) fn delay(&mut self, call: usize) -> Tick {
        let lease = self.lease();
        if self.weather.has_healed {
            return self.choices.span(1, self.knobs.healthy_delay());
        }
        if self.weather.is_slow {
            self.calls[call].is_slow = true;
            return self.choices.span(lease / 4, lease);
        }
        if self.calls[call].fault == Some(CallFault::Late) && self.choices.chance(160) {
            return self.choices.span(1, 2 * lease);
        }
        self.choices.span(1, self.knobs.delay)
    }
}

/// Which class of the catalogue a fault of a call is of; some show only at the store.
fn class_of(fault: CallFault, kind: usize) -> Option<Class> {
    match fault {
        CallFault::CommitTimeout => Some(Class::CommitTimeout),
        CallFault::Duplicate | CallFault::DuplicateReply => Some(Class::Duplicated),
        CallFault::ErrorAfter | CallFault::SpuriousDenial => Some(Class::Wrong),
        CallFault::GrantTwice => Some(Class::GrantedTwice),
        CallFault::Hang => Some(Class::Hang),
        CallFault::LoseReply | CallFault::LoseRequest if kind == 2 => None,
        CallFault::LoseReply | CallFault::LoseRequest => Some(Class::Lost),
        CallFault::Panic => Some(Class::Panic),
        CallFault::WatchAtOnce => Some(Class::WatchAtOnce),
        CallFault::WatchCancelled => Some(Class::WatchCancelled),
        CallFault::WatchNever => Some(Class::WatchNever),
        CallFault::ErrorBefore | CallFault::Fatal | CallFault::Late => None,
    }
}

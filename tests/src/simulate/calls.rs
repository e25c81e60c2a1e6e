use std::time::Duration;

use tenure_core::{AttemptId, ClaimAnswer, ClaimerError, Instant, Nonce, TenureId, Term, WatchId};
use tenure_runtime::{ClaimerPanic, Order, Orders};

use super::classes::Class;
use super::clock::Tick;
use super::knobs::{CallFault, ticks};
use super::store::{Bid, Holder};
use super::world::{Happening, World};

/// A call to the store.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) member: usize,
    pub(crate) number: Number,
    pub(crate) bid: Bid,
    /// For a claim: when it was handed out.
    pub(crate) sent: Instant,
    pub(crate) fault: Option<CallFault>,
    /// The driver waits for it.
    pub(crate) is_out: bool,
    /// The store has carried it out.
    pub(crate) executed: bool,
    /// How often the store had forgotten something when it granted this.
    pub(crate) forgot: u64,
    pub(crate) is_slow: bool,
}

/// Which call it is, by what the machine numbered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Number {
    Claim(AttemptId),
    Watch(WatchId),
    Release(TenureId),
}

impl Number {
    pub(crate) fn kind(self) -> usize {
        match self {
            Number::Claim(_) => 0,
            Number::Watch(_) => 1,
            Number::Release(_) => 2,
        }
    }
}

/// The calls of one kind: one is out at most, and one waits behind it at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallLine {
    pub(crate) out: Option<usize>,
    next: Option<usize>,
}

/// What comes back from a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    Denied { retry_after: Option<Duration> },
    Done,
    Fatal,
    Granted { term: Term },
    Panic,
    Unknown,
}

impl Answer {
    fn to_claim(self) -> Result<ClaimAnswer, ClaimerError> {
        match self {
            Answer::Denied { retry_after } => Ok(ClaimAnswer::Denied { leader: None, retry_after }),
            Answer::Granted { term } => Ok(ClaimAnswer::Granted { term }),
            Answer::Fatal => Err(ClaimerError::fatal("refused for good")),
            Answer::Panic => Err(ClaimerPanic::error("claim", &"a panic")),
            Answer::Done | Answer::Unknown => Err(ClaimerError::unknown("no answer")),
        }
    }

    fn to_other(self) -> Result<(), ClaimerError> {
        match self {
            Answer::Done => Ok(()),
            Answer::Panic => Err(ClaimerPanic::error("call", &"a panic")),
            Answer::Denied { .. } | Answer::Fatal | Answer::Granted { .. } | Answer::Unknown => {
                Err(ClaimerError::unknown("no answer"))
            }
        }
    }
}

/// The driver's calls.
impl World {
    pub(crate) fn follow(&mut self, member: usize, orders: Orders) -> Result<(), String> {
        match orders.claim {
            Order::Keep => {}
            Order::Abandon => self.abandon(member, 0),
            Order::Begin(order) => {
                let claimed = self.members[member].last_claim;
                let claimed = claimed.filter(|claimed| claimed.attempt == order.attempt);
                let claimed = claimed.ok_or("hub: orders a claim that the books do not know")?;
                let number = Number::Claim(order.attempt);
                let (tenure, nonce) = (claimed.tenure.number(), order.candidate.nonce);
                self.begin_call(member, number, tenure, nonce, claimed.sent)?;
            }
        }
        match orders.watch {
            Order::Keep => {}
            Order::Abandon => self.abandon(member, 1),
            Order::Begin(watch) => {
                let (sent, nonce) =
                    (self.members[member].process.now(), Nonce::from_bytes([0; 16]));
                self.begin_call(member, Number::Watch(watch), 0, nonce, sent)?;
            }
        }
        match orders.release {
            Order::Keep => {}
            Order::Abandon => self.abandon(member, 2),
            Order::Begin(order) => {
                let number = Number::Release(order.tenure);
                let sent = self.members[member].process.now();
                let (tenure, nonce) = (order.tenure.number(), order.candidate.nonce);
                self.begin_call(member, number, tenure, nonce, sent)?;
            }
        }
        Ok(())
    }

    fn begin_call(
        &mut self,
        member: usize,
        number: Number,
        tenure: u64,
        nonce: Nonce,
        sent: Instant,
    ) -> Result<(), String> {
        let holder = Holder { process: member, tenure };
        match number {
            Number::Claim(_) | Number::Release(_) => self.identify(nonce, holder)?,
            Number::Watch(_) => {}
        }
        let name = self.hosts[self.members[member].host].name;
        let call = self.calls.len();
        self.calls.push(Call {
            member,
            number,
            bid: Bid { holder, name, nonce },
            sent,
            fault: None,
            is_out: true,
            executed: false,
            forgot: 0,
            is_slow: false,
        });
        let kind = number.kind();
        self.abandon(member, kind);
        let line = &mut self.members[member].lines[kind];
        if line.out.is_some() {
            line.next = Some(call);
        } else {
            line.out = Some(call);
            self.send(call);
        }
        Ok(())
    }

    /// A call is given up. One of smol's is dropped; one of std's keeps its thread, and only a
    /// watch hears that nobody waits.
    pub(crate) fn abandon(&mut self, member: usize, kind: usize) {
        let subject = &mut self.members[member];
        let line = &mut subject.lines[kind];
        line.next = None;
        let Some(out) = line.out else { return };
        if subject.drops_calls {
            line.out = None;
            self.calls[out].is_out = false;
        } else if kind == 1 && self.calls[out].is_out {
            self.calls[out].is_out = false;
            self.after(1, Happening::Reply { call: out, answer: Answer::Unknown, again: false });
        }
        self.store.watchers.retain(|&watcher| watcher != out || kind != 1);
    }

    fn send(&mut self, call: usize) {
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
        if self.weather.has_healed || self.knobs.call_faults.is_empty() {
            return None;
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
        if !fits || (is_rare && !self.choices.chance(64)) {
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

    /// A claimer makes up a grant that the store knows nothing of, in a term of the past.
    fn grant_twice(&mut self, call: usize, delay: Tick) {
        let member = self.calls[call].member;
        let ledger = &self.members[member].process.shadow.ledger;
        let seen = ledger.seen().map_or(1, Term::number);
        let term = if ledger.is_over() && self.choices.chance(128) { seen } else { seen - 1 };
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
            self.members[member].forgot = self.calls[call].forgot;
        }
        self.check_delivery(call, answer, again, is_heard, now, (was, is))
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

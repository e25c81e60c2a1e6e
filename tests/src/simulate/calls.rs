use std::time::Duration;

use tenure_core::{AttemptId, ClaimAnswer, ClaimerError, Instant, Nonce, TenureId, Term, WatchId};
use tenure_runtime::{ClaimerPanic, Order, Orders};

use super::happenings::Happening;
use super::knobs::CallFault;
use super::store::{Bid, Holder};
use super::world::World;

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
    /// How often the store had forgotten something when it first granted this.
    pub(crate) forgot: Option<u64>,
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
    pub(crate) next: Option<usize>,
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
    pub(crate) fn to_claim(self) -> Result<ClaimAnswer, ClaimerError> {
        match self {
            Answer::Denied { retry_after } => Ok(ClaimAnswer::Denied { leader: None, retry_after }),
            Answer::Granted { term } => Ok(ClaimAnswer::Granted { term }),
            Answer::Fatal => Err(ClaimerError::fatal("refused for good")),
            Answer::Panic => Err(ClaimerPanic::error("claim", &"a panic")),
            Answer::Done | Answer::Unknown => Err(ClaimerError::unknown("no answer")),
        }
    }

    pub(crate) fn to_other(self) -> Result<(), ClaimerError> {
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
            forgot: None,
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
}

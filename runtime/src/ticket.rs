use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use tenure_core::{Outcome, Slot, TicketKind};

use crate::Hub;

/// One question, answered exactly once: what the runtimes' tickets are made of.
///
/// A yes is judged when it is taken, whenever it came: what is handed out holds for the guarantee
/// from then on. Where it would not any more, the question is asked anew.
///
/// Dropping it frees its place at once.
#[derive(Debug)]
pub struct Ticket {
    /// Beside the state and not in it: so all of the state fits where an answer does, and an answer
    /// is moved in whole words.
    kind: TicketKind,
    /// Whether somebody is told when there is an answer, and counts on it to be there.
    has_channel: bool,
    /// Whether somebody was told that there is one.
    announced: AtomicBool,
    state: State,
    /// The question that was asked anew by whoever only looked whether there is an answer.
    anew: OnceLock<Box<Ticket>>,
}

#[derive(Debug)]
enum State {
    /// With what was taken.
    Answered(Outcome),
    /// The unit led when it was asked, or a yes has come since: whether that can be handed out is
    /// seen when it is taken.
    Asked {
        hub: Arc<Hub>,
    },
    Parked {
        hub: Arc<Hub>,
        slot: Slot,
    },
}

impl Ticket {
    pub(crate) fn answered(kind: TicketKind, outcome: Outcome) -> Ticket {
        Ticket::new(kind, State::Answered(outcome))
    }

    #[inline]
    pub(crate) fn asked(hub: Arc<Hub>, kind: TicketKind) -> Ticket {
        Ticket::new(kind, State::Asked { hub })
    }

    pub(crate) fn parked(hub: Arc<Hub>, kind: TicketKind, slot: Slot) -> Ticket {
        Ticket::new(kind, State::Parked { hub, slot })
    }

    #[inline]
    fn new(kind: TicketKind, state: State) -> Ticket {
        let (has_channel, announced, anew) = Default::default();
        Ticket { kind, has_channel, announced, state, anew }
    }

    /// Whether there is an answer to take. Once there is, there always is: in the place of a yes
    /// that does not hold any more when it is taken it is [`Minion`](Outcome::Minion).
    pub fn is_ready(&self) -> bool {
        let is_ready = self.announced.load(Ordering::Relaxed) || self.has_answer();
        self.announced.fetch_or(is_ready, Ordering::Relaxed);
        is_ready
    }

    /// Whether there is an answer that could be taken now.
    fn has_answer(&self) -> bool {
        let hub = match &self.state {
            State::Answered(_) => return true,
            State::Asked { hub } => hub,
            State::Parked { hub, slot } => match hub.peek_answer(self.kind, slot) {
                None => return false,
                Some(Outcome::Leader { .. }) if !self.has_channel => hub,
                Some(_) => return true,
            },
        };
        if self.judge(hub).is_some() {
            return true;
        }
        // A yes that does not hold any more is asked for anew, once, and that answer counts.
        self.anew.get_or_init(|| Box::new(hub.park(self.kind))).has_answer()
    }

    /// The answer, if it is there; else leaves `waker` to be woken with it, in the place of an
    /// earlier one. Once it has been taken it stays.
    #[inline]
    pub fn poll(&mut self, waker: Option<&Waker>) -> Option<Outcome> {
        match &self.state {
            State::Answered(outcome) => Some(*outcome),
            State::Asked { hub } => match self.judge(hub) {
                Some(outcome) => Some(self.take(outcome)),
                None => self.poll_parked(waker),
            },
            State::Parked { .. } => self.poll_parked(waker),
        }
    }

    /// The yes, if it holds now and was not asked for anew.
    #[inline]
    fn judge(&self, hub: &Hub) -> Option<Outcome> {
        if self.anew.get().is_none() { hub.yes() } else { None }
    }

    /// Whether an answer is there, which is left to be taken; else leaves `waker`, as
    /// [`poll`](Ticket::poll) does. From now on an answer that is there can always be taken at
    /// once, as if [`is_ready`](Ticket::is_ready) had told of it.
    pub fn announce(&mut self, waker: &Waker) -> bool {
        if let State::Asked { hub } = &self.state
            && self.judge(hub).is_none()
        {
            let hub = hub.clone();
            self.ask_anew(&hub);
            if *self.announced.get_mut() && !self.has_answer() {
                self.take(Outcome::Minion);
            }
        }
        self.has_channel = true;
        let is_ready = match &self.state {
            State::Answered(_) | State::Asked { .. } => true,
            State::Parked { hub, slot } => hub.watch_answer(self.kind, slot, waker),
        };
        *self.announced.get_mut() |= is_ready;
        is_ready
    }

    fn take(&mut self, outcome: Outcome) -> Outcome {
        if let State::Parked { hub, slot } = &self.state {
            hub.leave(self.kind, slot);
        }
        self.state = State::Answered(outcome);
        outcome
    }

    /// Apart, so that the answer of a leader, which is there at once, need not go through memory.
    fn poll_parked(&mut self, waker: Option<&Waker>) -> Option<Outcome> {
        loop {
            match &self.state {
                State::Answered(outcome) => return Some(*outcome),
                State::Asked { hub } => {
                    if let Some(outcome) = self.judge(hub) {
                        return Some(self.take(outcome));
                    }
                    let hub = hub.clone();
                    self.ask_anew(&hub);
                    let is_promised = self.has_channel || *self.announced.get_mut();
                    if is_promised && !self.has_answer() {
                        return Some(self.take(Outcome::Minion));
                    }
                }
                State::Parked { hub, slot } => match hub.take_answer(self.kind, slot, waker)? {
                    // It led when this was given. Does it now?
                    Outcome::Leader { .. } => self.state = State::Asked { hub: hub.clone() },
                    outcome @ (Outcome::Minion | Outcome::Stopped) => {
                        self.state = State::Answered(outcome);
                        return Some(outcome);
                    }
                },
            }
        }
    }

    /// Asks once more, unless that has been done already.
    fn ask_anew(&mut self, hub: &Arc<Hub>) {
        let (has_channel, announced) = (self.has_channel, *self.announced.get_mut());
        *self = self.anew.take().map_or_else(|| hub.park(self.kind), |anew| *anew);
        self.has_channel = has_channel;
        *self.announced.get_mut() |= announced;
    }
}

impl Drop for Ticket {
    #[inline]
    fn drop(&mut self) {
        match &self.state {
            State::Answered(_) | State::Asked { .. } => {}
            State::Parked { hub, slot } => hub.leave(self.kind, slot),
        }
    }
}

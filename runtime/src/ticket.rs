use std::sync::Arc;
use std::task::Waker;

use tenure_core::{Outcome, Slot, TicketKind};

use crate::Hub;

/// One question, answered exactly once: what the runtimes' tickets are made of.
///
/// Dropping it frees its place at once.
#[derive(Debug)]
pub struct Ticket {
    /// Beside the state and not in it: so all of the state fits where an answer does, and an answer
    /// is moved in whole words.
    kind: TicketKind,
    state: State,
}

#[derive(Debug)]
enum State {
    Answered(Outcome),
    Parked { hub: Arc<Hub>, slot: Slot },
}

impl Ticket {
    #[inline]
    pub(crate) fn answered(kind: TicketKind, outcome: Outcome) -> Ticket {
        Ticket { kind, state: State::Answered(outcome) }
    }

    pub(crate) fn parked(hub: Arc<Hub>, kind: TicketKind, slot: Slot) -> Ticket {
        Ticket { kind, state: State::Parked { hub, slot } }
    }

    /// Whether the answer is there.
    pub fn is_ready(&self) -> bool {
        match &self.state {
            State::Answered(_) => true,
            State::Parked { hub, slot } => hub.is_answered(self.kind, slot),
        }
    }

    /// The answer, if it is there; else leaves `waker` to be woken with it, in the place of an
    /// earlier one. Once it has been there it stays.
    #[inline]
    pub fn poll(&mut self, waker: Option<&Waker>) -> Option<Outcome> {
        match self.state {
            State::Answered(outcome) => Some(outcome),
            State::Parked { .. } => self.poll_parked(waker),
        }
    }

    /// Apart, so that the answer of a leader, which is there at once, need not go through memory.
    fn poll_parked(&mut self, waker: Option<&Waker>) -> Option<Outcome> {
        let outcome = match &self.state {
            State::Answered(outcome) => *outcome,
            State::Parked { hub, slot } => hub.take_answer(self.kind, slot, waker)?,
        };
        self.state = State::Answered(outcome);
        Some(outcome)
    }
}

impl Drop for Ticket {
    #[inline]
    fn drop(&mut self) {
        match &self.state {
            State::Answered(_) => {}
            State::Parked { hub, slot } => hub.leave(self.kind, slot),
        }
    }
}

use std::sync::Arc;
use std::task::Waker;

use tenure_core::{Outcome, Slot, TicketKind};

use crate::Hub;

/// One question, answered exactly once: what the runtimes' tickets are made of.
///
/// Dropping it frees its place at once.
#[derive(Debug)]
pub struct Ticket(State);

#[derive(Debug)]
enum State {
    Answered(Outcome),
    Parked { hub: Arc<Hub>, kind: TicketKind, slot: Slot },
}

impl Ticket {
    pub(crate) fn answered(outcome: Outcome) -> Ticket {
        Ticket(State::Answered(outcome))
    }

    pub(crate) fn parked(hub: Arc<Hub>, kind: TicketKind, slot: Slot) -> Ticket {
        Ticket(State::Parked { hub, kind, slot })
    }

    /// Whether the answer is there.
    pub fn is_ready(&self) -> bool {
        match &self.0 {
            State::Answered(_) => true,
            State::Parked { hub, kind, slot } => hub.is_answered(*kind, slot),
        }
    }

    /// The answer, if it is there; else leaves `waker` to be woken with it, in the place of an
    /// earlier one. Once it has been there it stays.
    pub fn poll(&mut self, waker: Option<&Waker>) -> Option<Outcome> {
        let outcome = match &self.0 {
            State::Answered(outcome) => return Some(*outcome),
            State::Parked { hub, kind, slot } => hub.take_answer(*kind, slot, waker)?,
        };
        self.0 = State::Answered(outcome);
        Some(outcome)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        match &self.0 {
            State::Answered(_) => {}
            State::Parked { hub, kind, slot } => hub.leave(*kind, slot),
        }
    }
}

use std::sync::Arc;
use std::task::Waker;

use tenure_core::{Instant, Outcome, Standing, TicketKind};
use tenure_runtime::{Guard, Ticket};

use super::clock::Tick;
use super::process::Flag;

/// The tickets that the users of one process hold, and the guards of their work.
#[derive(Default)]
pub(crate) struct Tickets {
    next: u64,
    held: Vec<Asked>,
    work: Vec<(u64, Guard)>,
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    pub(crate) dropped: u64,
}

/// One ticket, and what is known of it.
pub(crate) struct Asked {
    pub(crate) number: u64,
    pub(crate) kind: TicketKind,
    ticket: Ticket,
    /// By the clock of its process.
    pub(crate) asked: Instant,
    pub(crate) at: Tick,
    /// What wakes the one who waits for it, if somebody does.
    woken: Option<Arc<Flag>>,
    /// What it has to say, once it has to.
    pub(crate) expected: Option<Outcome>,
}

/// So many are compared one by one: those beyond are compared when they are read.
const COMPARED: usize = 12;

impl Tickets {
    pub(crate) fn add(
        &mut self,
        kind: TicketKind,
        mut ticket: Ticket,
        asked: Instant,
        at: Tick,
        waits: bool,
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        self.asked += 1;
        let woken = if waits && !ticket.is_ready() {
            let flag = Arc::new(Flag::default());
            // Not there yet, so that leaves the waker.
            let none = ticket.poll(Some(&Waker::from(flag.clone())));
            none.is_none().then_some(flag)
        } else {
            None
        };
        self.held.push(Asked { number, kind, ticket, asked, at, woken, expected: None });
        number
    }

    /// All that are parked under `kind` are to be answered.
    pub(crate) fn resolve(&mut self, kind: TicketKind, outcome: Outcome) {
        let parked = self.held.iter_mut().filter(|asked| asked.kind == kind);
        parked.for_each(|asked| {
            asked.expected.get_or_insert(outcome);
            if matches!(outcome, Outcome::Leader { .. }) {
                // A yes is judged when it is taken: here that is when it comes, and it stays.
                let _ = asked.ticket.poll(None);
            }
        });
    }

    pub(crate) fn resolve_one(&mut self, number: u64, outcome: Outcome) {
        let asked = self.held.iter_mut().find(|asked| asked.number == number);
        if let Some(asked) = asked {
            asked.expected.get_or_insert(outcome);
        }
    }

    pub(crate) fn compare(&self, standing: Standing) -> Result<(), String> {
        for asked in self.held.iter().take(COMPARED) {
            if asked.ticket.is_ready() != asked.expected.is_some() {
                return Err(format!(
                    "hub: T1: a {:?} is {}answered, should be {:?}",
                    asked.kind,
                    if asked.ticket.is_ready() { "" } else { "not " },
                    asked.expected
                ));
            }
            if asked.expected.is_some() && asked.woken.as_ref().is_some_and(|flag| !flag.is_set()) {
                return Err(format!("hub: T4: who waits for a {:?} is not woken", asked.kind));
            }
        }
        for (_, guard) in &self.work {
            let should = match standing {
                Standing::Leader { term, .. } => term == guard.term(),
                Standing::Minion | Standing::Stopped => false,
            };
            if guard.holds() != should {
                return Err(format!("hub: a guard of term {} is wrong", guard.term()));
            }
        }
        Ok(())
    }

    /// Takes an answer that is there, of one that is waited for or that is read anyway.
    pub(crate) fn take_answered(&mut self, also_lazy: bool) -> Option<Result<Asked, String>> {
        let index = self
            .held
            .iter()
            .position(|asked| asked.expected.is_some() && (also_lazy || asked.woken.is_some()))?;
        let mut asked = self.held.remove(index);
        self.answered += 1;
        let (first, again) = (asked.ticket.poll(None), asked.ticket.poll(None));
        if first != asked.expected || again != first {
            let Asked { kind, expected, .. } = asked;
            return Some(Err(format!("hub: T1: a {kind:?} says {first:?}, should {expected:?}")));
        }
        Some(Ok(asked))
    }

    /// Drops the one at `index` of those held, wherever it is in its life.
    pub(crate) fn drop_one(&mut self, index: usize) -> Option<Asked> {
        if index >= self.held.len() || self.has_work(self.held[index].number) {
            return None;
        }
        self.dropped += 1;
        Some(self.held.remove(index))
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn held(&self) -> &[Asked] {
        &self.held
    }

    pub(crate) fn guards(&self) -> usize {
        self.work.len()
    }

    pub(crate) fn add_work(&mut self, number: u64, guard: Guard) {
        self.work.push((number, guard));
    }

    pub(crate) fn has_work(&self, number: u64) -> bool {
        self.work.iter().any(|(work, _)| *work == number)
    }

    pub(crate) fn take_work(&mut self, number: u64) -> Option<Guard> {
        let index = self.work.iter().position(|(work, _)| *work == number)?;
        Some(self.work.remove(index).1)
    }

    pub(crate) fn work(&self) -> &[(u64, Guard)] {
        &self.work
    }

    /// Until when guarded work may go on, at the most.
    pub(crate) fn work_until(&self) -> Option<Instant> {
        self.work.iter().map(|(_, guard)| guard.valid_until()).max()
    }
}

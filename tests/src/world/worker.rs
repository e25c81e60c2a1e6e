use std::collections::HashMap;

use super::arena::{Arena, Facts, Handled, Input};
use super::model::Model;
use super::sights::Sight;
use super::state::{Unit, World};

/// What one thread knows: the machines' facts, and each step of a machine that was taken before.
pub(super) struct Worker<'a> {
    pub(super) model: &'a Model,
    arena: &'a Arena,
    facts: Vec<Facts>,
    taken: HashMap<Taken, Handled, foldhash::fast::FixedState>,
    /// How often each sight was seen.
    pub(super) seen: [u64; Sight::ALL.len()],
    /// What was handed to the machines: which unit, what, and at which tick. `None` where nobody
    /// wants to know.
    pub(super) log: Option<Vec<(usize, Logged)>>,
    /// What becomes of a world once faults stop, in sentences; with the log.
    pub(super) tale: Vec<String>,
}

/// What happened to a unit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Logged {
    Started { tick: u8 },
    Handled { input: Input, tick: u8 },
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Taken {
    machine: u32,
    input: Input,
    tick: u8,
    /// Units with the same clock are the same.
    tick_nanos: u8,
}

/// What was seen: a bit for each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sights(u64);

impl Sights {
    pub(super) fn see(&mut self, sight: Sight) {
        self.0 |= 1 << sight as u32;
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(model: &'a Model, arena: &'a Arena) -> Worker<'a> {
        Worker {
            model,
            arena,
            facts: Vec::new(),
            taken: HashMap::default(),
            seen: [0; Sight::ALL.len()],
            log: None,
            tale: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, Sights(mut bits): Sights) {
        while bits != 0 {
            self.seen[bits.trailing_zeros() as usize] += 1;
            bits &= bits - 1;
        }
    }

    /// Notes a sentence, where somebody wants to know.
    pub(super) fn tell(&mut self, sentence: impl FnOnce() -> String) {
        if self.log.is_some() {
            self.tale.push(sentence());
        }
    }

    /// How much is noted: for [`Worker::forget_since`].
    pub(super) fn told_so_far(&self) -> (usize, usize) {
        (self.log.as_ref().map_or(0, Vec::len), self.tale.len())
    }

    /// Forgets what was noted since then.
    pub(super) fn forget_since(&mut self, (logged, told): (usize, usize)) {
        self.tale.truncate(told);
        if let Some(log) = &mut self.log {
            log.truncate(logged);
        }
    }

    /// Makes sure that the facts of all machines in `world` are at hand.
    pub(super) fn learn(&mut self, world: &World) {
        let known = self.facts.len();
        if world.units.iter().any(|unit| unit.is_up() && unit.machine as usize >= known) {
            self.arena.copy_facts(&mut self.facts);
        }
    }

    /// The facts of a unit that is up.
    pub(super) fn facts(&self, unit: &Unit) -> &Facts {
        &self.facts[unit.machine as usize]
    }

    /// Starts a machine.
    pub(super) fn start(&mut self, unit: usize, tick: u8) -> Result<Handled, String> {
        if let Some(log) = &mut self.log {
            log.push((unit, Logged::Started { tick }));
        }
        let handled = self.arena.start(self.model, self.model.handed(unit, tick))?;
        self.know(handled);
        Ok(handled)
    }

    /// Has a machine handle `input`.
    pub(super) fn handle(
        &mut self,
        unit: usize,
        machine: u32,
        input: Input,
        tick: u8,
    ) -> Result<Handled, String> {
        if let Some(log) = &mut self.log {
            log.push((unit, Logged::Handled { input, tick }));
        }
        let tick_nanos = self.model.rates[unit].tick_nanos() as u8;
        let key = Taken { machine, input, tick, tick_nanos };
        if let Some(&handled) = self.taken.get(&key) {
            return Ok(handled);
        }
        let now = self.model.handed(unit, tick);
        let handled = self.arena.handle(self.model, machine, input, now)?;
        self.know(handled);
        self.taken.insert(key, handled);
        Ok(handled)
    }

    fn know(&mut self, handled: Handled) {
        if handled.next as usize >= self.facts.len() {
            self.arena.copy_facts(&mut self.facts);
        }
    }
}

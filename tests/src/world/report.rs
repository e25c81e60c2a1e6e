use std::fmt;

use super::model::Invariant;
use super::sights::Sight;

/// How far a search has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// States met, of all those that differ.
    pub states: u64,
    /// How many steps the longest of the shortest histories has.
    pub depth: usize,
    /// How many worlds of this depth wait for their turn.
    pub waiting: usize,
    /// How many machines have occurred.
    pub machines: usize,
}

/// What a search has come to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The model's name.
    pub name: String,
    /// States that differ. Units with the same clock have no names in this.
    pub states: u64,
    /// Steps that were taken from them.
    pub transitions: u64,
    /// How many steps the longest of the shortest histories has.
    pub depth: usize,
    /// Whether these are all the states that there are.
    pub is_whole: bool,
    /// Trackers, with their books, that differ.
    pub machines: usize,
    /// How many times it was looked at what becomes of a world when faults stop.
    pub continuations: u64,
    /// What is broken, if anything is.
    pub violation: Option<Violation>,
    seen: Vec<u64>,
}

/// An invariant that does not hold, and the shortest history that shows it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// How it is broken.
    pub why: String,
    /// What happened, a sentence for each step.
    pub steps: Vec<String>,
    /// What happened then without any fault, if it took that to see it.
    pub afterwards: Vec<String>,
    /// What happened to each process, as a trace of its own.
    pub traces: Vec<String>,
}

impl Report {
    pub(super) fn new(name: &str) -> Report {
        Report {
            name: name.to_owned(),
            states: 0,
            transitions: 0,
            depth: 0,
            is_whole: false,
            machines: 0,
            continuations: 0,
            violation: None,
            seen: vec![0; Sight::ALL.len()],
        }
    }

    pub(super) fn add(&mut self, seen: &[u64]) {
        for (sum, more) in self.seen.iter_mut().zip(seen) {
            *sum += more;
        }
    }

    /// How many steps showed this.
    pub fn seen(&self, sight: Sight) -> u64 {
        self.seen[sight as usize]
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:?}: {}", self.invariant, self.why)?;
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(formatter, "{number:4}. {step}")?;
        }
        if !self.afterwards.is_empty() {
            writeln!(formatter, "      then faults stop:")?;
        }
        for step in &self.afterwards {
            writeln!(formatter, "      {step}")?;
        }
        for trace in &self.traces {
            writeln!(formatter, "\n{trace}")?;
        }
        Ok(())
    }
}

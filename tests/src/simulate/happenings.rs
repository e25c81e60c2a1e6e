use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::calls::Answer;
use super::clock::Tick;

/// What is going to happen.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Chaos,
    Expiry,
    Look { member: usize },
    Mend(Mend),
    Probe { member: usize, number: u64 },
    Reply { call: usize, answer: Answer, again: bool },
    Request { call: usize, again: bool },
    Restart { host: usize },
    Resume { host: usize },
    Timer { member: usize, generation: u64 },
    Turn { host: usize },
    User { host: usize },
    WorkEnds { member: usize, work: u64 },
}

/// What is over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mend {
    Partition { host: usize },
    StoreDown,
    StoreReadOnly,
    StoreSlow,
    Timers { host: usize },
    Watches { host: usize },
    WatchesBroken { host: usize },
}

/// What is going to happen, in the order in which it will; and of what is at the same tick, in the
/// order in which it was planned.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Queued>>,
    planned: u64,
}

impl Queue {
    pub(crate) fn plan(&mut self, at: Tick, what: Happening) {
        self.planned += 1;
        self.heap.push(Reverse(Queued { at, number: self.planned, what }));
    }

    /// The next one, if that is due by `end`.
    pub(crate) fn next(&mut self, end: Tick) -> Option<(Tick, Happening)> {
        self.heap.peek().filter(|Reverse(next)| next.at <= end)?;
        self.heap.pop().map(|Reverse(next)| (next.at, next.what))
    }

    /// All of them, in order.
    pub(crate) fn take(&mut self) -> Vec<(Tick, Happening)> {
        let all = std::mem::take(&mut self.heap).into_sorted_vec();
        all.into_iter().rev().map(|Reverse(queued)| (queued.at, queued.what)).collect()
    }
}

#[derive(Debug)]
struct Queued {
    at: Tick,
    number: u64,
    what: Happening,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Queued) -> bool {
        self.number == other.number
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Queued) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Queued) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

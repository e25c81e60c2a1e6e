use std::sync::atomic::{AtomicU64, Ordering};

use tenure_core::Instant;
use tenure_runtime::Clock;

/// Real time in ticks. Nobody in the world can read it: it is what the oracle judges by.
pub(crate) type Tick = u64;

/// A clock as a function of real time: so many nanoseconds a tick, an exact integer, so that no
/// reading is rounded and every instant has its tick.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    since: Tick,
    at_ns: u64,
    ns_a_tick: u64,
}

impl Line {
    pub(crate) fn new(at_ns: u64, ns_a_tick: u64) -> Line {
        Line { since: 0, at_ns, ns_a_tick }
    }

    pub(crate) fn rate(&self) -> u64 {
        self.ns_a_tick
    }

    pub(crate) fn read(&self, now: Tick) -> Instant {
        let passed = now.saturating_sub(self.since);
        Instant::from_nanos(self.at_ns.saturating_add(passed.saturating_mul(self.ns_a_tick)))
    }

    /// The first tick at which the clock has reached `at`, if it goes on as it does now.
    pub(crate) fn when(&self, at: Instant) -> Option<Tick> {
        let missing = at.as_nanos().saturating_sub(self.at_ns);
        match self.ns_a_tick {
            _ if at == Instant::MAX => None,
            0 if missing > 0 => None,
            0 => Some(self.since),
            rate => self.since.checked_add(missing.div_ceil(rate)),
        }
    }

    /// From `now` on it runs at another rate.
    pub(crate) fn turn(&mut self, now: Tick, ns_a_tick: u64) {
        *self = Line { since: now, at_ns: self.read(now).as_nanos(), ns_a_tick };
    }

    pub(crate) fn step_forward(&mut self, now: Tick, ns: u64) {
        let at_ns = self.read(now).as_nanos().saturating_add(ns);
        *self = Line { since: now, at_ns, ns_a_tick: self.ns_a_tick };
    }

    pub(crate) fn step_back(&mut self, now: Tick, ns: u64) {
        let at_ns = self.read(now).as_nanos().saturating_sub(ns);
        *self = Line { since: now, at_ns, ns_a_tick: self.ns_a_tick };
    }
}

/// What the hub of a process reads: the world sets it before anything happens there.
#[derive(Debug, Default)]
pub(crate) struct Reading(AtomicU64);

impl Reading {
    pub(crate) fn set(&self, now: Instant) {
        self.0.store(now.as_nanos(), Ordering::Relaxed);
    }
}

impl Clock for Reading {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_found_again_at_its_tick_and_not_before() {
        let mut clock = Line::new(17, 1_100);
        clock.turn(10, 1_000);
        clock.step_forward(20, 7);
        clock.turn(30, 1_210);
        clock.step_back(40, 5);
        for tick in 41..60 {
            let at = clock.read(tick);
            assert_eq!(clock.when(at), Some(tick));
            let later = at.saturating_add(std::time::Duration::from_nanos(1));
            assert_eq!(clock.when(later), Some(tick + 1));
        }
        clock.turn(60, 0);
        assert_eq!(clock.when(clock.read(61)), Some(60));
        assert_eq!(clock.when(clock.read(61).saturating_add(std::time::Duration::MAX)), None);
    }
}

use tenure_core::{Belief, Instant, Term};

use crate::sync::{AtomicU64, Ordering, fence};

/// The belief of a tracker, where any thread can read it without a lock.
///
/// There are two copies, and a generation whose lowest bit says which of them counts. The one
/// writer fills the other copy and then raises the generation. A reader takes what it read if the
/// generation is still the same: then no write to its copy can have begun. Whoever has to read
/// again does so because a writer got further, so no writer that is held up holds up a reader.
#[derive(Debug)]
pub(crate) struct Published {
    generation: AtomicU64,
    copies: [Copy; 2],
}

#[derive(Debug, Default)]
struct Copy {
    now: AtomicU64,
    role: AtomicU64,
    term: AtomicU64,
    fresh_until: AtomicU64,
    step_down_at: AtomicU64,
    valid_until: AtomicU64,
}

const MINION: u64 = 0;
const LEADER: u64 = 1;
const STOPPED: u64 = 2;

impl Published {
    pub(crate) fn new(belief: Belief, now: Instant) -> Published {
        let published = Published { generation: AtomicU64::new(0), copies: Default::default() };
        published.copies[0].write(belief, now);
        published
    }

    /// Publishes the belief as of `now`. Only ever called by one thread at a time: under the hub's
    /// lock.
    pub(crate) fn publish(&self, belief: Belief, now: Instant) {
        let next = self.generation.load(Ordering::Relaxed).wrapping_add(1);
        self.copies[copy_of(next)].write(belief, now);
        self.generation.store(next, Ordering::Release);
    }

    /// Whether a leader is published that is not resigning: it may be fresh, by the clock.
    #[inline]
    pub(crate) fn may_be_fresh(&self) -> bool {
        let copy = &self.copies[copy_of(self.generation.load(Ordering::Acquire))];
        // What is seen may be of two beliefs. Then one of them ends just now, and either will do.
        copy.role.load(Ordering::Relaxed) == LEADER && copy.fresh_until.load(Ordering::Relaxed) > 0
    }

    /// The belief, and what `clock` said while it was this; the instant that it was published as
    /// of, if the clock has run backwards since.
    #[inline]
    pub(crate) fn read(&self, clock: impl Fn() -> Instant) -> (Belief, Instant) {
        loop {
            let generation = self.generation.load(Ordering::Acquire);
            let (belief, latest) = self.copies[copy_of(generation)].read();
            let now = clock().max(latest);
            fence(Ordering::Acquire);
            if self.generation.load(Ordering::Relaxed) == generation {
                return (belief, now);
            }
        }
    }
}

impl Copy {
    fn write(&self, belief: Belief, now: Instant) {
        // Each store is a release, so that a reader which sees any of them also sees the generation
        // that had been published before.
        let store = |field: &AtomicU64, value| field.store(value, Ordering::Release);
        store(&self.now, now.as_nanos());
        match belief {
            Belief::Leader { term, fresh_until, step_down_at, valid_until } => {
                store(&self.role, LEADER);
                store(&self.term, term.number());
                store(&self.fresh_until, fresh_until.as_nanos());
                store(&self.step_down_at, step_down_at.as_nanos());
                store(&self.valid_until, valid_until.as_nanos());
            }
            Belief::Minion => store(&self.role, MINION),
            Belief::Stopped => store(&self.role, STOPPED),
        }
    }

    #[inline]
    fn read(&self) -> (Belief, Instant) {
        let load = |field: &AtomicU64| field.load(Ordering::Relaxed);
        let belief = match load(&self.role) {
            LEADER => Belief::Leader {
                term: Term::new(load(&self.term)),
                fresh_until: Instant::from_nanos(load(&self.fresh_until)),
                step_down_at: Instant::from_nanos(load(&self.step_down_at)),
                valid_until: Instant::from_nanos(load(&self.valid_until)),
            },
            STOPPED => Belief::Stopped,
            _ => Belief::Minion,
        };
        (belief, Instant::from_nanos(load(&self.now)))
    }
}

const fn copy_of(generation: u64) -> usize {
    (generation & 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    fn leader(number: u64) -> Belief {
        let at = |offset| Instant::from_nanos(number * 10 + offset);
        let (fresh_until, step_down_at, valid_until) = (at(1), at(2), at(3));
        Belief::Leader { term: Term::new(number), fresh_until, step_down_at, valid_until }
    }

    #[test]
    fn what_is_published_is_read() {
        let published = Published::new(Belief::Minion, Instant::ORIGIN);
        let clock = || Instant::from_nanos(7);
        for belief in [leader(1), leader(2), Belief::Minion, leader(3), Belief::Stopped] {
            published.publish(belief, Instant::from_nanos(6));
            assert_eq!(published.read(clock), (belief, Instant::from_nanos(7)));
        }
        published.publish(leader(4), Instant::from_nanos(8));
        assert_eq!(published.read(clock), (leader(4), Instant::from_nanos(8)), "not backwards");
    }

    #[test]
    fn readers_never_mix_two_beliefs() {
        let published = Arc::new(Published::new(leader(0), Instant::ORIGIN));
        let done = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (published, done) = (published.clone(), done.clone());
                std::thread::spawn(move || {
                    let mut reads = 0_u64;
                    while !done.load(Ordering::Relaxed) || reads == 0 {
                        let (belief, _) = published.read(|| Instant::ORIGIN);
                        let Belief::Leader { term, .. } = belief else { panic!("{belief:?}") };
                        assert_eq!(belief, leader(term.number()));
                        reads += 1;
                    }
                })
            })
            .collect();
        (1..300_000).for_each(|number| published.publish(leader(number), Instant::ORIGIN));
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    }

    #[test]
    fn a_belief_that_changed_while_the_clock_was_read_is_read_again() {
        let published = Published::new(leader(1), Instant::ORIGIN);
        let calls = AtomicU64::new(0);
        let (belief, now) = published.read(|| {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            if call == 0 {
                published.publish(Belief::Minion, Instant::ORIGIN);
            }
            Instant::from_nanos(call)
        });
        assert_eq!((belief, now), (Belief::Minion, Instant::from_nanos(1)));
    }
}

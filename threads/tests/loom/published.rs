use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use tenure_core::{Belief, Instant, Term};
use tenure_runtime::modelled::Published;

use crate::support::model;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

/// The belief of which every part says that it is the `number`th.
fn leader(number: u64) -> Belief {
    Belief::Leader {
        term: Term::new(number),
        fresh_until: at(number * 100 + 1),
        step_down_at: at(number * 100 + 2),
        valid_until: at(number * 100 + 3),
    }
}

/// Which one it is, if all of its parts agree, and so does the time that it was published as of.
fn number_of((belief, now): (Belief, Instant)) -> u64 {
    let Belief::Leader { term, .. } = belief else { panic!("not a leader's: {belief:?}") };
    assert_eq!(belief, leader(term.number()), "two grants are mixed");
    assert_eq!(now, at(term.number() * 100), "the time is another grant's");
    term.number()
}

fn publish(published: &Published, number: u64) {
    published.publish(leader(number), at(number * 100));
}

/// The clock of a reader whose clock is behind what was published.
fn slow() -> Instant {
    Instant::ORIGIN
}

#[test]
fn a_reader_never_mixes_two_grants() {
    model(Some(4), || {
        let published = Arc::new(Published::new(leader(0), at(0)));
        let writer = {
            let published = published.clone();
            thread::spawn(move || (1..=2).for_each(|number| publish(&published, number)))
        };
        number_of(published.read(slow));
        writer.join().unwrap();
        assert_eq!(number_of(published.read(slow)), 2);
    });
}

#[test]
fn a_reader_that_reads_again_never_goes_back() {
    model(Some(2), || {
        let published = Arc::new(Published::new(leader(0), at(0)));
        let writer = {
            let published = published.clone();
            thread::spawn(move || (1..=2).for_each(|number| publish(&published, number)))
        };
        let first = number_of(published.read(slow));
        let second = number_of(published.read(slow));
        assert!(first <= second, "{second} after {first}");
        writer.join().unwrap();
    });
}

/// The one writer is whoever holds the hub's lock: another thread each time.
#[test]
fn writers_that_take_turns_are_as_one() {
    model(Some(2), || {
        let published = Arc::new(Published::new(leader(0), at(0)));
        let next = Arc::new(Mutex::new(1));
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let (published, next) = (published.clone(), next.clone());
                thread::spawn(move || {
                    let mut next = next.lock().unwrap();
                    publish(&published, *next);
                    *next += 1;
                })
            })
            .collect();
        number_of(published.read(slow));
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(number_of(published.read(slow)), 2);
    });
}

#[test]
fn a_read_that_starts_after_a_publish_has_ended_sees_it() {
    model(Some(3), || {
        let published = Arc::new(Published::new(leader(0), at(0)));
        let ended = Arc::new(AtomicU64::new(0));
        let writer = {
            let (published, ended) = (published.clone(), ended.clone());
            thread::spawn(move || {
                publish(&published, 1);
                ended.store(1, Ordering::Release);
                publish(&published, 2);
            })
        };
        let ended = ended.load(Ordering::Acquire);
        assert!(number_of(published.read(slow)) >= ended);
        writer.join().unwrap();
    });
}

/// Whoever says yes says it of an instant at which that was the belief: a time that came only after
/// the belief had ended is never read along with it.
#[test]
fn the_clock_is_read_while_the_belief_is_current() {
    model(None, || {
        let published = Arc::new(Published::new(leader(0), at(0)));
        let clock = Arc::new(AtomicU64::new(1));
        let writer = {
            let (published, clock) = (published.clone(), clock.clone());
            thread::spawn(move || {
                published.publish(Belief::Minion, at(5));
                clock.store(6, Ordering::Release);
            })
        };
        let (belief, now) = published.read(|| at(clock.load(Ordering::Relaxed)));
        match belief {
            Belief::Leader { .. } => assert_eq!((belief, now), (leader(0), at(1))),
            Belief::Minion => assert!(now == at(5) || now == at(6), "{now:?}: time runs back"),
            Belief::Stopped => panic!("nobody stopped"),
        }
        writer.join().unwrap();
    });
}

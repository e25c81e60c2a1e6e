use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::thread;
use tenure_core::{Demotion, Term};
use tenure_runtime::{ManualClock, WorkError};

use crate::store::Store;
use crate::support::{GUARANTEE, Running, is_yes, under_schedules};

/// Two units of one service, of which the first gives up its leadership: their work never overlaps,
/// as the release waits for the guard, and terms rise. Time passes, but no lease runs out.
#[test]
fn the_work_of_two_leaders_never_overlaps() {
    /// In how many schedules each of them led.
    static BOTH_LED: AtomicUsize = AtomicUsize::new(0);
    under_schedules(600, || {
        let (store, clock) = (Store::new(), Arc::new(ManualClock::new()));
        let working = Arc::new(AtomicUsize::new(0));
        let last = Arc::new(AtomicUsize::new(0));
        let units: Vec<_> = ["mysql/0", "mysql/1"]
            .into_iter()
            .map(|unit| Running::start(unit, &store.for_another(), &clock))
            .collect();
        let workers: Vec<_> = units
            .iter()
            .map(|unit| {
                let (tracker, working, last) =
                    (unit.tracker.clone(), working.clone(), last.clone());
                thread::spawn(move || {
                    tracker.while_leader(|guard| {
                        assert_eq!(working.fetch_add(1, Ordering::SeqCst), 0, "two leaders work");
                        let term = usize::try_from(guard.term().number()).unwrap();
                        assert!(last.swap(term, Ordering::SeqCst) < term, "terms fall");
                        assert!(guard.holds());
                        tracker.step_down(Duration::from_secs(60));
                        guard.wait_lost();
                        assert_eq!(guard.loss(), Some(Demotion::Resigned));
                        assert!(guard.holds(), "the lease is kept for the work to wind down");
                        assert_eq!(working.fetch_sub(1, Ordering::SeqCst), 1);
                    })
                })
            })
            .collect();
        let time = {
            let (clock, store) = (clock.clone(), store.clone());
            thread::spawn(move || {
                for _ in 0..12 {
                    store.pass(GUARANTEE / 100, &clock);
                    thread::yield_now();
                }
            })
        };
        time.join().unwrap();
        units.iter().for_each(|unit| unit.tracker.kill());
        for worker in workers {
            let done = worker.join().unwrap();
            assert!(matches!(done, Ok(()) | Err(WorkError::Stopped)), "{done:?}");
        }
        units.into_iter().for_each(Running::end);
        BOTH_LED.fetch_add(last.load(Ordering::SeqCst) / 2, Ordering::SeqCst);
    });
    let both_led = BOTH_LED.load(Ordering::SeqCst);
    println!("schedules in which both led: {both_led}");
    assert!(both_led > 0, "nothing has been shown");
}

/// Guards of several threads: the release waits for all of them.
#[test]
fn the_release_waits_for_every_guard() {
    under_schedules(1000, || {
        let running = Running::alone();
        assert!(is_yes(running.tracker.wait_leader().wait()));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (tracker, store) = (running.tracker.clone(), running.store.clone());
                thread::spawn(move || {
                    let done = tracker.while_leader(|guard| {
                        guard.wait_lost();
                        assert_eq!(guard.term(), Term::new(1));
                        assert_eq!(store.released(), 0, "released under a guard");
                    });
                    assert!(matches!(done, Ok(()) | Err(WorkError::Stopped)), "{done:?}");
                })
            })
            .collect();
        running.tracker.kill();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(running.tracker.wait().ok(), Some(()));
        assert_eq!(running.store.released(), 1);
        running.end();
    });
}

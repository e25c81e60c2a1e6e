use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;
use tenure_core::{BlockingClaimer, Candidate, ClaimAnswer, Config, Outcome};
use tenure_runtime::{ManualClock, TrackerError, WorkError, fresh_nonce};
use tenure_std::Tracker;

use crate::store::Store;
use crate::support::{GUARANTEE, Running, is_yes, under_schedules};

#[test]
fn a_stop_answers_whoever_asks_meanwhile() {
    under_schedules(1500, || {
        let running = Running::alone();
        type Ask = fn(&Tracker) -> tenure_std::Ticket;
        let asks: [Ask; 3] = [Tracker::claim_leader, Tracker::wait_leader, Tracker::wait_minion];
        let askers: Vec<_> = asks
            .into_iter()
            .map(|ask| {
                let tracker = running.tracker.clone();
                thread::spawn(move || ask(&tracker).wait())
            })
            .collect();
        running.tracker.kill();
        assert!(!is_yes(running.tracker.claim_leader().wait()), "a yes after the end of yes");
        let answers: Vec<_> = askers.into_iter().map(|asker| asker.join().unwrap()).collect();
        assert!(!is_yes(answers[2]), "{answers:?}");
        let store = running.store.clone();
        running.end();
        // Not that the lease is free: a claim that was out may have reached the store after that.
        assert_eq!(store.released(), 1);
    });
}

#[test]
fn the_last_handle_that_is_dropped_stops_the_tracker() {
    under_schedules(1500, || {
        let Running { driver, store, tracker, .. } = Running::alone();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let tracker = tracker.clone();
                thread::spawn(move || tracker.wait_minion().wait_timeout(Duration::ZERO))
            })
            .collect();
        let kept = tracker.wait_minion();
        drop(tracker);
        others.into_iter().for_each(|other| assert!(!other.join().unwrap().is_some_and(is_yes)));
        driver.join().unwrap();
        // A claim that was abandoned may still be out, and be granted: nobody believes it.
        assert_ne!(kept.wait(), Outcome::Stopped, "a minion is one before it has stopped");
        assert_eq!(store.released(), 1);
    });
}

#[test]
fn several_stop_and_wait_and_all_are_told() {
    under_schedules(1500, || {
        let running = Running::alone();
        let stoppers: Vec<_> = (0..2)
            .map(|_| {
                let tracker = running.tracker.clone();
                thread::spawn(move || tracker.stop().unwrap())
            })
            .collect();
        stoppers.into_iter().for_each(|stopper| stopper.join().unwrap());
        assert_eq!(running.store.released(), 1);
        running.end();
    });
}

/// Somebody else leads for good: the watch never returns by itself.
#[test]
fn a_minion_that_stops_gives_up_its_watch() {
    under_schedules(1000, || {
        let store = Store::new();
        let (service, unit) = ("mysql".parse().unwrap(), "mysql/9".parse().unwrap());
        let other = Candidate { service, unit, nonce: fresh_nonce() };
        let answer = store.for_another().claim(&other, GUARANTEE * 2);
        assert!(matches!(answer, Ok(ClaimAnswer::Granted { .. })));
        let running = Running::start("mysql/0", &store, &Arc::new(ManualClock::new()));
        assert_eq!(running.answer(Tracker::claim_leader), Outcome::Minion);
        assert_eq!(running.answer(Tracker::wait_minion), Outcome::Minion);
        running.end();
    });
}

#[test]
fn a_driver_that_is_dropped_answers_everybody() {
    under_schedules(1000, || {
        let config = Config::builder(GUARANTEE).jitter_seed(7).build().unwrap();
        let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
        let clock = Arc::new(ManualClock::new());
        let (tracker, driver) = Tracker::with_clock(Store::new(), service, unit, config, clock);
        let worker = {
            let tracker = tracker.clone();
            thread::spawn(move || tracker.while_leader(|_| ()))
        };
        let waiter = {
            let tracker = tracker.clone();
            thread::spawn(move || tracker.wait())
        };
        drop(driver);
        assert_eq!(worker.join().unwrap(), Err(WorkError::Stopped));
        assert!(matches!(waiter.join().unwrap(), Err(TrackerError::DriverDropped)));
        assert_eq!(tracker.wait_minion().wait(), Outcome::Stopped);
    });
}

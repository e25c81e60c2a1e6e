use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use tenure_core::Outcome;
use tenure_runtime::{Clock, ManualClock};
use tenure_std::Tracker;

use crate::store::{Fault, Store};
use crate::support::{GUARANTEE, Running, is_yes, under_schedules};

fn fault() -> Option<Fault> {
    match thread_rng().gen_range(0..6) {
        0 => Some(Fault::Hang),
        1 => Some(Fault::Lose),
        2 => Some(Fault::Panic),
        _ => None,
    }
}

/// Claims, watches and releases panic, are lost, and hang for longer than the tracker waits, while
/// handles ask and time passes.
#[test]
fn a_store_that_fails_fails_nobody_else() {
    /// How often a claim ticket was answered yes, and no.
    static ANSWERS: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    under_schedules(1500, || {
        let store = Store::with_faults((0..5).map(|_| fault()));
        let running = Running::start("mysql/0", &store, &Arc::new(ManualClock::new()));
        let asker = {
            let tracker = running.tracker.clone();
            thread::spawn(move || {
                let claimed = tracker.claim_leader().wait();
                (claimed, tracker.wait_minion().wait())
            })
        };
        // Two leases, in steps within which an attempt times out, and half of them retry.
        let time = {
            let (clock, store) = (running.clock.clone(), store.clone());
            thread::spawn(move || {
                for _ in 0..8 {
                    // Time enough for a call, as often as not.
                    (0..thread_rng().gen_range(0..60)).for_each(|_| thread::yield_now());
                    store.pass(GUARANTEE / 4, &clock);
                }
            })
        };
        for _ in 0..2 {
            let before = running.clock.now();
            let mut ticket = running.tracker.claim_leader();
            if let Some(outcome) = ticket.wait_timeout(Duration::ZERO) {
                running.check(before, outcome);
            }
        }
        time.join().unwrap();
        running.tracker.kill();
        let (claimed, minion) = asker.join().unwrap();
        ANSWERS[usize::from(is_yes(claimed))].fetch_add(1, Ordering::SeqCst);
        assert!(!is_yes(minion));
        running.end();
    });
    let [no, yes] = ANSWERS.each_ref().map(|count| count.load(Ordering::SeqCst));
    println!("claim tickets: {yes} answered yes, {no} no");
    assert!(yes > 0 && no > 0, "nothing has been shown");
}

/// The first claim hangs for ever, as far as the tracker can tell: the attempt ends all the same,
/// and what the store says in the end is not believed.
#[test]
fn a_claim_that_hangs_is_given_up_and_its_late_answer_ignored() {
    under_schedules(1000, || {
        let store = Store::with_faults([Some(Fault::Hang)]);
        let running = Running::start("mysql/0", &store, &Arc::new(ManualClock::new()));
        let waiter = {
            let tracker = running.tracker.clone();
            thread::spawn(move || tracker.claim_leader().wait())
        };
        store.pass(GUARANTEE / 4, &running.clock);
        // The attempt has timed out, or is about to: the next waits behind the call that hangs.
        assert_eq!(running.tracker.wait_minion().wait(), Outcome::Minion);
        store.open();
        running.end();
        assert!(!is_yes(waiter.join().unwrap()) || store.holder().is_none());
    });
}

#[test]
fn a_release_that_panics_ends_the_tracker_all_the_same() {
    under_schedules(1000, || {
        let running = Running::alone();
        assert!(is_yes(running.answer(Tracker::wait_leader)));
        running.store.clone().fail_next(Fault::Panic);
        running.end();
    });
}

/// The next claim waits behind one that hangs, while another thread of the tracker's has nothing to
/// do: whichever of them is free first makes it.
#[test]
fn a_call_that_waits_behind_one_that_hangs_is_made_when_that_ends() {
    under_schedules(1500, || {
        let store = Store::with_faults([Some(Fault::Stall)]);
        let running = Running::start("mysql/0", &store, &Arc::new(ManualClock::new()));
        store.wait_for(1, 0);
        running.tracker.step_down(Duration::ZERO);
        store.wait_for(2, 1);
        store.pass(GUARANTEE / 50, &running.clock);
        store.open();
        assert!(is_yes(running.answer(Tracker::wait_leader)));
        running.end();
    });
}

/// One claim after the other, each on the thread that made the one before, or on one that takes its
/// place.
#[test]
fn renewals_pile_up_no_threads() {
    under_schedules(500, || {
        let running = Running::alone();
        assert!(is_yes(running.answer(Tracker::wait_leader)));
        let store = running.store.clone();
        store.pass(GUARANTEE.mul_f64(0.04), &running.clock);
        for renewal in 0..12 {
            store.pass(GUARANTEE.mul_f64(0.75), &running.clock);
            running.store.wait_for(renewal + 2, 0);
            // Now only the renewal makes a yes.
            store.pass(GUARANTEE.mul_f64(0.04), &running.clock);
            assert!(is_yes(running.answer(Tracker::claim_leader)));
        }
        running.end();
    });
}

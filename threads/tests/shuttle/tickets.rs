use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use tenure_core::Outcome;
use tenure_std::Tracker;

use crate::support::{GUARANTEE, Running, is_yes, under_schedules};

#[test]
fn tickets_of_each_kind_are_answered_while_a_tracker_starts() {
    under_schedules(1500, || {
        let running = Running::alone();
        let other = running.tracker.clone();
        let claimer = thread::spawn(move || is_yes(other.claim_leader().wait()));
        let other = running.tracker.clone();
        let waiter = thread::spawn(move || is_yes(other.wait_leader().wait()));
        assert!(is_yes(running.answer(Tracker::wait_leader)));
        assert!(is_yes(running.answer(Tracker::claim_leader)), "a leader says so at once");
        assert!(claimer.join().unwrap(), "the first claim was granted");
        assert!(waiter.join().unwrap());
        running.end();
    });
}

/// Some are dropped, some are looked at and put away, some are waited for a while, some on a
/// channel: each in the middle of answers, renewals and a step-down.
#[test]
fn tickets_that_are_dropped_disturb_nobody() {
    under_schedules(1500, || {
        let running = Running::alone();
        let fickle: Vec<_> = (0..2)
            .map(|_| {
                let tracker = running.tracker.clone();
                thread::spawn(move || (0..3).for_each(|_| ask_and_change_ones_mind(&tracker)))
            })
            .collect();
        let waiter = {
            let tracker = running.tracker.clone();
            thread::spawn(move || tracker.wait_minion().wait())
        };
        assert!(is_yes(running.answer(Tracker::wait_leader)));
        running.clock.advance(GUARANTEE.mul_f64(0.79));
        running.tracker.step_down(Duration::ZERO);
        assert_eq!(waiter.join().unwrap(), Outcome::Minion);
        fickle.into_iter().for_each(|fickle| fickle.join().unwrap());
        running.end();
    });
}

fn ask_and_change_ones_mind(tracker: &Tracker) {
    let mut ticket = match thread_rng().gen_range(0..3) {
        0 => tracker.claim_leader(),
        1 => tracker.wait_leader(),
        _ => tracker.wait_minion(),
    };
    match thread_rng().gen_range(0..4) {
        0 => drop(ticket),
        1 => drop(ticket.is_ready().then(|| ticket.wait())),
        2 => {
            let early = ticket.wait_timeout(Duration::ZERO);
            let late = ticket.wait_timeout(Duration::ZERO);
            assert!(early.is_none() || early == late, "an answer stays");
        }
        _ => {
            let closed = ticket.ready();
            let is_ready = ticket.is_ready();
            let is_closed = closed.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected);
            assert!(is_ready || !is_closed, "the channel is closed before there is an answer");
            drop(ticket);
            assert!(closed.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected));
        }
    }
}

/// A thread that waits for the ticket, and its channel: both are told.
#[test]
fn a_channel_is_closed_with_the_answer() {
    under_schedules(1000, || {
        let running = Running::alone();
        let mut ticket = running.tracker.wait_leader();
        let closed = ticket.ready();
        assert!(is_yes(ticket.wait()));
        assert!(closed.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected));
        running.end();
    });
}

#[test]
fn whoever_waits_to_be_a_minion_is_told_of_a_loss_by_the_clock_alone() {
    under_schedules(1000, || {
        let running = Running::alone();
        assert!(is_yes(running.answer(Tracker::wait_leader)));
        let lost = running.tracker.wait_minion();
        let waiter = thread::spawn(move || lost.wait());
        // More than one jump: the second may come while the driver looks at the first.
        (0..4).for_each(|_| running.clock.advance(Duration::from_secs(10)));
        assert_eq!(waiter.join().unwrap(), Outcome::Minion);
        running.end();
    });
}

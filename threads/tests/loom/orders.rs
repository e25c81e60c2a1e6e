use std::sync::Arc;

use loom::thread;
use tenure_core::{ClaimerError, Instant, Then, TicketKind};
use tenure_runtime::{Clock, ManualClock, Order};

use crate::support::{denied, hub, leader, model, wait, work};

/// The driver looks for work, on a thread of its own, while a handle makes some.
#[test]
fn a_driver_that_looks_for_work_misses_no_order() {
    model(None, || {
        let hub = leader();
        let driver = {
            let hub = hub.clone();
            thread::spawn(move || {
                work(&hub, |work| matches!(work.orders.release, Order::Begin(_)));
            })
        };
        hub.resign(Then::Stop);
        driver.join().unwrap();
    });
}

#[test]
fn a_driver_that_looks_for_work_misses_no_order_of_two_threads() {
    model(None, || {
        let (hub, attempt) = hub();
        let driver = {
            let hub = hub.clone();
            thread::spawn(move || {
                let (mut released, mut watched) = (false, false);
                work(&hub, |work| {
                    released |= matches!(work.orders.release, Order::Begin(_));
                    watched |= matches!(work.orders.watch, Order::Begin(_));
                    // The watch may have been abandoned before it was begun.
                    released
                });
                watched
            })
        };
        let store = {
            let hub = hub.clone();
            thread::spawn(move || hub.claim_finished(attempt, denied()))
        };
        hub.resign(Then::Stop);
        driver.join().unwrap();
        store.join().unwrap();
    });
}

/// A deadline that comes sooner is news to a driver that sleeps until a later one, also without an
/// order.
#[test]
fn a_driver_that_sleeps_is_told_of_a_sooner_deadline() {
    model(None, || {
        let (hub, attempt) = hub();
        let before = hub.take_work(std::task::Waker::noop()).deadline;
        let driver = {
            let hub = hub.clone();
            thread::spawn(move || {
                work(&hub, |work| work.deadline < before);
            })
        };
        // It claims again sooner than this claim would have been given up.
        hub.claim_finished(attempt, Err(ClaimerError::unknown("the store is away")));
        driver.join().unwrap();
    });
}

/// As the drivers do: the waker is left before the clock is read.
#[test]
fn a_driver_that_sleeps_misses_no_jump_of_the_clock() {
    model(None, || {
        let clock = Arc::new(ManualClock::new());
        let due = Instant::from_nanos(5);
        let driver = {
            let clock = clock.clone();
            thread::spawn(move || {
                wait(|waker| {
                    clock.on_jump(waker);
                    (clock.now() >= due).then_some(())
                });
            })
        };
        clock.set(Instant::from_nanos(3));
        clock.set(due);
        driver.join().unwrap();
    });
}

#[test]
fn the_ticket_of_a_driver_that_ends_wakes_nobody_twice() {
    model(None, || {
        let (hub, attempt) = hub();
        let mut ticket = hub.request(TicketKind::WaitMinion);
        let store = {
            let hub = hub.clone();
            thread::spawn(move || hub.claim_finished(attempt, denied()))
        };
        hub.driver_gone();
        store.join().unwrap();
        assert!(ticket.poll(None).is_some());
        assert!(!hub.has_tickets());
    });
}

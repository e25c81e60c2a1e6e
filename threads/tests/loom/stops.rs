use std::sync::Arc;

use loom::thread;
use tenure_core::{Outcome, Standing, Then, TicketKind};
use tenure_runtime::{Hub, Order};

use crate::support::{Rouser, answer, hub, leader, model, wait, work};

const KINDS: [TicketKind; 3] =
    [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion];

/// What the driver does at the end: the release.
fn release(hub: &Hub) {
    let released = work(hub, |work| matches!(work.orders.release, Order::Begin(_)));
    let Order::Begin(order) = released.orders.release else { panic!("{released:?}") };
    hub.release_finished(order.tenure, Ok(()));
}

#[test]
fn a_ticket_asked_for_while_the_tracker_stops_is_answered() {
    for kind in KINDS {
        model(None, move || {
            let (hub, _) = hub();
            let asker = {
                let hub = hub.clone();
                thread::spawn(move || {
                    let outcome = answer(&mut hub.request(kind));
                    assert!(matches!(outcome, Outcome::Minion | Outcome::Stopped), "{outcome:?}");
                })
            };
            hub.resign(Then::Stop);
            release(&hub);
            asker.join().unwrap();
            assert!(!hub.has_tickets(), "{kind:?}: one is parked after the end");
            assert_eq!(answer(&mut hub.request(kind)), Outcome::Stopped);
        });
    }
}

#[test]
fn a_leader_that_stops_says_yes_to_nobody_who_asks_afterwards() {
    model(None, || {
        let hub = leader();
        assert!(matches!(hub.standing(), Standing::Leader { .. }));
        let stopper = {
            let hub = hub.clone();
            thread::spawn(move || hub.resign(Then::Stop))
        };
        let first = hub.request(TicketKind::ClaimLeader).poll(None).expect("a leader answers");
        let second = hub.request(TicketKind::ClaimLeader).poll(None).expect("at once");
        let is_yes = |outcome| matches!(outcome, Outcome::Leader { .. });
        assert!(is_yes(first) || !is_yes(second), "a yes after the end of yes");
        stopper.join().unwrap();
        assert_eq!(hub.standing(), Standing::Minion);
        assert_eq!(hub.request(TicketKind::ClaimLeader).poll(None), Some(Outcome::Minion));
    });
}

#[test]
fn a_driver_that_goes_leaves_nobody_parked() {
    for kind in KINDS {
        model(Some(2), move || {
            let (hub, _) = hub();
            let asker = {
                let hub = hub.clone();
                thread::spawn(move || assert_eq!(answer(&mut hub.request(kind)), Outcome::Stopped))
            };
            hub.driver_gone();
            asker.join().unwrap();
            assert!(!hub.has_tickets());
        });
    }
}

/// It is handed in by the thread of a call, while the tracker is stopped by another.
#[test]
fn a_grant_that_meets_a_stop_is_not_believed_afterwards() {
    model(None, || {
        let (hub, attempt) = hub();
        let store = {
            let hub = hub.clone();
            thread::spawn(move || hub.claim_finished(attempt, crate::support::granted()))
        };
        hub.resign(Then::Stop);
        assert_eq!(hub.request(TicketKind::ClaimLeader).poll(None), Some(Outcome::Minion));
        release(&hub);
        store.join().unwrap();
        assert_eq!(hub.request(TicketKind::ClaimLeader).poll(None), Some(Outcome::Stopped));
        assert!(!hub.has_tickets());
    });
}

#[test]
fn whoever_waits_for_the_end_is_told_of_it_and_whoever_leaves_is_forgotten() {
    model(None, || {
        let (hub, _) = hub();
        let waiter = {
            let hub = hub.clone();
            thread::spawn(move || {
                let mut slot = None;
                wait(|waker| hub.poll_end(&mut slot, waker)).expect("it was asked to stop");
                slot.iter().for_each(|slot| hub.stop_waiting(slot));
            })
        };
        let (mut slot, leaver) = (None, Rouser::new());
        let early = hub.poll_end(&mut slot, &leaver.clone().into());
        assert!(early.is_none(), "nobody has asked it to");
        hub.resign(Then::Stop);
        slot.iter().for_each(|slot| hub.stop_waiting(slot));
        assert_eq!(Arc::strong_count(&leaver), 1, "a waker is kept");
        release(&hub);
        waiter.join().unwrap();
    });
}

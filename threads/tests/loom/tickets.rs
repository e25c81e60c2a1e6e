use std::sync::Arc;
use std::task::{Wake, Waker};

use loom::thread;
use tenure_core::{ClaimAnswer, ClaimerError, Outcome, TicketKind};
use tenure_runtime::Ticket;

use crate::support::{Rouser, answer, denied, granted, hub, model, wait};

type Answer = Result<ClaimAnswer, ClaimerError>;

fn is_yes(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Leader { .. })
}

/// A ticket is asked for, and waited for, while the claim that decides it ends.
fn asked_while_a_claim_ends(
    kind: TicketKind,
    result: fn() -> Answer,
    is_right: fn(Outcome) -> bool,
) {
    model(None, move || {
        let (hub, attempt) = hub();
        let asker = {
            let hub = hub.clone();
            thread::spawn(move || {
                let mut ticket = hub.request(kind);
                let outcome = answer(&mut ticket);
                assert!(is_right(outcome), "{kind:?}: {outcome:?}");
                assert_eq!(ticket.poll(None), Some(outcome), "the answer stays");
            })
        };
        hub.claim_finished(attempt, result());
        asker.join().unwrap();
        assert!(!hub.has_tickets());
    });
}

#[test]
fn a_claim_ticket_meets_a_grant() {
    asked_while_a_claim_ends(TicketKind::ClaimLeader, granted, is_yes);
}

#[test]
fn a_claim_ticket_meets_a_denial() {
    asked_while_a_claim_ends(TicketKind::ClaimLeader, denied, |outcome| outcome == Outcome::Minion);
}

#[test]
fn a_claim_ticket_meets_an_error() {
    let lost = || Err(ClaimerError::unknown("lost"));
    asked_while_a_claim_ends(TicketKind::ClaimLeader, lost, |outcome| outcome == Outcome::Minion);
}

#[test]
fn a_leader_ticket_meets_a_grant() {
    asked_while_a_claim_ends(TicketKind::WaitLeader, granted, is_yes);
}

#[test]
fn a_minion_ticket_meets_a_denial() {
    asked_while_a_claim_ends(TicketKind::WaitMinion, denied, |outcome| outcome == Outcome::Minion);
}

#[test]
fn a_ticket_of_each_kind_meets_a_fatal_error() {
    for kind in [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion] {
        let fatal = || Err(ClaimerError::fatal("wrong password"));
        asked_while_a_claim_ends(kind, fatal, |outcome| outcome == Outcome::Stopped);
    }
}

#[test]
fn two_askers_are_each_answered() {
    model(Some(2), || {
        let (hub, attempt) = hub();
        let askers: Vec<_> = [TicketKind::ClaimLeader, TicketKind::WaitLeader]
            .into_iter()
            .map(|kind| {
                let hub = hub.clone();
                thread::spawn(move || assert!(is_yes(answer(&mut hub.request(kind)))))
            })
            .collect();
        hub.claim_finished(attempt, granted());
        askers.into_iter().for_each(|asker| asker.join().unwrap());
        assert!(!hub.has_tickets());
    });
}

/// As a future that moves from task to task: the waker that counts is the latest.
#[test]
fn the_latest_waker_is_woken_once_and_none_is_kept() {
    model(None, || {
        let (hub, attempt) = hub();
        let mut ticket = hub.request(TicketKind::WaitLeader);
        let (early, late) = (Rouser::new(), Rouser::new());
        assert_eq!(ticket.poll(Some(&early.clone().into())), None);
        let store = {
            let hub = hub.clone();
            thread::spawn(move || hub.claim_finished(attempt, granted()))
        };
        let waker: Waker = late.clone().into();
        let outcome = ticket.poll(Some(&waker));
        drop(waker);
        let was_there = outcome.is_some();
        while ticket.poll(None).is_none() {
            late.sleep();
        }
        store.join().unwrap();
        let woken = (early.woken(), late.woken());
        assert!(if was_there { woken.1 == 0 } else { woken == (0, 1) }, "{was_there} {woken:?}");
        assert_eq!((Arc::strong_count(&early), Arc::strong_count(&late)), (1, 1), "wakers leak");
        assert!(!hub.has_tickets());
    });
}

#[test]
fn a_ticket_dropped_while_it_is_answered_frees_its_place_and_disturbs_nobody() {
    model(None, || {
        let (hub, attempt) = hub();
        let mut dropped = hub.request(TicketKind::WaitLeader);
        let mut kept = hub.request(TicketKind::WaitLeader);
        let gone = Rouser::new();
        assert_eq!(dropped.poll(Some(&gone.clone().into())), None);
        let dropper = thread::spawn(move || drop(dropped));
        let store = {
            let hub = hub.clone();
            thread::spawn(move || hub.claim_finished(attempt, granted()))
        };
        assert!(is_yes(answer(&mut kept)));
        dropper.join().unwrap();
        store.join().unwrap();
        assert!(gone.woken() <= 1);
        assert_eq!(Arc::strong_count(&gone), 1, "a waker leaks");
        assert!(!hub.has_tickets(), "its place is still taken");
    });
}

/// A waker may own a task, and with it a ticket of this very hub: who drops the waker drops that.
struct Owner(#[expect(dead_code, reason = "what counts is that it is dropped")] Ticket);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_that_owns_a_ticket_may_be_dropped_by_whoever_answers_or_takes_its_place() {
    model(None, || {
        let (hub, attempt) = hub();
        let mut ticket = hub.request(TicketKind::WaitLeader);
        let owner = Arc::new(Owner(hub.request(TicketKind::WaitMinion)));
        assert_eq!(ticket.poll(Some(&owner.into())), None);
        let store = {
            let hub = hub.clone();
            thread::spawn(move || hub.claim_finished(attempt, granted()))
        };
        assert!(is_yes(wait(|waker| ticket.poll(Some(waker)))));
        store.join().unwrap();
        drop(ticket);
        assert!(!hub.has_tickets());
    });
}

#[test]
fn a_waker_that_owns_a_ticket_may_be_dropped_with_its_own_ticket() {
    model(None, || {
        let (hub, attempt) = hub();
        let mut ticket = hub.request(TicketKind::WaitLeader);
        let owner = Arc::new(Owner(hub.request(TicketKind::WaitMinion)));
        assert_eq!(ticket.poll(Some(&owner.into())), None);
        let dropper = thread::spawn(move || drop(ticket));
        hub.claim_finished(attempt, granted());
        dropper.join().unwrap();
        assert!(!hub.has_tickets());
    });
}

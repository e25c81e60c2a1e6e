//! Tickets: each is answered once, whoever waits on it is told, and where it can be selected on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant as Deadline};

use futures_lite::future;
use tenure_core::{Instant, Outcome, TicketKind};
use tenure_runtime::ManualClock;
use tenure_testkit::scripted::{Call, Reply, Scripted};

use super::rig::{ByHand, Woken, on_each, yes};
use super::{PATIENCE, config};

const KINDS: [TicketKind; 3] =
    [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion];

#[test]
fn an_answer_stays_once_it_is_there() {
    on_each(|rig| {
        let mut tickets = KINDS.map(|kind| rig.ask(kind));
        rig.begun(Call::Claim, 1);
        tickets.iter_mut().for_each(|ticket| assert_eq!(ticket.poll(), None));
        rig.lead(1);
        let [claim, leader, minion] = &mut tickets;
        for ticket in [claim, leader] {
            assert!(ticket.is_ready());
            assert_eq!([ticket.poll(), ticket.poll()], [Some(yes(1, Instant::ORIGIN)); 2]);
            assert!(ticket.is_ready());
        }
        assert_eq!(minion.poll(), None, "it can rely on leading");
    });
}

#[test]
fn ready_closes_with_the_answer_however_often_it_was_asked_for() {
    on_each(|rig| {
        let mut ticket = rig.ask(TicketKind::WaitLeader);
        let channels = [ticket.ready(), ticket.ready()];
        assert_eq!(ticket.poll(), None);
        let later = ticket.ready();
        rig.begun(Call::Claim, 1);
        let closed = || [channels[0](), channels[1](), later()];
        assert_eq!(closed(), [false; 3], "on {:?}", rig.runtime);
        rig.lead(1);
        rig.until("all are closed", |_| closed() == [true; 3]);
        assert!(ticket.ready()(), "and so is one that comes too late");
        assert_eq!(ticket.poll(), Some(yes(1, Instant::ORIGIN)));
    });
}

#[test]
fn ready_closes_when_the_ticket_is_dropped_or_was_answered_at_once() {
    on_each(|rig| {
        let mut dropped = rig.ask(TicketKind::WaitMinion);
        let channel = dropped.ready();
        assert!(!channel());
        drop(dropped);
        assert!(channel(), "on {:?}", rig.runtime);
        rig.lead(1);
        assert!(rig.ask(TicketKind::ClaimLeader).ready()());
    });
}

/// A tracker of smol over a claimer that hangs, with its driver.
fn smol() -> (tenure_smol::Tracker, ByHand, Scripted) {
    let clock = Arc::new(ManualClock::new());
    let claimer = Scripted::new(clock.clone());
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) =
        tenure_smol::Tracker::with_clock(claimer.clone(), service, unit, config(), clock);
    let mut driver = ByHand::new(driver.run());
    driver.drive();
    (tracker, driver, claimer)
}

fn look(ticket: &mut tenure_smol::Ticket, woken: &Arc<Woken>) -> Poll<Outcome> {
    let waker: Waker = woken.clone().into();
    Pin::new(ticket).poll(&mut Context::from_waker(&waker))
}

#[test]
fn a_smol_ticket_wakes_the_task_that_polled_it_last() {
    let (tracker, mut driver, claimer) = smol();
    let (first, last) = <(Arc<Woken>, Arc<Woken>)>::default();
    let mut ticket = tracker.wait_leader();
    assert!(look(&mut ticket, &first).is_pending());
    let mut ticket = thread::spawn({
        let last = last.clone();
        move || {
            assert!(look(&mut ticket, &last).is_pending());
            ticket
        }
    })
    .join()
    .unwrap();
    claimer.finish_one(Call::Claim, Reply::granted(1));
    driver.drive();
    assert_eq!((first.times(), last.times()), (0, 1));
    assert!(look(&mut ticket, &last).is_ready());
}

#[test]
fn a_smol_ticket_wakes_its_task_and_its_channel() {
    for ready_first in [true, false] {
        let (tracker, mut driver, claimer) = smol();
        let (task, selector) = <(Arc<Woken>, Arc<Woken>)>::default();
        let mut ticket = tracker.wait_leader();
        let mut channel = None;
        for makes_ready in [ready_first, !ready_first] {
            match makes_ready {
                true => channel = Some(ticket.ready()),
                false => assert!(look(&mut ticket, &task).is_pending()),
            }
        }
        // A ticket whose channel was asked for after it was polled is to be polled anew.
        assert!(look(&mut ticket, &task).is_pending());
        let channel = channel.unwrap();
        let mut receive = Box::pin(channel.recv());
        let waker: Waker = selector.clone().into();
        assert!(receive.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        claimer.finish_one(Call::Claim, Reply::granted(1));
        driver.drive();
        assert_eq!((task.times(), selector.times()), (1, 1), "ready first: {ready_first}");
        assert!(future::block_on(receive).is_err());
    }
}

/// A tracker of std over a claimer that hangs.
fn std() -> (tenure_std::Tracker, thread::JoinHandle<()>, Scripted) {
    let clock = Arc::new(ManualClock::new());
    let claimer = Scripted::new(clock.clone());
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) =
        tenure_std::Tracker::with_clock(claimer.clone(), service, unit, config(), clock);
    (tracker, driver.spawn().unwrap(), claimer)
}

/// Ends the claim of a tracker of std, as soon as it is out.
fn grant(claimer: &Scripted) {
    let end = Deadline::now() + PATIENCE;
    while claimer.out(Call::Claim).is_empty() {
        assert!(Deadline::now() < end, "no claim");
        thread::yield_now();
    }
    claimer.finish_one(Call::Claim, Reply::granted(1));
}

fn end(tracker: tenure_std::Tracker, driver: thread::JoinHandle<()>, claimer: &Scripted) {
    drop(tracker);
    claimer.close();
    driver.join().unwrap();
}

#[test]
fn a_std_ticket_can_be_waited_on_for_a_while_and_again() {
    let (tracker, driver, claimer) = std();
    let mut ticket = tracker.wait_leader();
    let past = Deadline::now().checked_sub(Duration::from_secs(1)).unwrap();
    assert_eq!(ticket.wait_deadline(past), None);
    assert_eq!(ticket.wait_timeout(Duration::ZERO), None);
    assert_eq!(ticket.wait_timeout(Duration::from_millis(5)), None);
    grant(&claimer);
    let answer = Some(yes(1, Instant::ORIGIN));
    assert_eq!(ticket.wait_timeout(Duration::MAX), answer);
    assert_eq!(ticket.wait_deadline(past), answer, "an answer that is there is worth no wait");
    assert_eq!(ticket.wait_timeout(Duration::ZERO), answer);
    assert_eq!(Some(ticket.wait()), answer);
    end(tracker, driver, &claimer);
}

#[test]
fn a_std_ticket_wakes_a_thread_that_waits_and_one_that_selects() {
    let (tracker, driver, claimer) = std();
    let mut ticket = tracker.wait_leader();
    let channel = ticket.ready();
    let waits = thread::spawn(move || ticket.wait());
    let selects = thread::spawn(move || {
        crossbeam_channel::select! {
            recv(channel) -> nothing => nothing.is_err(),
            default(PATIENCE) => false,
        }
    });
    grant(&claimer);
    assert_eq!(waits.join().unwrap(), yes(1, Instant::ORIGIN));
    assert!(selects.join().unwrap(), "the channel is closed with the answer");
    end(tracker, driver, &claimer);
}

#[test]
fn a_std_ticket_can_be_moved_to_another_thread_while_it_waits() {
    let (tracker, driver, claimer) = std();
    let mut ticket = tracker.wait_leader();
    assert_eq!(ticket.wait_timeout(Duration::from_millis(1)), None);
    let waits = thread::spawn(move || ticket.wait_timeout(PATIENCE));
    grant(&claimer);
    assert_eq!(waits.join().unwrap(), Some(yes(1, Instant::ORIGIN)));
    end(tracker, driver, &claimer);
}

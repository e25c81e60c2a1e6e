//! Wakers are other people's code: they may do anything to the tracker that wakes or drops them.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use tenure_core::{Outcome, Standing};
use tenure_memory::MemoryStore;
use tenure_runtime::ManualClock;
use tenure_smol::{Driver, Ticket, Tracker};
use tenure_testkit::scripted::{Call, Reply, Scripted};

use super::{PATIENCE, config};

/// Fails if `test` does not come to an end: it would hang on a lock.
#[track_caller]
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        test();
        drop(sender);
    });
    let end = receiver.recv_timeout(PATIENCE);
    assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected), "it hangs");
    thread.join().unwrap();
}

/// A task that owns tickets of the tracker that wakes it, and asks it everything when it is woken,
/// and when it is dropped.
struct Task {
    tracker: Tracker,
    tickets: Mutex<Vec<Ticket>>,
}

impl Task {
    fn ask_everything(&self) {
        let _ = (self.tracker.standing(), self.tracker.last_error());
        drop((self.tracker.claim_leader(), self.tracker.wait_leader()));
        let mut tickets = self.tickets.lock().unwrap();
        tickets.push(self.tracker.wait_minion());
        tickets.iter_mut().for_each(|ticket| {
            let _ = (ticket.is_ready(), poll(ticket, Waker::noop()));
        });
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.ask_everything();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.ask_everything();
        self.tickets.lock().unwrap().clear();
    }
}

/// The only waker of a new task.
fn task(tracker: &Tracker) -> Waker {
    let tickets = Mutex::new(vec![tracker.wait_leader(), tracker.wait_minion()]);
    Arc::new(Task { tracker: tracker.clone(), tickets }).into()
}

fn poll(ticket: &mut Ticket, waker: &Waker) -> Option<Outcome> {
    match Pin::new(ticket).poll(&mut Context::from_waker(waker)) {
        std::task::Poll::Ready(outcome) => Some(outcome),
        std::task::Poll::Pending => None,
    }
}

fn start() -> (Tracker, Driver<Scripted>, Scripted, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let claimer = Scripted::new(clock.clone());
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) =
        Tracker::with_clock(claimer.clone(), service, unit, config(), clock.clone());
    (tracker, driver, claimer, clock)
}

#[test]
fn a_ticket_wakes_and_drops_wakers_that_ask_the_same_tracker() {
    in_time(|| {
        let (tracker, driver, claimer, clock) = start();
        let mut driver = super::rig::ByHand::new(driver.run());
        driver.drive();
        let mut replaced = tracker.wait_leader();
        assert_eq!(poll(&mut replaced, &task(&tracker)), None);
        assert_eq!(poll(&mut replaced, Waker::noop()), None, "the first one is dropped");
        let mut left = tracker.wait_leader();
        assert_eq!(poll(&mut left, &task(&tracker)), None);
        drop(left);
        let mut shown = tracker.wait_leader();
        let _channel = shown.ready();
        assert_eq!(poll(&mut shown, &task(&tracker)), None);
        assert_eq!(poll(&mut shown, &task(&tracker)), None);
        let mut tickets = [tracker.wait_leader(), tracker.claim_leader(), tracker.wait_minion()];
        tickets.iter_mut().for_each(|ticket| assert_eq!(poll(ticket, &task(&tracker)), None));
        claimer.finish_one(Call::Claim, Reply::granted(1));
        driver.drive();
        let answered = tickets.each_mut().map(|ticket| poll(ticket, Waker::noop()).is_some());
        assert_eq!(answered, [true, true, false]);
        assert!(poll(&mut replaced, Waker::noop()).is_some());
        clock.advance(Duration::from_secs(40));
        driver.drive();
        assert_eq!(poll(&mut tickets[2], Waker::noop()), Some(Outcome::Minion));
    });
}

/// Notes what the tracker says at the moment of the wake-up.
struct Looks {
    tracker: Tracker,
    seen: Mutex<Vec<bool>>,
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let leads = matches!(self.tracker.standing(), Standing::Leader { .. });
        self.seen.lock().unwrap().push(leads);
    }
}

#[test]
fn who_is_woken_sees_the_standing_that_the_answer_tells_of() {
    let (tracker, driver, claimer, _) = start();
    let mut driver = super::rig::ByHand::new(driver.run());
    driver.drive();
    let looks = Arc::new(Looks { tracker: tracker.clone(), seen: Mutex::default() });
    let mut leads = tracker.wait_leader();
    assert_eq!(poll(&mut leads, &looks.clone().into()), None);
    claimer.finish_one(Call::Claim, Reply::granted(1));
    driver.drive();
    let mut lost = tracker.wait_minion();
    assert_eq!(poll(&mut lost, &looks.clone().into()), None);
    tracker.step_down(Duration::ZERO);
    assert_eq!(*looks.seen.lock().unwrap(), [true, false]);
}

#[test]
fn who_waits_for_the_end_may_ask_the_tracker_when_woken_and_when_dropped() {
    in_time(|| {
        let (tracker, driver, ..) = start();
        let mut waits = pin!(tracker.wait());
        for waker in [task(&tracker), task(&tracker)] {
            assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        {
            let mut given_up = pin!(tracker.wait());
            let waker = task(&tracker);
            assert!(given_up.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        drop(driver);
        assert!(waits.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    });
}

#[test]
fn the_drivers_task_may_ask_its_tracker_when_woken_and_when_dropped() {
    in_time(|| {
        let (tracker, driver, claimer, clock) = start();
        let mut run = Box::pin(driver.run());
        for _ in 0..2 {
            let waker = task(&tracker);
            assert!(run.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        tracker.step_down(Duration::ZERO);
        let waker = task(&tracker);
        assert!(run.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        claimer.finish_one(Call::Release, Reply::Done);
        clock.advance(Duration::from_secs(1));
        drop(waker);
        drop(run);
        clock.advance(Duration::from_secs(1));
        assert_eq!(poll(&mut tracker.wait_leader(), Waker::noop()), Some(Outcome::Stopped));
    });
}

#[test]
fn a_driver_with_nothing_to_wait_for_holds_the_only_waker() {
    in_time(|| {
        let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
        let (tracker, driver) = Tracker::new(MemoryStore::new(), service, unit, config());
        let mut run = Box::pin(driver.run());
        let mut poll_run = |waker: &Waker| run.as_mut().poll(&mut Context::from_waker(waker));
        assert!(poll_run(Waker::noop()).is_pending());
        // With no timer to set, and a clock that keeps no wakers, each poll drops the last of one.
        tracker.step_down(Duration::MAX);
        assert!((0..3).all(|_| poll_run(&task(&tracker)).is_pending()));
        drop(run);
    });
}

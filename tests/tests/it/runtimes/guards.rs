//! Guards that are shared with what the work has started, and work that is told before it ends.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_lite::future;
use tenure_core::{Demotion, Outcome, Standing};
use tenure_runtime::{ManualClock, WorkError};
use tenure_smol::{Guard, Tracker};
use tenure_testkit::scripted::{Call, Reply, Scripted};

use super::rig::ByHand;
use super::{PATIENCE, SECOND, config, millis};

/// A tracker of smol that leads, with its driver.
struct Leading {
    tracker: Tracker,
    driver: ByHand,
    claimer: Scripted,
    clock: Arc<ManualClock>,
}

impl Leading {
    fn new() -> Leading {
        let clock = Arc::new(ManualClock::new());
        let claimer = Scripted::new(clock.clone());
        let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
        let (tracker, driver) =
            Tracker::with_clock(claimer.clone(), service, unit, config(), clock.clone());
        let mut driver = ByHand::new(driver.run());
        driver.drive();
        claimer.finish_one(Call::Claim, Reply::granted(1));
        driver.drive();
        assert!(matches!(tracker.standing(), Standing::Leader { .. }));
        Leading { tracker, driver, claimer, clock }
    }

    /// Work that is told, notes why, and goes on until it is dropped or `ends`.
    fn work(&self) -> Work {
        let (told, result) = <(Rc<Cell<_>>, Rc<Cell<_>>)>::default();
        let ends = Rc::new(Cell::new(false));
        let guards = Rc::new(Cell::new(None));
        let (tracker, seen) =
            (self.tracker.clone(), Work { told, result, ends, guards, task: None });
        let (told, result, ends, guards) =
            (seen.told.clone(), seen.result.clone(), seen.ends.clone(), seen.guards.clone());
        let task = async move {
            let work = tracker.while_leader(|guard: Guard| async move {
                guards.set(Some(guard.clone()));
                told.set(Some(guard.lost().await));
                poll_fn(|_| if ends.get() { Poll::Ready(7) } else { Poll::Pending }).await
            });
            result.set(Some(work.await));
        };
        let mut work = Work { task: Some(ByHand::new(task)), ..seen };
        work.drive();
        work
    }

    fn advance(&mut self, span: Duration) {
        self.clock.advance(span);
        self.driver.drive();
    }
}

struct Work {
    told: Rc<Cell<Option<Demotion>>>,
    result: Rc<Cell<Option<Result<u32, WorkError>>>>,
    ends: Rc<Cell<bool>>,
    /// A clone, as what it has spawned would have.
    guards: Rc<Cell<Option<Guard>>>,
    task: Option<ByHand>,
}

impl Work {
    fn drive(&mut self) {
        self.task.as_mut().unwrap().drive();
    }
}

#[test]
fn work_that_asks_is_told_at_the_step_down_and_dropped_before_the_lease_ends() {
    let mut leading = Leading::new();
    leading.claimer.always(Call::Claim, Reply::unknown("away"));
    let mut work = leading.work();
    leading.advance(15 * SECOND - millis(1));
    work.drive();
    assert_eq!(work.told.get(), None);
    leading.advance(millis(1));
    work.drive();
    assert_eq!((work.told.get(), work.result.get()), (Some(Demotion::NotRenewed), None));
    // It has the margin, but for a tenth of it.
    leading.advance(millis(4_499));
    work.drive();
    assert_eq!(work.result.get(), None);
    leading.advance(millis(1));
    work.drive();
    assert_eq!(work.result.get(), Some(Err(WorkError::Lost(Demotion::NotRenewed))));
}

#[test]
fn work_that_asks_and_ends_in_its_time_gives_its_result() {
    let mut leading = Leading::new();
    let mut work = leading.work();
    leading.tracker.step_down(SECOND);
    leading.driver.drive();
    work.drive();
    assert_eq!((work.told.get(), work.result.get()), (Some(Demotion::Resigned), None));
    drop(work.guards.take());
    assert_eq!(leading.claimer.begun(Call::Release), 0, "the lease is kept for it");
    work.ends.set(true);
    leading.advance(SECOND);
    // A task is polled when it is woken: here by the clock, as its alarm looks at that.
    work.drive();
    assert_eq!(work.result.get(), Some(Ok(7)));
    leading.driver.drive();
    assert_eq!(leading.claimer.begun(Call::Release), 1);
}

#[test]
fn work_that_winds_down_is_dropped_at_once_when_the_store_names_another() {
    let mut leading = Leading::new();
    let mut work = leading.work();
    leading.tracker.step_down(SECOND);
    leading.advance(millis(9_500));
    // It resigns and renews, and has not been polled since.
    leading.claimer.finish_one(Call::Claim, Reply::denied());
    leading.driver.drive();
    work.drive();
    assert_eq!(work.result.get(), Some(Err(WorkError::Lost(Demotion::Denied))));
}

#[test]
fn work_whose_lease_was_lost_is_dropped_at_once_when_the_store_names_another() {
    let mut leading = Leading::new();
    leading.claimer.always(Call::Claim, Reply::unknown("away"));
    let mut work = leading.work();
    leading.advance(15 * SECOND);
    work.drive();
    assert_eq!((work.told.get(), work.result.get()), (Some(Demotion::NotRenewed), None));
    leading.claimer.always(Call::Claim, Reply::denied());
    leading.advance(3 * SECOND);
    work.drive();
    assert_eq!(work.result.get(), Some(Err(WorkError::Lost(Demotion::Denied))));
}

#[test]
fn a_guard_that_was_moved_into_a_spawned_task_holds_back_the_release() {
    let mut leading = Leading::new();
    let mut work = leading.work();
    let spawned = work.guards.take().unwrap();
    leading.tracker.kill();
    work.ends.set(true);
    leading.driver.drive();
    work.drive();
    assert_eq!(work.result.get(), Some(Ok(7)), "the future itself has ended");
    leading.driver.drive();
    assert_eq!(leading.claimer.begun(Call::Release), 0, "the task has not");
    assert_eq!(spawned.loss(), Some(Demotion::Resigned));
    assert_eq!(future::block_on(spawned.lost()), Demotion::Resigned);
    drop(spawned);
    leading.driver.drive();
    assert_eq!(leading.claimer.begun(Call::Release), 1);
}

/// The driver is stuck, as in a store that never stops talking, and the work wakes itself for ever.
#[test]
fn the_loss_is_seen_before_the_work_is_polled_again_whatever_the_driver_does() {
    let leading = Leading::new();
    let polls = Rc::new(Cell::new(0));
    let (tracker, counted) = (leading.tracker.clone(), polls.clone());
    let mut work = Box::pin(tracker.while_leader(|_guard| {
        poll_fn(move |context| {
            counted.set(counted.get() + 1);
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        })
    }));
    let mut poll = || future::block_on(future::poll_once(&mut work));
    assert!(poll().is_none() && poll().is_none());
    let before = polls.get();
    let told = leading.tracker.wait_minion();
    leading.clock.advance(15 * SECOND);
    assert_eq!(poll(), Some(Err(WorkError::Lost(Demotion::NotRenewed))));
    assert_eq!(polls.get(), before);
    assert!(told.is_ready(), "and those who wait are told");
}

#[test]
fn the_loss_wakes_work_that_sleeps_also_when_the_driver_does_not_run() {
    let leading = Leading::new();
    let mut lost = None;
    let tracker = leading.tracker.clone();
    let done = Rc::new(Cell::new(None));
    let seen = done.clone();
    let mut work = ByHand::new(async move {
        let work = tracker.while_leader(|guard| {
            lost = Some(guard);
            pending::<()>()
        });
        seen.set(Some(work.await));
    });
    work.drive();
    leading.clock.advance(15 * SECOND);
    work.drive();
    assert_eq!(done.get(), Some(Err(WorkError::Lost(Demotion::NotRenewed))));
}

#[test]
fn threads_share_a_guard_and_each_is_told() {
    let clock = Arc::new(ManualClock::new());
    let claimer = Scripted::new(clock.clone());
    claimer.next(Call::Claim, Reply::granted(1));
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) =
        tenure_std::Tracker::with_clock(claimer.clone(), service, unit, config(), clock);
    let running = driver.spawn().unwrap();
    assert!(matches!(tracker.wait_leader().wait_timeout(PATIENCE), Some(Outcome::Leader { .. })));
    let spawned = tracker
        .while_leader(|guard| {
            let shared = Arc::new(guard.clone());
            [(); 3].map(|()| {
                let guard = shared.clone();
                thread::spawn(move || {
                    let told = guard.wait_lost_timeout(PATIENCE);
                    (told, guard.loss(), guard)
                })
            })
        })
        .unwrap();
    tracker.step_down(SECOND);
    let guards = spawned.map(|thread| thread.join().unwrap());
    assert!(guards.iter().all(|told| (told.0, told.1) == (true, Some(Demotion::Resigned))));
    assert_eq!(claimer.begun(Call::Release), 0, "the threads have not let go of it");
    drop(guards);
    let end = std::time::Instant::now() + PATIENCE;
    while claimer.begun(Call::Release) == 0 {
        assert!(std::time::Instant::now() < end, "it is never released");
        thread::yield_now();
    }
    drop(tracker);
    claimer.close();
    running.join().unwrap();
}

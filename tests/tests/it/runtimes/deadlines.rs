//! Deadlines come before calls, and what is ordered wakes the driver.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant as Deadline};

use tenure_core::{
    Candidate, ClaimAnswer, Claimer, ClaimerError, Config, Judge, Leader, Outcome, ServiceName,
    Standing, TicketKind,
};
use tenure_runtime::{Calls, ManualClock};
use tenure_testkit::scripted::{Call, Fate, Reply, Scripted};

use super::rig::{ByHand, Rig, Runtime};
use super::{PATIENCE, SECOND, config, millis};

/// A store that talks and talks: each call wakes itself at once, and never ends.
#[derive(Clone, Default)]
struct Talks(Arc<Talk>);

#[derive(Default)]
struct Talk {
    polls: AtomicUsize,
    dropped: AtomicUsize,
    /// Where it is woken by hand, so that the test ends.
    quiet: std::sync::atomic::AtomicBool,
}

struct Dropped(Arc<Talk>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Talks {
    async fn talk<T>(&self) -> T {
        let _dropped = Dropped(self.0.clone());
        poll_fn(|context| {
            self.0.polls.fetch_add(1, Ordering::SeqCst);
            if !self.0.quiet.load(Ordering::SeqCst) {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }
}

impl Claimer for Talks {
    async fn claim(&self, _: &Candidate, _: Duration) -> Result<ClaimAnswer, ClaimerError> {
        self.talk().await
    }

    async fn released(&self, _: &ServiceName) -> Result<(), ClaimerError> {
        self.talk().await
    }

    async fn release(&self, _: &Candidate) -> Result<(), ClaimerError> {
        self.talk().await
    }

    async fn leader(&self, _: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        self.talk().await
    }

    fn judge(&self) -> Judge {
        Judge::Host
    }
}

#[test]
fn a_call_that_is_past_its_deadline_is_dropped_and_not_polled_again() {
    let (store, clock) = (Talks::default(), Arc::new(ManualClock::new()));
    store.0.quiet.store(true, Ordering::SeqCst);
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) =
        tenure_smol::Tracker::with_clock(store.clone(), service, unit, config(), clock.clone());
    let mut driver = ByHand::new(driver.run());
    driver.drive();
    let mut asked = tracker.claim_leader();
    let before = store.0.polls.load(Ordering::SeqCst);
    assert!(before > 0 && !asked.is_ready());
    clock.advance(config().claim_timeout());
    driver.drive();
    assert_eq!(store.0.dropped.load(Ordering::SeqCst), 1);
    assert_eq!(store.0.polls.load(Ordering::SeqCst), before, "its time was over");
    assert!(asked.ready().is_closed(), "who waits for it is told");
}

/// An executor that runs the driver, and a store that has it run again at once, for ever.
#[test]
fn a_store_that_never_stops_talking_stops_no_deadline() {
    fn is_told(clock: &ManualClock, told: impl Fn() -> bool) {
        clock.advance(config().claim_timeout());
        let end = Deadline::now() + PATIENCE;
        while !told() {
            assert!(Deadline::now() < end, "the deadline of the claim never comes");
            thread::sleep(millis(1));
        }
    }

    let (store, clock) = (Talks::default(), Arc::new(ManualClock::new()));
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) =
        tenure_smol::Tracker::with_clock(store, service, unit, config(), clock.clone());
    let running = thread::spawn(|| smol::block_on(driver.run()));
    let asked = tracker.claim_leader();
    is_told(&clock, || asked.is_ready());
    drop((asked, tracker));
    clock.advance(60 * SECOND);
    clock.advance(60 * SECOND);
    let end = Deadline::now() + PATIENCE;
    while !running.is_finished() {
        assert!(Deadline::now() < end, "the driver never ends");
        clock.advance(SECOND);
        thread::sleep(millis(1));
    }

    let (store, clock) = (Talks::default(), Arc::new(ManualClock::new()));
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let blocking = tenure_std::BlockOn::new(store.clone());
    let (tracker, driver) =
        tenure_std::Tracker::with_clock(blocking, service, unit, config(), clock.clone());
    let running = driver.spawn().unwrap();
    let asked = tracker.claim_leader();
    let end = Deadline::now() + PATIENCE;
    while store.0.polls.load(Ordering::SeqCst) == 0 {
        assert!(Deadline::now() < end, "no claim");
        thread::sleep(millis(1));
    }
    is_told(&clock, || asked.is_ready());
    // The thread of the call is lost to it; let it sleep at least.
    store.0.quiet.store(true, Ordering::SeqCst);
    drop((asked, tracker));
    while !running.is_finished() {
        assert!(Deadline::now() < end + PATIENCE, "the driver never ends");
        clock.advance(SECOND);
        thread::sleep(millis(1));
    }
}

/// The driver was held up: the claim that is out was given up, and another ordered, when it looks.
#[test]
fn a_new_claim_takes_the_place_of_the_old_one() {
    let mut rig = Rig::new(Runtime::Smol);
    rig.begun(Call::Claim, 1);
    rig.manual().advance(config().claim_timeout());
    drop(rig.ask(TicketKind::WaitMinion));
    rig.manual().advance(SECOND);
    drop(rig.ask(TicketKind::WaitMinion));
    rig.begun(Call::Claim, 2);
    assert_eq!(rig.claimer.records()[0].fate, Fate::Cancelled, "the old one is dropped");
    rig.claimer.finish_one(Call::Claim, Reply::granted(1));
    rig.until("it leads", |rig| rig.leads());
}

/// So long that no driver wakes up by itself in the time of a test, and a claim that is due soon.
fn hours() -> Config {
    Config::builder(Duration::from_secs(36_000)).min_interval(millis(50)).build().unwrap()
}

fn wakes(claimer: &Scripted, calls: impl Fn() -> Calls, kill: impl Fn()) {
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let end = Deadline::now() + PATIENCE;
        while !holds() {
            assert!(Deadline::now() < end, "the driver sleeps on: {what}");
            thread::sleep(millis(1));
        }
    };
    until("the first claim", &|| claimer.out(Call::Claim).len() == 1);
    claimer.finish_one(Call::Claim, Reply::denied());
    until("a watch", &|| claimer.out(Call::Released).len() == 1);
    // It sleeps until the recheck by now, or is about to.
    thread::sleep(millis(5));
    claimer.finish_one(Call::Released, Reply::Done);
    until("a claim that is due sooner", &|| claimer.out(Call::Claim).len() == 1);
    claimer.finish_one(Call::Claim, Reply::granted(1));
    until("the grant", &|| !calls().claim);
    thread::sleep(millis(5));
    kill();
    until("the release", &|| claimer.out(Call::Release).len() == 1);
    claimer.finish_one(Call::Release, Reply::Done);
}

/// On the real clock, which wakes nobody.
#[test]
fn a_driver_that_sleeps_is_woken_for_what_is_ordered_and_for_what_is_due_sooner() {
    let names = || ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let claimer = Scripted::new(Arc::default());
    let (service, unit) = names();
    let (tracker, driver) = tenure_std::Tracker::new(claimer.clone(), service, unit, hours());
    let running = driver.spawn().unwrap();
    wakes(&claimer, || tracker.calls(), || tracker.kill());
    assert_eq!(tracker.wait_leader().wait(), Outcome::Stopped);
    running.join().unwrap();

    let claimer = Scripted::new(Arc::default());
    let (service, unit) = names();
    let (tracker, driver) = tenure_smol::Tracker::new(claimer.clone(), service, unit, hours());
    let running = thread::spawn(|| smol::block_on(driver.run()));
    wakes(&claimer, || tracker.calls(), || tracker.kill());
    running.join().unwrap();
    assert_eq!(tracker.standing(), Standing::Stopped);
}

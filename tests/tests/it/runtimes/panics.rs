//! Logs, wakers and clocks that panic: they are not ours, and no reason to lose a leadership.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread;

use tenure_core::{Claimer, Outcome, TicketKind};
use tenure_runtime::{Hub, ManualClock};
use tenure_testkit::scripted::{Call, Reply, Scripted};

use super::events::listen;
use super::rig::ByHand;
use super::{PATIENCE, config, millis};

/// The subscriber of these tests panics at every event of a service that is named like this.
pub(super) const BREAKS_THE_LOG: &str = "told-nobody";

#[test]
fn a_log_that_panics_costs_no_leadership_on_threads() {
    listen();
    let clock = Arc::new(ManualClock::new());
    let claimer = Scripted::new(clock.clone());
    let (service, unit) = (BREAKS_THE_LOG.parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) =
        tenure_std::Tracker::with_clock(claimer.clone(), service, unit, config(), clock.clone());
    let running = driver.spawn().unwrap();
    let out = |count| {
        let end = std::time::Instant::now() + PATIENCE;
        while claimer.begun(Call::Claim) < count || claimer.out(Call::Claim).is_empty() {
            assert!(std::time::Instant::now() < end, "claim {count} is never made");
            thread::yield_now();
        }
    };
    out(1);
    claimer.finish_one(Call::Claim, Reply::granted(1));
    assert!(matches!(tracker.wait_leader().wait_timeout(PATIENCE), Some(Outcome::Leader { .. })));
    for renewal in 2..4 {
        clock.advance(millis(9_500));
        out(renewal);
        claimer.finish_one(Call::Claim, Reply::granted(1));
        let end = std::time::Instant::now() + PATIENCE;
        while tracker.calls().claim {
            assert!(std::time::Instant::now() < end, "renewal {renewal} is never handed in");
            thread::yield_now();
        }
    }
    drop(tracker);
    claimer.close();
    running.join().unwrap();
}

#[test]
fn a_log_that_panics_costs_no_leadership_on_smol() {
    listen();
    let clock = Arc::new(ManualClock::new());
    let claimer = Scripted::new(clock.clone());
    let (service, unit) = (BREAKS_THE_LOG.parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) =
        tenure_smol::Tracker::with_clock(claimer.clone(), service, unit, config(), clock.clone());
    let mut driver = ByHand::new(driver.run());
    driver.drive();
    for _ in 0..3 {
        claimer.finish_one(Call::Claim, Reply::granted(1));
        driver.drive();
        assert!(tracker.claim_leader().is_ready());
        clock.advance(millis(9_500));
        driver.drive();
    }
    assert!(!driver.is_done());
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("a waker panics"));
    }
}

#[test]
fn a_waker_that_panics_keeps_nobody_else_from_being_woken() {
    let clock = Arc::new(ManualClock::new());
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let hub = Hub::new(service, unit, config(), clock);
    let panics: Waker = Arc::new(Panics).into();
    let woken = Arc::new(super::rig::Woken::default());
    let mut tickets = [(); 2].map(|()| hub.request(TicketKind::WaitMinion));
    assert_eq!(tickets[0].poll(Some(&panics)), None);
    assert_eq!(tickets[1].poll(Some(&woken.clone().into())), None);
    let _ = hub.take_work(&panics);
    hub.resign(tenure_core::Then::Stop);
    assert_eq!(woken.times(), 1);
    assert_eq!(tickets.map(|mut ticket| ticket.poll(None)), [Some(Outcome::Minion); 2]);
}

#[test]
fn a_call_whose_end_panics_costs_no_leadership() {
    struct Bad(Scripted);
    struct EndsBadly;

    impl Drop for EndsBadly {
        fn drop(&mut self) {
            if !thread::panicking() {
                std::panic::resume_unwind(Box::new("a call ends badly"));
            }
        }
    }

    impl Claimer for Bad {
        async fn claim(
            &self,
            candidate: &tenure_core::Candidate,
            lease: std::time::Duration,
        ) -> Result<tenure_core::ClaimAnswer, tenure_core::ClaimerError> {
            let ends_badly = EndsBadly;
            let answer = Claimer::claim(&self.0, candidate, lease).await;
            std::mem::forget(ends_badly);
            answer
        }

        async fn released(
            &self,
            service: &tenure_core::ServiceName,
        ) -> Result<(), tenure_core::ClaimerError> {
            Claimer::released(&self.0, service).await
        }

        async fn release(
            &self,
            candidate: &tenure_core::Candidate,
        ) -> Result<(), tenure_core::ClaimerError> {
            Claimer::release(&self.0, candidate).await
        }

        async fn leader(
            &self,
            service: &tenure_core::ServiceName,
        ) -> Result<Option<tenure_core::Leader>, tenure_core::ClaimerError> {
            Claimer::leader(&self.0, service).await
        }

        fn judge(&self) -> tenure_core::Judge {
            tenure_core::Judge::Host
        }
    }

    let clock = Arc::new(ManualClock::new());
    let claimer = Scripted::new(clock.clone());
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) = tenure_smol::Tracker::with_clock(
        Bad(claimer.clone()),
        service,
        unit,
        config(),
        clock.clone(),
    );
    let mut driver = ByHand::new(driver.run());
    driver.drive();
    clock.advance(config().claim_timeout());
    driver.drive();
    clock.advance(super::SECOND);
    driver.drive();
    assert_eq!(claimer.out(Call::Claim), [1], "it claims again");
    claimer.finish_one(Call::Claim, Reply::granted(1));
    driver.drive();
    assert!(matches!(tracker.standing(), tenure_core::Standing::Leader { .. }));
}

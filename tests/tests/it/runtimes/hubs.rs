//! The hub of a tracker by itself, with the test as its driver.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::time::Duration;

use tenure_core::{
    AttemptId, ClaimAnswer, ClaimerError, Config, Demotion, Instant, Term, Then, TicketKind,
};
use tenure_runtime::{Hub, ManualClock, Order, Work};

use super::{SECOND, config, millis};

/// A waker that counts how often it is called.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A hub, and what wakes its driver.
struct Driven {
    hub: Arc<Hub>,
    clock: Arc<ManualClock>,
    woken: Arc<Count>,
}

impl Driven {
    /// A new hub, and its first claim.
    fn new() -> (Driven, AttemptId) {
        Driven::with(config())
    }

    fn with(config: Config) -> (Driven, AttemptId) {
        let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
        let clock = Arc::new(ManualClock::new());
        let hub = Hub::new(service, unit, config, clock.clone());
        let driven = Driven { hub, clock, woken: Arc::default() };
        let Order::Begin(claim) = driven.look().orders.claim else { panic!("no claim") };
        (driven, claim.attempt)
    }

    fn look(&self) -> Work {
        self.hub.take_work(&self.woken.clone().into())
    }

    /// What there is to do, if the driver was woken since it last looked.
    fn work(&self) -> Option<Work> {
        (self.woken.0.swap(0, Ordering::Relaxed) > 0).then(|| self.look())
    }
}

#[test]
fn a_ticket_that_goes_leaves_nothing_behind() {
    let (Driven { hub, .. }, attempt) = Driven::new();
    let kinds = [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion];
    for kind in kinds {
        assert!(!hub.has_tickets());
        let ticket = hub.request(kind);
        assert!(hub.has_tickets(), "{kind:?}");
        drop(ticket);
    }
    let answered = hub.request(TicketKind::WaitLeader);
    hub.claim_finished(attempt, Ok(ClaimAnswer::Granted { term: Term::new(1) }));
    assert!(answered.is_ready() && hub.has_tickets(), "it has an answer to take");
    drop(answered);
    assert!(!hub.has_tickets());
}

#[test]
fn who_waits_no_longer_for_the_end_is_forgotten() {
    let (Driven { hub, .. }, _) = Driven::new();
    let waiting = Arc::new(Count::default());
    let mut slot = None;
    assert!(hub.poll_end(&mut slot, &waiting.clone().into()).is_none());
    assert_eq!(Arc::strong_count(&waiting), 2);
    hub.stop_waiting(&slot.unwrap());
    assert_eq!(Arc::strong_count(&waiting), 1);
}

#[test]
fn a_driver_with_nothing_to_do_is_not_woken() {
    let (driven, attempt) = Driven::new();
    let parked = driven.hub.request(TicketKind::WaitMinion);
    assert!(driven.work().is_none(), "a ticket that is parked is no work");
    driven.hub.claim_finished(attempt, Ok(ClaimAnswer::Granted { term: Term::new(1) }));
    assert!(driven.work().is_none(), "it looks when the claim would have been given up");
    let work = driven.look();
    assert!(matches!(work.orders.claim, Order::Keep) && work.deadline.is_some());
    drop(driven.hub.request(TicketKind::ClaimLeader));
    drop(parked);
    driven.hub.timer_fired();
    assert!(driven.work().is_none());
}

#[test]
fn a_driver_is_woken_for_what_is_due_sooner() {
    let (driven, attempt) = Driven::new();
    driven.hub.claim_finished(attempt, Err(ClaimerError::unknown("the store is away")));
    let work = driven.work().expect("it claims again before this claim was to be given up");
    assert!(matches!(work.orders.claim, Order::Keep) && work.deadline.is_some());
}

fn claiming_again_after(recheck: Duration) -> Config {
    Config::builder(10 * SECOND).recheck(recheck).build().unwrap()
}

fn denied() -> Result<ClaimAnswer, ClaimerError> {
    Ok(ClaimAnswer::Denied { leader: None, retry_after: None })
}

/// An attempt may take 2.5 s. The denial has the next one begin as late as this one was to end.
#[test]
fn a_driver_is_woken_for_a_watch_also_where_its_deadline_stays() {
    let (driven, attempt) = Driven::with(claiming_again_after(millis(2_500)));
    let deadline = driven.look().deadline;
    driven.hub.claim_finished(attempt, denied());
    let work = driven.work().expect("there is a watch to begin");
    assert!(matches!(work.orders.watch, Order::Begin(_)), "{work:?}");
    assert_eq!(work.deadline, deadline);
}

/// And the next one, when it begins sooner, is to end when it was to begin.
#[test]
fn a_driver_is_woken_for_a_claim_also_where_its_deadline_stays() {
    let (driven, attempt) = Driven::with(claiming_again_after(millis(2_600)));
    driven.hub.claim_finished(attempt, denied());
    let work = driven.work().expect("there is a watch to begin");
    let Order::Begin(watch) = work.orders.watch else { panic!("{work:?}") };
    let deadline = work.deadline;

    driven.clock.advance(millis(100));
    driven.hub.watch_finished(watch, Ok(()));
    let work = driven.work().expect("there is a claim to begin");
    assert!(matches!(work.orders.claim, Order::Begin(_)), "{work:?}");
    assert_eq!(work.deadline, deadline);
}

/// Else all that a store has turned away at one time would come back at one time.
#[test]
fn who_is_given_no_seed_draws_one() {
    let retries: BTreeSet<_> = (0..20)
        .map(|_| {
            let (driven, attempt) = Driven::with(Config::new(10 * SECOND).unwrap());
            driven.hub.claim_finished(attempt, Err(ClaimerError::unknown("the store is away")));
            driven.look().deadline
        })
        .collect();
    assert!(retries.len() > 10, "{retries:?}");
}

fn granted(term: u64) -> Result<ClaimAnswer, ClaimerError> {
    Ok(ClaimAnswer::Granted { term: Term::new(term) })
}

/// The claim that is ordered is granted.
fn lead(driven: &Driven, term: u64) {
    let Order::Begin(claim) = driven.look().orders.claim else { panic!("no claim") };
    driven.hub.claim_finished(claim.attempt, granted(term));
}

/// Work of a first session that outlives it ends while that of the second winds down: that is not
/// the end of the second's, and it is not forgotten that the second's has to end.
#[test]
fn the_drain_of_one_session_is_not_that_of_the_next() {
    let (driven, attempt) = Driven::new();
    let step_down = Then::StepDown { cool_off: Duration::ZERO };
    driven.hub.claim_finished(attempt, granted(1));
    let first = driven.hub.guard().expect("it leads");
    driven.hub.resign(step_down);
    assert!(matches!(driven.look().orders.release, Order::Keep), "its work has not ended");
    // The lease is over, and so is the session; its work has not noticed.
    driven.clock.advance(20 * SECOND);
    driven.hub.timer_fired();
    let Order::Begin(release) = driven.look().orders.release else { panic!("no release") };
    driven.hub.release_finished(release.tenure, Ok(()));
    lead(&driven, 2);

    let second = driven.hub.guard().expect("it leads again");
    driven.hub.resign(step_down);
    drop(first);
    assert!(matches!(driven.look().orders.release, Order::Keep), "the second's work runs");
    drop(second);
    let Order::Begin(second) = driven.look().orders.release else { panic!("no release") };
    assert_eq!(second.tenure.number(), release.tenure.number() + 1);
}

/// The next claim, once its time has come.
fn claims_at(driven: &Driven, now: Instant) -> AttemptId {
    driven.clock.set(now);
    driven.hub.timer_fired();
    let Order::Begin(claim) = driven.look().orders.claim else { panic!("no claim at {now:?}") };
    claim.attempt
}

#[test]
fn a_watch_that_is_given_up_before_the_driver_has_looked_is_not_begun() {
    let (driven, attempt) = Driven::with(claiming_again_after(millis(200)));
    driven.hub.claim_finished(attempt, denied());
    driven.clock.advance(millis(200));
    driven.hub.timer_fired();
    // Nobody has looked: the watch is ordered still, and so is the second claim.
    driven.hub.claim_finished(AttemptId::new(2), granted(1));
    let orders = driven.look().orders;
    assert!(matches!(orders.watch, Order::Abandon), "{orders:?}");
    assert!(!driven.hub.calls().watch);
}

fn at(time: u64) -> Instant {
    Instant::ORIGIN.saturating_add(millis(time))
}

#[test]
fn the_reason_of_a_loss_is_that_of_this_loss() {
    let (driven, attempt) = Driven::new();
    driven.hub.claim_finished(attempt, granted(1));
    driven.clock.set(at(15_000));
    driven.hub.timer_fired();
    let again = claims_at(&driven, at(16_000));
    driven.hub.claim_finished(again, granted(1));
    let guard = driven.hub.guard().expect("it leads again");
    assert_eq!(guard.loss(), None);
    driven.hub.resign(Then::Stop);
    assert_eq!(guard.loss().map(|loss| loss.reason), Some(Demotion::Resigned));
}

#[test]
fn a_guard_is_valid_as_long_as_the_grants_of_its_own_term() {
    let (driven, attempt) = Driven::new();
    driven.hub.claim_finished(attempt, granted(1));
    let guard = driven.hub.guard().expect("it leads");
    let renewal = claims_at(&driven, at(9_500));
    driven.hub.claim_finished(renewal, granted(1));
    assert_eq!(guard.valid_until(), at(29_500), "it follows its renewals");
    let next = claims_at(&driven, at(19_000));
    driven.hub.claim_finished(next, granted(2));
    assert_eq!(driven.hub.guard().map(|next| next.valid_until()), Some(at(39_000)));
    assert_eq!(guard.valid_until(), at(29_500), "another led in between");
    assert_eq!(guard.loss().map(|loss| loss.reason), Some(Demotion::Interrupted));
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use tenure_core::{
    Action, Actions, AttemptId, Belief, ClaimAnswer, ClaimerError, Config, Event, Instant, Outcome,
    ServiceName, Standing, TenureId, Then, TicketKind, UnitName, WatchId,
};
use tenure_runtime::{Hub, Order, Orders};

use super::clock::{Reading, Tick};
use super::tickets::Tickets;
use crate::ledger::Audited;

/// One process: the hub under test, and beside it a tracker with its books that gets the same
/// events at the same instants. After each step the two have to agree.
pub(crate) struct Process {
    pub(crate) hub: Arc<Hub>,
    clock: Arc<Reading>,
    pub(crate) shadow: Audited,
    pub(crate) began: Instant,
    /// Wakes the driver.
    pub(crate) woken: Arc<Flag>,
    waker: Waker,
    /// What the tracker ordered and the driver has not taken.
    wanted: Wanted,
    /// What the driver was told to wait for.
    told: Option<Instant>,
    pub(crate) tickets: Tickets,
    /// The drain that waits for guards.
    draining: Option<TenureId>,
    pub(crate) is_driven: bool,
    /// What has happened since the world looked.
    pub(crate) news: Vec<News>,
    /// All that was handed in, if that is kept.
    pub(crate) history: Option<Vec<(Event, Instant)>>,
    pub(crate) coverage: Option<crate::trace::Coverage>,
}

/// One event that was handed in, and what came of it.
pub(crate) struct News {
    pub(crate) event: Event,
    pub(crate) actions: Actions,
    pub(crate) before: Belief,
    pub(crate) after: Belief,
}

/// A waker that remembers.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Flag>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The orders that the books say are open.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    claim: Want<(AttemptId, TenureId)>,
    watch: Want<WatchId>,
    release: Want<TenureId>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Want<T> {
    #[default]
    Nothing,
    Abandon,
    Begin(T),
}

impl<T: Copy + PartialEq> Want<T> {
    fn is(&self, order: Want<T>, what: &str) -> Result<(), String> {
        if *self == order {
            Ok(())
        } else {
            Err(format!("hub: the order about the {what} differs"))
        }
    }
}

/// What a new process is made of.
pub(crate) struct Birth {
    pub(crate) service: ServiceName,
    pub(crate) unit: UnitName,
    pub(crate) config: Config,
    pub(crate) now: Instant,
    pub(crate) keeps_history: bool,
    pub(crate) keeps_coverage: bool,
}

impl Process {
    pub(crate) fn new(birth: Birth) -> Result<Process, String> {
        let Birth { service, unit, config, now, keeps_history, keeps_coverage } = birth;
        let clock = Arc::new(Reading::default());
        clock.set(now);
        let hub = Hub::new(service, unit, config.clone(), clock.clone());
        let (shadow, actions) = Audited::new(config, now)?;
        let woken = Arc::new(Flag::default());
        let waker = Waker::from(woken.clone());
        let mut process = Process {
            hub,
            clock,
            shadow,
            began: now,
            woken,
            waker,
            wanted: Wanted::default(),
            told: None,
            tickets: Tickets::default(),
            draining: None,
            is_driven: true,
            news: Vec::new(),
            history: keeps_history.then(Vec::new),
            coverage: keeps_coverage.then(Default::default),
        };
        process.told = process.shadow.tracker.deadline();
        process.woken.0.store(true, Ordering::Relaxed);
        for action in actions.iter() {
            process.enter(*action);
        }
        let (before, after) = (Belief::Minion, process.shadow.tracker.belief());
        process.news.push(News { event: Event::TimerFired, actions, before, after });
        Ok(process)
    }

    pub(crate) fn config(&self) -> &Config {
        self.shadow.tracker.config()
    }

    /// What its clock says from now on.
    pub(crate) fn set_clock(&self, now: Instant) {
        self.clock.set(now);
    }

    /// What its clock says, or said at the latest.
    pub(crate) fn now(&self) -> Instant {
        tenure_runtime::Clock::now(&*self.clock).max(self.shadow.ledger.now())
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.shadow.ledger.has_finished()
    }

    /// Does to the hub what `tell` does, and hands `event` to the books.
    pub(crate) fn hand_in(
        &mut self,
        event: Event,
        tell: impl FnOnce(&Arc<Hub>),
    ) -> Result<(), String> {
        tell(&self.hub);
        self.follow(event)?;
        self.compare()
    }

    /// Hands `event`, and what follows from it at once, to the books alone.
    fn follow(&mut self, event: Event) -> Result<(), String> {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let now = self.now();
            let before = self.shadow.tracker.belief();
            let earlier = self.coverage.is_some().then(|| self.shadow.clone());
            if let Some(history) = &mut self.history {
                history.push((event, now));
            }
            let actions = self.shadow.handle(event, now)?;
            if let (Some(coverage), Some(earlier)) = (&mut self.coverage, earlier) {
                coverage.visit(&earlier, event, now, &actions, &self.shadow);
            }
            for action in actions.iter() {
                next = self.enter(*action).or(next);
            }
            let after = self.shadow.tracker.belief();
            self.news.push(News { event, actions, before, after });
        }
        Ok(())
    }

    /// What has to be ordered, and which event follows.
    fn enter(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::AbandonClaim { .. } => self.wanted.claim = Want::Abandon,
            Action::AbandonRelease { .. } => self.wanted.release = Want::Abandon,
            Action::AbandonWatch { .. } => self.wanted.watch = Want::Abandon,
            Action::AwaitRelease { watch } => self.wanted.watch = Want::Begin(watch),
            Action::Claim { attempt, tenure, .. } => {
                self.wanted.claim = Want::Begin((attempt, tenure));
            }
            Action::Drain { tenure } if self.tickets.guards() == 0 => {
                return Some(Event::Drained { tenure });
            }
            Action::Drain { tenure } => self.draining = Some(tenure),
            Action::Release { tenure } => self.wanted.release = Want::Begin(tenure),
            Action::Resolve { kind, outcome } => self.tickets.resolve(kind, outcome),
            Action::ArmTimer { .. } | Action::Finish { .. } | Action::Notify(_) => {}
        }
        None
    }

    /// The hub says what the books say, and has woken whom it has to.
    pub(crate) fn compare(&self) -> Result<(), String> {
        let now = self.now();
        let (is, should) = (self.hub.standing(), self.shadow.ledger.standing(self.config(), now));
        if is != should {
            return Err(format!("hub: S8: standing is {is:?}, should be {should:?}"));
        }
        self.tickets.compare(should)?;
        let Wanted { claim, watch, release } = self.wanted;
        let is_ordered =
            claim != Want::Nothing || watch != Want::Nothing || release != Want::Nothing;
        // One that has ended has no deadline, and that comes before all.
        let has_to_look = is_ordered || self.shadow.tracker.deadline() < self.told;
        if self.is_driven && has_to_look && !self.woken.is_set() {
            return Err("hub: T4: the driver has something to do, and is not woken".to_owned());
        }
        Ok(())
    }

    /// What the driver finds when it looks, which has to be what the books have.
    pub(crate) fn take_work(&mut self) -> Result<(Orders, Option<Instant>), String> {
        self.woken.take();
        let work = self.hub.take_work(&self.waker);
        let wanted = std::mem::take(&mut self.wanted);
        let unit = self.hub.unit();
        let claim = match &work.orders.claim {
            Order::Keep => Want::Nothing,
            Order::Abandon => Want::Abandon,
            Order::Begin(order) if order.candidate.unit != *unit => {
                return Err("hub: claims for another unit".to_owned());
            }
            // Which nonce that tenure has is for the world to know.
            Order::Begin(order) => match wanted.claim {
                Want::Begin((attempt, tenure)) if attempt == order.attempt => {
                    Want::Begin((attempt, tenure))
                }
                Want::Nothing | Want::Abandon | Want::Begin(_) => {
                    return Err("hub: the order about the claim differs".to_owned());
                }
            },
        };
        let watch = match work.orders.watch {
            Order::Keep => Want::Nothing,
            Order::Abandon => Want::Abandon,
            Order::Begin(watch) => Want::Begin(watch),
        };
        let release = match &work.orders.release {
            Order::Keep => Want::Nothing,
            Order::Abandon => Want::Abandon,
            Order::Begin(order) => Want::Begin(order.tenure),
        };
        wanted.claim.is(claim, "claim")?;
        wanted.watch.is(watch, "watch")?;
        wanted.release.is(release, "release")?;
        self.told = self.shadow.tracker.deadline();
        if work.deadline != self.told {
            return Err("hub: the driver is told another deadline".to_owned());
        }
        Ok((work.orders, work.deadline))
    }

    pub(crate) fn timer_fired(&mut self) -> Result<(), String> {
        self.hand_in(Event::TimerFired, |hub| hub.timer_fired())
    }

    pub(crate) fn resign(&mut self, then: Then) -> Result<(), String> {
        self.hand_in(Event::Resign { then }, |hub| hub.resign(then))
    }

    pub(crate) fn claim_finished(
        &mut self,
        attempt: AttemptId,
        result: Result<ClaimAnswer, ClaimerError>,
    ) -> Result<(), String> {
        use tenure_core::ClaimOutcome;
        let outcome = match &result {
            Ok(ClaimAnswer::Granted { term }) => ClaimOutcome::Granted { term: *term },
            Ok(ClaimAnswer::Denied { .. }) => ClaimOutcome::Denied { retry_after: None },
            Err(ClaimerError::Fatal(_)) => ClaimOutcome::Fatal,
            Err(_) => ClaimOutcome::Unknown,
        };
        let event = Event::ClaimFinished { attempt, outcome };
        self.hand_in(event, |hub| hub.claim_finished(attempt, result))
    }

    pub(crate) fn watch_finished(
        &mut self,
        watch: WatchId,
        result: Result<(), ClaimerError>,
    ) -> Result<(), String> {
        let event = match &result {
            Ok(()) => Event::ReleaseObserved { watch },
            Err(_) => Event::WatchFailed { watch },
        };
        self.hand_in(event, |hub| hub.watch_finished(watch, result))
    }

    pub(crate) fn release_finished(
        &mut self,
        tenure: TenureId,
        result: Result<(), ClaimerError>,
    ) -> Result<(), String> {
        let event = Event::ReleaseFinished { tenure };
        self.hand_in(event, |hub| hub.release_finished(tenure, result))
    }

    /// Its driver is dropped, and with that it ends.
    pub(crate) fn lose_driver(&mut self) -> Result<(), String> {
        self.is_driven = false;
        self.hub.driver_gone();
        if self.has_ended() {
            return self.compare();
        }
        let kinds = [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion];
        kinds.into_iter().for_each(|kind| self.tickets.resolve(kind, Outcome::Stopped));
        self.follow(Event::Resign { then: Then::Stop })?;
        self.follow(Event::Drained { tenure: self.shadow.ledger.tenure() })?;
        let released = self.shadow.ledger.tenure().number().saturating_sub(1);
        self.follow(Event::ReleaseFinished { tenure: TenureId::new(released) })?;
        self.compare()
    }

    /// Asks. Gives the number of the ticket.
    pub(crate) fn ask(&mut self, kind: TicketKind, at: Tick, waits: bool) -> Result<u64, String> {
        let mut ticket = self.hub.request(kind);
        // Whoever asks looks: a yes is judged when it is taken, and else the machine is asked then.
        let _ = ticket.poll(None);
        let fast = match kind {
            TicketKind::ClaimLeader | TicketKind::WaitLeader => {
                self.shadow.tracker.belief().yes(self.now())
            }
            TicketKind::WaitMinion => None,
        };
        let number = self.tickets.add(kind, ticket, self.now(), at, waits);
        match fast {
            // The machine does not hear of it.
            Some(outcome) => self.tickets.resolve_one(number, outcome),
            None => self.follow(Event::TicketRequested { kind })?,
        }
        self.compare()?;
        Ok(number)
    }

    /// Takes a guard, if that is to be had. Gives the number of the ticket that tells of the loss.
    pub(crate) fn take_guard(&mut self, at: Tick) -> Result<Option<u64>, String> {
        let kind = TicketKind::WaitMinion;
        let lost = self.hub.request(kind);
        let guarded = self.hub.guard();
        // It is parked before the machine hears of it; but as whose ticket is not yet known.
        let now = self.now();
        let number = guarded.map(|guard| {
            let number = self.tickets.add(kind, lost, now, at, true);
            self.tickets.add_work(number, guard);
            number
        });
        self.follow(Event::TicketRequested { kind })?;
        self.follow(Event::TimerFired)?;
        let yes = self.shadow.tracker.belief().yes(self.now());
        if yes.is_some() != number.is_some() {
            return Err(format!("hub: S2: gives a guard {}, yes is {yes:?}", number.is_some()));
        }
        self.compare()?;
        Ok(number)
    }

    /// The work that `number` belongs to has ended.
    pub(crate) fn end_work(&mut self, number: u64) -> Result<(), String> {
        let Some(work) = self.tickets.take_work(number) else { return Ok(()) };
        drop(work);
        if self.tickets.guards() == 0
            && let Some(tenure) = self.draining.take()
        {
            self.follow(Event::Drained { tenure })?;
        }
        self.compare()
    }

    /// Which leadership is believed in, and until when.
    pub(crate) fn held(&self) -> Option<(tenure_core::Term, Instant)> {
        match self.shadow.tracker.belief() {
            Belief::Leader { term, valid_until, .. } => Some((term, valid_until)),
            Belief::Minion | Belief::Stopped => None,
        }
    }

    pub(crate) fn is_leader(&self) -> bool {
        matches!(self.hub.standing(), Standing::Leader { .. })
    }
}

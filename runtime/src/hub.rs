use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tenure_core::{
    Action, AttemptId, Belief, Candidate, ClaimAnswer, ClaimOutcome, ClaimerError, Config,
    Demotion, Event, FinishReason, Instant, Outcome, Place, ServiceName, Slot, Standing, TenureId,
    Term, Then, TicketKind, Tracker, Transition, UnitName, Wakers, WatchId,
};

use crate::contain::contain;
use crate::end::End;
use crate::holding::Holding;
use crate::nonce::fresh_seed;
use crate::published::Published;
use crate::report::{report, report_end};
use crate::sync::{Mutex, MutexGuard};
use crate::{Clock, Guard, Ticket, TrackerError, fresh_nonce};

/// One tracker, as its handles, its tickets, its guards and its driver share it.
///
/// The machine and the parked tickets live under one lock, which is never held while a store, a
/// waker or a log is called. Whoever has something to tell the machine takes the lock, hands the
/// event in, and answers the tickets that it resolves; what is left for the driver is put into its
/// [`Orders`], and the driver is woken.
#[derive(Debug)]
pub struct Hub {
    clock: Arc<dyn Clock>,
    published: Published,
    service: ServiceName,
    unit: UnitName,
    lease: Duration,
    nap: Duration,
    /// Of the process that made it.
    fork: forkguard::Guard,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    machine: Tracker,
    /// The latest instant that the machine has seen.
    now: Instant,
    parked: [Place<Outcome>; KINDS],
    end: End<TrackerError>,
    /// Who the current tenure claims as.
    candidate: Candidate,
    tenure: TenureId,
    /// How many guards hold back the release, and which drain waits for them.
    guards: usize,
    draining: Option<TenureId>,
    orders: Orders,
    out: Out,
    /// When the driver looks next, if nothing wakes it: what it was last told to wait for.
    looks_at: Option<Instant>,
    driver: Option<Waker>,
    last_error: Option<Arc<ClaimerError>>,
    last_demotion: Demotion,
    /// The leadership, while it is there.
    holding: Option<Arc<Holding>>,
    /// Those that are lost, and whose work may still wind down.
    ending: Vec<Arc<Holding>>,
}

/// Which calls of the store a tracker has out: ordered, and neither ended nor given up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Calls {
    /// A claim.
    pub claim: bool,
    /// A watch for the lease to be released.
    pub watch: bool,
    /// A release.
    pub release: bool,
}

/// As [`Calls`], by number.
#[derive(Debug, Default)]
struct Out {
    claim: Option<AttemptId>,
    watch: Option<WatchId>,
    release: Option<TenureId>,
}

impl Out {
    /// Takes note of a call that has ended.
    fn end(&mut self, event: Event) {
        match event {
            Event::ClaimFinished { attempt, .. } => {
                self.claim = self.claim.filter(|out| *out != attempt);
            }
            Event::ReleaseFinished { tenure } => {
                self.release = self.release.filter(|out| *out != tenure);
            }
            Event::ReleaseObserved { watch } | Event::WatchFailed { watch } => {
                self.watch = self.watch.filter(|out| *out != watch);
            }
            Event::Drained { .. }
            | Event::Resign { .. }
            | Event::TicketRequested { .. }
            | Event::TimerFired => {}
        }
    }
}

/// What the driver has to do about its calls. An order that was not taken is replaced by the next.
#[derive(Debug, Default)]
pub struct Orders {
    /// About the claim.
    pub claim: Order<ClaimOrder>,
    /// About the watch.
    pub watch: Order<WatchId>,
    /// About the release.
    pub release: Order<ReleaseOrder>,
}

/// What to do about one kind of call.
#[derive(Debug, Default)]
pub enum Order<T> {
    /// Nothing new.
    #[default]
    Keep,
    /// Give it up, if it is out.
    Abandon,
    /// Give up the one that is out, if any, and begin this one.
    Begin(T),
}

impl<T> Order<T> {
    fn is_new(&self) -> bool {
        match self {
            Order::Keep => false,
            Order::Abandon | Order::Begin(_) => true,
        }
    }
}

/// A claim to make.
#[derive(Debug)]
pub struct ClaimOrder {
    /// Its number.
    pub attempt: AttemptId,
    /// For whom.
    pub candidate: Candidate,
    /// For how long.
    pub lease: Duration,
}

/// A release to make.
#[derive(Debug)]
pub struct ReleaseOrder {
    /// Its number.
    pub tenure: TenureId,
    /// For whom.
    pub candidate: Candidate,
}

/// What a driver finds when it looks.
#[derive(Debug)]
pub struct Work {
    /// What to do about its calls.
    pub orders: Orders,
    /// When to hand in that time has passed. `None`: the tracker has ended, and so should the
    /// driver.
    pub deadline: Option<Instant>,
    /// How long to sleep at most before looking at the clock: as long as a claim may take.
    ///
    /// What drivers sleep by may stand still while the machine is suspended. What comes due
    /// meanwhile is late by this at most, once the machine goes on.
    pub nap: Duration,
}

/// What is left to do once the lock is free.
#[derive(Debug, Default)]
struct Aftermath {
    wakers: [Wakers; KINDS],
    ended: Wakers,
    /// Those who wait for the loss of a leadership, by leadership.
    lost: Vec<Wakers>,
    driver: Option<Waker>,
    transitions: Vec<Transition>,
    finished: Option<FinishReason>,
}

const KINDS: usize = 3;

impl Hub {
    /// A tracker of `service` for `unit`, whose first claim is among the driver's orders.
    ///
    /// It is one of the process that makes it. In the child of a `fork` its copy answers
    /// [`Stopped`](Outcome::Stopped) to all, and takes no lock, which another thread of the parent
    /// may have held.
    ///
    /// # Panics
    ///
    /// If the operating system has no random bytes to give, or no memory to note a `fork` in.
    pub fn new(
        service: ServiceName,
        unit: UnitName,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> Arc<Hub> {
        let nonce = fresh_nonce();
        let (lease, nap) = (config.lease(), config.claim_timeout());
        let now = clock.now();
        let (machine, actions) = Tracker::new(config.or_jitter_seed(fresh_seed()), now);
        let candidate = Candidate { service: service.clone(), unit: unit.clone(), nonce };
        let mut state = State {
            now,
            parked: Default::default(),
            end: End::new(),
            candidate,
            tenure: TenureId::new(1),
            guards: 0,
            draining: None,
            orders: Orders::default(),
            out: Out::default(),
            looks_at: machine.deadline(),
            driver: None,
            last_error: None,
            last_demotion: Demotion::Resigned,
            holding: None,
            ending: Vec::new(),
            machine,
        };
        let mut aftermath = Aftermath::default();
        for action in actions {
            state.carry_out(action, &mut aftermath);
        }
        let published = Published::new(state.machine.belief(), now);
        let state = Mutex::new(state);
        let fork = forkguard::new();
        Arc::new(Hub { clock, published, service, unit, lease, nap, fork, state })
    }

    /// What is led.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Who is the candidate.
    pub fn unit(&self) -> &UnitName {
        &self.unit
    }

    /// What a claim asks of the store.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// The clock that the tracker lives by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The standing now, whatever the driver is doing.
    #[inline]
    pub fn standing(&self) -> Standing {
        let (belief, now) = self.read();
        belief.standing(now)
    }

    /// The belief, and the time. Neither a lock nor the driver is needed for it.
    #[inline]
    pub(crate) fn belief(&self) -> (Belief, Instant) {
        self.read()
    }

    #[inline]
    fn read(&self) -> (Belief, Instant) {
        if self.is_forked() {
            return (Belief::Stopped, Instant::ORIGIN);
        }
        self.published.read(|| self.clock.now())
    }

    /// The yes that may be handed out now, if one may.
    #[inline]
    pub(crate) fn yes(&self) -> Option<Outcome> {
        let (belief, now) = self.read();
        belief.yes(now)
    }

    /// Whether this is a copy in the child of a fork: there is no driver here, and the lease is the
    /// parent's.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.fork.clone().detected_fork()
    }

    /// Asks. A fresh leader is told so without a lock, an allocation, or the driver.
    #[inline]
    pub fn request(self: &Arc<Hub>, kind: TicketKind) -> Ticket {
        match kind {
            // The clock is read when the answer is taken.
            TicketKind::ClaimLeader | TicketKind::WaitLeader if self.published.may_be_fresh() => {
                Ticket::asked(self.clone(), kind)
            }
            TicketKind::ClaimLeader | TicketKind::WaitLeader | TicketKind::WaitMinion => {
                self.park(kind)
            }
        }
    }

    /// Asks the machine.
    pub(crate) fn park(self: &Arc<Hub>, kind: TicketKind) -> Ticket {
        if self.is_forked() {
            return Ticket::answered(kind, Outcome::Stopped);
        }
        let mut state = self.lock();
        // Behind the lock, for which it may have waited; and first, as it may panic.
        let now = self.clock.now();
        let slot = state.parked[index(kind)].park();
        let aftermath = self.step_at(&mut state, Event::TicketRequested { kind }, now);
        let answer = state.parked[index(kind)].take(&slot);
        drop(state);
        self.finish(aftermath);
        match answer {
            Some(outcome) => Ticket::answered(kind, outcome),
            None => Ticket::parked(self.clone(), kind, slot),
        }
    }

    /// The answer of a parked ticket, if it is there; else leaves `waker` to be woken with it.
    pub(crate) fn take_answer(
        &self,
        kind: TicketKind,
        slot: &Slot,
        waker: Option<&Waker>,
    ) -> Option<Outcome> {
        if self.is_forked() {
            return Some(Outcome::Stopped);
        }
        let mut state = self.lock();
        let place = &mut state.parked[index(kind)];
        let answer = place.take(slot);
        let earlier = match (answer, waker) {
            (None, Some(waker)) => place.set_waker(slot, waker),
            (None, None) | (Some(_), _) => None,
        };
        drop(state);
        contain(|| drop(earlier));
        answer
    }

    /// Whether the answer of a parked ticket is there; else leaves `waker` to be woken with it.
    pub(crate) fn watch_answer(&self, kind: TicketKind, slot: &Slot, waker: &Waker) -> bool {
        if self.is_forked() {
            return true;
        }
        let mut state = self.lock();
        let place = &mut state.parked[index(kind)];
        let (answered, earlier) = (place.is_answered(slot), place.set_waker(slot, waker));
        drop(state);
        contain(|| drop(earlier));
        answered
    }

    /// The answer of a parked ticket, which stays there.
    pub(crate) fn peek_answer(&self, kind: TicketKind, slot: &Slot) -> Option<Outcome> {
        if self.is_forked() {
            return Some(Outcome::Stopped);
        }
        self.lock().parked[index(kind)].peek(slot)
    }

    pub(crate) fn leave(&self, kind: TicketKind, slot: &Slot) {
        if !self.is_forked() {
            let waker = self.lock().parked[index(kind)].leave(slot);
            contain(|| drop(waker));
        }
    }

    /// How many tickets of each kind are parked or have an answer to take: whether any are.
    pub fn has_tickets(&self) -> bool {
        !self.is_forked() && self.lock().parked.iter().any(|place| !place.is_empty())
    }

    /// Steps down, or stops: what the machine says yes to ends before this returns.
    pub fn resign(&self, then: Then) {
        self.handle(Event::Resign { then });
    }

    /// A guard over the leadership, if a ticket would be answered yes now.
    pub fn guard(self: &Arc<Hub>) -> Option<Guard> {
        if self.is_forked() {
            return None;
        }
        let mut state = self.lock();
        let aftermath = self.step(&mut state, Event::TimerFired);
        let holding = state.machine.belief().yes(state.now).and(state.holding.clone());
        state.guards += usize::from(holding.is_some());
        drop(state);
        self.finish(aftermath);
        holding.map(|holding| Guard::new(self.clone(), holding))
    }

    /// One more guard, of somebody who has one.
    pub(crate) fn add_guard(&self) {
        if !self.is_forked() {
            self.lock().guards += 1;
        }
    }

    pub(crate) fn drop_guard(&self) {
        if self.is_forked() {
            return;
        }
        let mut state = self.lock();
        let now = self.clock.now();
        state.guards = state.guards.saturating_sub(1);
        let drained = if state.guards == 0 { state.draining.take() } else { None };
        let aftermath =
            drained.map(|tenure| self.step_at(&mut state, Event::Drained { tenure }, now));
        drop(state);
        if let Some(aftermath) = aftermath {
            self.finish(aftermath);
        }
    }

    pub(crate) fn nap(&self) -> Duration {
        self.nap
    }

    /// The last error that the store gave to a claim, a watch or a release.
    pub fn last_error(&self) -> Option<Arc<ClaimerError>> {
        if self.is_forked() {
            return None;
        }
        self.lock().last_error.clone()
    }

    /// Which calls of the store are out.
    pub fn calls(&self) -> Calls {
        if self.is_forked() {
            return Calls::default();
        }
        let state = self.lock();
        let Out { claim, watch, release } = &state.out;
        Calls { claim: claim.is_some(), watch: watch.is_some(), release: release.is_some() }
    }

    /// How the tracker ended, if it has; else leaves `waker` to be woken when it has. `slot` is
    /// where the caller is parked, and is to be [left](Hub::stop_waiting).
    pub fn poll_end(
        &self,
        slot: &mut Option<Slot>,
        waker: &Waker,
    ) -> Option<Result<(), TrackerError>> {
        if self.is_forked() {
            return Some(Err(TrackerError::Forked));
        }
        let mut state = self.lock();
        let (end, earlier) = state.end.poll(slot, waker);
        drop(state);
        contain(|| drop(earlier));
        end
    }

    /// Forgets one who waited for the end.
    pub fn stop_waiting(&self, slot: &Slot) {
        if !self.is_forked() {
            let waker = self.lock().end.leave(slot);
            contain(|| drop(waker));
        }
    }
}

/// The driver's side.
impl Hub {
    /// What there is to do; `waker` is woken when there is more, or something is due before the
    /// deadline.
    pub fn take_work(&self, waker: &Waker) -> Work {
        if self.is_forked() {
            return Work { orders: Orders::default(), deadline: None, nap: self.nap };
        }
        let mut state = self.lock();
        let earlier = state.driver.replace(waker.clone());
        state.looks_at = state.machine.deadline();
        let (orders, deadline) = (std::mem::take(&mut state.orders), state.looks_at);
        drop(state);
        contain(|| drop(earlier));
        Work { orders, deadline, nap: self.nap }
    }

    /// The timer is due.
    pub fn timer_fired(&self) {
        self.handle(Event::TimerFired);
    }

    /// A claim has ended.
    pub fn claim_finished(&self, attempt: AttemptId, result: Result<ClaimAnswer, ClaimerError>) {
        let (outcome, error) = match result {
            Ok(ClaimAnswer::Granted { term }) => (ClaimOutcome::Granted { term }, None),
            // The watch that goes out now ends when the lease does. If the machine knew when that
            // may be, it would claim then, and be denied again: leaders renew before.
            Ok(ClaimAnswer::Denied { .. }) => (ClaimOutcome::Denied { retry_after: None }, None),
            Err(error) if error.is_fatal() => (ClaimOutcome::Fatal, Some(error)),
            Err(error) => (ClaimOutcome::Unknown, Some(error)),
        };
        self.handle_with(Event::ClaimFinished { attempt, outcome }, error);
    }

    /// A watch has ended.
    pub fn watch_finished(&self, watch: WatchId, result: Result<(), ClaimerError>) {
        match result {
            Ok(()) => self.handle(Event::ReleaseObserved { watch }),
            Err(error) => self.handle_with(Event::WatchFailed { watch }, Some(error)),
        }
    }

    /// A release has ended.
    pub fn release_finished(&self, tenure: TenureId, result: Result<(), ClaimerError>) {
        self.handle_with(Event::ReleaseFinished { tenure }, result.err());
    }

    /// The driver is gone. If the tracker has not ended, it has now: everything is answered, and a
    /// lease that is held runs out by itself.
    pub fn driver_gone(&self) {
        if self.is_forked() {
            return;
        }
        let mut state = self.lock();
        let waker = state.driver.take();
        if state.end.has_come() {
            drop(state);
            return contain(|| drop(waker));
        }
        // The clock is not read: this may be because it panicked.
        let now = state.now;
        state.end.set(Err(TrackerError::DriverDropped));
        let wakers = state.parked.each_mut().map(|place| place.answer(Outcome::Stopped));
        let mut aftermaths =
            vec![self.step_at(&mut state, Event::Resign { then: Then::Stop }, now)];
        let tenure = state.tenure;
        aftermaths.push(self.step_at(&mut state, Event::Drained { tenure }, now));
        let released = TenureId::new(state.tenure.number().saturating_sub(1));
        aftermaths.push(self.step_at(&mut state, Event::ReleaseFinished { tenure: released }, now));
        drop(state);
        contain(|| drop(waker));
        wakers.into_iter().for_each(wake);
        aftermaths.into_iter().for_each(|aftermath| self.finish(aftermath));
    }
}

impl Hub {
    fn handle(&self, event: Event) {
        self.handle_with(event, None);
    }

    fn handle_with(&self, event: Event, error: Option<ClaimerError>) {
        if self.is_forked() {
            return;
        }
        let mut state = self.lock();
        let now = self.clock.now();
        let earlier = error.and_then(|error| state.last_error.replace(Arc::new(error)));
        let aftermath = self.step_at(&mut state, event, now);
        drop(state);
        self.finish(aftermath);
        contain(|| drop(earlier));
    }

    /// A panic under the lock would be a bug of ours; what it leaves is still whole enough to
    /// answer the tickets.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, state: &mut State, event: Event) -> Aftermath {
        let now = self.clock.now();
        self.step_at(state, event, now)
    }

    fn step_at(&self, state: &mut State, event: Event, now: Instant) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let mut next = Some(event);
        while let Some(event) = next.take() {
            // No `now` runs backwards, for the machine or for those who read what is published.
            state.now = state.now.max(now);
            let is_denied = state.is_denied(event);
            state.out.end(event);
            let actions = state.machine.handle(event, state.now);
            // Belief ends before anything that follows from its end is carried out.
            self.published.publish(state.machine.belief(), state.now);
            for action in actions {
                next = state.carry_out(action, &mut aftermath).or(next);
            }
            state.follow_leadership(is_denied, &mut aftermath);
        }
        let orders = &state.orders;
        let new = orders.claim.is_new() || orders.watch.is_new() || orders.release.is_new();
        // What is due later is seen when the driver looks for what was due sooner. The end, which
        // has no deadline, comes before all.
        if new || state.machine.deadline() < state.looks_at {
            aftermath.driver = state.driver.take();
        }
        aftermath
    }

    /// Tells all those who want to know. None of them is ours: one that panics changes nothing for
    /// the others, or for the tracker.
    fn finish(&self, aftermath: Aftermath) {
        if let Some(driver) = aftermath.driver {
            contain(|| driver.wake());
        }
        aftermath.lost.into_iter().for_each(wake);
        aftermath.wakers.into_iter().for_each(wake);
        wake(aftermath.ended);
        if aftermath.transitions.is_empty() && aftermath.finished.is_none() {
            return;
        }
        let error = self.last_error();
        for transition in &aftermath.transitions {
            contain(|| report(&self.service, &self.unit, transition, error.as_deref()));
        }
        if let Some(reason) = aftermath.finished {
            contain(|| report_end(&self.service, &self.unit, reason));
        }
        contain(|| drop(error));
    }
}

fn wake(wakers: Wakers) {
    wakers.into_iter().for_each(|waker| contain(|| waker.wake()));
}

impl State {
    /// Does what can be done at once, and orders the rest. Gives the event that follows, if one
    /// does.
    fn carry_out(&mut self, action: Action, aftermath: &mut Aftermath) -> Option<Event> {
        match action {
            Action::AbandonClaim { .. } => {
                (self.out.claim, self.orders.claim) = (None, Order::Abandon);
            }
            Action::AbandonRelease { .. } => {
                (self.out.release, self.orders.release) = (None, Order::Abandon);
            }
            Action::AbandonWatch { .. } => {
                (self.out.watch, self.orders.watch) = (None, Order::Abandon);
            }
            // The driver reads the deadline when it looks for work.
            Action::ArmTimer { .. } => {}
            Action::AwaitRelease { watch } => {
                (self.out.watch, self.orders.watch) = (Some(watch), Order::Begin(watch));
            }
            Action::Claim { attempt, tenure: _, lease } => {
                let candidate = self.candidate.clone();
                self.out.claim = Some(attempt);
                self.orders.claim = Order::Begin(ClaimOrder { attempt, candidate, lease });
            }
            Action::Drain { tenure } if self.guards == 0 => return Some(Event::Drained { tenure }),
            Action::Drain { tenure } => self.draining = Some(tenure),
            Action::Finish { reason } => {
                let end = TrackerError::from_end(reason, self.last_error.clone());
                self.end.set(end);
                aftermath.ended = self.end.tell();
                aftermath.finished = Some(reason);
            }
            Action::Notify(transition) => {
                self.note(transition, aftermath);
                aftermath.transitions.push(transition);
            }
            Action::Release { tenure } => {
                let candidate = self.candidate.clone();
                self.out.release = Some(tenure);
                self.orders.release = Order::Begin(ReleaseOrder { tenure, candidate });
                self.candidate.nonce = fresh_nonce();
                self.tenure = TenureId::new(tenure.number().saturating_add(1));
            }
            Action::Resolve { kind, outcome } => {
                aftermath.wakers[index(kind)].append(self.parked[index(kind)].answer(outcome));
            }
        }
        None
    }
}

/// The leadership, as guards see it.
impl State {
    fn note(&mut self, transition: Transition, aftermath: &mut Aftermath) {
        match transition {
            Transition::AttemptFailed { .. } | Transition::WatchFailed { .. } => {}
            Transition::Demoted { reason, .. } => {
                self.last_demotion = reason;
                if matches!(reason, Demotion::Denied | Demotion::Interrupted) {
                    self.end_work(reason, |_| true, aftermath);
                }
            }
            Transition::Promoted { term, valid_until } => {
                self.lose(self.last_demotion, aftermath);
                self.end_work(Demotion::Interrupted, |ended| ended != term, aftermath);
                self.holding = Some(Holding::new(term, valid_until));
            }
            Transition::Renewed { term, valid_until } => {
                // While it resigns it is lost already, and work winds down.
                let of_this_term = |holding: &&Arc<Holding>| holding.term() == term;
                let all = self.holding.iter().chain(&self.ending);
                all.filter(of_this_term).for_each(|holding| holding.renew(valid_until));
            }
        }
    }

    /// Whether the store says that somebody else leads.
    fn is_denied(&self, event: Event) -> bool {
        match event {
            Event::ClaimFinished { attempt, outcome: ClaimOutcome::Denied { .. } } => {
                self.out.claim == Some(attempt)
            }
            Event::ClaimFinished { .. }
            | Event::Drained { .. }
            | Event::ReleaseFinished { .. }
            | Event::ReleaseObserved { .. }
            | Event::Resign { .. }
            | Event::TicketRequested { .. }
            | Event::TimerFired
            | Event::WatchFailed { .. } => false,
        }
    }

    /// Tells the guards of what has become of their leadership.
    fn follow_leadership(&mut self, is_denied: bool, aftermath: &mut Aftermath) {
        match self.machine.belief() {
            Belief::Leader { fresh_until: Instant::ORIGIN, .. } => {
                self.lose(Demotion::Resigned, aftermath);
            }
            Belief::Leader { .. } => {}
            Belief::Minion | Belief::Stopped => self.lose(self.last_demotion, aftermath),
        }
        if is_denied {
            self.end_work(Demotion::Denied, |_| true, aftermath);
        }
        if let Some(FinishReason::TermFell { .. } | FinishReason::TermRepeated { .. }) =
            aftermath.finished
        {
            self.end_work(Demotion::StoreFailed, |_| true, aftermath);
        }
    }

    fn lose(&mut self, reason: Demotion, aftermath: &mut Aftermath) {
        if let Some(holding) = self.holding.take() {
            let margin = self.machine.config().step_down_margin();
            aftermath.lost.push(holding.lose(reason, self.now, margin));
            let now = self.now;
            self.ending.retain(|ending| now < ending.valid_until());
            self.ending.push(holding);
        }
    }

    /// Somebody else leads, or may: what winds down has to end.
    fn end_work(&self, reason: Demotion, of: impl Fn(Term) -> bool, aftermath: &mut Aftermath) {
        let ending = self.ending.iter().filter(|ending| of(ending.term()));
        aftermath.lost.extend(ending.map(|ending| ending.end_work(reason, self.now)));
    }
}

const fn index(kind: TicketKind) -> usize {
    match kind {
        TicketKind::ClaimLeader => 0,
        TicketKind::WaitLeader => 1,
        TicketKind::WaitMinion => 2,
    }
}

use crate::backoff::Backoff;
use crate::state::{Claim, Held, Lead, Parked, State, Terms, Watch};
use crate::{
    Action, Actions, AttemptFailure, AttemptId, Belief, ClaimOutcome, Config, Demotion, Event,
    FinishReason, Instant, Jitter, Outcome, Standing, TenureId, Then, TicketKind, Transition,
    WatchId,
};

/// The leadership tracker: claims, renews, loses, resigns, and answers tickets.
///
/// It does nothing by itself. Whoever drives it hands in events with
/// [`handle`](Tracker::handle), carries out the actions that come back, and may ask for the
/// [`standing`](Tracker::standing) at any time. The crate's documentation shows the loop.
///
/// Every call takes the same bounded time, and none allocates.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Tracker {
    config: Config,
    /// The latest `now` seen.
    now: Instant,
    /// What the runtime's timer is armed for.
    armed: Option<Instant>,
    /// The next of each to go out, but for the tenure, which is the current one.
    attempt: AttemptId,
    watch: WatchId,
    tenure: TenureId,
    /// When the last attempt was handed out.
    last_sent: Instant,
    /// The latest `valid_until` of this tenure.
    held_until: Instant,
    terms: Terms,
    jitter: Jitter,
    /// Of claims whose outcome is unknown, and of watches that failed.
    claim_backoff: Backoff,
    watch_backoff: Backoff,
    parked: Parked,
    watching: Watch,
    state: State,
}

impl Tracker {
    /// A tracker that begins at `now` as a minion, with its first claim among the actions.
    pub fn new(config: Config, now: Instant) -> (Tracker, Actions) {
        let mut tracker = Tracker {
            now,
            armed: None,
            attempt: AttemptId::new(1),
            watch: WatchId::new(1),
            tenure: TenureId::new(1),
            last_sent: now,
            held_until: Instant::ORIGIN,
            terms: Terms::Unseen,
            jitter: Jitter::new(config.jitter_seed.unwrap_or(0)),
            claim_backoff: Backoff::default(),
            watch_backoff: Backoff::default(),
            parked: Parked::default(),
            watching: Watch::None,
            state: State::Contending { lead: Lead::Minion, claim: Claim::Due { at: now } },
            config,
        };
        let mut actions = Actions::new();
        tracker.do_what_is_due(&mut actions);
        tracker.rearm(&mut actions);
        (tracker, actions)
    }

    /// Takes in `event` at `now`, and gives what has to be done, in order.
    ///
    /// Total: any event in any state is fine, and one whose number is not out changes nothing. A
    /// `now` before the latest one seen is taken as that. Time passes first: a deadline that is
    /// due by `now` counts before the event does.
    pub fn handle(&mut self, event: Event, now: Instant) -> Actions {
        let mut actions = Actions::new();
        self.now = self.now.max(now);
        self.take_ticket(event, &mut actions);
        self.pass_time(&mut actions);
        match event {
            Event::ClaimFinished { attempt, outcome } => {
                self.finish_claim(attempt, outcome, &mut actions);
            }
            Event::Drained { tenure } => self.finish_drain(tenure, &mut actions),
            Event::ReleaseFinished { tenure } => self.finish_release(tenure, &mut actions),
            Event::ReleaseObserved { watch } => self.observe_release(watch),
            Event::Resign { then } => self.resign(then, &mut actions),
            Event::TicketRequested { kind } => self.request(kind, &mut actions),
            Event::TimerFired => {}
            Event::WatchFailed { watch } => self.fail_watch(watch, &mut actions),
        }
        self.do_what_is_due(&mut actions);
        self.rearm(&mut actions);
        actions
    }

    /// What the unit is at `now`; at the latest instant handled, if `now` is before that.
    ///
    /// It depends on the grants and on `now` alone, not on whether a timer was handed in on time.
    pub fn standing(&self, now: Instant) -> Standing {
        self.belief().standing(self.now.max(now))
    }

    /// What to publish for those who ask without the machine. It changes only in
    /// [`handle`](Tracker::handle).
    pub fn belief(&self) -> Belief {
        match self.state {
            State::Contending { lead: Lead::Leader(held), .. } => {
                self.believe(held, self.fresh_until(held))
            }
            State::Resigning { held, .. } => self.believe(held, Instant::ORIGIN),
            State::Contending { lead: Lead::Minion, .. }
            | State::Draining { .. }
            | State::Releasing { .. }
            | State::CoolingOff { .. } => Belief::Minion,
            State::Stopped { .. } => Belief::Stopped,
        }
    }

    /// When the machine wants to hear of the time next: what the timer is armed for. `None` when it
    /// has stopped.
    pub fn deadline(&self) -> Option<Instant> {
        let of_claim = |claim| match claim {
            // At the end of time nothing is claimed any more.
            Claim::Due { .. } if self.now == Instant::MAX => Instant::MAX,
            Claim::Due { at } => at,
            Claim::Out { deadline, .. } => deadline,
        };
        let of_watch = match self.watching {
            Watch::Due { .. } if self.now == Instant::MAX => Instant::MAX,
            Watch::Due { at } => at,
            Watch::None | Watch::Out { .. } => Instant::MAX,
        };
        match self.state {
            State::Contending { lead: Lead::Leader(held), claim }
            | State::Resigning { held, claim, .. } => {
                Some(of_claim(claim).min(self.step_down_at(held)))
            }
            State::Contending { lead: Lead::Minion, claim } => Some(of_claim(claim).min(of_watch)),
            State::Draining { until, .. }
            | State::Releasing { until, .. }
            | State::CoolingOff { until } => Some(until),
            State::Stopped { .. } => None,
        }
    }

    /// The config that the tracker was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Why the tracker stopped. `None` while it has not.
    pub fn finished(&self) -> Option<FinishReason> {
        match self.state {
            State::Stopped { reason } => Some(reason),
            State::Contending { .. }
            | State::Resigning { .. }
            | State::Draining { .. }
            | State::Releasing { .. }
            | State::CoolingOff { .. } => None,
        }
    }
}

/// Time passing.
impl Tracker {
    fn pass_time(&mut self, actions: &mut Actions) {
        self.abandon_claim_past_deadline(actions);
        match self.state {
            State::Contending { lead: Lead::Leader(held), claim }
                if self.is_due(self.step_down_at(held)) =>
            {
                self.state = State::Contending { lead: Lead::Minion, claim };
                self.notify_demoted(held, Demotion::NotRenewed, actions);
                self.resolve_parked(TicketKind::WaitMinion, Outcome::Minion, actions);
                self.resolve_parked(TicketKind::ClaimLeader, Outcome::Minion, actions);
            }
            State::Resigning { held, .. } if self.is_due(self.step_down_at(held)) => {
                self.end_resigning(Demotion::NotRenewed, actions);
            }
            State::Draining { until, then } if self.is_due(until) => self.release(then, actions),
            State::Releasing { tenure, until, then } if self.is_due(until) => {
                actions.push(Action::AbandonRelease { tenure });
                self.follow_release(then, actions);
            }
            State::Contending { .. }
            | State::Resigning { .. }
            | State::Draining { .. }
            | State::Releasing { .. }
            | State::CoolingOff { .. }
            | State::Stopped { .. } => {}
        }
    }

    fn abandon_claim_past_deadline(&mut self, actions: &mut Actions) {
        match self.state {
            State::Contending { claim: Claim::Out { attempt, deadline, .. }, .. }
            | State::Resigning { claim: Claim::Out { attempt, deadline, .. }, .. }
                if self.is_due(deadline) =>
            {
                actions.push(Action::AbandonClaim { attempt });
                self.fail_attempt(attempt, AttemptFailure::TimedOut, actions);
            }
            State::Contending { .. }
            | State::Resigning { .. }
            | State::Draining { .. }
            | State::Releasing { .. }
            | State::CoolingOff { .. }
            | State::Stopped { .. } => {}
        }
    }

    /// Contends again after a cool-off, and claims, where that is due.
    fn do_what_is_due(&mut self, actions: &mut Actions) {
        if let State::CoolingOff { until } = self.state
            && self.is_due(until)
        {
            let claim = Claim::Due { at: self.not_too_soon(until) };
            self.state = State::Contending { lead: Lead::Minion, claim };
        }
        match self.state {
            State::Contending { lead, claim: Claim::Due { at } } if self.may_begin(at) => {
                let deadline = match lead {
                    Lead::Leader(held) => self.step_down_at(held),
                    Lead::Minion => Instant::MAX,
                };
                let claim = self.claim(deadline, actions);
                self.state = State::Contending { lead, claim };
            }
            State::Resigning { held, claim: Claim::Due { at }, then } if self.may_begin(at) => {
                let claim = self.claim(self.step_down_at(held), actions);
                self.state = State::Resigning { held, claim, then };
            }
            State::Contending { .. }
            | State::Resigning { .. }
            | State::Draining { .. }
            | State::Releasing { .. }
            | State::CoolingOff { .. }
            | State::Stopped { .. } => {}
        }
        if let Watch::Due { at } = self.watching
            && self.may_begin(at)
        {
            self.begin_watch(actions);
        }
    }

    /// At the end of time neither a claim nor a watch is worth its while.
    fn may_begin(&self, at: Instant) -> bool {
        self.is_due(at) && self.now < Instant::MAX
    }

    /// Hands out a claim that ends at `deadline` at the latest.
    fn claim(&mut self, deadline: Instant, actions: &mut Actions) -> Claim {
        let (attempt, sent) = (self.attempt, self.now);
        self.attempt = attempt.next();
        self.last_sent = sent;
        let lease = self.config.lease();
        actions.push(Action::Claim { attempt, tenure: self.tenure, lease });
        let deadline = deadline.min(sent.plus_nanos(self.config.claim_timeout));
        Claim::Out { attempt, sent, deadline }
    }

    fn rearm(&mut self, actions: &mut Actions) {
        let deadline = self.deadline();
        if deadline != self.armed {
            self.armed = deadline;
            if let Some(at) = deadline {
                actions.push(Action::ArmTimer { at });
            }
        }
    }
}

/// Claims and watches.
impl Tracker {
    fn finish_claim(&mut self, finished: AttemptId, outcome: ClaimOutcome, actions: &mut Actions) {
        let sent = match self.state {
            State::Contending { claim: Claim::Out { attempt, sent, .. }, .. }
            | State::Resigning { claim: Claim::Out { attempt, sent, .. }, .. }
                if attempt == finished =>
            {
                sent
            }
            State::Contending { .. }
            | State::Resigning { .. }
            | State::Draining { .. }
            | State::Releasing { .. }
            | State::CoolingOff { .. }
            | State::Stopped { .. } => return,
        };
        match outcome {
            ClaimOutcome::Denied { retry_after } => {
                let recheck = Instant::plus_nanos(self.now, self.config.recheck);
                let at = match retry_after {
                    Some(span) => recheck.min(self.now.saturating_add(span)),
                    None => recheck,
                };
                self.be_denied(self.not_too_soon(at), actions);
            }
            ClaimOutcome::Fatal => self.stop(FinishReason::Fatal, actions),
            ClaimOutcome::Granted { term } => match self.terms.admit(term) {
                Ok(()) => {
                    let held = Held { term, valid_until: sent.plus_nanos(self.config.valid_for) };
                    if self.is_due(self.fresh_until(held)) {
                        // Only at the end of time, where the sum saturates. Everywhere else the
                        // attempt's deadline, which has not come, is no later than this.
                        self.fail_attempt(finished, AttemptFailure::Unknown, actions);
                    } else {
                        self.be_granted(sent, held, actions);
                    }
                }
                Err(reason) => self.stop(reason, actions),
            },
            ClaimOutcome::Unknown => self.fail_attempt(finished, AttemptFailure::Unknown, actions),
        }
    }

    /// A grant that is in time, and so allows a yes.
    fn be_granted(&mut self, sent: Instant, granted: Held, actions: &mut Actions) {
        self.claim_backoff.reset();
        self.watch_backoff.reset();
        self.held_until = self.held_until.max(granted.valid_until);
        let Held { term, valid_until } = granted;
        let claim = Claim::Due { at: sent.plus_nanos(self.config.renew_after) };
        match self.state {
            State::Contending { lead: Lead::Leader(held), .. } if held.term == term => {
                actions.push(Action::Notify(Transition::Renewed { term, valid_until }));
            }
            State::Contending { lead: Lead::Leader(held), .. } => {
                self.notify_demoted(held, Demotion::Interrupted, actions);
                self.resolve_parked(TicketKind::WaitMinion, Outcome::Minion, actions);
                actions.push(Action::Notify(Transition::Promoted { term, valid_until }));
            }
            State::Contending { lead: Lead::Minion, .. } => {
                actions.push(Action::Notify(Transition::Promoted { term, valid_until }));
                self.abandon_watch(actions);
            }
            State::Resigning { held, then, .. } if held.term == term => {
                actions.push(Action::Notify(Transition::Renewed { term, valid_until }));
                self.state = State::Resigning { held: granted, claim, then };
                return;
            }
            State::Resigning { held, then, .. } => {
                self.state = State::Resigning { held, claim, then };
                return self.end_resigning(Demotion::Interrupted, actions);
            }
            State::Draining { .. }
            | State::Releasing { .. }
            | State::CoolingOff { .. }
            | State::Stopped { .. } => return,
        }
        self.state = State::Contending { lead: Lead::Leader(granted), claim };
        let yes = Outcome::Leader { term, valid_until };
        self.resolve_parked(TicketKind::ClaimLeader, yes, actions);
        self.resolve_parked(TicketKind::WaitLeader, yes, actions);
    }

    fn be_denied(&mut self, at: Instant, actions: &mut Actions) {
        self.claim_backoff.reset();
        self.terms.end();
        let claim = Claim::Due { at };
        match self.state {
            State::Contending { lead, .. } => {
                self.state = State::Contending { lead: Lead::Minion, claim };
                if let Lead::Leader(held) = lead {
                    self.notify_demoted(held, Demotion::Denied, actions);
                }
                self.resolve_parked(TicketKind::ClaimLeader, Outcome::Minion, actions);
                self.resolve_parked(TicketKind::WaitMinion, Outcome::Minion, actions);
                // One that is due waits for its back-off: the store answers claims, and that says
                // nothing of its watches.
                if self.watching == Watch::None {
                    self.begin_watch(actions);
                }
            }
            State::Resigning { held, then, .. } => {
                self.state = State::Resigning { held, claim, then };
                self.end_resigning(Demotion::Denied, actions);
            }
            State::Draining { .. }
            | State::Releasing { .. }
            | State::CoolingOff { .. }
            | State::Stopped { .. } => {}
        }
    }

    /// An attempt may have been granted, or may not: belief stays what it was, and the next one
    /// goes out after a while.
    fn fail_attempt(&mut self, attempt: AttemptId, failure: AttemptFailure, actions: &mut Actions) {
        actions.push(Action::Notify(Transition::AttemptFailed { attempt, failure }));
        let wait = self.claim_backoff.next(&self.config, &mut self.jitter);
        let claim = Claim::Due { at: self.not_too_soon(self.now.plus_nanos(wait)) };
        match self.state {
            State::Contending { lead, .. } => {
                self.state = State::Contending { lead, claim };
                // A leader that is still fresh says yes to the ticket that is being asked.
                if self.belief().yes(self.now).is_none() {
                    self.resolve_parked(TicketKind::ClaimLeader, Outcome::Minion, actions);
                }
                if lead == Lead::Minion {
                    self.resolve_parked(TicketKind::WaitMinion, Outcome::Minion, actions);
                }
            }
            State::Resigning { held, then, .. } => {
                self.state = State::Resigning { held, claim, then };
            }
            State::Draining { .. }
            | State::Releasing { .. }
            | State::CoolingOff { .. }
            | State::Stopped { .. } => {}
        }
    }

    /// Only a minion that contends has a watch, out or due.
    fn begin_watch(&mut self, actions: &mut Actions) {
        let watch = self.watch;
        self.watch = watch.next();
        self.watching = Watch::Out { watch, begun: self.now };
        actions.push(Action::AwaitRelease { watch });
    }

    fn observe_release(&mut self, observed: WatchId) {
        if !self.watching.is_out(observed) {
            return;
        }
        self.watch_backoff.reset();
        // The claim that follows tells whether there has to be another one.
        self.watching = Watch::None;
        if let State::Contending { lead, claim: Claim::Due { at } } = self.state {
            let claim = Claim::Due { at: at.min(self.not_too_soon(self.now)) };
            self.state = State::Contending { lead, claim };
        }
    }

    /// A release that nobody tells of would be seen at the recheck only. So the watch is begun
    /// again after a while, whatever has become of the claim meanwhile.
    fn fail_watch(&mut self, failed: WatchId, actions: &mut Actions) {
        let Watch::Out { watch, begun } = self.watching else { return };
        if watch != failed {
            return;
        }
        // One that stood for a lease was all right: this is another failure. Less would not do, as
        // one that nobody answers takes a while to fail, too.
        if begun.saturating_add(self.config.lease()) <= self.now {
            self.watch_backoff.reset();
        }
        let repeated = self.watch_backoff.has_failed();
        actions.push(Action::Notify(Transition::WatchFailed { watch, repeated }));
        let wait = self.watch_backoff.next(&self.config, &mut self.jitter);
        let earliest = begun.plus_nanos(self.config.min_interval);
        self.watching = Watch::Due { at: self.now.plus_nanos(wait).max(earliest) };
    }

    fn abandon_watch(&mut self, actions: &mut Actions) {
        let before = core::mem::replace(&mut self.watching, Watch::None);
        if let Watch::Out { watch, .. } = before {
            actions.push(Action::AbandonWatch { watch });
        }
    }
}

/// Resigning.
impl Tracker {
    fn resign(&mut self, then: Then, actions: &mut Actions) {
        match self.state {
            State::Contending { lead, claim } => {
                self.resolve_parked(TicketKind::WaitMinion, Outcome::Minion, actions);
                self.resolve_parked(TicketKind::ClaimLeader, Outcome::Minion, actions);
                self.say_stopped_to_those_who_wait(then, actions);
                match lead {
                    Lead::Leader(held) => {
                        actions.push(Action::Drain { tenure: self.tenure });
                        self.state = State::Resigning { held, claim, then };
                    }
                    Lead::Minion => self.resign_as_minion(then, actions),
                }
            }
            State::Resigning { then: ref mut before, .. }
            | State::Draining { then: ref mut before, .. }
            | State::Releasing { then: ref mut before, .. } => {
                *before = stronger(*before, then);
                self.say_stopped_to_those_who_wait(then, actions);
            }
            State::CoolingOff { until } => match then {
                Then::StepDown { cool_off } => {
                    let until = until.max(self.now.saturating_add(cool_off));
                    self.state = State::CoolingOff { until };
                }
                Then::Stop => self.stop(FinishReason::Resigned, actions),
            },
            State::Stopped { .. } => {}
        }
    }

    /// A minion may still have work that winds down in a lease that it could not renew.
    fn resign_as_minion(&mut self, then: Then, actions: &mut Actions) {
        if self.is_due(self.held_until) {
            self.release(then, actions);
        } else {
            self.abandon_attempt(actions);
            self.abandon_watch(actions);
            actions.push(Action::Drain { tenure: self.tenure });
            self.state = State::Draining { until: self.held_until, then };
        }
    }

    fn finish_drain(&mut self, tenure: TenureId, actions: &mut Actions) {
        if tenure != self.tenure {
            return;
        }
        match self.state {
            State::Resigning { held, then, .. } => {
                self.notify_demoted(held, Demotion::Resigned, actions);
                self.release(then, actions);
            }
            State::Draining { then, .. } => self.release(then, actions),
            State::Contending { .. }
            | State::Releasing { .. }
            | State::CoolingOff { .. }
            | State::Stopped { .. } => {}
        }
    }

    /// Ends the belief before the work has ended. The release waits for the work, or for the end of
    /// the lease in which that may still wind down, whichever is sooner.
    fn end_resigning(&mut self, reason: Demotion, actions: &mut Actions) {
        if let State::Resigning { held, then, .. } = self.state {
            self.notify_demoted(held, reason, actions);
            if self.is_due(self.held_until) {
                self.release(then, actions);
            } else {
                self.abandon_attempt(actions);
                self.state = State::Draining { until: self.held_until, then };
            }
        }
    }

    fn release(&mut self, then: Then, actions: &mut Actions) {
        self.abandon_attempt(actions);
        self.abandon_watch(actions);
        let tenure = self.tenure;
        actions.push(Action::Release { tenure });
        self.tenure = tenure.next();
        self.terms.end();
        self.held_until = Instant::ORIGIN;
        self.claim_backoff.reset();
        self.watch_backoff.reset();
        let until = self.now.plus_nanos(self.config.claim_timeout);
        self.state = State::Releasing { tenure, until, then };
    }

    fn finish_release(&mut self, finished: TenureId, actions: &mut Actions) {
        if let State::Releasing { tenure, then, .. } = self.state
            && tenure == finished
        {
            self.follow_release(then, actions);
        }
    }

    fn follow_release(&mut self, then: Then, actions: &mut Actions) {
        match then {
            Then::StepDown { cool_off } => {
                let until = self.now.saturating_add(cool_off);
                self.state = State::CoolingOff { until };
            }
            Then::Stop => self.stop(FinishReason::Resigned, actions),
        }
    }

    /// An attempt that is out may have been granted: it is given up, and not believed any more.
    fn abandon_attempt(&mut self, actions: &mut Actions) {
        match self.state {
            State::Contending { claim: Claim::Out { attempt, .. }, .. }
            | State::Resigning { claim: Claim::Out { attempt, .. }, .. } => {
                actions.push(Action::AbandonClaim { attempt });
            }
            State::Contending { .. }
            | State::Resigning { .. }
            | State::Draining { .. }
            | State::Releasing { .. }
            | State::CoolingOff { .. }
            | State::Stopped { .. } => {}
        }
    }

    fn stop(&mut self, reason: FinishReason, actions: &mut Actions) {
        let before = core::mem::replace(&mut self.state, State::Stopped { reason });
        match before {
            State::Contending { lead: Lead::Leader(held), .. } | State::Resigning { held, .. } => {
                self.notify_demoted(held, Demotion::StoreFailed, actions);
            }
            State::Contending { lead: Lead::Minion, .. }
            | State::Draining { .. }
            | State::Releasing { .. }
            | State::CoolingOff { .. }
            | State::Stopped { .. } => {}
        }
        self.abandon_watch(actions);
        for kind in [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion] {
            self.resolve_parked(kind, Outcome::Stopped, actions);
        }
        actions.push(Action::Finish { reason });
    }
}

/// Tickets.
impl Tracker {
    /// The ticket is parked already, so it may be answered by time passing, like those before it.
    fn take_ticket(&mut self, event: Event, actions: &mut Actions) {
        if let Event::TicketRequested { kind } = event {
            match self.state {
                State::Stopped { .. } => self.resolve(kind, Outcome::Stopped, actions),
                State::Contending { .. }
                | State::Resigning { .. }
                | State::Draining { .. }
                | State::Releasing { .. }
                | State::CoolingOff { .. } => *self.parked(kind) = true,
            }
        }
    }

    fn request(&mut self, kind: TicketKind, actions: &mut Actions) {
        // A leader whose timer is late, or a minion whose retry is due, has a claim out: that is
        // time passing too.
        self.do_what_is_due(actions);
        if let Some(outcome) = self.answer(kind) {
            self.resolve_parked(kind, outcome, actions);
        }
    }

    /// The answer to a ticket that is asked now; `None` if it has to wait.
    fn answer(&self, kind: TicketKind) -> Option<Outcome> {
        match (&self.state, kind) {
            (
                State::Contending { lead: Lead::Leader(_), .. },
                TicketKind::ClaimLeader | TicketKind::WaitLeader,
            ) => self.belief().yes(self.now),
            (State::Contending { lead: Lead::Leader(_), .. }, TicketKind::WaitMinion) => None,
            (State::Contending { lead: Lead::Minion, claim: Claim::Out { .. } }, _) => None,
            (State::Contending { lead: Lead::Minion, claim: Claim::Due { .. } }, kind) => {
                minion_unless_it_waits(kind)
            }
            (
                State::Resigning { then, .. }
                | State::Draining { then, .. }
                | State::Releasing { then, .. },
                kind,
            ) => match (then, kind) {
                (Then::Stop, TicketKind::WaitLeader) => Some(Outcome::Stopped),
                (Then::Stop | Then::StepDown { .. }, kind) => minion_unless_it_waits(kind),
            },
            (State::CoolingOff { .. }, kind) => minion_unless_it_waits(kind),
            (State::Stopped { .. }, _) => Some(Outcome::Stopped),
        }
    }

    fn say_stopped_to_those_who_wait(&mut self, then: Then, actions: &mut Actions) {
        if then == Then::Stop {
            self.resolve_parked(TicketKind::WaitLeader, Outcome::Stopped, actions);
        }
    }

    fn resolve_parked(&mut self, kind: TicketKind, outcome: Outcome, actions: &mut Actions) {
        if *self.parked(kind) {
            self.resolve(kind, outcome, actions);
        }
    }

    fn resolve(&mut self, kind: TicketKind, outcome: Outcome, actions: &mut Actions) {
        *self.parked(kind) = false;
        actions.push(Action::Resolve { kind, outcome });
    }

    fn parked(&mut self, kind: TicketKind) -> &mut bool {
        match kind {
            TicketKind::ClaimLeader => &mut self.parked.claim_leader,
            TicketKind::WaitLeader => &mut self.parked.wait_leader,
            TicketKind::WaitMinion => &mut self.parked.wait_minion,
        }
    }

    fn notify_demoted(&self, held: Held, reason: Demotion, actions: &mut Actions) {
        actions.push(Action::Notify(Transition::Demoted { term: held.term, reason }));
    }
}

/// Deadlines.
impl Tracker {
    fn is_due(&self, deadline: Instant) -> bool {
        deadline <= self.now
    }

    fn fresh_until(&self, held: Held) -> Instant {
        held.valid_until.saturating_sub(self.config.guarantee())
    }

    fn step_down_at(&self, held: Held) -> Instant {
        held.valid_until.saturating_sub(self.config.step_down_margin())
    }

    /// `at`, or when the next claim may go out, whichever is later.
    fn not_too_soon(&self, at: Instant) -> Instant {
        at.max(self.last_sent.plus_nanos(self.config.min_interval))
    }

    fn believe(&self, held: Held, fresh_until: Instant) -> Belief {
        Belief::Leader {
            term: held.term,
            fresh_until,
            step_down_at: self.step_down_at(held),
            valid_until: held.valid_until,
        }
    }
}

fn minion_unless_it_waits(kind: TicketKind) -> Option<Outcome> {
    match kind {
        TicketKind::ClaimLeader | TicketKind::WaitMinion => Some(Outcome::Minion),
        TicketKind::WaitLeader => None,
    }
}

/// Stopping outweighs stepping down; of two cool-offs the longer one counts.
fn stronger(one: Then, other: Then) -> Then {
    match (one, other) {
        (Then::Stop, _) | (_, Then::Stop) => Then::Stop,
        (Then::StepDown { cool_off: one }, Then::StepDown { cool_off: other }) => {
            Then::StepDown { cool_off: one.max(other) }
        }
    }
}

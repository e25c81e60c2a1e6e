//! A second machine, naive, written from `design.md` and not from the core.
//!
//! It keeps nothing but the list of what has happened, and looks up in that list whatever it wants
//! to know: whether a claim is out is whether the last one that was sent has ended since. It is
//! slow, and there is little in it to be wrong. [`lockstep`] runs it beside the core, and both have
//! to do the same, action for action.
//!
//! It does not know the core's random numbers. Of a back-off it knows the bounds; it takes the
//! instant from the core, once, and only if that lies within them.

mod facts;

use std::time::Duration;

use tenure_core::{
    Action, Actions, AttemptFailure, AttemptId, ClaimOutcome, Config, Demotion, Event,
    FinishReason, Instant, Outcome, Standing, Term, Then, TicketKind, Tracker, Transition, WatchId,
};

use facts::{Due, Fact, Facts, Grant};

/// Runs the core and the oracle side by side over the events, and the books beside them.
///
/// # Errors
///
/// The first difference or broken invariant, and the history up to there as a trace.
pub fn lockstep(
    config: &Config,
    start: Instant,
    mut next: impl FnMut(&crate::ledger::Audited) -> Option<(Event, Instant)>,
) -> Result<usize, String> {
    let mut history = Vec::new();
    let explain = |why: String, history: &[(Event, Instant)]| {
        format!("{why}\n{}", crate::trace::history(&crate::trace::config(config), start, history))
    };
    let (mut audited, actions) =
        crate::ledger::Audited::new(config.clone(), start).map_err(|why| explain(why, &history))?;
    let (mut oracle, expected) = Oracle::new(config.clone(), start, &audited.tracker);
    same(&actions, &expected).map_err(|why| explain(why, &history))?;
    while let Some((event, now)) = next(&audited) {
        history.push((event, now));
        let actions = audited.handle(event, now).map_err(|why| explain(why, &history))?;
        let expected = oracle.handle(event, now, &actions, &audited.tracker);
        same(&actions, &expected).map_err(|why| explain(why, &history))?;
        for at in audited.ledger.marks(config).into_iter().chain([now]) {
            let (is, should) = (audited.tracker.standing(at), oracle.standing(at));
            if is != should {
                let why = format!("standing at {at:?}: core {is:?}, oracle {should:?}");
                return Err(explain(why, &history));
            }
        }
    }
    Ok(history.len())
}

fn same(actions: &Actions, expected: &[Action]) -> Result<(), String> {
    if actions.iter().eq(expected) {
        return Ok(());
    }
    let list = |actions: &mut dyn Iterator<Item = &Action>| {
        actions.map(|&action| format!("\n    {}", crate::trace::action(action))).collect::<String>()
    };
    let (core, oracle) = (list(&mut actions.iter()), list(&mut expected.iter()));
    Err(format!("core and oracle differ. The core does:{core}\nthe oracle:{oracle}"))
}

/// The naive machine.
#[derive(Clone, Debug)]
pub struct Oracle {
    config: Config,
    now: Instant,
    facts: Facts,
    /// What is done in answer to the event that is being handled.
    actions: Vec<Action>,
}

/// Where the oracle asks the core about the random part of a back-off.
#[derive(Clone, Copy)]
struct Peek {
    claims: bool,
    deadline: Option<Instant>,
}

impl Oracle {
    fn new(config: Config, now: Instant, core: &Tracker) -> (Oracle, Vec<Action>) {
        let mut oracle = Oracle { config, now, facts: Facts::default(), actions: Vec::new() };
        oracle.facts.add(Fact::ClaimDue(Due::at(now)));
        let peek = Peek { claims: false, deadline: core.deadline() };
        oracle.claim_if_due(peek);
        oracle.arm(peek);
        (oracle.clone(), std::mem::take(&mut oracle.actions))
    }

    fn handle(
        &mut self,
        event: Event,
        now: Instant,
        core: &Actions,
        after: &Tracker,
    ) -> Vec<Action> {
        self.actions.clear();
        self.now = self.now.max(now);
        if self.facts.has_finished() {
            if let Event::TicketRequested { kind } = event {
                self.actions.push(Action::Resolve { kind, outcome: Outcome::Stopped });
            }
            return std::mem::take(&mut self.actions);
        }
        let peek = Peek {
            claims: core.iter().any(|action| matches!(action, Action::Claim { .. })),
            deadline: after.deadline(),
        };
        if let Event::TicketRequested { kind } = event {
            self.facts.add(Fact::Parked(kind));
        }
        self.pass_time();
        match event {
            Event::ClaimFinished { attempt, outcome } => {
                if let Some((out, sent, _)) = self.facts.claim_out()
                    && out == attempt
                {
                    self.facts.add(Fact::ClaimEnded);
                    self.end_claim(attempt, sent, outcome);
                }
            }
            Event::Drained { tenure } => {
                if tenure == self.facts.tenure() && self.facts.is_winding_down() {
                    self.lose(Demotion::Resigned);
                    self.release();
                }
            }
            Event::ReleaseFinished { tenure } => {
                if self.facts.release_out().is_some_and(|(out, _)| out == tenure) {
                    self.follow_release();
                }
            }
            Event::ReleaseObserved { watch } => {
                if self.facts.watch_out() == Some(watch) {
                    self.facts.add(Fact::WatchEnded);
                    let now = self.not_too_soon(Due::at(self.now));
                    self.facts.add(Fact::ClaimDue(self.facts.claim_due().sooner(now)));
                }
            }
            Event::Resign { then } => self.resign(then),
            Event::TicketRequested { kind } => {
                self.claim_if_due(peek);
                self.answer(kind);
            }
            Event::TimerFired => {}
            Event::WatchFailed { watch } => {
                if self.facts.watch_out() == Some(watch) {
                    self.facts.add(Fact::WatchEnded);
                }
            }
        }
        self.claim_if_due(peek);
        self.arm(peek);
        std::mem::take(&mut self.actions)
    }

    /// What a reader of the published belief has to find.
    fn standing(&self, at: Instant) -> Standing {
        let at = self.now.max(at);
        match self.facts.held() {
            _ if self.facts.has_finished() => Standing::Stopped,
            Some(held) if at < self.step_down_at(held) => Standing::Leader {
                term: held.term,
                fresh_until: match self.facts.resigning() {
                    Some(_) => Instant::ORIGIN,
                    None => self.fresh_until(held),
                },
                valid_until: held.valid_until,
            },
            Some(_) | None => Standing::Minion,
        }
    }
}

/// 4.2: answers.
impl Oracle {
    fn answer(&mut self, kind: TicketKind) {
        if self.facts.has_finished() {
            return;
        }
        if let Some(then) = self.facts.resigning() {
            match kind {
                TicketKind::ClaimLeader | TicketKind::WaitMinion => {
                    self.tell(kind, Outcome::Minion);
                }
                TicketKind::WaitLeader if then == Then::Stop => self.tell(kind, Outcome::Stopped),
                TicketKind::WaitLeader => {}
            }
        } else if self.facts.held().is_some() {
            if kind != TicketKind::WaitMinion
                && let Some(yes) = self.yes()
            {
                self.tell(kind, yes);
            }
        } else if self.facts.claim_out().is_none() && kind != TicketKind::WaitLeader {
            self.tell(kind, Outcome::Minion);
        }
    }

    fn yes(&self) -> Option<Outcome> {
        let held = self.facts.held().filter(|&held| self.now < self.fresh_until(held))?;
        Some(Outcome::Leader { term: held.term, valid_until: held.valid_until })
    }

    /// Answers those who are parked.
    fn tell(&mut self, kind: TicketKind, outcome: Outcome) {
        if self.facts.is_parked(kind) {
            self.facts.add(Fact::Answered(kind));
            self.actions.push(Action::Resolve { kind, outcome });
        }
    }
}

/// 4.3: what ends an attempt.
impl Oracle {
    fn end_claim(&mut self, attempt: AttemptId, sent: Instant, outcome: ClaimOutcome) {
        match outcome {
            ClaimOutcome::Denied { retry_after } => {
                let recheck = self.now.saturating_add(self.config.recheck());
                let named = retry_after.map(|span| self.now.saturating_add(span));
                let at = named.map_or(recheck, |named| named.min(recheck));
                self.facts.add(Fact::SomebodyElse);
                self.facts.add(Fact::ClaimDue(self.not_too_soon(Due::at(at))));
                self.lose(Demotion::Denied);
                if self.facts.resigning().is_some() {
                    return self.wind_down();
                }
                self.tell(TicketKind::ClaimLeader, Outcome::Minion);
                self.tell(TicketKind::WaitMinion, Outcome::Minion);
                if self.facts.watch_out().is_none() {
                    let watch = WatchId::new(self.facts.watches() + 1);
                    self.facts.add(Fact::Watched(watch));
                    self.actions.push(Action::AwaitRelease { watch });
                }
            }
            ClaimOutcome::Fatal => self.finish(FinishReason::Fatal),
            ClaimOutcome::Granted { term } => {
                if let Some(reason) = self.refusal(term) {
                    return self.finish(reason);
                }
                self.facts.add(Fact::TermSeen(term));
                let valid_until = sent.saturating_add(self.valid_for());
                let grant = Grant { term, valid_until };
                if self.fresh_until(grant) <= self.now {
                    // Proves nothing fresh.
                    self.fail(attempt, AttemptFailure::Unknown);
                } else {
                    self.be_granted(sent, grant);
                }
            }
            ClaimOutcome::Unknown => self.fail(attempt, AttemptFailure::Unknown),
        }
    }

    /// A term lower than any seen, or the same after a loss to somebody else: a broken store.
    fn refusal(&self, granted: Term) -> Option<FinishReason> {
        let (seen, is_over) = self.facts.highest_term()?;
        if granted < seen {
            Some(FinishReason::TermFell { seen, granted })
        } else if granted == seen && is_over {
            Some(FinishReason::TermRepeated { term: granted })
        } else {
            None
        }
    }

    fn be_granted(&mut self, sent: Instant, grant: Grant) {
        let held = self.facts.held();
        let Grant { term, valid_until } = grant;
        let renew_after = self.valid_for() - self.config.guarantee() - self.config.renew_lead();
        self.facts.add(Fact::ClaimDue(Due::at(sent.saturating_add(renew_after))));
        if held.is_some_and(|held| held.term == term) {
            self.facts.add(Fact::Granted(grant));
            self.actions.push(Action::Notify(Transition::Renewed { term, valid_until }));
        } else {
            // Somebody else led in between, or nobody has led so far.
            self.lose(Demotion::Interrupted);
            self.facts.add(Fact::Granted(grant));
            if self.facts.resigning().is_some() {
                self.facts.add(Fact::Lost);
                return self.wind_down();
            }
            if held.is_some() {
                self.tell(TicketKind::WaitMinion, Outcome::Minion);
            }
            self.actions.push(Action::Notify(Transition::Promoted { term, valid_until }));
            self.abandon_watch();
        }
        if self.facts.resigning().is_none() {
            let yes = Outcome::Leader { term, valid_until };
            self.tell(TicketKind::ClaimLeader, yes);
            self.tell(TicketKind::WaitLeader, yes);
        }
    }

    /// It may have been granted, it may not.
    fn fail(&mut self, attempt: AttemptId, failure: AttemptFailure) {
        self.actions.push(Action::Notify(Transition::AttemptFailed { attempt, failure }));
        let (min, max) = (self.config.retry_min(), self.config.retry_max());
        let doubled = (0..self.facts.failures_in_a_row())
            .fold(min.as_nanos(), |span, _| (span * 2).min(max.as_nanos()));
        let longest = u64::try_from(doubled).unwrap_or(u64::MAX);
        let shortest = longest - longest / 2;
        let after = |nanos| self.now.saturating_add(Duration::from_nanos(nanos));
        let due = Due { earliest: after(shortest), latest: after(longest) };
        self.facts.add(Fact::Failed);
        self.facts.add(Fact::ClaimDue(self.not_too_soon(due)));
        if self.facts.resigning().is_some() {
            return;
        }
        if self.yes().is_none() {
            self.tell(TicketKind::ClaimLeader, Outcome::Minion);
        }
        if self.facts.held().is_none() {
            self.tell(TicketKind::WaitMinion, Outcome::Minion);
        }
    }
}

/// 4.4: time passing.
impl Oracle {
    fn pass_time(&mut self) {
        if let Some((attempt, _, deadline)) = self.facts.claim_out()
            && deadline <= self.now
        {
            self.abandon_claim();
            self.fail(attempt, AttemptFailure::TimedOut);
        }
        let is_past = |held| self.step_down_at(held) <= self.now;
        if self.facts.held().is_some_and(is_past) {
            self.lose(Demotion::NotRenewed);
            if self.facts.resigning().is_some() {
                self.wind_down();
            } else {
                self.tell(TicketKind::WaitMinion, Outcome::Minion);
                self.tell(TicketKind::ClaimLeader, Outcome::Minion);
            }
        } else if let Some((tenure, until)) = self.facts.release_out() {
            if until <= self.now {
                self.actions.push(Action::AbandonRelease { tenure });
                self.follow_release();
            }
        } else if self.facts.is_winding_down() && self.facts.held().is_none() {
            self.wind_down();
        }
    }

    fn claim_if_due(&mut self, peek: Peek) {
        if let Some(until) = self.facts.cooling_until()
            && until <= self.now
        {
            self.facts.add(Fact::CandidateAgain);
            self.facts.add(Fact::ClaimDue(self.not_too_soon(Due::at(until))));
        }
        let held = self.facts.held();
        let wants_it = self.facts.resigning().is_none() || held.is_some();
        let is_due = self.facts.claim_due().is_due(self.now, peek.claims);
        let is_free = self.facts.claim_out().is_none() && !self.facts.has_finished();
        if !wants_it || !is_due || !is_free || self.now == Instant::MAX {
            return;
        }
        let attempt = AttemptId::new(self.facts.attempts() + 1);
        let mut deadline = self.now.saturating_add(self.config.claim_timeout());
        if let Some(held) = held {
            deadline = deadline.min(self.step_down_at(held));
        }
        let (tenure, lease) = (self.facts.tenure(), self.config.lease());
        self.facts.add(Fact::Sent { attempt, at: self.now, deadline });
        self.actions.push(Action::Claim { attempt, tenure, lease });
    }

    fn arm(&mut self, peek: Peek) {
        if self.facts.has_finished() {
            return;
        }
        let step_down_at = self.facts.held().map_or(Instant::MAX, |held| self.step_down_at(held));
        let at = if let Some((_, until)) = self.facts.release_out() {
            until
        } else if let Some(until) = self.facts.cooling_until() {
            until
        } else if self.facts.is_winding_down() && self.facts.held().is_none() {
            self.facts.work_until()
        } else if let Some((_, _, deadline)) = self.facts.claim_out() {
            deadline.min(step_down_at)
        } else {
            let due = self.facts.claim_due().narrow(peek.deadline, step_down_at);
            self.facts.add(Fact::ClaimDue(due));
            due.earliest.min(step_down_at)
        };
        if self.facts.armed() != Some(at) {
            self.facts.add(Fact::Armed(at));
            self.actions.push(Action::ArmTimer { at });
        }
    }
}

/// 4.5: resigning.
impl Oracle {
    fn resign(&mut self, then: Then) {
        if self.facts.has_finished() {
            return;
        }
        if let Some(until) = self.facts.cooling_until() {
            return match then {
                Then::StepDown { cool_off } => {
                    let until = until.max(self.now.saturating_add(cool_off));
                    self.facts.add(Fact::CoolingOff { until });
                }
                Then::Stop => self.finish(FinishReason::Resigned),
            };
        }
        let is_first = self.facts.resigning().is_none();
        self.facts.add(Fact::Resigned(then));
        if is_first {
            self.tell(TicketKind::WaitMinion, Outcome::Minion);
            self.tell(TicketKind::ClaimLeader, Outcome::Minion);
        }
        if then == Then::Stop {
            self.tell(TicketKind::WaitLeader, Outcome::Stopped);
        }
        if !is_first {
            return;
        }
        let tenure = self.facts.tenure();
        if self.facts.held().is_some() {
            self.actions.push(Action::Drain { tenure });
        } else {
            let may_have_work = self.now < self.facts.work_until();
            if may_have_work {
                self.abandon_claim();
                self.abandon_watch();
                self.actions.push(Action::Drain { tenure });
            }
            self.wind_down();
        }
    }

    /// Belief has ended. The lease is never released before the work is done, or must be.
    fn wind_down(&mut self) {
        if self.facts.work_until() <= self.now {
            self.release();
        } else {
            self.abandon_claim();
        }
    }

    fn release(&mut self) {
        self.abandon_claim();
        self.abandon_watch();
        let tenure = self.facts.tenure();
        let until = self.now.saturating_add(self.config.claim_timeout());
        self.facts.add(Fact::Released { tenure, until });
        self.actions.push(Action::Release { tenure });
    }

    fn follow_release(&mut self) {
        self.facts.add(Fact::ReleaseEnded);
        match self.facts.resigning() {
            Some(Then::StepDown { cool_off }) => {
                let until = self.now.saturating_add(cool_off);
                self.facts.add(Fact::CoolingOff { until });
            }
            Some(Then::Stop) => self.finish(FinishReason::Resigned),
            None => {}
        }
    }

    fn finish(&mut self, reason: FinishReason) {
        self.lose(Demotion::StoreFailed);
        self.abandon_watch();
        for kind in [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion] {
            self.tell(kind, Outcome::Stopped);
        }
        self.facts.add(Fact::Finished);
        self.actions.push(Action::Finish { reason });
    }
}

/// What several rules need.
impl Oracle {
    /// Belief ends, if there is any.
    fn lose(&mut self, reason: Demotion) {
        if let Some(Grant { term, .. }) = self.facts.held() {
            self.facts.add(Fact::Lost);
            self.actions.push(Action::Notify(Transition::Demoted { term, reason }));
        }
    }

    fn abandon_claim(&mut self) {
        if let Some((attempt, _, _)) = self.facts.claim_out() {
            self.facts.add(Fact::ClaimEnded);
            self.actions.push(Action::AbandonClaim { attempt });
        }
    }

    fn abandon_watch(&mut self) {
        if let Some(watch) = self.facts.watch_out() {
            self.facts.add(Fact::WatchEnded);
            self.actions.push(Action::AbandonWatch { watch });
        }
    }

    /// `(lease - store_slack) / clock_ratio`, rounded down: worked out here, not asked of the config.
    fn valid_for(&self) -> Duration {
        let lease = self.config.guarantee().as_nanos() * 2 - self.config.store_slack().as_nanos();
        let nanos = lease * 1_000_000 / u128::from(self.config.clock_ratio().millionths());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn fresh_until(&self, grant: Grant) -> Instant {
        grant.valid_until.saturating_sub(self.config.guarantee())
    }

    fn step_down_at(&self, grant: Grant) -> Instant {
        grant.valid_until.saturating_sub(self.config.step_down_margin())
    }

    /// `min_interval` holds between any two claims.
    fn not_too_soon(&self, due: Due) -> Due {
        match self.facts.last_sent() {
            Some(sent) => due.not_before(sent.saturating_add(self.config.min_interval())),
            None => due,
        }
    }
}

//! A second machine, naive, written from `design.md` and not from the core.
//!
//! It keeps nothing but the list of what has happened, and looks up in that list whatever it wants
//! to know: whether a claim is out is whether the last one that was sent has ended since. It is
//! slow, and there is little in it to be wrong. [`lockstep`] runs it beside the core, and both have
//! to do the same, action for action.
//!
//! It does not know the core's random numbers. Of a back-off it knows the bounds; it takes the
//! instant from the core, once, and only if that lies within them.

mod claims;
mod facts;
mod resigning;
mod time;

use std::time::Duration;

use tenure_core::{
    Action, Actions, Config, Demotion, Event, Instant, Outcome, Standing, Then, TicketKind,
    Tracker, Transition,
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
    watches: bool,
    deadline: Option<Instant>,
}

impl Oracle {
    fn new(config: Config, now: Instant, core: &Tracker) -> (Oracle, Vec<Action>) {
        let mut oracle = Oracle { config, now, facts: Facts::default(), actions: Vec::new() };
        oracle.facts.add(Fact::ClaimDue(Due::at(now)));
        let peek = Peek { claims: false, watches: false, deadline: core.deadline() };
        oracle.do_what_is_due(peek);
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
            watches: core.iter().any(|action| matches!(action, Action::AwaitRelease { .. })),
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
                if self.facts.watch_out().is_some_and(|(out, _)| out == watch) {
                    self.facts.add(Fact::WatchEnded);
                    self.facts.add(Fact::WatchSpoke);
                    let now = self.not_too_soon(Due::at(self.now));
                    self.facts.add(Fact::ClaimDue(self.facts.claim_due().sooner(now)));
                }
            }
            Event::Resign { then } => self.resign(then),
            Event::TicketRequested { kind } => {
                self.do_what_is_due(peek);
                self.answer(kind);
            }
            Event::TimerFired => {}
            Event::WatchFailed { watch } => {
                if let Some((out, begun)) = self.facts.watch_out()
                    && out == watch
                {
                    self.fail_watch(watch, begun);
                }
            }
        }
        self.do_what_is_due(peek);
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
        if let Some((watch, _)) = self.facts.watch_out() {
            self.actions.push(Action::AbandonWatch { watch });
        }
        // Also one that was to begin again.
        self.facts.add(Fact::WatchEnded);
    }

    /// A back-off after so many failures in a row before this one.
    fn back_off(&self, failures: usize) -> Due {
        let (min, max) = (self.config.retry_min(), self.config.retry_max());
        let doubled = (0..failures).fold(min.as_nanos(), |span, _| (span * 2).min(max.as_nanos()));
        let longest = u64::try_from(doubled).unwrap_or(u64::MAX);
        let shortest = longest - longest / 2;
        let after = |nanos| self.now.saturating_add(Duration::from_nanos(nanos));
        Due { earliest: after(shortest), latest: after(longest) }
    }

    /// `(lease - store_slack) / clock_ratio`, rounded down: worked out, not asked of the config.
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

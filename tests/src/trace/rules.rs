use tenure_core::{
    Action, Actions, ClaimOutcome, Event, Instant, Then, TicketKind, Tracker, Transition,
};

use super::coverage::How;
use crate::ledger::{Audited, Row};

/// What has to be seen at work besides the cells of the tables.
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// Whether it was at work in this step.
    pub(super) applies: fn(&Step<'_>) -> bool,
}

const fn rule(name: &'static str, applies: fn(&Step<'_>) -> bool) -> Rule {
    Rule { name, applies }
}

const HELD: [Row; 2] = [Row::SteppingDownHeld, Row::StoppingHeld];
const DRAINING: [Row; 2] = [Row::SteppingDownDraining, Row::StoppingDraining];
const RELEASING: [Row; 2] = [Row::SteppingDownReleasing, Row::StoppingReleasing];
const LEADING: [Row; 4] =
    [Row::LeaderFresh, Row::LeaderRenewing, Row::LeaderBackingOff, Row::LeaderTimerLate];
const CLAIMING: [Row; 2] = [Row::MinionFirstClaim, Row::MinionClaiming];
const IDLE: [Row; 2] = [Row::MinionIdle, Row::MinionTimerLate];

/// What has to be seen at work besides the cells of the tables, and when it was.
pub(super) const RULES: [Rule; 56] = [
    rule("4.1 a clock ratio shortens the belief", |step| {
        step.is_heard()
            && step.how() == How::GrantedHigher
            && step.tracker().config().clock_ratio() > tenure_core::ClockRatio::EXACT
    }),
    rule("4.3 a retry waits for the back-off, where that is longer than min_interval", |step| {
        let earliest = step
            .before
            .ledger
            .claim()
            .map(|claim| claim.sent.saturating_add(step.tracker().config().min_interval()));
        let fails = step.is_heard() && step.how() == How::Unknown;
        let waits_for = step.after.tracker.deadline();
        fails && earliest.is_some_and(|at| at <= step.now) && waits_for > Some(step.now)
    }),
    rule("4.3 a grant abandons the watch", |step| {
        step.is_heard()
            && step.did(|action| matches!(action, Action::AbandonWatch { .. }))
            && step.after.ledger.claim().is_none()
            && !step.releases()
            && step.after.tracker.finished().is_none()
    }),
    rule("4.3 a denial starts a watch", |step| {
        step.is_heard() && step.how() == How::Denied && step.watches()
    }),
    rule("4.3 a denial leaves a watch that is out alone", |step| {
        step.is_heard()
            && step.is_in(&CLAIMING)
            && step.how() == How::Denied
            && step.before.ledger.watch().is_some()
            && step.actions.iter().all(|action| {
                !matches!(action, Action::AwaitRelease { .. } | Action::AbandonWatch { .. })
            })
    }),
    rule("4.3 a watch that speaks makes a minion claim", |step| {
        matches!(step.event, Event::ReleaseObserved { .. }) && step.is_in(&IDLE) && step.claims()
    }),
    rule("4.3 a watch that speaks too soon waits for min_interval", |step| {
        matches!(step.event, Event::ReleaseObserved { .. })
            && step.before.ledger.watch() != step.after.ledger.watch()
            && step.is_in(&IDLE)
            && !step.claims()
    }),
    rule("4.3 a watch that speaks while a claim is out", |step| {
        matches!(step.event, Event::ReleaseObserved { .. })
            && step.is_in(&CLAIMING)
            && step.before.ledger.watch() != step.after.ledger.watch()
    }),
    rule("4.3 a watch that fails is begun again with back-off, not at once", |step| {
        step.fails_watch() && step.is_in(&IDLE) && !step.watches()
    }),
    rule("4.3 a watch that fails while a claim is out", |step| {
        step.fails_watch() && step.is_in(&CLAIMING)
    }),
    rule("4.3 a watch that failed is begun again, and nothing is claimed", |step| {
        step.is_timer() && step.watches() && !step.claims() && step.before.ledger.claim().is_none()
    }),
    rule("4.3 a watch that failed is begun again while a claim is out", |step| {
        step.is_timer() && step.watches() && step.before.ledger.claim().is_some()
    }),
    rule("4.3 a denial does not shorten the back-off of a watch", |step| {
        step.is_heard()
            && step.how() == How::Denied
            && step.before.ledger.watch_due().is_some()
            && !step.watches()
    }),
    rule("4.3 one who leads or resigns begins no watch again", |step| {
        step.before.ledger.watch_due().is_some()
            && step.after.ledger.watch_due().is_none()
            && !step.watches()
            && step.after.tracker.finished().is_none()
    }),
    rule("4.3 a watch that is not out changes nothing", |step| match step.event {
        Event::ReleaseObserved { watch } | Event::WatchFailed { watch } => {
            step.before.ledger.watch() != Some(watch) && step.actions.is_empty()
        }
        _ => false,
    }),
    rule("4.3 a denied minion claims again though its watch is silent", |step| {
        step.is_timer()
            && step.is_in(&IDLE)
            && step.claims()
            && step.before.ledger.watch().is_some()
    }),
    rule("4.3 retry_after 0 waits for min_interval", |step| {
        step.is_heard()
            && !step.claims()
            && matches!(step.event, Event::ClaimFinished {
            outcome: ClaimOutcome::Denied { retry_after: Some(span) }, ..
        } if span.is_zero())
    }),
    rule("4.3 a denial long after its claim may be followed by one at once", |step| {
        step.is_heard() && step.how() == How::DeniedFor && step.claims()
    }),
    rule("4.3 an interrupted leader tells WaitMinion first", |step| {
        let mut answers = step.actions.iter().filter_map(|action| match action {
            Action::Resolve { kind, .. } => Some(*kind),
            _ => None,
        });
        step.is_in(&LEADING)
            && step.is_heard()
            && step.how() == How::GrantedHigher
            && answers.next() == Some(TicketKind::WaitMinion)
            && answers.next() == Some(TicketKind::ClaimLeader)
    }),
    rule("4.4.1 a leader's attempt ends at step_down_at, before its claim_timeout", |step| {
        step.before.ledger.claim().is_some_and(|claim| {
            let whole = claim.sent.saturating_add(step.tracker().config().claim_timeout());
            claim.deadline < whole && claim.deadline <= step.now
        })
    }),
    rule("4.4.2 a leader at step_down_at is a minion, its renewal out", |step| {
        step.is_in(&LEADING) && step.steps_down() && step.before.ledger.claim().is_some()
    }),
    rule("4.4.2 a leader at step_down_at is a minion, backing off", |step| {
        step.is_in(&LEADING)
            && step.steps_down()
            && step.before.ledger.claim().is_none()
            && step.before.ledger.attempts() > 1
    }),
    rule("4.4.2 a leader that slept past step_down_at claims as a minion", |step| {
        step.is_in(&LEADING) && step.steps_down() && step.claims()
    }),
    rule("4.4.3 a leader at renew_at claims", |step| {
        step.row() == Row::LeaderFresh
            && step.is_timer()
            && step.claims()
            && step.armed() == Some(step.now)
    }),
    rule("4.4.3 a leader at its retry claims", |step| {
        step.row() == Row::LeaderBackingOff && step.is_timer() && step.claims()
    }),
    rule("4.4.3 a minion at its retry claims", |step| {
        step.is_in(&IDLE)
            && step.is_timer()
            && step.claims()
            && step.before.ledger.watch().is_none()
    }),
    rule("4.4.4 the deadline stays, and so does the timer", |step| {
        !step.actions.is_empty()
            && step.armed() == step.after.tracker.deadline()
            && step.armed().is_some()
    }),
    rule("4.5 a leader resigns to step down", |step| {
        step.is_in(&LEADING) && step.resigns_to(false) && step.drains() && !step.releases()
    }),
    rule("4.5 a leader resigns to stop", |step| {
        step.is_in(&LEADING) && step.resigns_to(true) && step.drains() && !step.releases()
    }),
    rule("4.5 a minion with work in an old lease drains it", |step| {
        step.is_in(&IDLE) && step.drains()
    }),
    rule("4.5 a minion that drains abandons its claim", |step| {
        step.is_in(&CLAIMING) && step.drains() && step.abandons_claim()
    }),
    rule("4.5 a minion without a lease releases at once", |step| {
        step.is_in(&IDLE) && step.releases() && !step.drains()
    }),
    rule("4.5 a minion that resigns with a claim out abandons it", |step| {
        step.is_in(&CLAIMING) && step.releases() && step.abandons_claim()
    }),
    rule("4.5 resigning abandons the watch", |step| {
        matches!(step.event, Event::Resign { .. })
            && step.before.ledger.watch().is_some()
            && step.after.ledger.watch().is_none()
    }),
    rule("4.5 one who resigns still renews", |step| {
        step.is_in(&HELD) && step.is_heard() && step.how() == How::GrantedSame
    }),
    rule("4.5 one who resigns tries again", |step| step.is_in(&HELD) && step.claims()),
    rule("4.5 drained: belief ends, then the release goes out", |step| {
        step.is_in(&HELD) && matches!(step.event, Event::Drained { .. }) && step.releases()
    }),
    rule("4.5 drained with an attempt out: that is abandoned", |step| {
        step.is_in(&HELD) && step.releases() && step.abandons_claim()
    }),
    rule("4.5 step_down_at before the work has drained", |step| {
        step.is_in(&HELD) && step.steps_down() && !step.releases()
    }),
    rule("4.5 denied before the work has drained", |step| {
        step.is_in(&HELD) && step.is_heard() && step.how() == How::Denied && !step.releases()
    }),
    rule("4.5 interrupted before the work has drained", |step| {
        step.is_in(&HELD) && step.is_heard() && step.how() == How::GrantedHigher
    }),
    rule("4.5 drained after the belief ended", |step| {
        step.is_in(&DRAINING) && matches!(step.event, Event::Drained { .. }) && step.releases()
    }),
    rule("4.5 valid_until before the work has drained", |step| {
        step.is_in(&DRAINING) && step.is_timer() && step.releases()
    }),
    rule("4.5 the release ends, then cool-off", |step| {
        step.row() == Row::SteppingDownReleasing
            && step.after.ledger.release().is_none()
            && !step.claims()
            && !step.is_timer()
    }),
    rule("4.5 no cool-off, a new tenure at once", |step| {
        step.row() == Row::SteppingDownReleasing && step.claims()
    }),
    rule("4.5 the cool-off ends, a new tenure", |step| {
        step.row() == Row::CoolingOff && step.claims()
    }),
    rule("4.5 the release takes too long, then cool-off", |step| {
        step.row() == Row::SteppingDownReleasing
            && step.is_timer()
            && step.did(|action| matches!(action, Action::AbandonRelease { .. }))
    }),
    rule("4.5 the release ends, then the end", |step| {
        step.row() == Row::StoppingReleasing
            && step.after.ledger.has_finished()
            && matches!(step.event, Event::ReleaseFinished { .. })
    }),
    rule("4.5 the release takes too long, then the end", |step| {
        step.row() == Row::StoppingReleasing && step.after.ledger.has_finished() && step.is_timer()
    }),
    rule("4.5 stops while it cools off", |step| {
        step.row() == Row::CoolingOff && step.resigns_to(true)
    }),
    rule("fault 3, 4: a late grant is not believed", |step| {
        matches!(step.event, Event::ClaimFinished {
            attempt, outcome: ClaimOutcome::Granted { .. }
        } if step.before.ledger.claim().is_some_and(|claim| {
            claim.attempt == attempt && claim.deadline <= step.now
        }))
    }),
    rule("fault 12: time runs backwards", |step| step.at < step.before.ledger.now()),
    rule("fault 33: an early timer does nothing", |step| {
        step.is_timer()
            && step.armed().is_some_and(|armed| step.now < armed)
            && step.actions.is_empty()
    }),
    rule("fault 33: a timer after the stop", |step| {
        step.is_timer() && step.before.ledger.has_finished()
    }),
    rule("fault 36: resigns again", |step| {
        matches!(step.event, Event::Resign { .. })
            && (step.is_in(&HELD) || step.is_in(&DRAINING) || step.is_in(&RELEASING))
    }),
    rule("the end of time", |step| step.now == Instant::MAX),
];

/// One event, with all that a rule may want to know of it.
pub(super) struct Step<'a> {
    pub(super) before: &'a Audited,
    pub(super) event: Event,
    /// The latest instant seen, and the one that was handed in.
    pub(super) now: Instant,
    pub(super) at: Instant,
    pub(super) actions: &'a Actions,
    pub(super) after: &'a Audited,
}

impl Step<'_> {
    pub(super) fn is_heard(&self) -> bool {
        let Event::ClaimFinished { attempt, .. } = self.event else { return false };
        let claim = self.before.ledger.claim();
        claim.is_some_and(|claim| claim.attempt == attempt && self.now < claim.deadline)
    }

    pub(super) fn how(&self) -> How {
        let Event::ClaimFinished { outcome, .. } = self.event else { return How::Stale };
        match outcome {
            ClaimOutcome::Denied { retry_after: None } => How::Denied,
            ClaimOutcome::Denied { retry_after: Some(_) } => How::DeniedFor,
            ClaimOutcome::Fatal => How::Fatal,
            ClaimOutcome::Granted { term } => match self.before.ledger.seen() {
                Some(seen) if term < seen => How::GrantedLower,
                Some(seen) if term == seen && self.after.tracker.finished().is_some() => {
                    How::GrantedRepeated
                }
                Some(seen) if term == seen => How::GrantedSame,
                Some(_) | None => How::GrantedHigher,
            },
            ClaimOutcome::Unknown => How::Unknown,
        }
    }

    fn row(&self) -> Row {
        self.before.ledger.row(self.before.tracker.config())
    }

    fn is_in(&self, rows: &[Row]) -> bool {
        rows.contains(&self.row())
    }

    fn did(&self, test: impl Fn(Action) -> bool) -> bool {
        self.actions.iter().any(|&action| test(action))
    }

    fn claims(&self) -> bool {
        self.did(|action| matches!(action, Action::Claim { .. }))
    }

    fn watches(&self) -> bool {
        self.did(|action| matches!(action, Action::AwaitRelease { .. }))
    }

    fn fails_watch(&self) -> bool {
        self.did(|action| matches!(action, Action::Notify(Transition::WatchFailed { .. })))
    }

    fn releases(&self) -> bool {
        self.did(|action| matches!(action, Action::Release { .. }))
    }

    fn abandons_claim(&self) -> bool {
        self.did(|action| matches!(action, Action::AbandonClaim { .. }))
    }

    fn drains(&self) -> bool {
        self.did(|action| matches!(action, Action::Drain { .. }))
    }

    fn steps_down(&self) -> bool {
        self.did(|action| {
            matches!(
                action,
                Action::Notify(Transition::Demoted {
                    reason: tenure_core::Demotion::NotRenewed,
                    ..
                })
            )
        })
    }

    /// When the machine wanted to be called, before this event.
    fn armed(&self) -> Option<Instant> {
        self.before.tracker.deadline()
    }

    fn is_timer(&self) -> bool {
        self.event == Event::TimerFired
    }

    fn resigns_to(&self, stop: bool) -> bool {
        match self.event {
            Event::Resign { then } => (then == Then::Stop) == stop,
            _ => false,
        }
    }

    fn tracker(&self) -> &Tracker {
        &self.before.tracker
    }
}

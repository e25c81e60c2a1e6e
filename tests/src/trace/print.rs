use std::fmt::Write as _;
use std::time::Duration;

use tenure_core::{
    Action, AttemptFailure, Belief, ClaimOutcome, Demotion, Event, FinishReason, Instant, Outcome,
    Standing, Then, TicketKind, Transition,
};

/// An action as a line of output.
pub fn action(action: Action) -> String {
    match action {
        Action::AbandonClaim { attempt } => format!("abandon claim {attempt}"),
        Action::AbandonRelease { tenure } => format!("abandon release {tenure}"),
        Action::AbandonWatch { watch } => format!("abandon watch {watch}"),
        Action::ArmTimer { at } => format!("arm timer at={}", instant(at)),
        Action::AwaitRelease { watch } => format!("watch {watch}"),
        Action::Claim { attempt, tenure, lease } => {
            format!("claim {attempt} tenure={tenure} lease={}", span(lease))
        }
        Action::Drain { tenure } => format!("drain {tenure}"),
        Action::Finish { reason } => format!("finish: {}", finish(reason)),
        Action::Notify(happened) => format!("notify: {}", transition(happened)),
        Action::Release { tenure } => format!("release {tenure}"),
        Action::Resolve { kind, outcome } => {
            format!("resolve {}: {}", ticket(kind), answer(outcome))
        }
    }
}

fn finish(reason: FinishReason) -> String {
    match reason {
        FinishReason::Fatal => "the store will never say yes".to_owned(),
        FinishReason::Resigned => "resigned".to_owned(),
        FinishReason::TermFell { seen, granted } => {
            format!("term fell from {seen} to {granted}")
        }
        FinishReason::TermRepeated { term } => format!("term {term} repeated"),
    }
}

fn transition(happened: Transition) -> String {
    match happened {
        Transition::AttemptFailed { attempt, failure } => {
            let how = match failure {
                AttemptFailure::TimedOut => "timed out",
                AttemptFailure::Unknown => "unknown",
            };
            format!("attempt {attempt} failed: {how}")
        }
        Transition::Demoted { term, reason } => {
            let why = match reason {
                Demotion::Denied => "denied",
                Demotion::Interrupted => "interrupted",
                Demotion::NotRenewed => "not renewed",
                Demotion::Resigned => "resigned",
                Demotion::StoreFailed => "store failed",
            };
            format!("demoted term={term}: {why}")
        }
        Transition::Promoted { term, valid_until } => {
            format!("promoted term={term} valid_until={}", instant(valid_until))
        }
        Transition::Renewed { term, valid_until } => {
            format!("renewed term={term} valid_until={}", instant(valid_until))
        }
        Transition::WatchFailed { watch, repeated: false } => format!("watch {watch} failed"),
        Transition::WatchFailed { watch, repeated: true } => format!("watch {watch} failed again"),
    }
}

fn answer(outcome: Outcome) -> String {
    match outcome {
        Outcome::Leader { term, valid_until } => {
            format!("leader term={term} valid_until={}", instant(valid_until))
        }
        Outcome::Minion => "minion".to_owned(),
        Outcome::Stopped => "stopped".to_owned(),
    }
}

/// What is believed, in words.
pub(super) fn belief(belief: Belief) -> String {
    match belief {
        Belief::Leader { term, fresh_until, step_down_at, valid_until } => format!(
            "leader term={term} fresh_until={} step_down_at={} valid_until={}",
            instant(fresh_until),
            instant(step_down_at),
            instant(valid_until)
        ),
        Belief::Minion => "minion".to_owned(),
        Belief::Stopped => "stopped".to_owned(),
    }
}

/// A standing, in words.
pub(super) fn standing(standing: Standing) -> String {
    match standing {
        Standing::Leader { term, fresh_until, valid_until } => format!(
            "leader term={term} fresh_until={} valid_until={}",
            instant(fresh_until),
            instant(valid_until)
        ),
        Standing::Minion => "minion".to_owned(),
        Standing::Stopped => "stopped".to_owned(),
    }
}

/// The name of a kind of ticket.
pub(super) fn ticket(kind: TicketKind) -> &'static str {
    match kind {
        TicketKind::ClaimLeader => "claim_leader",
        TicketKind::WaitLeader => "wait_leader",
        TicketKind::WaitMinion => "wait_minion",
    }
}

/// An event as a line of input.
pub fn command(event: Event, at: Instant) -> String {
    let mut line = match event {
        Event::ClaimFinished { attempt, outcome } => match outcome {
            ClaimOutcome::Denied { retry_after: None } => format!("denied {attempt}"),
            ClaimOutcome::Denied { retry_after: Some(after) } => {
                format!("denied {attempt} retry_after={}", span(after))
            }
            ClaimOutcome::Fatal => format!("fatal {attempt}"),
            ClaimOutcome::Granted { term } => format!("granted {attempt} term={term}"),
            ClaimOutcome::Unknown => format!("unknown {attempt}"),
        },
        Event::Drained { tenure } => format!("drained {tenure}"),
        Event::ReleaseFinished { tenure } => format!("release_finished {tenure}"),
        Event::ReleaseObserved { watch } => format!("released {watch}"),
        Event::Resign { then: Then::Stop } => "stop".to_owned(),
        Event::Resign { then: Then::StepDown { cool_off } } => {
            format!("step_down cool_off={}", span(cool_off))
        }
        Event::TicketRequested { kind } => format!("ask {}", ticket(kind)),
        Event::TimerFired => "timer".to_owned(),
        Event::WatchFailed { watch } => format!("watch_failed {watch}"),
    };
    let _ = write!(line, " at={}", instant(at));
    line
}

/// An instant, in milliseconds or as `max`.
pub(crate) fn instant(instant: Instant) -> String {
    if instant == Instant::MAX {
        return "max".to_owned();
    }
    nanoseconds(instant.as_nanos().into())
}

/// A span, in milliseconds or as `max`.
pub(crate) fn span(span: Duration) -> String {
    if span == Duration::MAX {
        return "max".to_owned();
    }
    nanoseconds(span.as_nanos())
}

/// Milliseconds if that is exact with three places, else nanoseconds with their unit.
fn nanoseconds(nanos: u128) -> String {
    let (whole, micros) = (nanos / 1_000_000, nanos / 1_000 % 1_000);
    if !nanos.is_multiple_of(1_000) {
        format!("{nanos}ns")
    } else if micros == 0 {
        format!("{whole}")
    } else {
        let text = format!("{whole}.{micros:03}");
        text.trim_end_matches('0').to_owned()
    }
}

//! Histories out of bytes.
//!
//! The first two bytes choose a config and the start; then three bytes make an event: what, with
//! which number or outcome, and when. All of them are chosen from what means something at that
//! point (a deadline, the number that is out, the one before), so that most bytes lead somewhere.

use std::time::Duration;

use tenure_core::{
    AttemptId, ClaimOutcome, ClockRatio, Config, Event, Instant, TenureId, Term, Then, TicketKind,
    WatchId,
};

use crate::ledger::Audited;
use crate::oracle::lockstep;

/// Runs the core, its books and the oracle over the history that `bytes` describe.
///
/// # Panics
///
/// If they differ, or an invariant is broken: with the history as a trace.
pub fn events(bytes: &[u8]) {
    super::insist(check(bytes));
}

/// The number of events in the history; or the difference or the broken invariant, and the history
/// as a trace.
pub(super) fn check(bytes: &[u8]) -> Result<usize, String> {
    let [config, start, moves @ ..] = bytes else { return Ok(0) };
    history(&self::config(*config), self::start(*start), moves)
}

/// Runs the core, its books and the oracle over a history under any config, from any start: three
/// bytes make an event. Gives the number of events.
///
/// # Errors
///
/// The difference or the broken invariant, and the history as a trace.
pub fn history(config: &Config, start: Instant, moves: &[u8]) -> Result<usize, String> {
    let mut moves = moves.chunks_exact(3).take(EVENTS_MAX);
    lockstep(config, start, |audited| match moves.next() {
        Some(&[what, which, when]) => {
            Some((event(audited, what, which), instant(audited, config, when)))
        }
        Some(_) | None => None,
    })
}

/// The oracle looks through all that has happened: a longer history takes longer for each event.
const EVENTS_MAX: usize = 200;

/// One of a few configs that each press on something else.
fn config(byte: u8) -> Config {
    let ns = Duration::from_nanos;
    let grid = || Config::builder(ns(100)).clock_ratio(ClockRatio::EXACT);
    let builder = match byte % 10 {
        0 => Config::builder(Duration::from_secs(10)),
        1 => grid().claim_timeout(ns(20)).renew_lead(ns(20)).min_interval(ns(20)),
        2 => grid().claim_timeout(ns(60)).renew_lead(ns(40)).retry(ns(3), ns(50)),
        3 => grid().step_down_margin(ns(0)).retry(ns(90), ns(400)),
        4 => grid().step_down_margin(ns(100)).renew_lead(ns(30)).claim_timeout(ns(20)),
        5 => Config::builder(ns(101)).claim_timeout(ns(23)).retry(ns(3), ns(7)),
        6 => grid().store_slack(ns(40)).renew_lead(ns(5)).recheck(ns(30)),
        7 => grid().min_interval(ns(1)).retry(ns(1), ns(1)).recheck(ns(1)),
        8 => Config::builder(ns(u64::MAX / 2)),
        _ => grid().recheck(Duration::from_nanos(u64::MAX)).min_interval(ns(60)),
    };
    let config = builder.build();
    config.unwrap_or_else(|refusal| unreachable!("config {byte} is refused: {refusal}"))
}

fn start(byte: u8) -> Instant {
    match byte {
        0..=199 => Instant::from_nanos(u64::from(byte) * 1_000),
        200..=255 => Instant::from_nanos(u64::MAX - u64::from(byte - 200) * 10),
    }
}

fn event(audited: &Audited, what: u8, which: u8) -> Event {
    let ledger = &audited.ledger;
    match what % 16 {
        0..=4 => Event::ClaimFinished {
            attempt: AttemptId::new(near(ledger.attempts(), which)),
            outcome: outcome(audited, what / 16),
        },
        5..=6 => Event::TimerFired,
        7 => Event::TicketRequested { kind: TicketKind::ClaimLeader },
        8 => Event::TicketRequested { kind: TicketKind::WaitLeader },
        9 => Event::TicketRequested { kind: TicketKind::WaitMinion },
        10 => Event::Resign { then: Then::Stop },
        11 => {
            let cool_off = [Duration::ZERO, Duration::from_nanos(which.into()), Duration::MAX];
            Event::Resign { then: Then::StepDown { cool_off: cool_off[usize::from(which) % 3] } }
        }
        12 => Event::Drained { tenure: TenureId::new(near(ledger.tenure().number(), which)) },
        13 => {
            let last = ledger.tenure().number() - 1;
            Event::ReleaseFinished { tenure: TenureId::new(near(last, which)) }
        }
        14 => Event::ReleaseObserved { watch: WatchId::new(near(ledger.watches(), which)) },
        _ => Event::WatchFailed { watch: WatchId::new(near(ledger.watches(), which)) },
    }
}

/// Most often the last number that went out; else one around it.
fn near(last: u64, which: u8) -> u64 {
    match which {
        0..=199 => last,
        200..=219 => last.saturating_sub(1),
        220..=239 => last + 1,
        240..=247 => 0,
        248..=255 => u64::MAX,
    }
}

fn outcome(audited: &Audited, how: u8) -> ClaimOutcome {
    let seen = audited.ledger.seen().map_or(5, Term::number);
    let granted = |term| ClaimOutcome::Granted { term: Term::new(term) };
    let denied = |nanos| ClaimOutcome::Denied { retry_after: Some(Duration::from_nanos(nanos)) };
    match how {
        0..=4 => granted(seen),
        5 => granted(seen.saturating_add(1)),
        6 => granted(seen.saturating_sub(1)),
        7 => granted(if seen.is_multiple_of(2) { u64::MAX } else { seen.saturating_add(1) }),
        8..=9 => ClaimOutcome::Denied { retry_after: None },
        10 => denied(0),
        11 => denied(10),
        12 => denied(u64::MAX),
        13 => ClaimOutcome::Fatal,
        _ => ClaimOutcome::Unknown,
    }
}

/// Around one of the deadlines, most often.
fn instant(audited: &Audited, config: &Config, when: u8) -> Instant {
    let now = audited.ledger.now();
    let ahead = |nanos: u64| now.saturating_add(Duration::from_nanos(nanos));
    match when {
        0..=31 => now,
        32..=63 => ahead(u64::from(when) - 31),
        64..=223 => {
            let mut marks = audited.ledger.marks(config);
            marks.retain(|&mark| now < mark);
            marks.sort();
            marks.dedup();
            let when = usize::from(when - 64);
            let Some(&mark) = marks.get(when / 3 % marks.len().max(1)) else { return now };
            let nanosecond = Duration::from_nanos(1);
            match when % 3 {
                0 => mark.saturating_sub(nanosecond),
                1 => mark,
                _ => mark.saturating_add(nanosecond),
            }
        }
        224..=239 => now.saturating_sub(Duration::from_nanos(u64::from(when - 223) * 13)),
        240..=247 => now.saturating_add(config.lease() * u32::from(when - 239)),
        248..=252 => now.saturating_add(config.guarantee() / u32::from(when - 246)),
        253 => Instant::ORIGIN,
        _ => Instant::from_nanos(u64::MAX - u64::from(255 - when)),
    }
}

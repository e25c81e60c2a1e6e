use std::hint::black_box;
use std::time::Duration;

use tenure_core::{
    AttemptId, Belief, ClaimOutcome, Event, Instant, TenureId, Term, Then, TicketKind, Tracker,
    WatchId,
};
use tenure_runtime::{BootClock, Clock};

use crate::claim::timed;
use crate::fixtures;
use crate::harness::{Batch, interleave, repeat, time_per};
use crate::table::Row;

/// An event that comes in a state of interest.
struct Case {
    what: &'static str,
    machine: Tracker,
    event: Event,
    now: Instant,
}

/// `handle` for every kind of event, and `standing`.
pub(crate) fn run(rounds: usize) -> Vec<Row> {
    let states = States::new();
    let cases: Vec<Case> =
        [tickets(&states), claims(&states), the_rest(&states)].into_iter().flatten().collect();
    let (leader, now) = (states.leader.clone(), states.now);
    let mut batches = vec![repeat(256, || BootClock.now())];
    batches.push(repeat(256, move || black_box(&leader).standing(black_box(now))));
    batches.extend(cases.iter().map(batch));
    let samples = interleave(rounds * 50, batches);
    let [clock, rest @ ..] = &samples[..] else { unreachable!("one for each batch") };
    let what = ["machine: standing()"].into_iter().chain(cases.iter().map(|case| case.what));
    what.zip(rest).map(|(what, this)| timed(what, this, "clock read", clock)).collect()
}

/// Hands the event to machines that are all in the one state; they are put there before the time
/// is taken.
fn batch(case: &Case) -> Batch<'_> {
    const OPERATIONS: u32 = 64;
    let mut machines = vec![case.machine.clone(); OPERATIONS as usize];
    Box::new(move || {
        machines.fill(case.machine.clone());
        time_per(OPERATIONS, || {
            for machine in &mut machines {
                let _ = black_box(machine.handle(black_box(case.event), black_box(case.now)));
            }
        })
    })
}

/// A machine in each state of interest, and the instant at which it is.
pub(crate) struct States {
    pub(crate) now: Instant,
    /// Its first claim is out.
    pub(crate) new: Tracker,
    /// All three kinds of tickets wait for the claim that is out.
    asked: Tracker,
    /// Another leads, and a watch is out.
    denied: Tracker,
    pub(crate) leader: Tracker,
    /// Its renewal is out, and `WaitMinion` waits.
    renewing: Tracker,
    /// Drain is out.
    resigning: Tracker,
    /// The release is out.
    releasing: Tracker,
}

impl States {
    pub(crate) fn new() -> States {
        let start = Instant::ORIGIN.saturating_add(Duration::from_secs(1_000));
        let now = start.saturating_add(Duration::from_millis(3));
        let (new, _) = Tracker::new(fixtures::config().or_jitter_seed(1), start);
        let asked = KINDS.into_iter().fold(new.clone(), |machine, kind| {
            after(&machine, Event::TicketRequested { kind }, now)
        });
        let denied = after(&new, finished(1, DENIED), now);
        let leader = after(&new, finished(1, GRANTED), now);
        let waited = after(&leader, Event::TicketRequested { kind: TicketKind::WaitMinion }, now);
        let renewing = after(&waited, Event::TimerFired, due(&waited));
        let resigning = after(&waited, Event::Resign { then: Then::Stop }, now);
        let releasing = after(&resigning, Event::Drained { tenure: TENURE }, now);
        States { now, new, asked, denied, leader, renewing, resigning, releasing }
    }
}

const KINDS: [TicketKind; 3] =
    [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion];
const DENIED: ClaimOutcome = ClaimOutcome::Denied { retry_after: None };
const GRANTED: ClaimOutcome = ClaimOutcome::Granted { term: Term::new(1) };
const TENURE: TenureId = TenureId::new(1);
const WATCH: WatchId = WatchId::new(1);

fn after(machine: &Tracker, event: Event, now: Instant) -> Tracker {
    let mut machine = machine.clone();
    let _actions = machine.handle(event, now);
    machine
}

/// A claim that has ended.
pub(crate) fn finished(attempt: u64, outcome: ClaimOutcome) -> Event {
    Event::ClaimFinished { attempt: AttemptId::new(attempt), outcome }
}

/// When the machine wants to hear of the time next.
pub(crate) fn due(machine: &Tracker) -> Instant {
    machine.deadline().expect("has not stopped")
}

fn tickets(states: &States) -> Vec<Case> {
    let [claim, lead, lose] = KINDS.map(|kind| Event::TicketRequested { kind });
    let stale = match states.renewing.belief() {
        Belief::Leader { fresh_until, .. } => fresh_until,
        Belief::Minion | Belief::Stopped => unreachable!("it leads"),
    };
    let now = states.now;
    let case = |what, machine: &Tracker, event| Case { what, machine: machine.clone(), event, now };
    vec![
        case("TicketRequested: claim leader, of a fresh leader", &states.leader, claim),
        Case {
            now: stale,
            ..case("TicketRequested: claim leader, of a stale one", &states.renewing, claim)
        },
        case("TicketRequested: claim leader, of a minion that claims", &states.new, claim),
        case("TicketRequested: claim leader, of a minion that waits", &states.denied, claim),
        case("TicketRequested: wait leader, of a fresh leader", &states.leader, lead),
        case("TicketRequested: wait leader, of a minion", &states.denied, lead),
        case("TicketRequested: wait minion, of a leader", &states.leader, lose),
        case("TicketRequested: wait minion, of a minion", &states.denied, lose),
        case("TicketRequested: claim leader, while it resigns", &states.resigning, claim),
    ]
}

fn claims(states: &States) -> Vec<Case> {
    let (first, renewal) = (states.now, due(&states.leader));
    let case = |what, machine: &Tracker, event, now| {
        let machine = machine.clone();
        Case { what, machine, event, now }
    };
    let (asked, renewing) = (&states.asked, &states.renewing);
    let unknown = ClaimOutcome::Unknown;
    vec![
        case("ClaimFinished: granted, 3 kinds parked", asked, finished(1, GRANTED), first),
        case("ClaimFinished: granted, a renewal", renewing, finished(2, GRANTED), renewal),
        case("ClaimFinished: denied to a minion, parked", asked, finished(1, DENIED), first),
        case("ClaimFinished: denied to a leader, parked", renewing, finished(2, DENIED), renewal),
        case("ClaimFinished: unknown to a minion, parked", asked, finished(1, unknown), first),
        case("ClaimFinished: unknown to a leader", renewing, finished(2, unknown), renewal),
        case("ClaimFinished: fatal", renewing, finished(2, ClaimOutcome::Fatal), renewal),
        case("ClaimFinished: too late to matter", renewing, finished(1, GRANTED), renewal),
    ]
}

fn the_rest(states: &States) -> Vec<Case> {
    let now = states.now;
    let case = |what, machine: &Tracker, event| Case { what, machine: machine.clone(), event, now };
    let cool_off = Duration::from_secs(1);
    let late = Instant::ORIGIN.saturating_add(Duration::from_secs(100_000));
    vec![
        case("TimerFired: early", &states.leader, Event::TimerFired),
        Case {
            now: due(&states.leader),
            ..case("TimerFired: the renewal is due", &states.leader, Event::TimerFired)
        },
        Case {
            now: late,
            ..case("TimerFired: the lease is over", &states.renewing, Event::TimerFired)
        },
        case("ReleaseObserved: claims", &states.denied, Event::ReleaseObserved { watch: WATCH }),
        case("WatchFailed", &states.denied, Event::WatchFailed { watch: WATCH }),
        case("Resign: a leader stops", &states.leader, Event::Resign { then: Then::Stop }),
        case(
            "Resign: a minion steps down",
            &states.asked,
            Event::Resign { then: Then::StepDown { cool_off } },
        ),
        case("Drained: releases", &states.resigning, Event::Drained { tenure: TENURE }),
        case("ReleaseFinished", &states.releasing, Event::ReleaseFinished { tenure: TENURE }),
    ]
}

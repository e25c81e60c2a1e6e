use std::time::Duration;

use tenure_core::{
    AttemptId, ClaimOutcome, ClockRatio, Config, ConfigBuilder, Event, Instant, Term, Then,
    TicketKind,
};
use tenure_testkit::exhaust::{Counts, exhaust};
use tenure_testkit::ledger::Row;

const NS: fn(u64) -> Duration = Duration::from_nanos;
const AT: fn(u64) -> Instant = Instant::from_nanos;

/// A lease of 200 ns, with everything on a grid of 5 ns: states meet where deadlines do.
fn grid() -> ConfigBuilder {
    Config::builder(NS(100))
        .clock_ratio(ClockRatio::EXACT)
        .claim_timeout(NS(20))
        .renew_lead(NS(20))
        .retry(NS(5), NS(10))
        .min_interval(NS(20))
        .recheck(NS(200))
}

fn check(name: &str, config: ConfigBuilder, prefix: &[(Event, Instant)], depth: usize) -> Counts {
    check_from(name, config, 1_000, prefix, depth)
}

fn check_from(
    name: &str,
    config: ConfigBuilder,
    start: u64,
    prefix: &[(Event, Instant)],
    depth: usize,
) -> Counts {
    let config = config.build().unwrap();
    let counts = exhaust(&config, AT(start), prefix, depth)
        .unwrap_or_else(|broken| panic!("{name}: {broken}"));
    println!("exhausted {name} to depth {depth}: {counts}");
    counts
}

#[test]
fn every_history_of_five_events_keeps_the_invariants() {
    let counts = check("all histories", grid(), &[], 5);
    println!("{}", counts.actions_max_example);
    // All of them: the search must not have lost a part of the machine.
    for row in Row::ALL.into_iter().filter(|&row| row != Row::LeaderTimerLate) {
        assert!(counts.rows.contains(&row), "{row:?} was not met");
    }
    assert!(counts.histories > 10_000_000, "too few: {counts}");
    // `Actions::CAPACITY` has room for these, and some to spare.
    assert_eq!(counts.actions_max, 8, "{}", counts.actions_max_example);
}

#[test]
fn other_configs_keep_the_invariants() {
    let rounded = Config::builder(NS(101)).claim_timeout(NS(23)).retry(NS(3), NS(7));
    check("a ratio that does not divide", rounded, &[], 4);
    check("no margin to stop in", grid().step_down_margin(NS(0)), &[], 4);
    check(
        "the whole guarantee as margin",
        grid().step_down_margin(NS(100)).renew_lead(NS(30)),
        &[],
        4,
    );
    check("back-off longer than the rest of a lease", grid().retry(NS(90), NS(400)), &[], 4);
    check("claims as close as they come", grid().min_interval(NS(1)).retry(NS(1), NS(1)), &[], 4);
    check("a store that may step its clock", grid().store_slack(NS(40)).renew_lead(NS(5)), &[], 4);
}

#[test]
fn deep_states_keep_the_invariants() {
    let granted = |attempt, term| {
        let outcome = ClaimOutcome::Granted { term: Term::new(term) };
        Event::ClaimFinished { attempt: AttemptId::new(attempt), outcome }
    };
    let denied = |attempt| {
        let outcome = ClaimOutcome::Denied { retry_after: None };
        Event::ClaimFinished { attempt: AttemptId::new(attempt), outcome }
    };
    let ask = |kind| Event::TicketRequested { kind };
    let parked = [
        (granted(1, 5), AT(1_000)),
        (Event::TimerFired, AT(1_080)),
        (ask(TicketKind::WaitMinion), AT(1_099)),
        (ask(TicketKind::ClaimLeader), AT(1_100)),
        (ask(TicketKind::WaitLeader), AT(1_100)),
    ];
    // Everybody waits, on a leader whose renewal is out and late.
    let mut most = check("a leader, all parked", grid().claim_timeout(NS(60)), &parked, 4);
    // The same as a minion with a watch out.
    let watching = [
        (denied(1), AT(1_000)),
        (Event::TimerFired, AT(1_200)),
        (ask(TicketKind::WaitMinion), AT(1_200)),
        (ask(TicketKind::ClaimLeader), AT(1_200)),
        (ask(TicketKind::WaitLeader), AT(1_200)),
    ];
    let counts = check("a minion, all parked", grid(), &watching, 4);
    most.actions_max = most.actions_max.max(counts.actions_max);
    for (name, then) in [
        ("a leader that stops", Then::Stop),
        ("a leader that steps down", Then::StepDown { cool_off: NS(10) }),
    ] {
        let resigning = [
            (granted(1, 5), AT(1_000)),
            (Event::TimerFired, AT(1_080)),
            (ask(TicketKind::WaitLeader), AT(1_100)),
            (Event::Resign { then }, AT(1_100)),
        ];
        check(name, grid().claim_timeout(NS(60)), &resigning, 4);
    }
    println!("at most {} actions: {}", most.actions_max, most.actions_max_example);
}

#[test]
fn the_end_of_time_keeps_the_invariants() {
    for before in [0, 1, 2, 20, 50, 51, 99, 100, 101, 150, 199, 200, 201, 250] {
        check_from("near the end of time", grid(), u64::MAX - before, &[], 3);
    }
}

use std::fmt::Write as _;

use tenure_testkit::trace;
use tenure_testkit::world::{
    Budget, Counting, Invariant, Limits, Model, Rate, Report, Sight, Violation, flawed, search,
};

use Rate::{Even, Fast, Slow};

const NOTHING: Budget = Budget { asks: 0, crashes: 0, duplicates: 0, failures: 0, resignations: 0 };

/// A world with a lease of four ticks.
fn world(rates: &[Rate], horizon: u8, budget: Budget) -> Model {
    Model::new(&format!("{rates:?} {budget:?}"), rates, 4, horizon).unwrap().with(budget)
}

fn run(model: &Model, states: u64) -> Report {
    search(model, Limits { states, threads: 1 }, &|_| {})
}

/// Searches a world that must be clean, and of which this many states are known.
fn clean(model: &Model, states: u64) -> Report {
    let report = run(model, u64::MAX);
    if let Some(violation) = &report.violation {
        panic!("{}: {violation}", report.name);
    }
    println!(
        "{}: {} states, {} transitions, depth {}, {} continuations, {} machines",
        report.name,
        report.states,
        report.transitions,
        report.depth,
        report.continuations,
        report.machines
    );
    assert!(report.is_whole);
    // Less, and a part was lost; more, and say so here.
    assert_eq!(report.states, states, "{}", report.name);
    assert!(report.continuations >= states, "{}", report.name);
    report
}

/// What never happens with a store that honours the contract, and clocks within the ratio.
const NEVER: [Sight; 3] =
    [Sight::DemotedDenied, Sight::DemotedInterrupted, Sight::DemotedStoreFailed];

fn assert_seen(reports: &[Report], sights: &[Sight]) {
    let mut missing = String::new();
    for &sight in sights {
        if reports.iter().all(|report| report.seen(sight) == 0) {
            let _ = write!(missing, "\n{sight}");
        }
    }
    assert!(missing.is_empty(), "not seen: {missing}");
    for report in reports {
        for sight in NEVER {
            assert_eq!(report.seen(sight), 0, "{}: seen: {sight}", report.name);
        }
    }
}

#[test]
fn two_units_keep_the_invariants_whatever_goes_wrong() {
    let clocks = [Slow, Fast];
    let call = Model { counting: Counting::Call, ..world(&[Slow, Slow], 5, NOTHING) };
    let silent = Model { says_retry_after: false, ..world(&[Fast, Fast], 5, NOTHING) };
    let long = Model::new("a lease of six ticks", &[Even, Even], 6, 5).unwrap();
    let few = Model { flight_max: 1, ..world(&clocks, 7, NOTHING) };
    let asked = Budget { asks: 1, resignations: 1, ..NOTHING };
    let reports = [
        clean(&world(&clocks, 5, NOTHING), 455_220),
        clean(&world(&clocks, 4, Budget { crashes: 1, ..NOTHING }), 827_332),
        clean(&world(&clocks, 3, Budget { resignations: 1, ..NOTHING }), 348_664),
        clean(&world(&clocks, 3, Budget { duplicates: 2, ..NOTHING }), 303_430),
        clean(&world(&clocks, 3, Budget { failures: 2, ..NOTHING }), 341_908),
        clean(&world(&clocks, 3, Budget { asks: 2, ..NOTHING }), 306_087),
        clean(&call, 133_450),
        clean(&silent, 89_108),
        clean(&long, 72_179),
        clean(&few, 528_307),
        clean(&world(&clocks, 1, asked), 29_954),
    ];
    let sights: Vec<Sight> = Sight::ALL
        .iter()
        .copied()
        .filter(|sight| !NEVER.contains(sight) && *sight != Sight::PromotedThird)
        .collect();
    assert_seen(&reports, &sights);
}

#[test]
fn three_units_keep_the_invariants_whatever_goes_wrong() {
    let reports = [
        clean(&world(&[Slow, Slow, Slow], 3, NOTHING), 54_648),
        clean(&world(&[Slow, Even, Fast], 2, NOTHING), 7_735),
        clean(&world(&[Slow, Slow, Fast], 2, Budget { crashes: 1, ..NOTHING }), 70_137),
        clean(&world(&[Slow, Fast, Fast], 1, Budget { resignations: 1, ..NOTHING }), 33_940),
    ];
    assert_seen(&reports, &[Sight::PromotedThird, Sight::CrashedLeader, Sight::StoreReleased]);
}

/// How many steps the shortest history has that shows what is broken.
const STEPS: [usize; 15] = [5, 3, 4, 13, 6, 10, 2, 11, 13, 13, 4, 10, 2, 1, 5];

#[test]
fn what_is_broken_is_found_by_a_shortest_history() {
    let flawed = flawed().unwrap();
    assert_eq!(flawed.len(), STEPS.len());
    for ((model, invariant), steps) in flawed.into_iter().zip(STEPS) {
        let report = run(&model, 2_000_000);
        let violation = report.violation.unwrap_or_else(|| panic!("not found: {}", model.name));
        assert_eq!(violation.invariant, invariant, "{}: {violation}", model.name);
        assert_eq!(violation.steps.len(), steps, "{}: {violation}", model.name);
        let is_of_liveness = matches!(invariant, Invariant::L1 | Invariant::L3);
        assert_eq!(violation.afterwards.is_empty(), !is_of_liveness, "{violation}");
        replay(&model.name, &violation);
    }
}

/// What is printed for a process is a trace: it parses, and the machine does what it did.
fn replay(name: &str, violation: &Violation) {
    assert!(violation.traces.len() >= 2, "{name}: one for each unit, at least");
    for text in &violation.traces {
        let run = trace::run(name, text).unwrap_or_else(|why| panic!("{why}\n{text}"));
        assert!(run.text.contains("\nclaim 1 tenure=1 "), "{}", run.text);
    }
}

#[test]
fn a_history_of_two_believers_replays_to_two_beliefs() {
    let flawed = flawed().unwrap();
    let (model, _) =
        flawed.iter().find(|(model, _)| model.name == "a clock beyond the ratio").unwrap();
    let violation = run(model, 2_000_000).violation.unwrap();
    let beliefs: Vec<bool> = violation
        .traces
        .iter()
        .map(|text| trace::run("two believers", text).unwrap().text.contains("belief: leader"))
        .collect();
    assert_eq!(beliefs, [true, true], "{violation}");
    assert!(violation.to_string().contains("S1: units 0 and 1 both believe"), "{violation}");
}

#[test]
fn two_threads_find_what_one_finds() {
    let model = world(&[Slow, Fast], 4, NOTHING);
    let [one, two] = [1, 2].map(|threads| {
        let limits = Limits { states: u64::MAX, threads };
        let report = search(&model, limits, &|_| {});
        (report.states, report.transitions, report.depth, report.machines)
    });
    assert_eq!(one, two);
}

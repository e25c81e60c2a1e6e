use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tenure_testkit::simulate::{
    Broken, Class, Fleet, Limit, Options, Run, Summary, report, run_bytes, run_seed, shrink,
};
use tenure_testkit::trace::Cell;

/// Ten thousand worlds, or as many as three minutes have room for.
#[test]
fn no_world_has_two_leaders_and_none_is_stuck() {
    let options = Options::default();
    let limit = Limit { seeds: 10_000, time: Duration::from_secs(180) };
    let fleet = Fleet { options, from: 1, limit, threads: 2 };
    let total = fleet.run(&AtomicBool::new(false), |_| {});
    println!("{}", total.summary);
    if let Some((seed, _)) = total.violations.first() {
        let all: Vec<String> =
            total.violations.iter().map(|(seed, what)| format!("seed {seed}: {what}")).collect();
        let first = report(*seed, options, |run| run.violation.clone());
        panic!("{}\n\n{first}", all.join("\n"));
    }
    assert!(total.summary.runs >= 200, "only {} worlds in three minutes", total.summary.runs);
    assert!(total.summary.grants > 2 * total.summary.runs, "too quiet: {}", total.summary);
}

/// Every class of faults occurs, and its expected outcome with it.
#[test]
fn every_class_of_faults_is_seen_and_checked() {
    let mut summary = Summary::default();
    let runs = [None, Some(Broken::Clock)].into_iter().flat_map(|broken| {
        let options = Options { broken, ..Options::default() };
        let seeds = if broken.is_some() { 1..60 } else { 20_000..21_500 };
        seeds.map(move |seed| run_seed(seed, options))
    });
    runs.for_each(|run| summary += &run.summary);
    println!("{summary}");
    for &class in Class::ALL {
        let (injected, checked) = (summary.tally.injected(class), summary.tally.checked(class));
        assert!(injected > 0, "{} was never injected", class.about());
        assert!(checked > 0, "{} was never checked", class.about());
    }
}

/// The worlds do nothing that the contract's tables do not have.
#[test]
fn the_worlds_stay_within_the_contracts_tables() {
    let options = Options { coverage: true, ..Options::default() };
    let all = Cell::all();
    let mut visited = std::collections::BTreeSet::new();
    for seed in 1..400 {
        let run = run_seed(seed, options);
        assert_eq!(run.violation, None, "seed {seed}");
        visited.extend(run.cells);
    }
    let beyond: Vec<&Cell> = visited.difference(&all).collect();
    assert!(beyond.is_empty(), "thought out of reach: {beyond:#?}");
    println!("{} of {} cells", visited.len(), all.len());
    let missing: Vec<&Cell> = all.difference(&visited).collect();
    println!("not visited: {missing:?}");
    assert!(visited.len() * 4 > all.len() * 3, "{} of {} cells", visited.len(), all.len());
}

#[test]
fn the_same_seed_is_the_same_run() {
    let broken = [None, Some(Broken::Amnesia), Some(Broken::Clock), Some(Broken::Suspend)];
    for (seed, broken) in (100..180).zip(broken.into_iter().cycle()) {
        let options = Options { broken, log: true, ..Options::default() };
        let (first, second) = (run_seed(seed, options), run_seed(seed, options));
        assert!(first.log.is_some() && first.log == second.log, "seed {seed}");
        assert_eq!((first.hash, &first.summary), (second.hash, &second.summary), "seed {seed}");
        // Neither how it is told nor where the bytes come from changes what happens.
        let quiet = run_bytes(&first.bytes, Options { log: false, ..options });
        assert_eq!((first.hash, first.summary), (quiet.hash, quiet.summary), "seed {seed}");
        assert_eq!(quiet.log, None);
    }
}

/// Each premise is needed: without it two believe at once, and the worlds show it.
#[test]
fn a_broken_premise_shows() {
    for broken in Broken::ALL {
        let options = Options { broken: Some(broken), ..Options::default() };
        let limit = Limit { seeds: 200, time: Duration::MAX };
        let fleet = Fleet { options, from: 1, limit, threads: 2 };
        let first = Mutex::new(None);
        let total = fleet.run(&AtomicBool::new(false), |summary| {
            let mut first = first.lock().unwrap();
            if summary.exclusions > 0 {
                first.get_or_insert(summary.runs);
            }
        });
        let Summary { runs, exclusions, .. } = total.summary;
        println!("{}: two believed at once in {exclusions} of {runs} runs", broken.name());
        assert_eq!(total.violations, [], "{}: what needs no premise", broken.name());
        assert!(exclusions > 0, "{} was broken, and nothing showed", broken.name());
    }
}

/// A failing run is made smaller, and still fails in the same way.
#[test]
fn a_failing_run_is_made_smaller() {
    let options = Options { broken: Some(Broken::Suspend), ..Options::default() };
    let fails = |run: &Run| run.exclusion.clone();
    let run =
        (1..).map(|seed| run_seed(seed, options)).find(|run| run.exclusion.is_some()).unwrap();
    let shrunk = shrink(&run.bytes, options, 1_000, fails).unwrap();
    println!("{} bytes to {} in {} runs", run.bytes.len(), shrunk.bytes.len(), shrunk.runs);
    assert!(shrunk.bytes.len() < run.bytes.len() / 2, "{} bytes", shrunk.bytes.len());
    let again = run_bytes(&shrunk.bytes, Options { log: true, ..options });
    assert_eq!(again.exclusion, Some(shrunk.violation));
    assert!(again.log.unwrap().contains("both believe"));
    // What the machines were handed can be put into a file and run.
    assert!(again.histories.len() >= 2);
    for history in again.histories {
        let run = tenure_testkit::trace::run("history", &history).unwrap();
        assert!(run.text.contains("----"), "{}", run.text);
    }
    assert!(shrink(&run.bytes, Options::default(), 10, |_| None).is_none());
}

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tenure_core::Instant;
use tenure_dependency::{Config, Event, ManifoldName, Outcome};
use tenure_testkit::engine::books::Audited;

fn name(place: usize) -> ManifoldName {
    ManifoldName::from(format!("m{place}"))
}

/// Installs each with its inputs; the books know by reachability alone which are to be refused, and
/// follow the cycle that is named. Gives how many were.
fn install(audited: &mut Audited<u8>, manifolds: &[(usize, Vec<usize>)]) -> Result<usize, String> {
    let mut refused = 0;
    for (place, inputs) in manifolds {
        let inputs = inputs.iter().copied().map(name).collect();
        let now = audited.books.now();
        refused += usize::from(audited.install(name(*place), inputs, now)?.is_err());
    }
    Ok(refused)
}

/// One of the inputs that may change something, by number.
fn step(audited: &mut Audited<u8>, (what, how, later): (u16, u8, u8)) -> Result<(), String> {
    let deadline = audited.engine.deadline().unwrap_or(audited.books.now());
    let now = match later {
        0..128 => audited.books.now(),
        128..192 => deadline,
        192.. => audited.books.now().saturating_add(Duration::from_secs(u64::from(later))),
    };
    let runs: Vec<_> = audited.books.out().map(|(_, out)| out.run).collect();
    let Some(&run) = runs.get(usize::from(what) % runs.len().max(1)) else {
        return audited.handle(Event::TimerFired, deadline).map(drop);
    };
    let outcome = match how % 8 {
        0 => Outcome::Bounce,
        1 => Outcome::Failed(how),
        2 => Outcome::Missing,
        3 if how > 250 => Outcome::Fatal(how),
        4 if how > 200 => Outcome::Uninstall,
        _ => Outcome::Finished,
    };
    let event = match how {
        0..100 => Event::Started { run },
        100..110 => Event::Uninstalled { name: name(usize::from(what) % 50) },
        110..112 => Event::Stop,
        112.. => Event::Stopped { run, outcome },
    };
    audited.handle(event, now).map(drop)
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..Default::default() }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn cycles_are_found_where_there_are_some(
        manifolds in vec((0..9_usize, vec(0..9_usize, 0..4)), 0..12),
    ) {
        let mut audited = Audited::new(Config::default(), Instant::ORIGIN);
        install(&mut audited, &manifolds).map_err(TestCaseError::fail)?;
    }
}

proptest! {
    #![proptest_config(cases(200))]

    /// Graphs of up to fifty, where each depends on some before it.
    #[test]
    fn larger_graphs_keep_the_rules(
        inputs in vec(vec(any::<usize>(), 0..4), 1..50),
        steps in vec(any::<(u16, u8, u8)>(), 0..300),
    ) {
        let below = |(place, inputs): (usize, &Vec<usize>)| {
            let inputs = inputs.iter().filter(|_| place > 0).map(|input| input % place.max(1));
            (place, inputs.collect())
        };
        let manifolds: Vec<(usize, Vec<usize>)> = inputs.iter().enumerate().map(below).collect();
        let mut audited = Audited::new(Config::default(), Instant::ORIGIN);
        let refused = install(&mut audited, &manifolds).map_err(TestCaseError::fail)?;
        prop_assert_eq!(refused, 0);
        for number in steps {
            step(&mut audited, number).map_err(TestCaseError::fail)?;
        }
    }
}

#[test]
fn a_cycle_of_many_is_named_in_full() {
    let mut audited = Audited::new(Config::default(), Instant::ORIGIN);
    let chain: Vec<(usize, Vec<usize>)> =
        (0..1_000).map(|place| (place, vec![place + 1])).collect();
    assert_eq!(install(&mut audited, &chain), Ok(0));
    assert_eq!(install(&mut audited, &[(1_000, vec![0])]), Ok(1));
    let refused = audited.engine.install(name(1_000), vec![name(0)], Instant::ORIGIN).unwrap_err();
    let text = refused.to_string();
    assert!(text.starts_with("a manifold cannot depend on itself: m1000 -> m0 -> m1 -> m2"));
    assert!(text.ends_with("m998 -> m999 -> m1000"), "{text}");
}

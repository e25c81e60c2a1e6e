use std::future::pending;
use std::pin::pin;
use std::sync::Arc;

use tenure_runtime::dependency::EngineError;
use tenure_smol::dependency::{Engine, EngineOptions, Manifold, ManifoldState, Started};

use super::bench::{BOUNCE, Bench, NONE, Population, Witness, leave, now, obedient};

/// A worker that ends for nothing.
fn stubborn(alive: &Population) -> Manifold {
    let alive = alive.clone();
    Manifold::without_inputs(move |_| {
        let living = alive.one();
        async move {
            Ok(Started::new(async move {
                let _living = living;
                pending().await
            }))
        }
    })
}

/// A start that ends for nothing.
fn endless(alive: &Population) -> Manifold {
    let alive = alive.clone();
    Manifold::without_inputs(move |_| {
        let living = alive.one();
        async move {
            let _living = living;
            pending().await
        }
    })
}

#[test]
fn a_driver_that_is_dropped_drops_its_starts_and_workers_before_anybody_hears_of_it() {
    let alive = Population::default();
    let mut bench = Bench::new();
    bench.install("obedient", obedient(NONE, &alive));
    bench.install("stubborn", stubborn(&alive));
    bench.install("endless", endless(&alive));
    assert_eq!(alive.count(), 3);
    let witness = Witness::of(&alive);
    let Bench { engine, driver, .. } = bench;
    let mut end = pin!(engine.wait());
    assert!(leave(end.as_mut(), &witness));
    drop(driver);
    assert_eq!(alive.count(), 0);
    assert_eq!(*witness.seen.lock().unwrap(), [0], "woken once, when nothing lived any more");
    assert!(matches!(now(end), Some(Err(EngineError::DriverDropped))));
}

#[test]
fn a_driver_that_is_dropped_before_it_ran_ends_the_engine() {
    let (engine, driver) = Engine::new(EngineOptions::new());
    let alive = Population::default();
    engine.install("obedient", obedient(NONE, &alive)).unwrap();
    drop(driver.run());
    assert!(matches!(now(engine.wait()), Some(Err(EngineError::DriverDropped))));
    assert!(engine.install("late", obedient(NONE, &alive)).is_err());
}

#[test]
fn a_worker_that_is_dropped_where_it_is_counts_for_nothing() {
    let alive = Population::default();
    let mut bench = Bench::new();
    bench.install("obedient", obedient(NONE, &alive));
    bench.install("stubborn", stubborn(&alive));
    let Bench { engine, driver, .. } = bench;
    drop(driver);
    let report = engine.report();
    let errors = report.manifolds.iter().filter(|manifold| manifold.last_error.is_some());
    assert_eq!(errors.count(), 0, "{report}");
}

#[test]
fn the_last_handle_that_is_dropped_kills_the_engine() {
    let alive = Population::default();
    let mut bench = Bench::new();
    bench.install("obedient", obedient(NONE, &alive));
    let Bench { engine, mut driver, .. } = bench;
    let another = engine.clone();
    drop(engine);
    driver.drive();
    assert_eq!(alive.count(), 1, "there is another handle");
    drop(another);
    driver.drive();
    assert!(driver.is_done());
    assert_eq!(alive.count(), 0);
}

#[test]
fn one_who_waits_no_more_leaves_no_waker_behind() {
    let bench = Bench::new();
    let witness = Witness::of(&Population::default());
    {
        let mut end = pin!(bench.engine.wait());
        assert!(leave(end.as_mut(), &witness));
        assert_eq!(Arc::strong_count(&witness), 2);
    }
    assert_eq!(Arc::strong_count(&witness), 1);
    bench.finish();
}

#[test]
fn nothing_is_left_of_starts_and_workers_that_came_and_went() {
    let (sources, dependents) = (Population::default(), Population::default());
    let mut bench = Bench::new();
    for round in 0..100 {
        bench.install("source", obedient(NONE, &sources));
        if round == 0 {
            bench.install("dependent", obedient(["source"], &dependents));
        }
        bench.settle();
        assert_eq!((sources.count(), dependents.count()), (1, 1));
        bench.engine.uninstall("source");
        bench.settle();
        assert_eq!((sources.count(), dependents.count()), (0, 1));
    }
    assert!(bench.starts("dependent") >= 200, "{}", bench.engine.report());
    bench.advance(BOUNCE);
    assert_eq!(bench.state("dependent"), ManifoldState::Running);
    bench.finish();
    assert_eq!((sources.count(), dependents.count()), (0, 0));
}

#[test]
fn whoever_hears_of_the_end_finds_no_worker_left() {
    let alive = Population::default();
    let mut bench = Bench::new();
    bench.install("source", obedient(NONE, &alive));
    bench.install("dependent", obedient(["source"], &alive));
    bench.settle();
    let witness = Witness::of(&alive);
    let engine = bench.engine.clone();
    let mut end = pin!(engine.wait());
    assert!(leave(end.as_mut(), &witness));
    bench.finish();
    assert_eq!(*witness.seen.lock().unwrap(), [0]);
}

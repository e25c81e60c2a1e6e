use std::sync::{Arc, Mutex};

use smol::future::zip;
use tenure_smol::dependency::{
    Engine, EngineOptions, Manifold, ManifoldState, Started, Stop, WorkerError,
};

use super::bench::{Bench, NONE, Population, now, obedient, until_told};

/// A start that never ends by itself, and fails when it is told to stop.
fn waits_to_be_told(alive: &Population) -> Manifold {
    let alive = alive.clone();
    Manifold::without_inputs(move |context| {
        let living = alive.one();
        async move {
            until_told(context.stop(), living).await?;
            Err(WorkerError::from("told"))
        }
    })
}

#[test]
fn a_start_that_never_ends_is_told_to_stop_and_the_engine_ends_when_it_obeys() {
    let alive = Population::default();
    let mut bench = Bench::new();
    bench.install("slow", waits_to_be_told(&alive));
    assert_eq!(bench.state("slow"), ManifoldState::Starting);
    assert_eq!(alive.count(), 1);
    bench.finish();
    assert_eq!(alive.count(), 0);
}

#[test]
fn a_worker_that_comes_of_a_start_that_was_told_to_stop_finds_that_it_is_to_stop() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut bench = Bench::new();
    let notes = seen.clone();
    bench.install(
        "slow",
        Manifold::without_inputs(move |context| {
            let seen = notes.clone();
            async move {
                let stop = context.stop();
                seen.lock().unwrap().push(("start", stop.is_set()));
                stop.wait().await;
                Ok(Started::new(async move {
                    seen.lock().unwrap().push(("worker", stop.is_set()));
                    stop.wait().await;
                    Ok(())
                }))
            }
        }),
    );
    bench.finish();
    assert_eq!(*seen.lock().unwrap(), [("start", false), ("worker", true)]);
}

#[test]
fn a_worker_that_does_not_stop_is_named_and_the_engine_waits_for_it() {
    let mut bench = Bench::new();
    let (release, held) = async_channel::bounded::<()>(1);
    bench.install(
        "deaf",
        Manifold::without_inputs(move |_| {
            let held = held.clone();
            async move {
                Ok(Started::new(async move {
                    let _closed = held.recv().await;
                    Ok(())
                }))
            }
        }),
    );
    let alive = Population::default();
    bench.install("obedient", obedient(NONE, &alive));
    bench.engine.kill();
    bench.driver.drive();
    assert!(bench.end().is_none());
    assert_eq!(bench.state("deaf"), ManifoldState::Stopping);
    assert_eq!(bench.state("obedient"), ManifoldState::Down);
    drop(release);
    bench.finish();
}

#[test]
fn any_number_of_tasks_wait_to_be_told() {
    let mut bench = Bench::new();
    bench.install(
        "many",
        Manifold::without_inputs(|context| async move {
            let stop = context.stop();
            let another = stop.clone();
            Ok(Started::new(async move {
                let twice = zip(another.wait(), stop.wait());
                zip(zip(stop.wait(), another.wait()), twice).await;
                Ok(())
            }))
        }),
    );
    bench.finish();
}

/// Nothing keeps the memory of runs that are over, which this is the sign of.
#[test]
fn a_stop_is_set_once_its_worker_has_ended() {
    let kept = Arc::new(Mutex::new(Vec::<Stop>::new()));
    let mut bench = Bench::new();
    let stops = kept.clone();
    bench.install(
        "brief",
        Manifold::without_inputs(move |context| {
            stops.lock().unwrap().push(context.stop());
            async { Ok(Started::new(async { Ok(()) })) }
        }),
    );
    let stops = kept.clone();
    bench.install(
        "failed",
        Manifold::without_inputs(move |context| {
            stops.lock().unwrap().push(context.stop());
            async { Err("no".into()) }
        }),
    );
    let stops = kept.clone();
    bench.install(
        "running",
        Manifold::without_inputs(move |context| {
            let stop = context.stop();
            stops.lock().unwrap().push(stop.clone());
            async move { Ok(Started::new(until_told(stop, ()))) }
        }),
    );
    let is_set = || kept.lock().unwrap().iter().map(Stop::is_set).collect::<Vec<_>>();
    assert_eq!(is_set(), [true, true, false]);
    let told: Vec<Stop> = kept.lock().unwrap().clone();
    assert!(now(told[0].wait()).is_some());
    assert!(now(told[2].wait()).is_none());
    bench.finish();
    assert_eq!(is_set(), [true, true, true]);
}

#[test]
fn only_the_one_that_is_meant_is_told() {
    let mut bench = Bench::new();
    let alive = Population::default();
    bench.install("left", obedient(NONE, &alive));
    bench.install("right", obedient(NONE, &alive));
    bench.engine.uninstall("left");
    bench.driver.drive();
    assert_eq!(bench.state("right"), ManifoldState::Running);
    assert_eq!(alive.count(), 1);
    bench.finish();
}

#[test]
fn a_worker_that_is_always_ready_does_not_keep_the_engine_from_ending() {
    let (engine, driver) = Engine::new(EngineOptions::new());
    let (sender, runs) = async_channel::bounded(1);
    let manifold = Manifold::without_inputs(move |context| {
        let sender = sender.clone();
        async move {
            let stop = context.stop();
            Ok(Started::new(async move {
                sender.send(()).await?;
                // Bounded, so that a driver that never comes to look is found out.
                for _ in 0..1_000_000 {
                    if stop.is_set() {
                        return Ok(());
                    }
                    smol::future::yield_now().await;
                }
                panic!("it was not told")
            }))
        }
    });
    engine.install("busy", manifold).unwrap();
    let kill = async {
        runs.recv().await.unwrap();
        engine.kill();
        engine.wait().await.unwrap();
        assert!(engine.report().manifold("busy").unwrap().last_error.is_none());
    };
    smol::block_on(zip(driver.run(), kill));
}

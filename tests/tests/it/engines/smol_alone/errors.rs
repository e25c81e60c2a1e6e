use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tenure_runtime::dependency::{EngineError, EngineOptions};
use tenure_smol::dependency::{Manifold, ManifoldState, Started, WorkerError, WorkerPanic};

use super::bench::{Bench, NONE, Population, obedient};

/// What an engine makes of a manifold that fails: its last error.
#[track_caller]
fn error_of(manifold: Manifold) -> String {
    let alive = Population::default();
    let mut bench = Bench::new();
    bench.install("other", obedient(NONE, &alive));
    bench.install("it", manifold);
    assert_eq!(bench.state("it"), ManifoldState::Waiting);
    assert_eq!(bench.state("other"), ManifoldState::Running, "it is none of its business");
    let error = bench.last_error("it");
    bench.finish();
    error
}

struct FailsToDrop(&'static str);

impl Drop for FailsToDrop {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[test]
fn a_panic_is_an_error_like_any_other() {
    let in_function = Manifold::without_inputs(|context| {
        if context.manifold().as_str() == "it" {
            panic!("in the function");
        }
        async { Ok(Started::new(async { Ok(()) })) }
    });
    assert_eq!(error_of(in_function), "the start function panicked: in the function");
    let in_future = Manifold::without_inputs(|_| async { panic!("in {}", "its future") });
    assert_eq!(error_of(in_future), "the start function panicked: in its future");
    let in_worker = Manifold::without_inputs(|_| async {
        Ok(Started::new(async {
            smol::future::yield_now().await;
            panic!("at work")
        }))
    });
    assert_eq!(error_of(in_worker), "the worker panicked: at work");
    // Not an async block, which would drop it with its last step.
    let in_drop = Manifold::without_inputs(|_| async {
        let fails = FailsToDrop("on its way out");
        Ok(Started::new(poll_fn(move |_| {
            let _fails = &fails;
            Poll::Ready(Ok(()))
        })))
    });
    assert_eq!(error_of(in_drop), "the worker panicked: on its way out");
    let in_filter = Manifold::without_inputs(|_| async { Err("no".into()) });
    let in_filter = in_filter.filter(|_| panic!("while judging"));
    assert_eq!(error_of(in_filter), "the filter panicked: while judging");
}

#[test]
fn a_worker_that_cannot_be_dropped_does_not_take_the_process_with_it() {
    let mut bench = Bench::new();
    bench.install(
        "it",
        Manifold::without_inputs(|_| async {
            let fails = FailsToDrop("dropped with the driver");
            Ok(Started::new(async move {
                let _fails = fails;
                std::future::pending().await
            }))
        }),
    );
    let Bench { engine, driver, .. } = bench;
    drop(driver);
    let end = smol::block_on(engine.wait());
    assert!(matches!(end, Err(EngineError::DriverDropped)));
}

#[test]
fn a_filter_has_its_say_on_starts_and_on_workers() {
    let in_words = |error| match error {
        WorkerError::Failed(failure) => format!("{failure}, filtered").into(),
        other => other,
    };
    let start = Manifold::without_inputs(|_| async { Err("no start".into()) });
    assert_eq!(error_of(start.filter(in_words)), "no start, filtered");
    let worker =
        Manifold::without_inputs(|_| async { Ok(Started::new(async { Err("no work".into()) })) });
    assert_eq!(error_of(worker.filter(in_words)), "no work, filtered");
}

#[test]
fn of_several_filters_the_latest_counts() {
    let manifold = Manifold::without_inputs(|_| async { Err("no".into()) });
    let manifold = manifold.filter(|_| "the first".into()).filter(|_| "the second".into());
    assert_eq!(error_of(manifold), "the second");
}

#[test]
fn a_filter_is_not_asked_about_a_worker_that_ended_well() {
    let asked = Arc::new(AtomicBool::new(false));
    let mut bench = Bench::new();
    let ask = asked.clone();
    let manifold = Manifold::without_inputs(|_| async { Ok(Started::new(async { Ok(()) })) });
    bench.install(
        "it",
        manifold.filter(move |error| {
            ask.store(true, Ordering::SeqCst);
            error
        }),
    );
    assert_eq!(bench.state("it"), ManifoldState::Down);
    assert!(!asked.load(Ordering::SeqCst));
    bench.finish();
}

#[test]
fn a_fatal_error_ends_the_engine_after_its_filter() {
    let is_panic: fn(&tenure_runtime::dependency::Failure) -> bool =
        |failure| failure.error().is::<WorkerPanic>();
    let mut bench = Bench::with(EngineOptions::new().is_fatal(is_panic));
    let alive = Population::default();
    bench.install("other", obedient(NONE, &alive));
    let harmless = Manifold::without_inputs(|_| async { panic!("harmless") });
    bench.install("harmless", harmless.filter(|_| "filtered".into()));
    assert_eq!(bench.state("other"), ManifoldState::Running);
    bench.install("it", Manifold::without_inputs(|_| async { panic!("fatal") }));
    let end = bench.end().expect("an end").unwrap_err().to_string();
    assert_eq!(end, "a worker failed: the start function panicked: fatal");
    assert!(bench.driver.is_done());
    assert_eq!(alive.count(), 0);
}

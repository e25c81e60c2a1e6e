//! What becomes of starts and workers, over one or a few manifolds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_dependency::{Config, InstallError, ManifoldState};
use tenure_runtime::ManualClock;
use tenure_runtime::dependency::{EngineError, EngineOptions, Failure, WorkerError};

use super::play::{
    Cue, End, Latest, end, ended, error_of, look, number, until, until_gone, until_state,
};
use super::rig::{Actor, Begun, Gate, Given, Part, Rig};

on_both!(
    a_bounce_comes_back_at_once_and_dependents_with_it,
    a_driver_that_is_dropped_ends_the_engine,
    a_fatal_error_ends_the_engine_and_the_worst_is_reported,
    a_filter_is_asked_about_starts_and_workers,
    a_panic_is_an_error_like_any_other,
    a_panic_in_what_judges_errors_does_not_keep_the_engine,
    a_start_that_is_told_to_stop_sees_it_and_its_worker_is_killed,
    a_worker_that_does_not_stop_is_named,
    an_engine_without_handles_ends,
    inputs_are_got_by_name_and_type,
    no_output_outlives_its_worker,
    uninstalled_is_stopped_and_forgotten,
    what_cannot_be_installed_is_refused,
);

/// Nothing comes back by itself before the clock is moved.
fn by_hand() -> (Arc<ManualClock>, EngineOptions) {
    let clock = Arc::new(ManualClock::new());
    let config = Config::builder().error_delay(SECOND).bounce_delay(Duration::ZERO);
    let config = config.build().unwrap();
    (clock.clone(), EngineOptions::new().config(config).clock(clock))
}

const SECOND: Duration = Duration::from_secs(1);

/// A manifold whose workers the test finds.
fn cued() -> (Part, Latest<Cue>) {
    let latest = Latest::default();
    let cues = latest.clone();
    let part = Part::new(move |_| {
        let cue = Cue::new();
        cues.set(cue.clone());
        Ok(Begun::new(cue))
    });
    (part, latest)
}

/// A manifold whose one worker is `cue`.
fn with(cue: Arc<Cue>) -> Part {
    Part::new(move |_| Ok(Begun::new(cue.clone())))
}

fn inputs_are_got_by_name_and_type<R: Rig>() {
    let rig = R::new(by_hand().1);
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let notes = seen.clone();
    let reader = Part::new(move |context| {
        let number = context.number("number")?;
        let mut notes = notes.lock().unwrap();
        notes.push(format!("{} gets {number}", context.manifold()));
        notes.push(context.text("number")?);
        notes.push(context.leadership("number").err().unwrap().to_string());
        notes.push(context.number("other").unwrap_err().to_string());
        notes.push(context.text("absent").unwrap_err().to_string());
        Ok(Begun::new(Cue::new()))
    });
    rig.install("reader", &["number", "absent"], reader).unwrap();
    until_state(&rig, "reader", ManifoldState::Down);
    assert_eq!(look(&rig, "reader").2, None, "to miss an input is no error");
    let gives = Part::new(|_| {
        let begun = Begun::new(Cue::new()).giving(Given::Number(7));
        Ok(begun.giving(Given::Text("seven".to_owned())).giving(Given::Number(8)))
    });
    rig.install("number", &[], gives).unwrap();
    until_state(&rig, "reader", ManifoldState::Running);
    let seen = seen.lock().unwrap().clone();
    // Of two of one type the first counts.
    assert_eq!(seen[..2], ["reader gets 7", "seven"]);
    assert!(seen[2].starts_with("input number gives no tenure_"), "{}", seen[2]);
    let end_of_error = "Leadership, but u64 and alloc::string::String and u64";
    assert!(seen[2].ends_with(end_of_error), "{}", seen[2]);
    let others = ["manifold reader has no input named other", "input absent is not there"];
    assert_eq!(seen[3..], others);
    end(rig).unwrap();
}

fn a_panic_is_an_error_like_any_other<R: Rig>() {
    let (clock, options) = by_hand();
    let rig = R::new(options);
    let first = AtomicUsize::new(0);
    let starter = Part::new(move |_| {
        if first.fetch_add(1, Ordering::SeqCst) == 0 {
            std::panic::resume_unwind(Box::new("not yet"));
        }
        Ok(Begun::new(Cue::new()))
    });
    rig.install("starter", &[], starter).unwrap();
    assert_eq!(error_of(&rig, "starter"), "the start function panicked: not yet");

    let (part, cues) = cued();
    rig.install("worker", &[], part).unwrap();
    cues.wait().end(End::Panic("no more"));
    assert_eq!(error_of(&rig, "worker"), "the worker panicked: no more");

    let filtered = Part {
        filter: Some(Box::new(|_| std::panic::resume_unwind(Box::new("what?")))),
        ..cued().0
    };
    let filtered = Part { start: Box::new(|_| Err("no luck".into())), ..filtered };
    rig.install("filtered", &[], filtered).unwrap();
    assert_eq!(error_of(&rig, "filtered"), "the filter panicked: what?");

    for name in ["starter", "worker", "filtered"] {
        until_state(&rig, name, ManifoldState::Waiting);
    }
    clock.advance(SECOND);
    until_state(&rig, "starter", ManifoldState::Running);
    until_state(&rig, "worker", ManifoldState::Running);
    end(rig).unwrap();
}

fn a_filter_is_asked_about_starts_and_workers<R: Rig>() {
    let rig = R::new(by_hand().1);
    let filter = |error| match error {
        WorkerError::Failed(_) => WorkerError::Uninstall,
        other => other,
    };
    let (part, cues) = cued();
    rig.install("worker", &[], Part { filter: Some(Box::new(filter)), ..part }).unwrap();
    cues.wait().fail("over");
    until_gone(&rig, "worker");
    let fails = Part::new(|_| Err("no luck".into()));
    rig.install("start", &[], Part { filter: Some(Box::new(filter)), ..fails }).unwrap();
    until_gone(&rig, "start");
    end(rig).unwrap();
}

fn a_bounce_comes_back_at_once_and_dependents_with_it<R: Rig>() {
    let rig = R::new(by_hand().1);
    let (part, cues) = cued();
    rig.install("input", &[], part).unwrap();
    let input = cues.wait();
    until_state(&rig, "input", ManifoldState::Running);
    let (part, cues) = cued();
    rig.install("dependent", &["input"], part).unwrap();
    until_state(&rig, "dependent", ManifoldState::Running);
    let (dependent, starts) = (cues.wait(), look(&rig, "dependent").1);
    input.end(End::Return(Err(WorkerError::Bounce)));
    until("the input is back", || look(&rig, "input").1 == 2);
    until("it is back", || look(&rig, "dependent").1 > starts);
    until_state(&rig, "dependent", ManifoldState::Running);
    assert!(dependent.is_killed());
    end(rig).unwrap();
}

fn uninstalled_is_stopped_and_forgotten<R: Rig>() {
    let rig = R::new(by_hand().1);
    let cue = Cue::stubborn();
    rig.install("stubborn", &[], with(cue.clone())).unwrap();
    until_state(&rig, "stubborn", ManifoldState::Running);
    rig.uninstall("stubborn");
    rig.uninstall("nobody");
    until("it is killed", || cue.is_killed());
    let refused = rig.install("stubborn", &[], number(1)).unwrap_err();
    assert_eq!(refused.to_string(), "there is a manifold named stubborn already");
    cue.end(End::Return(Ok(())));
    until_gone(&rig, "stubborn");
    until("nothing is kept of it", || Arc::strong_count(&cue) == 1);
    rig.install("stubborn", &[], number(1)).unwrap();
    until_state(&rig, "stubborn", ManifoldState::Running);
    end(rig).unwrap();
}

fn a_start_that_is_told_to_stop_sees_it_and_its_worker_is_killed<R: Rig>() {
    let rig = R::new(by_hand().1);
    let (gate, told, cue) = (Gate::new(), Arc::new(Mutex::new(Vec::new())), Cue::new());
    let (sees, worker) = (told.clone(), cue.clone());
    let part = Part::new(move |context| {
        sees.lock().unwrap().push(context.is_told());
        Ok(Begun::new(worker.clone()).giving(Given::Number(1)))
    });
    rig.install("slow", &[], Part { gate: Some(gate.clone()), ..part }).unwrap();
    until("it is starting", || gate.waiting() == 1);
    // It is told to stop after the other: orders go by name.
    let witness = Cue::new();
    rig.install("witness", &[], with(witness.clone())).unwrap();
    until_state(&rig, "witness", ManifoldState::Running);
    rig.kill();
    assert_eq!(look(&rig, "slow").0, ManifoldState::Stopping);
    until("the driver has followed its orders", || witness.is_killed());
    gate.open();
    ended(rig).unwrap();
    assert_eq!(*told.lock().unwrap(), [true]);
    assert!(cue.is_killed());
}

fn a_worker_that_does_not_stop_is_named<R: Rig>() {
    let rig = R::new(by_hand().1);
    let cue = Cue::stubborn();
    rig.install("deaf", &[], with(cue.clone())).unwrap();
    until_state(&rig, "deaf", ManifoldState::Running);
    rig.install("other", &["deaf"], number(1)).unwrap();
    until_state(&rig, "other", ManifoldState::Running);
    rig.kill();
    until("it is killed", || cue.is_killed());
    let report = "engine: ending\n\
        deaf: stopping, started 1 times\n\
        other: down, started 1 times, inputs deaf";
    assert_eq!(rig.report().to_string(), report);
    cue.fail("late");
    ended(rig).unwrap();
}

fn a_fatal_error_ends_the_engine_and_the_worst_is_reported<R: Rig>() {
    fn text(failure: &Failure) -> String {
        failure.to_string()
    }
    let options = by_hand().1.is_fatal(|failure| text(failure).starts_with("fatal"));
    let rig = R::new(options.is_worse(|failure, than| text(failure) > text(than)));
    let cues = ["a", "b", "c"].map(|name| {
        let cue = Cue::stubborn();
        rig.install(name, &[], with(cue.clone())).unwrap();
        until_state(&rig, name, ManifoldState::Running);
        cue
    });
    let filtered = Part::new(|_| Err("fatal 9".into()));
    let filter = |_| WorkerError::Uninstall;
    rig.install("filtered", &[], Part { filter: Some(Box::new(filter)), ..filtered }).unwrap();
    until_gone(&rig, "filtered");
    cues[0].fail("fatal 1");
    until("the others are killed", || cues[1].is_killed() && cues[2].is_killed());
    cues[1].fail("fatal 3");
    cues[2].fail("fatal 2");
    let error = ended(rig).unwrap_err();
    assert_eq!(error.to_string(), "a worker failed: fatal 3");
}

fn a_panic_in_what_judges_errors_does_not_keep_the_engine<R: Rig>() {
    let panics = |_: &_| std::panic::resume_unwind(Box::new("what?"));
    let options = by_hand().1.is_fatal(panics);
    let rig = R::new(options.is_worse(|_, _| std::panic::resume_unwind(Box::new("who knows"))));
    let cues = ["a", "b"].map(|name| {
        let cue = Cue::stubborn();
        rig.install(name, &[], with(cue.clone())).unwrap();
        until_state(&rig, name, ManifoldState::Running);
        cue
    });
    cues[0].fail("first");
    until("the other is killed", || cues[1].is_killed());
    cues[1].fail("second");
    assert_eq!(ended(rig).unwrap_err().to_string(), "a worker failed: first");
}

fn what_cannot_be_installed_is_refused<R: Rig>() {
    let rig = R::new(by_hand().1);
    rig.install("a", &["b"], number(1)).unwrap();
    let refused = rig.install("b", &["c", "a"], number(1)).unwrap_err();
    assert_eq!(refused.to_string(), "a manifold cannot depend on itself: b -> a -> b");
    assert!(matches!(rig.install("a", &[], number(1)), Err(InstallError::NameTaken { .. })));
    rig.kill();
    assert!(matches!(rig.install("c", &[], number(1)), Err(InstallError::Ending { .. })));
    ended(rig).unwrap();
}

fn an_engine_without_handles_ends<R: Rig>() {
    let rig = R::new(by_hand().1);
    let cue = Cue::new();
    rig.install("worker", &[], with(cue.clone())).unwrap();
    until_state(&rig, "worker", ManifoldState::Running);
    rig.join();
    assert!(cue.is_killed());
    until("nothing is kept of it", || Arc::strong_count(&cue) == 1);
}

fn a_driver_that_is_dropped_ends_the_engine<R: Rig>() {
    let rig = R::without_driver(by_hand().1);
    assert!(matches!(rig.wait(), Err(EngineError::DriverDropped)));
    let kept = Cue::new();
    let refused = rig.install("late", &[], with(kept.clone())).unwrap_err();
    assert_eq!(refused.to_string(), "manifold late comes too late: the engine is ending");
    assert_eq!(Arc::strong_count(&kept), 1);
    rig.kill();
    rig.uninstall("late");
    assert!(matches!(ended(rig), Err(EngineError::DriverDropped)));
}

/// A worker and what it gave are gone before the next one is started.
fn no_output_outlives_its_worker<R: Rig>() {
    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            // So that whoever does not wait for this is seen.
            std::thread::sleep(Duration::from_millis(5));
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Actor for Counted {
        fn kill(&self) {}

        fn poll(&self, _: &std::task::Waker) -> Option<Result<(), WorkerError>> {
            Some(Err(WorkerError::Bounce))
        }
    }

    impl tenure_runtime::dependency::Agent for Counted {
        fn tag(&self) -> String {
            String::new()
        }
    }

    let rig = R::new(by_hand().1);
    let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counts, max) = (live.clone(), most.clone());
    let part = Part::new(move |_| {
        let one = || {
            max.fetch_max(counts.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Arc::new(Counted(counts.clone()))
        };
        Ok(Begun::new(one()).giving(Given::Agent(one())))
    });
    rig.install("flapping", &[], part).unwrap();
    until("it has flapped", || look(&rig, "flapping").1 >= 10);
    end(rig).unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert_eq!(live.load(Ordering::SeqCst), 0, "all are gone when the engine has ended");
}

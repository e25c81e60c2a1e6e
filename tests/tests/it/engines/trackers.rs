//! The scenarios of Juju's manifold, and what becomes of a tracker whose inputs change or whose
//! store fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tenure_core::{ClockRatio, Config, Outcome};
use tenure_dependency::ManifoldState;
use tenure_runtime::ManualClock;
use tenure_runtime::dependency::{EngineOptions, ManifoldConfig};

use super::play::{
    Cue, End, Latest, agent, caller, end, error_of, look, number, until, until_state,
};
use super::rig::{Begun, Leads, Part, Rig, Step};
use super::store::{Call, Fault, Store, What};

on_both!(
    a_fatal_error_of_the_store_ends_the_tracker_which_comes_back,
    a_guarantee_of_zero_is_refused,
    a_new_api_caller_bounces_the_tracker_which_resigns_on_the_old_connection,
    an_agent_that_is_no_unit_is_named,
    an_error_of_a_start_is_passed_on,
    an_input_of_another_type_is_named,
    it_depends_on_agent_and_api_caller_in_that_order,
    it_gives_its_dependents_the_leadership,
    it_waits_for_its_agent,
    it_waits_for_its_api_caller,
    the_output_has_one_type,
    the_output_is_of_one_worker,
);

const SECOND: Duration = Duration::from_secs(1);

/// An engine and a store on one clock that is moved by hand, where delays of errors are 3 s at
/// most and nothing has to be waited for after a bounce.
struct Scene<R> {
    rig: R,
    clock: Arc<ManualClock>,
    store: Store,
}

impl<R: Rig> Scene<R> {
    fn new() -> Scene<R> {
        Scene::with_faults(|_| Fault::None)
    }

    fn with_faults(verdict: impl Fn(Call) -> Fault + Send + Sync + 'static) -> Scene<R> {
        let clock = Arc::new(ManualClock::new());
        let config = tenure_dependency::Config::builder().bounce_delay(Duration::ZERO);
        let options = EngineOptions::new().config(config.build().unwrap()).clock(clock.clone());
        Scene { rig: R::new(options), store: Store::new(clock.clone(), verdict), clock }
    }

    fn tracker(&self) {
        let config = Config::builder(10 * SECOND).clock_ratio(ClockRatio::EXACT).build().unwrap();
        let config = ManifoldConfig::with_config("agent", "api-caller", config).unwrap();
        self.rig.install_tracker("leadership", config).unwrap();
    }

    fn caller(&self) -> Latest<Cue> {
        let (part, cues) = caller(self.store.clone());
        self.rig.install("api-caller", &[], part).unwrap();
        cues
    }

    fn agent(&self, tag: &'static str) {
        self.rig.install("agent", &[], agent(tag)).unwrap();
    }

    /// A dependent that shows what it is given.
    fn dependent(&self) -> Latest<dyn Leads> {
        let latest = Latest::default();
        let shows = latest.clone();
        let part = Part::new(move |context| {
            shows.set(context.leadership("leadership")?);
            Ok(Begun::new(Cue::new()))
        });
        self.rig.install("work", &["leadership"], part).unwrap();
        latest
    }

    /// Waits for a manifold to have missed what it needs, once its other input is there.
    #[track_caller]
    fn until_missing(&self, name: &str, input: &str) {
        until_state(&self.rig, input, ManifoldState::Running);
        // What came of the input has been ordered with that.
        until_state(&self.rig, name, ManifoldState::Down);
        assert_eq!(look(&self.rig, name), (ManifoldState::Down, 0, None));
    }
}

fn it_depends_on_agent_and_api_caller_in_that_order<R: Rig>() {
    let scene = Scene::<R>::new();
    scene.tracker();
    let report = scene.rig.report();
    let inputs = &report.manifold("leadership").unwrap().inputs;
    assert_eq!(
        inputs.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["agent", "api-caller"]
    );
    end(scene.rig).unwrap();
}

fn it_waits_for_its_agent<R: Rig>() {
    let scene = Scene::<R>::new();
    scene.caller();
    scene.tracker();
    scene.until_missing("leadership", "api-caller");
    scene.agent("unit-mysql-0");
    until_state(&scene.rig, "leadership", ManifoldState::Running);
    assert_eq!(look(&scene.rig, "leadership").2, None);
    end(scene.rig).unwrap();
}

fn it_waits_for_its_api_caller<R: Rig>() {
    let scene = Scene::<R>::new();
    scene.agent("unit-mysql-0");
    scene.tracker();
    scene.until_missing("leadership", "agent");
    scene.caller();
    until_state(&scene.rig, "leadership", ManifoldState::Running);
    assert_eq!(look(&scene.rig, "leadership").2, None);
    end(scene.rig).unwrap();
}

fn an_error_of_a_start_is_passed_on<R: Rig>() {
    let scene = Scene::<R>::new();
    let fails = Part::new(|_| Err(std::io::Error::other("blammo").into()));
    scene.rig.install("agent", &[], fails).unwrap();
    scene.caller();
    scene.tracker();
    assert_eq!(error_of(&scene.rig, "agent"), "blammo");
    let report = scene.rig.report();
    let failure = report.manifold("agent").unwrap().last_error.clone().unwrap();
    assert!(failure.error().is::<std::io::Error>(), "it is what it was");
    scene.until_missing("leadership", "api-caller");
    end(scene.rig).unwrap();
}

fn an_agent_that_is_no_unit_is_named<R: Rig>() {
    let scene = Scene::<R>::new();
    scene.agent("machine-0");
    scene.caller();
    scene.tracker();
    let error = error_of(&scene.rig, "leadership");
    assert_eq!(error, "\"machine-0\" is not a unit tag: those are like unit-mysql-0");
    assert_eq!(look(&scene.rig, "leadership").1, 0);
    end(scene.rig).unwrap();
}

fn an_input_of_another_type_is_named<R: Rig>() {
    let scene = Scene::<R>::new();
    scene.agent("unit-mysql-0");
    scene.rig.install("api-caller", &[], number(7)).unwrap();
    scene.tracker();
    let error = error_of(&scene.rig, "leadership");
    assert!(error.starts_with("input api-caller gives no alloc::sync::Arc<"), "{error}");
    assert!(error.ends_with("::Caller>, but u64"), "{error}");
    end(scene.rig).unwrap();
}

fn a_guarantee_of_zero_is_refused<R: Rig>() {
    let refused = ManifoldConfig::new("agent", "api-caller", Duration::ZERO).unwrap_err();
    assert_eq!(refused.to_string(), tenure_core::ConfigError::GuaranteeZero.to_string());
    let scene = Scene::<R>::new();
    end(scene.rig).unwrap();
}

fn it_gives_its_dependents_the_leadership<R: Rig>() {
    let scene = Scene::<R>::new();
    scene.agent("unit-foo-bar-17");
    scene.caller();
    scene.tracker();
    let leadership = scene.dependent().wait();
    assert_eq!(leadership.unit(), "foo-bar/17");
    assert_eq!(leadership.service(), "foo-bar");
    assert_eq!(leadership.claim_duration(), 20 * SECOND);
    assert!(matches!(leadership.wait_leader(), Outcome::Leader { .. }));
    assert!(matches!(leadership.claim(), Outcome::Leader { .. }));
    assert_eq!(leadership.leader().as_deref(), Some("foo-bar/17"));
    assert_eq!(leadership.last_error(), None);
    let waits = leadership.clone();
    let lost = thread::spawn(move || waits.wait_minion());
    end(scene.rig).unwrap();
    assert!(matches!(lost.join().unwrap(), Outcome::Minion | Outcome::Stopped));
    assert_eq!(leadership.claim(), Outcome::Stopped);
    assert_eq!(leadership.leader(), None, "the lease has been released");
}

fn the_output_has_one_type<R: Rig>() {
    let scene = Scene::<R>::new();
    scene.agent("unit-mysql-0");
    scene.caller();
    scene.tracker();
    let wrong = Part::new(|context| {
        context.text("leadership")?;
        Ok(Begun::new(Cue::new()))
    });
    scene.rig.install("work", &["leadership"], wrong).unwrap();
    let error = error_of(&scene.rig, "work");
    assert!(error.starts_with("input leadership gives no alloc::string::String, but "), "{error}");
    assert!(error.ends_with("::Leadership"), "{error}");
    end(scene.rig).unwrap();
}

fn the_output_is_of_one_worker<R: Rig>() {
    let scene = Scene::<R>::new();
    scene.rig.install("leadership", &[], number(7)).unwrap();
    let wrong = Part::new(|context| {
        context.leadership("leadership")?;
        Ok(Begun::new(Cue::new()))
    });
    scene.rig.install("work", &["leadership"], wrong).unwrap();
    let error = error_of(&scene.rig, "work");
    assert!(error.starts_with("input leadership gives no tenure_"), "{error}");
    assert!(error.ends_with("::Leadership, but u64"), "{error}");
    end(scene.rig).unwrap();
}

fn a_fatal_error_of_the_store_ends_the_tracker_which_comes_back<R: Rig>() {
    let is_gone = Arc::new(AtomicBool::new(true));
    let gone = is_gone.clone();
    let scene = Scene::<R>::with_faults(move |call| match call {
        Call::Claim if gone.load(Ordering::SeqCst) => Fault::Fatal,
        Call::Claim | Call::Release => Fault::None,
    });
    scene.agent("unit-mysql-0");
    scene.caller();
    scene.tracker();
    let error = error_of(&scene.rig, "leadership");
    assert_eq!(error, "the store will never grant this: the store is gone");
    until_state(&scene.rig, "leadership", ManifoldState::Waiting);
    assert_eq!(look(&scene.rig, "leadership").1, 1);
    is_gone.store(false, Ordering::SeqCst);
    scene.clock.advance(3 * SECOND);
    until("it is back", || look(&scene.rig, "leadership").1 == 2);
    let leadership = scene.dependent().wait();
    assert!(matches!(leadership.wait_leader(), Outcome::Leader { .. }));
    end(scene.rig).unwrap();
}

fn a_new_api_caller_bounces_the_tracker_which_resigns_on_the_old_connection<R: Rig>() {
    let scene = Scene::<R>::new();
    scene.agent("unit-mysql-0");
    let callers = scene.caller();
    scene.tracker();
    until_state(&scene.rig, "leadership", ManifoldState::Running);
    let (starts, dependents) = (look(&scene.rig, "leadership").1, scene.dependent());
    let leadership = dependents.wait();
    assert!(matches!(leadership.wait_leader(), Outcome::Leader { .. }));
    let before = scene.store.log();

    // What a dependent does as long as it leads.
    let (leads, holds) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(())));
    let (begun, held, store) = (leads.clone(), holds.clone(), scene.store.clone());
    let works = thread::spawn(move || {
        let mut at_the_end = Vec::new();
        let led = leadership.work(&mut |step| match step {
            Step::Begins => begun.store(true, Ordering::SeqCst),
            Step::Ends => {
                drop(held.lock().unwrap());
                at_the_end = store.log();
            }
        });
        assert!(led);
        at_the_end
    });
    until("it works", || leads.load(Ordering::SeqCst));
    let holding = holds.lock().unwrap();
    callers.wait().end(End::Return(Err("the line is cut".into())));
    until_state(&scene.rig, "leadership", ManifoldState::Stopping);
    assert_eq!(scene.store.log().len(), before.len(), "nothing is released while it works");
    drop(holding);
    let at_the_end = works.join().unwrap();
    assert_eq!(at_the_end.len(), before.len(), "nothing is released while it works");

    // Before the clock is moved: a release that takes too long is given up.
    until_state(&scene.rig, "leadership", ManifoldState::Down);
    scene.clock.advance(3 * SECOND);
    until("it is back", || look(&scene.rig, "leadership").1 > starts);
    until("it leads anew", || {
        let leadership = dependents.get().unwrap();
        matches!(leadership.standing(), tenure_core::Standing::Leader { .. })
    });
    let what = |at: &super::store::Seen| (at.connection, at.what.clone());
    let log: Vec<_> = scene.store.log().iter().map(what).collect();
    let (first, second) = (tenure_core::Term::new(1), tenure_core::Term::new(2));
    let expected = [(1, What::Granted(first)), (1, What::Release), (2, What::Granted(second))];
    assert_eq!(log, expected);
    assert_eq!(look(&scene.rig, "leadership").2, None, "to be bounced is no error");
    end(scene.rig).unwrap();
}

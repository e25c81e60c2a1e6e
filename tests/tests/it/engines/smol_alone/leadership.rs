use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_core::{Claimer, Outcome, Standing};
use tenure_memory::MemoryStore;
use tenure_smol::dependency::{
    Agent, EngineOptions, Manifold, ManifoldConfig, ManifoldState, Started,
};
use tenure_smol::{ApiCaller, Leadership, manifold};
use tenure_testkit::scripted::{Call, Reply, Scripted};

use super::bench::{Bench, ERROR, now, until_told};

const GUARANTEE: Duration = Duration::from_secs(10);

struct Named(&'static str);

impl Agent for Named {
    fn tag(&self) -> String {
        self.0.to_owned()
    }
}

struct Connection<C>(C);

impl<C: Claimer + Clone> ApiCaller for Connection<C> {
    type Claimer = C;

    fn claimer(&self) -> C {
        self.0.clone()
    }
}

/// A worker that gives `output` until it is told to stop.
fn giving<T: Clone + Send + Sync + 'static>(output: T) -> Manifold {
    Manifold::without_inputs(move |context| {
        let output = output.clone();
        async move {
            let stop = context.stop();
            Ok(Started::new(until_told(stop, ())).output(output))
        }
    })
}

fn agent(tag: &'static str) -> Manifold {
    giving::<Arc<dyn Agent>>(Arc::new(Named(tag)))
}

fn caller<C: Claimer + Clone>(claimer: &C) -> Manifold {
    giving(Arc::new(Connection(claimer.clone())))
}

type Latest = Arc<Mutex<Option<Leadership>>>;

impl Bench {
    /// A tracker, and one who depends on it and keeps its latest leadership.
    fn install_tracker<C: Claimer + Clone>(&mut self) -> Latest {
        let config = ManifoldConfig::new("agent", "api-caller", GUARANTEE).unwrap();
        self.install("leadership", manifold::<Connection<C>>(config));
        let latest = Latest::default();
        let kept = latest.clone();
        self.install(
            "dependent",
            Manifold::new(["leadership"], move |context| {
                let latest = kept.clone();
                async move {
                    *latest.lock().unwrap() = Some(context.get("leadership")?);
                    let stop = context.stop();
                    Ok(Started::new(until_told(stop, ())))
                }
            }),
        );
        latest
    }

    /// With a store of its own, on its clock.
    fn with_store() -> (Bench, MemoryStore, Latest) {
        let mut bench = Bench::new();
        let store = MemoryStore::with_clock(bench.clock.clone());
        bench.install("agent", agent("unit-mysql-0"));
        bench.install("api-caller", caller(&store));
        let latest = bench.install_tracker::<MemoryStore>();
        bench.settle();
        (bench, store, latest)
    }
}

fn leadership(latest: &Latest) -> Leadership {
    latest.lock().unwrap().clone().expect("a leadership")
}

fn leader(store: &MemoryStore) -> Option<String> {
    let service = "mysql".parse().unwrap();
    now(Claimer::leader(store, &service)).unwrap().unwrap().map(|leader| leader.unit.to_string())
}

#[test]
fn a_tracker_comes_with_its_agent_and_its_api_caller() {
    let mut bench = Bench::new();
    let store = MemoryStore::with_clock(bench.clock.clone());
    let latest = bench.install_tracker::<MemoryStore>();
    let inputs = |bench: &Bench| {
        let report = bench.engine.report();
        let inputs = &report.manifold("leadership").unwrap().inputs;
        inputs.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(inputs(&bench), ["agent", "api-caller"]);
    assert_eq!(bench.state("leadership"), ManifoldState::Down);
    bench.install("agent", agent("unit-mysql-0"));
    bench.settle();
    assert_eq!(bench.state("leadership"), ManifoldState::Down);
    bench.install("api-caller", caller(&store));
    bench.settle();
    assert_eq!(bench.state("leadership"), ManifoldState::Running);
    let report = bench.engine.report();
    assert!(report.manifold("leadership").unwrap().last_error.is_none());
    let leadership = leadership(&latest);
    assert_eq!(leadership.unit_name().as_str(), "mysql/0");
    assert_eq!(leadership.service_name().as_str(), "mysql");
    assert_eq!(leadership.claim_duration(), 2 * GUARANTEE);
    assert!(matches!(now(leadership.wait_leader()), Some(Outcome::Leader { .. })));
    assert_eq!(leader(&store).as_deref(), Some("mysql/0"));
    bench.finish();
}

#[test]
fn an_agent_that_is_no_unit_is_refused_by_its_tag() {
    let mut bench = Bench::new();
    let store = MemoryStore::with_clock(bench.clock.clone());
    bench.install("agent", agent("machine-0"));
    bench.install("api-caller", caller(&store));
    bench.install_tracker::<MemoryStore>();
    let error = bench.last_error("leadership");
    assert_eq!(error, "\"machine-0\" is not a unit tag: those are like unit-mysql-0");
    bench.finish();
}

#[test]
fn an_api_caller_of_another_type_is_refused_by_both_types() {
    let mut bench = Bench::new();
    bench.install("agent", agent("unit-mysql-0"));
    bench.install("api-caller", giving(7_u32));
    bench.install_tracker::<MemoryStore>();
    let error = bench.last_error("leadership");
    assert!(error.starts_with("input api-caller gives no "), "{error}");
    assert!(error.contains("MemoryStore") && error.ends_with("but u32"), "{error}");
    bench.finish();
}

#[test]
fn a_tracker_goes_by_the_clock_of_its_engine() {
    let (mut bench, _store, latest) = Bench::with_store();
    let leadership = leadership(&latest);
    let Standing::Leader { .. } = leadership.standing() else { panic!("it leads") };
    // As if the process had been paused: nobody drives.
    bench.clock.advance(4 * GUARANTEE);
    assert!(matches!(leadership.standing(), Standing::Minion), "{leadership:?}");
    bench.driver.drive();
    assert!(matches!(now(leadership.wait_leader()), Some(Outcome::Leader { .. })));
    bench.finish();
}

#[test]
fn an_api_caller_that_goes_has_the_lease_released_first() {
    let (mut bench, store, latest) = Bench::with_store();
    let old = leadership(&latest);
    bench.engine.uninstall("api-caller");
    bench.driver.drive();
    assert_eq!(leader(&store), None);
    assert_eq!(now(old.wait_leader()), Some(Outcome::Stopped));
    bench.settle();
    assert_eq!(bench.state("leadership"), ManifoldState::Down);
    assert_eq!(bench.state("dependent"), ManifoldState::Down);

    let other = MemoryStore::with_clock(bench.clock.clone());
    bench.install("api-caller", caller(&other));
    bench.settle();
    assert_eq!((leader(&store), leader(&other).as_deref()), (None, Some("mysql/0")));
    let new = leadership(&latest);
    assert!(matches!(now(new.wait_leader()), Some(Outcome::Leader { .. })));
    bench.finish();
    assert_eq!(leader(&other), None);
}

#[test]
fn a_lease_is_not_released_before_guarded_work_has_ended() {
    let mut bench = Bench::new();
    let scripted = Scripted::new(bench.clock.clone());
    bench.install("agent", agent("unit-mysql-0"));
    bench.install("api-caller", caller(&scripted));
    let latest = bench.install_tracker::<Scripted>();
    bench.settle();
    scripted.finish_one(Call::Claim, Reply::granted(1));
    bench.driver.drive();
    let leadership = leadership(&latest);
    let (sender, guards) = async_channel::bounded(1);
    let mut work =
        Box::pin(leadership.while_leader(|guard| async move { sender.send(guard).await }));
    assert!(now(&mut work).expect("it ends at once").unwrap().is_ok());
    let guard = guards.try_recv().unwrap();
    bench.engine.kill();
    bench.driver.drive();
    assert_eq!(bench.state("leadership"), ManifoldState::Stopping);
    assert_eq!(scripted.begun(Call::Release), 0);
    drop(guard);
    bench.driver.drive();
    scripted.finish_one(Call::Release, Reply::Done);
    bench.finish();
}

#[test]
fn a_store_that_fails_for_good_ends_the_tracker_which_comes_back() {
    let mut bench = Bench::new();
    let scripted = Scripted::new(bench.clock.clone());
    bench.install("agent", agent("unit-mysql-0"));
    bench.install("api-caller", caller(&scripted));
    let latest = bench.install_tracker::<Scripted>();
    bench.settle();
    let old = leadership(&latest);
    scripted.finish_one(Call::Claim, Reply::fatal("the disk is gone"));
    bench.driver.drive();
    assert_eq!(bench.state("leadership"), ManifoldState::Waiting);
    assert!(bench.last_error("leadership").contains("the disk is gone"));
    assert!(old.last_error().is_some());
    bench.advance(ERROR);
    bench.settle();
    scripted.finish_one(Call::Claim, Reply::granted(2));
    bench.driver.drive();
    let new = leadership(&latest);
    assert!(matches!(now(new.wait_leader()), Some(Outcome::Leader { .. })));
    scripted.always(Call::Release, Reply::Done);
    bench.finish();
}

#[test]
fn a_tracker_is_not_kept_alive_by_those_who_kept_its_leadership() {
    let (bench, store, latest) = Bench::with_store();
    let kept = leadership(&latest);
    let minion = kept.wait_minion();
    assert!(!minion.is_ready());
    bench.finish();
    assert_eq!(leader(&store), None);
    assert!(minion.is_ready());
    assert_eq!(now(kept.claim_leader()), Some(Outcome::Stopped));
}

#[test]
fn a_driver_that_is_dropped_answers_all_that_waits_for_the_leadership() {
    let (bench, _store, latest) = Bench::with_store();
    let kept = leadership(&latest);
    let minion = kept.wait_minion();
    let Bench { driver, .. } = bench;
    drop(driver);
    assert!(minion.is_ready());
    assert_eq!(now(kept.claim_leader()), Some(Outcome::Stopped));
}

#[test]
fn the_default_options_are_fine_for_a_tracker() {
    let bench = Bench::with(EngineOptions::default());
    bench.finish();
}

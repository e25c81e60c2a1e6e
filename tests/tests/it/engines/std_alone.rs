//! What only threads have.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use tenure_core::{Cancel, Instant, Outcome};
use tenure_memory::MemoryStore;
use tenure_runtime::Clock;
use tenure_std::dependency::{
    CancelToken, Engine, EngineError, EngineOptions, Idle, Manifold, ManifoldState, Started,
    Worker, WorkerError,
};
use tenure_std::{Leadership, Tracker};

use super::play::{Cue, until};
use super::rig::Actor;

/// Ends its driver with a panic, when it is told to.
#[derive(Debug, Default)]
struct Fuse {
    is_lit: Mutex<bool>,
    driver: Mutex<Option<Waker>>,
}

impl Clock for Fuse {
    fn now(&self) -> Instant {
        Instant::ORIGIN
    }

    fn on_jump(&self, waker: &Waker) {
        *self.driver.lock().unwrap() = Some(waker.clone());
        let is_lit = *self.is_lit.lock().unwrap();
        if is_lit {
            std::panic::resume_unwind(Box::new("the fuse has blown"));
        }
    }
}

#[test]
fn a_driver_that_panics_kills_all_workers() {
    let fuse = Arc::new(Fuse::default());
    let (engine, driver) = Engine::new(EngineOptions::new().clock(fuse.clone()));
    let running = driver.spawn().unwrap();
    let cues = [Cue::new(), Cue::new()];
    for (name, cue) in ["a", "b"].into_iter().zip(&cues) {
        let cue = cue.clone();
        let start = move |_: &_| Ok(Started::new(Acting(cue.clone())));
        engine.install(name, Manifold::without_inputs(start)).unwrap();
        until("it runs", || {
            engine.report().manifold(name).unwrap().state == ManifoldState::Running
        });
    }
    *fuse.is_lit.lock().unwrap() = true;
    fuse.driver.lock().unwrap().take().unwrap().wake();
    assert!(running.join().is_err());
    assert!(matches!(engine.wait(), Err(EngineError::DriverDropped)));
    assert!(cues.iter().all(|cue| cue.is_killed()));
    until("nothing is kept", || cues.iter().all(|cue| Arc::strong_count(cue) == 1));
    until("all have ended", || {
        engine.report().manifolds.iter().all(|manifold| manifold.state == ManifoldState::Down)
    });
}

struct Acting(Arc<Cue>);

impl Worker for Acting {
    fn kill(&self) {
        self.0.kill();
    }

    fn wait(&self) -> Result<(), WorkerError> {
        futures_lite::future::block_on(std::future::poll_fn(|context| {
            self.0.poll(context.waker()).map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        }))
    }
}

#[test]
fn a_panic_in_kill_is_the_workers_error_once_it_has_ended() {
    let (engine, driver) = Engine::new(EngineOptions::new());
    let running = driver.spawn().unwrap();
    let cue = Cue::touchy();
    let worker = cue.clone();
    let start = move |_: &_| Ok(Started::new(Acting(worker.clone())));
    engine.install("touchy", Manifold::without_inputs(start)).unwrap();
    until("it runs", || {
        engine.report().manifold("touchy").unwrap().state == ManifoldState::Running
    });
    engine.kill();
    until("it is killed", || cue.is_killed());
    assert_eq!(engine.report().manifolds[0].state, ManifoldState::Stopping);
    cue.fail("something else");
    engine.wait().unwrap();
    running.join().unwrap();
    let error = engine.report().manifolds[0].last_error.clone().unwrap();
    assert_eq!(error.to_string(), "the worker panicked: leave me alone");
}

#[test]
fn a_thread_is_named_as_its_manifold_is() {
    let (engine, driver) = Engine::new(EngineOptions::new().is_fatal(|_| true));
    let running = driver.spawn().unwrap();
    assert_eq!(running.thread().name(), Some("tenure-engine"));
    let names: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    for name in ["plain", "", "with\0zero"] {
        let noted = names.clone();
        let start = move |_: &_| {
            noted.lock().unwrap().push(thread::current().name().map(str::to_owned));
            Ok(Started::new(Idle::new()))
        };
        let before = names.lock().unwrap().len();
        engine.install(name, Manifold::without_inputs(start)).unwrap();
        until("it has started", || names.lock().unwrap().len() > before);
    }
    engine.kill();
    engine.wait().unwrap();
    running.join().unwrap();
    let names: Vec<_> = names.lock().unwrap().iter().cloned().map(Option::unwrap).collect();
    assert_eq!(names, ["plain", "", "with?zero"]);
}

/// It is stopped before its tracker is, and so nothing else would end its wait.
#[test]
fn work_that_waits_to_lead_can_be_stopped() {
    let store = MemoryStore::new();
    let config = tenure_core::Config::new(Duration::from_secs(60)).unwrap();
    let trackers = ["mysql/0", "mysql/1"].map(|unit| {
        let (service, unit) = ("mysql".parse().unwrap(), unit.parse().unwrap());
        let (tracker, driver) = Tracker::new(store.clone(), service, unit, config.clone());
        driver.spawn().unwrap();
        if unit_is_first(&tracker) {
            assert!(matches!(tracker.wait_leader().wait(), Outcome::Leader { .. }));
        }
        tracker
    });

    /// With whether it has begun.
    struct Work(Leadership, CancelToken, Arc<AtomicBool>);

    impl Worker for Work {
        fn kill(&self) {
            assert!(self.1.is_cancelled(), "it is cancelled before");
        }

        fn wait(&self) -> Result<(), WorkerError> {
            let worked = self.0.while_leader_until(&self.1, |guard| {
                self.2.store(true, Ordering::SeqCst);
                while !self.1.is_cancelled() {
                    assert!(!guard.wait_lost_timeout(Duration::from_millis(1)));
                }
            })?;
            let leads = self.0.unit_name().as_str() == "mysql/0";
            assert_eq!(worked.is_some(), leads);
            Ok(())
        }
    }

    for tracker in &trackers {
        let (engine, driver) = Engine::new(EngineOptions::new().is_fatal(|_| true));
        let running = driver.spawn().unwrap();
        let leadership = Leadership::from(tracker.clone());
        let has_begun = Arc::new(AtomicBool::new(false));
        let begun = has_begun.clone();
        let start = move |context: &tenure_std::dependency::Context| {
            Ok(Started::new(Work(leadership.clone(), context.cancel(), begun.clone())))
        };
        engine.install("work", Manifold::without_inputs(start)).unwrap();
        until("it runs", || engine.report().manifolds[0].state == ManifoldState::Running);
        if unit_is_first(tracker) {
            until("it works", || has_begun.load(Ordering::SeqCst));
        }
        engine.kill();
        engine.wait().unwrap();
        running.join().unwrap();
    }
    for tracker in trackers {
        let ended = Leadership::from(tracker.clone());
        tracker.stop().unwrap();
        let refused = ended.while_leader_until(&CancelToken::new(), |_| ()).unwrap_err();
        assert_eq!(refused, tenure_runtime::WorkError::Stopped);
    }
}

fn unit_is_first(tracker: &Tracker) -> bool {
    tracker.unit_name().as_str() == "mysql/0"
}

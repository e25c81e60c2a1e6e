//! Workers that do as they are told, and what the tests wait with.

use std::panic::resume_unwind;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant as Deadline};

use tenure_dependency::ManifoldState;
use tenure_runtime::dependency::{Agent, EngineError, WorkerError};

use super::rig::{Actor, Begun, Caller, Given, Part, Rig};
use super::store::Store;

/// How long anything may take that should be done at once: only a bug makes a test wait this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A worker that ends when it is told to, by the test or, unless it is stubborn, by the engine.
#[derive(Default)]
pub(super) struct Cue(Mutex<State>);

#[derive(Default)]
struct State {
    is_killed: bool,
    is_stubborn: bool,
    panics_when_killed: bool,
    end: Option<End>,
    waiting: Option<Waker>,
}

/// How a worker ends.
#[derive(Clone, Debug)]
pub(super) enum End {
    Panic(&'static str),
    Return(Result<(), WorkerError>),
}

impl Cue {
    pub(super) fn new() -> Arc<Cue> {
        Arc::default()
    }

    /// One that only the test can end.
    pub(super) fn stubborn() -> Arc<Cue> {
        Arc::new(Cue(Mutex::new(State { is_stubborn: true, ..State::default() })))
    }

    /// A stubborn one that panics when it is killed.
    pub(super) fn touchy() -> Arc<Cue> {
        let state = State { is_stubborn: true, panics_when_killed: true, ..State::default() };
        Arc::new(Cue(Mutex::new(state)))
    }

    pub(super) fn is_killed(&self) -> bool {
        self.0.lock().unwrap().is_killed
    }

    /// Ends it, unless it has ended.
    pub(super) fn end(&self, end: End) {
        let mut state = self.0.lock().unwrap();
        state.end.get_or_insert(end);
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    pub(super) fn fail(&self, error: &'static str) {
        self.end(End::Return(Err(error.into())));
    }
}

impl Actor for Cue {
    fn kill(&self) {
        let mut state = self.0.lock().unwrap();
        assert!(!state.is_killed, "killed twice");
        state.is_killed = true;
        let (is_stubborn, panics) = (state.is_stubborn, state.panics_when_killed);
        drop(state);
        if !is_stubborn {
            self.end(End::Return(Ok(())));
        }
        if panics {
            resume_unwind(Box::new("leave me alone"));
        }
    }

    fn poll(&self, waker: &Waker) -> Option<Result<(), WorkerError>> {
        let mut state = self.0.lock().unwrap();
        match state.end.clone() {
            None => {
                state.waiting = Some(waker.clone());
                None
            }
            Some(End::Return(result)) => Some(result),
            Some(End::Panic(message)) => {
                drop(state);
                resume_unwind(Box::new(message))
            }
        }
    }
}

/// A manifold that gives `number`.
pub(super) fn number(number: u64) -> Part {
    Part::new(move |_| Ok(Begun::new(Cue::new()).giving(Given::Number(number))))
}

/// The agent with this tag.
pub(super) fn agent(tag: &'static str) -> Part {
    struct Tagged(&'static str);

    impl Agent for Tagged {
        fn tag(&self) -> String {
            self.0.to_owned()
        }
    }

    Part::new(move |_| {
        let agent: Arc<dyn Agent> = Arc::new(Tagged(tag));
        Ok(Begun::new(Cue::new()).giving(Given::Agent(agent)))
    })
}

/// The API caller: each start is a new connection, numbered from 1. The cue of the latest is where
/// the test finds it.
pub(super) fn caller(store: Store) -> (Part, Latest<Cue>) {
    let latest = Latest::default();
    let (cues, count) = (latest.clone(), Mutex::new(0));
    let part = Part::new(move |_| {
        let mut count = count.lock().unwrap();
        *count += 1;
        let caller = Arc::new(Caller(store.connection(*count)));
        let cue = Cue::new();
        cues.set(cue.clone());
        Ok(Begun::new(cue).giving(Given::Caller(caller)))
    });
    (part, latest)
}

/// The latest of several.
pub(super) struct Latest<T: ?Sized>(Arc<Mutex<Option<Arc<T>>>>);

impl<T: ?Sized> Clone for Latest<T> {
    fn clone(&self) -> Latest<T> {
        Latest(self.0.clone())
    }
}

impl<T: ?Sized> Default for Latest<T> {
    fn default() -> Latest<T> {
        Latest(Arc::default())
    }
}

impl<T: ?Sized> Latest<T> {
    pub(super) fn set(&self, latest: Arc<T>) {
        *self.0.lock().unwrap() = Some(latest);
    }

    pub(super) fn get(&self) -> Option<Arc<T>> {
        self.0.lock().unwrap().clone()
    }

    #[track_caller]
    pub(super) fn wait(&self) -> Arc<T> {
        until("there is one", || self.get().is_some());
        self.get().unwrap()
    }
}

/// Waits for `holds`.
#[track_caller]
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Deadline::now() + PATIENCE;
    while !holds() {
        assert!(Deadline::now() < end, "never: {what}");
        thread::sleep(Duration::from_micros(100));
    }
}

/// What the report says of a manifold that is installed: its state, how often it was started, and
/// its last error.
#[track_caller]
pub(super) fn look<R: Rig>(rig: &R, name: &str) -> (ManifoldState, u64, Option<String>) {
    let report = rig.report();
    let manifold = report.manifold(name).expect("it is installed");
    let error = manifold.last_error.as_ref().map(|error| error.to_string());
    (manifold.state, manifold.start_count, error)
}

#[track_caller]
pub(super) fn until_state<R: Rig>(rig: &R, name: &str, state: ManifoldState) {
    let end = Deadline::now() + PATIENCE;
    while look(rig, name).0 != state {
        assert!(Deadline::now() < end, "{name} is never {state}:\n{}", rig.report());
        thread::sleep(Duration::from_micros(100));
    }
}

#[track_caller]
pub(super) fn until_gone<R: Rig>(rig: &R, name: &str) {
    until(&format!("{name} is gone"), || rig.report().manifold(name).is_none());
}

/// Waits until a manifold has an error, and gives its text.
#[track_caller]
pub(super) fn error_of<R: Rig>(rig: &R, name: &str) -> String {
    until(&format!("{name} has an error"), || look(rig, name).2.is_some());
    look(rig, name).2.unwrap()
}

/// Kills the engine, and waits for its end and for that of its driver.
#[track_caller]
pub(super) fn end<R: Rig>(rig: R) -> Result<(), EngineError> {
    rig.kill();
    ended(rig)
}

/// Waits for the end of an engine that was asked to end, and for that of its driver.
#[track_caller]
pub(super) fn ended<R: Rig>(rig: R) -> Result<(), EngineError> {
    let rig = Arc::new(rig);
    let waiting = rig.clone();
    let result = within_reason(move || waiting.wait());
    let Some(result) = result else { panic!("the engine does not end:\n{}", rig.report()) };
    let report = rig.report();
    assert!(report.is_ending, "{report}");
    let rig = Arc::into_inner(rig).expect("nobody else has it");
    within_reason(move || rig.join()).expect("the driver ends");
    result
}

/// What `call` gives, if that takes less than for ever.
fn within_reason<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let value = call();
        // If nobody listens any more, it has taken too long.
        let _ = sender.send(value);
    });
    receiver.recv_timeout(PATIENCE).ok()
}

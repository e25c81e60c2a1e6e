//! One door for both runtimes' engines, so that one test body serves both.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use tenure_core::{Outcome, Standing};
use tenure_dependency::{InstallError, Report};
use tenure_runtime::dependency::{
    Agent, EngineError, EngineOptions, Failure, InputError, ManifoldConfig, WorkerError,
};

use super::store::Store;

/// An engine whose driver runs on a thread of its own.
pub(super) trait Rig: Send + Sync + Sized + 'static {
    /// What this runtime is called, to tell the tests apart.
    const NAME: &'static str;

    fn new(options: EngineOptions) -> Self;

    /// One whose driver is dropped before it has run.
    fn without_driver(options: EngineOptions) -> Self;

    fn install(&self, name: &str, inputs: &[&str], part: Part) -> Result<(), InstallError>;

    /// The manifold of a tracker over a [`Caller`].
    fn install_tracker(&self, name: &str, config: ManifoldConfig) -> Result<(), InstallError>;

    fn uninstall(&self, name: &str);

    fn kill(&self);

    /// Blocks until the engine has ended.
    fn wait(&self) -> Result<(), EngineError>;

    fn report(&self) -> Report<Failure>;

    /// Drops the last handle, and blocks until the driver has ended.
    fn join(self);
}

/// A manifold of a test.
pub(super) struct Part {
    /// Waited for before the start function is called: on smol by awaiting, on std by blocking.
    pub(super) gate: Option<Arc<Gate>>,
    pub(super) start: Box<StartPart>,
    pub(super) filter: Option<Box<dyn Fn(WorkerError) -> WorkerError + Send + Sync>>,
}

pub(super) type StartPart = dyn Fn(&dyn Seen) -> Result<Begun, WorkerError> + Send + Sync;

impl Part {
    pub(super) fn new(
        start: impl Fn(&dyn Seen) -> Result<Begun, WorkerError> + Send + Sync + 'static,
    ) -> Part {
        Part { gate: None, start: Box::new(start), filter: None }
    }
}

/// What a start has given: a worker, and what it gives to others.
pub(super) struct Begun {
    pub(super) actor: Arc<dyn Actor>,
    pub(super) outputs: Vec<Given>,
}

impl Begun {
    pub(super) fn new(actor: Arc<dyn Actor>) -> Begun {
        Begun { actor, outputs: Vec::new() }
    }

    pub(super) fn giving(mut self, output: Given) -> Begun {
        self.outputs.push(output);
        self
    }
}

/// An output. Each kind is handed to the engine as the type named here.
pub(super) enum Given {
    /// `Arc<dyn Agent>`
    Agent(Arc<dyn Agent>),
    /// `Arc<Caller>`
    Caller(Arc<Caller>),
    /// `u64`
    Number(u64),
    /// `String`
    Text(String),
}

/// A worker of a test. On std `kill` is the worker's `kill`, and `wait` blocks on `poll`; on smol
/// the worker is a future that calls `kill` once, as soon as its `Stop` is set, and is done when
/// `poll` is.
pub(super) trait Actor: Send + Sync + 'static {
    fn kill(&self);

    /// How it has ended, if it has; else `waker` is woken when it has. May panic.
    fn poll(&self, waker: &Waker) -> Option<Result<(), WorkerError>>;
}

/// What a start function sees: a runtime's `Context`.
pub(super) trait Seen {
    /// The name of the manifold that starts.
    fn manifold(&self) -> String;
    /// Whether the start was told to stop.
    fn is_told(&self) -> bool;
    /// `get::<u64>`
    fn number(&self, name: &str) -> Result<u64, InputError>;
    /// `get::<String>`
    fn text(&self, name: &str) -> Result<String, InputError>;
    /// `get::<Leadership>`
    fn leadership(&self, name: &str) -> Result<Arc<dyn Leads>, InputError>;
}

/// A runtime's `Leadership`.
pub(super) trait Leads: Send + Sync {
    fn unit(&self) -> String;
    fn service(&self) -> String;
    fn claim_duration(&self) -> Duration;
    fn standing(&self) -> Standing;
    /// Blocks until `claim_leader` is answered.
    fn claim(&self) -> Outcome;
    /// Blocks until `wait_leader` is answered.
    fn wait_leader(&self) -> Outcome;
    /// Blocks until `wait_minion` is answered.
    fn wait_minion(&self) -> Outcome;
    /// Who leads, as the store has it. Blocks.
    fn leader(&self) -> Option<String>;
    fn last_error(&self) -> Option<String>;
    /// `while_leader`: calls `step` when it leads, and again, still under the guard, when it is
    /// told that the leadership is lost or to be given up. Whether it ever led. Blocks.
    fn work(&self, step: &mut dyn FnMut(Step)) -> bool;
}

/// Where guarded work is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Begins,
    Ends,
}

/// The API caller of the tests. Both runtimes' `ApiCaller` is implemented for it: a claimer is a
/// clone of the store.
pub(super) struct Caller(pub(super) Store);

/// What is closed until it is opened, for good.
#[derive(Default)]
pub(super) struct Gate(Mutex<Way>);

#[derive(Default)]
struct Way {
    is_open: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    pub(super) fn new() -> Arc<Gate> {
        Arc::default()
    }

    pub(super) fn open(&self) {
        let waiting = {
            let mut way = self.0.lock().unwrap();
            way.is_open = true;
            std::mem::take(&mut way.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// How many have come to wait.
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().unwrap().waiting.len()
    }

    /// Whether it is open; else wakes `waker` when it is.
    pub(super) fn poll(&self, waker: &Waker) -> bool {
        let mut way = self.0.lock().unwrap();
        if !way.is_open && !way.waiting.iter().any(|known| known.will_wake(waker)) {
            way.waiting.push(waker.clone());
        }
        way.is_open
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Gate")
    }
}

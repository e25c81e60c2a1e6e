//! A dependency engine on threads: it runs named workers, each when what it depends on is there,
//! and again when that changes.
//!
//! For daemons whose parts come and go: the connection to a store breaks, and with it has to stop,
//! and start anew, all that was made with it. Each part is a [`Manifold`]: the names of what it
//! depends on, and a function that starts a [`Worker`]. The machine that decides what to start and
//! stop is [`tenure_dependency::Engine`], whose documentation has the rules.
//!
//! | thread | why | how long |
//! | --- | --- | --- |
//! | [`EngineDriver::run`]'s own | waits for the timer and for orders | until the engine ends |
//! | one a start, named as its manifold | starts the worker and waits for it | until it has ended |
//!
//! When [`Engine::wait`] returns, every worker has ended and has been dropped: what is left of the
//! threads is their way out.

mod manifold;
mod runs;
mod worker;

use std::fmt;
use std::sync::Arc;

use tenure_core::{Instant, Slot};
use tenure_runtime::dependency::{EngineHub, EngineOrder};

use crate::park;
use crate::sync::thread::{self, JoinHandle};
pub use manifold::{Context, Manifold, Started};
use runs::Runs;
pub use worker::{Idle, Worker};

pub use tenure_dependency::{
    Config, ConfigError, Factor, InstallError, ManifoldName, ManifoldReport, ManifoldState, Report,
};
pub use tenure_runtime::CancelToken;
pub use tenure_runtime::dependency::{
    Agent, EngineError, EngineOptions, Failure, InputError, ManifoldConfig, ManifoldError,
    WorkerError, WorkerPanic,
};

/// Runs manifolds, each when its inputs are there, and again when they change.
///
/// Cheap to clone; all clones are one. Dropping the last one kills the engine: so a start function
/// that keeps a clone of its own engine keeps it alive.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Handle>);

/// What is dropped with the last handle.
struct Handle(Arc<EngineHub<Manifold>>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.kill();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine without manifolds, and the [`EngineDriver`] that makes it go.
    ///
    /// # Panics
    ///
    /// If `options` have no config, and the operating system has no random bytes to give for its
    /// seed.
    ///
    /// ```
    /// use tenure_std::dependency::{Engine, EngineOptions, Idle, Manifold, Started};
    ///
    /// let (engine, driver) = Engine::new(EngineOptions::new());
    /// let running = driver.spawn()?;
    /// let answer = |_: &_| Ok(Started::new(Idle::new()).output(42));
    /// engine.install("answer", Manifold::without_inputs(answer))?;
    /// engine.install("question", Manifold::new(["answer"], |context| {
    ///     let answer: i32 = context.get("answer")?;
    ///     assert_eq!(answer, 42);
    ///     Ok(Started::new(Idle::new()))
    /// }))?;
    /// engine.kill();
    /// engine.wait()?;
    /// running.join().expect("the driver does not panic");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(options: EngineOptions) -> (Engine, EngineDriver) {
        let hub = options.into_hub();
        (Engine(Arc::new(Handle(hub.clone()))), EngineDriver(Gone(hub)))
    }

    /// Adds a manifold, and has it started: whether its inputs are there or not.
    ///
    /// # Errors
    ///
    /// An [`InstallError`], if the name is taken, if the manifold would depend on itself, or if the
    /// engine is ending. The engine is as it was, and the manifold is dropped.
    ///
    /// ```
    /// use tenure_std::dependency::{Engine, EngineOptions, Idle, Manifold, Started};
    ///
    /// let (engine, driver) = Engine::new(EngineOptions::new());
    /// let idle = |input: &str| Manifold::new([input], |_| Ok(Started::new(Idle::new())));
    /// // An input need not exist yet.
    /// engine.install("chicken", idle("egg"))?;
    /// let refused = engine.install("egg", idle("chicken")).unwrap_err();
    /// let cycle = "a manifold cannot depend on itself: egg -> chicken -> egg";
    /// assert_eq!(refused.to_string(), cycle);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn install(
        &self,
        name: impl Into<ManifoldName>,
        manifold: Manifold,
    ) -> Result<(), InstallError> {
        self.hub().install(name.into(), manifold.inputs().to_vec(), manifold)
    }

    /// Asks to stop a manifold's worker, if it has one, and to forget the manifold, and returns at
    /// once. Those that depend on it stay, without that input.
    ///
    /// The name is free as soon as the worker has ended. If there is no such manifold, nothing
    /// happens.
    ///
    /// ```
    /// use tenure_std::dependency::{Engine, EngineOptions, Idle, Manifold, Started};
    ///
    /// let (engine, driver) = Engine::new(EngineOptions::new());
    /// driver.spawn()?;
    /// engine.install("idle", Manifold::without_inputs(|_| Ok(Started::new(Idle::new()))))?;
    /// engine.uninstall("idle");
    /// while engine.report().manifold("idle").is_some() {
    ///     std::thread::yield_now();
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn uninstall(&self, name: impl Into<ManifoldName>) {
        self.hub().uninstall(name.into());
    }

    /// Asks the engine to end, and returns at once: every worker is stopped, dependents before what
    /// they depend on, and then [`wait`](Engine::wait) returns.
    ///
    /// ```
    /// use tenure_std::dependency::{Engine, EngineOptions};
    ///
    /// let (engine, driver) = Engine::new(EngineOptions::new());
    /// engine.kill();
    /// driver.run();
    /// engine.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kill(&self) {
        self.hub().kill();
    }

    /// Waits for the engine to end: for every worker to have ended and to have been dropped.
    ///
    /// # Errors
    ///
    /// Why it ended, if nobody asked it to: [`EngineError::Fatal`] has the worst of the errors that
    /// [`EngineOptions::is_fatal`] accepted.
    ///
    /// # Blocking
    ///
    /// Until then. A worker that does not stop when it is killed keeps the engine from ending: the
    /// [`report`](Engine::report) names it, with the state `stopping`.
    ///
    /// ```
    /// use tenure_std::dependency::{Engine, EngineOptions, Manifold};
    ///
    /// let (engine, driver) = Engine::new(EngineOptions::new().is_fatal(|_| true));
    /// driver.spawn()?;
    /// engine.install("store", Manifold::without_inputs(|_| Err("the disk is gone".into())))?;
    /// assert_eq!(engine.wait().unwrap_err().to_string(), "a worker failed: the disk is gone");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait(&self) -> Result<(), EngineError> {
        let mut waiting = Waiting { hub: self.hub(), slot: None };
        park::block_on(|waker| waiting.hub.poll_end(&mut waiting.slot, waker))
    }

    /// What each manifold is doing: its state, its inputs, how often it was started, and its last
    /// error. `Display` is for people.
    ///
    /// ```
    /// use tenure_std::dependency::{Engine, EngineOptions, Idle, Manifold, Started};
    ///
    /// let (engine, driver) = Engine::new(EngineOptions::new());
    /// engine.install("idle", Manifold::new(["agent"], |_| Ok(Started::new(Idle::new()))))?;
    /// // The driver does not run yet.
    /// let report = "engine: running\nidle: starting, started 0 times, inputs agent";
    /// assert_eq!(engine.report().to_string(), report);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn report(&self) -> Report<Failure> {
        self.hub().report()
    }

    fn hub(&self) -> &EngineHub<Manifold> {
        &self.0.0
    }
}

/// One who waits for the end, for as long as it does.
struct Waiting<'a> {
    hub: &'a EngineHub<Manifold>,
    slot: Option<Slot>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            self.hub.stop_waiting(slot);
        }
    }
}

/// What makes an [`Engine`] go: see the [module](self) for its threads.
///
/// A driver that is dropped before the engine has ended ends it, with
/// [`EngineError::DriverDropped`]: all workers are killed at once, in any order, and nobody waits
/// for them.
#[must_use = "an engine does nothing unless its driver runs"]
pub struct EngineDriver(Gone);

/// Says that the driver is gone when it is.
struct Gone(Arc<EngineHub<Manifold>>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.driver_gone();
    }
}

impl fmt::Debug for EngineDriver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EngineDriver").finish_non_exhaustive()
    }
}

impl EngineDriver {
    /// Runs the engine to its end: until it is killed, its last handle is dropped, or a worker's
    /// error is fatal. [`Engine::wait`] says which.
    ///
    /// # Blocking
    ///
    /// Until then.
    ///
    /// ```
    /// use tenure_std::dependency::{Engine, EngineOptions};
    ///
    /// let (engine, driver) = Engine::new(EngineOptions::new());
    /// drop(engine);
    /// driver.run();
    /// ```
    pub fn run(self) {
        let hub = &self.0.0;
        let runs = Runs::new(hub.clone());
        let waker = park::waker();
        loop {
            let work = hub.take_work(&waker);
            for order in work.orders {
                match order {
                    EngineOrder::Start { run, manifold, inputs } => {
                        runs.start(run, manifold, inputs);
                    }
                    EngineOrder::Stop { run } => runs.stop(run),
                }
            }
            if work.has_ended {
                return;
            }
            // Before the clock is read, so that no jump is missed.
            hub.clock().on_jump(&waker);
            let now = hub.clock().now();
            match work.deadline {
                None | Some(Instant::MAX) => thread::park(),
                Some(deadline) if deadline <= now => hub.timer_fired(),
                Some(deadline) => thread::park_timeout(deadline.saturating_duration_since(now)),
            }
        }
    }

    /// Runs the engine on a thread of its own, named `tenure-engine`.
    ///
    /// # Errors
    ///
    /// If the operating system has no thread to give: the engine has ended then.
    ///
    /// ```
    /// use tenure_std::dependency::{Engine, EngineOptions};
    ///
    /// let (engine, driver) = Engine::new(EngineOptions::new());
    /// let running = driver.spawn()?;
    /// drop(engine);
    /// running.join().expect("the driver does not panic");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        thread::Builder::new().name("tenure-engine".to_owned()).spawn(move || self.run())
    }
}

use std::sync::Arc;

use tenure_dependency::{InstallError, ManifoldName, Report};
use tenure_runtime::dependency::{EngineError, EngineHub, EngineOptions, Failure};

use super::recipe::Recipe;
use super::{EngineDriver, Manifold};
use crate::end::wait_for_end;

/// Runs manifolds, each when its inputs are there, and again when they change.
///
/// Cheap to clone; all clones are one. Dropping the last one kills the engine. A start function
/// that keeps a clone keeps the engine alive.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Handle>);

/// What is dropped with the last handle.
#[derive(Debug)]
struct Handle {
    hub: Arc<EngineHub<Recipe>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.hub.kill();
    }
}

impl Engine {
    /// An engine without manifolds, and the [`EngineDriver`] that makes it go.
    ///
    /// # Panics
    ///
    /// If `options` has no config, and the operating system has no random bytes to give for its
    /// seed.
    ///
    /// ```
    /// use tenure_smol::dependency::{Engine, EngineOptions};
    ///
    /// # smol::block_on(async {
    /// let (engine, driver) = Engine::new(EngineOptions::new());
    /// let running = smol::spawn(driver.run());
    /// engine.kill();
    /// engine.wait().await?;
    /// running.await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn new(options: EngineOptions) -> (Engine, EngineDriver) {
        let hub = options.into_hub();
        let driver = EngineDriver::new(hub.clone());
        (Engine(Arc::new(Handle { hub })), driver)
    }

    /// Adds a manifold under a name, and starts it. What it depends on may come later.
    ///
    /// # Errors
    ///
    /// An [`InstallError`], if the name is taken, if the manifold would depend on itself, or if the
    /// engine is ending. The engine is as it was.
    ///
    /// ```
    /// # use tenure_smol::dependency::{Engine, EngineOptions, Manifold, Started};
    /// # let (engine, _driver) = Engine::new(EngineOptions::new());
    /// let needs = |input| {
    ///     Manifold::new([input], |_| async { Ok(Started::new(async { Ok(()) })) })
    /// };
    /// engine.install("hen", needs("egg"))?;
    /// let error = engine.install("egg", needs("hen")).unwrap_err();
    /// assert_eq!(error.to_string(), "a manifold cannot depend on itself: egg -> hen -> egg");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn install(
        &self,
        name: impl Into<ManifoldName>,
        manifold: Manifold,
    ) -> Result<(), InstallError> {
        let Manifold { inputs, recipe } = manifold;
        self.0.hub.install(name.into(), inputs, recipe)
    }

    /// Asks for a manifold to be stopped and forgotten, and returns at once. Those that depend on
    /// it stay, without it; its name is free once it has stopped.
    ///
    /// ```
    /// # use tenure_smol::dependency::{Engine, EngineOptions, Manifold, Started};
    /// # let (engine, _driver) = Engine::new(EngineOptions::new());
    /// # let manifold = Manifold::without_inputs(|_| async { Ok(Started::new(async { Ok(()) })) });
    /// engine.install("agent", manifold)?;
    /// engine.uninstall("agent");
    /// engine.uninstall("nobody"); // changes nothing
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn uninstall(&self, name: impl Into<ManifoldName>) {
        self.0.hub.uninstall(name.into());
    }

    /// Asks the engine to end, and returns at once: every worker is told to stop, dependents before
    /// what they depend on, and when all have, [`wait`](Engine::wait) returns.
    ///
    /// ```
    /// # use tenure_smol::dependency::{Engine, EngineOptions};
    /// # smol::block_on(async {
    /// let (engine, driver) = Engine::new(EngineOptions::new());
    /// engine.kill();
    /// driver.run().await;
    /// # })
    /// ```
    pub fn kill(&self) {
        self.0.hub.kill();
    }

    /// Waits for the engine to end. By then all its workers have been dropped.
    ///
    /// It waits for as long as a worker does not stop: [`report`](Engine::report) names it.
    ///
    /// # Errors
    ///
    /// Why it ended, if nobody asked it to.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    ///
    /// ```
    /// # use tenure_smol::dependency::{Engine, EngineError, EngineOptions};
    /// # smol::block_on(async {
    /// let (engine, driver) = Engine::new(EngineOptions::new());
    /// drop(driver);
    /// assert!(matches!(engine.wait().await, Err(EngineError::DriverDropped)));
    /// # })
    /// ```
    pub async fn wait(&self) -> Result<(), EngineError> {
        let hub = &self.0.hub;
        wait_for_end(|slot, waker| hub.poll_end(slot, waker), |slot| hub.stop_waiting(slot)).await
    }

    /// What each manifold is doing.
    ///
    /// ```
    /// # use tenure_smol::dependency::{Engine, EngineOptions, Manifold, Started};
    /// # let (engine, driver) = Engine::new(EngineOptions::new());
    /// # let manifold = Manifold::new(["agent"], |_| async { Ok(Started::new(async { Ok(()) })) });
    /// engine.install("tracker", manifold)?;
    /// assert_eq!(
    ///     engine.report().to_string(),
    ///     "engine: running\ntracker: starting, started 0 times, inputs agent"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn report(&self) -> Report<Failure> {
        self.0.hub.report()
    }
}

use std::sync::{Arc, PoisonError};

use tenure_core::BlockingClaimer;
use tenure_runtime::dependency::candidate;

use crate::dependency::{Agent, Context, Manifold, ManifoldConfig, Started, Worker, WorkerError};
use crate::sync::Mutex;
use crate::{Driver, Leadership, Tracker};

/// What reaches a store: the connection that the trackers of an engine share.
///
/// ```
/// use tenure_memory::MemoryStore;
/// use tenure_std::ApiCaller;
///
/// struct Memory(MemoryStore);
///
/// impl ApiCaller for Memory {
///     type Claimer = MemoryStore;
///
///     fn claimer(&self) -> MemoryStore {
///         self.0.clone()
///     }
/// }
/// ```
pub trait ApiCaller: Send + Sync + 'static {
    /// How a tracker speaks to the store.
    type Claimer: BlockingClaimer;

    /// A claimer for one tracker, over this connection.
    fn claimer(&self) -> Self::Claimer;
}

/// A manifold whose worker is a [`Tracker`]: for the unit that the agent is, and its service, over
/// the store that the API caller reaches.
///
/// | input, in this order | gives |
/// | --- | --- |
/// | [`agent_name`](ManifoldConfig::agent_name) | an `Arc<dyn Agent>`, whose tag is a unit's |
/// | [`api_caller_name`](ManifoldConfig::api_caller_name) | an `Arc<A>` |
///
/// It gives [`Leadership`] to those that depend on it. The tracker goes by the engine's clock. Its
/// driver runs on the manifold's thread; those that call the store are as
/// [`Driver`] has them.
///
/// When it is stopped, as the API caller is replaced, say, it resigns first: guarded work ends, and
/// the lease is released on the connection that it was got on. A store that fails for good ends it
/// with that error, and the engine starts it again by its back-off.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tenure_core::Outcome;
/// use tenure_memory::MemoryStore;
/// use tenure_std::dependency::{
///     Agent, Engine, EngineOptions, Idle, Manifold, ManifoldConfig, Started,
/// };
/// use tenure_std::{ApiCaller, Leadership, manifold};
///
/// struct Unit;
///
/// impl Agent for Unit {
///     fn tag(&self) -> String {
///         "unit-mysql-0".to_owned()
///     }
/// }
///
/// struct Memory(MemoryStore);
///
/// impl ApiCaller for Memory {
///     type Claimer = MemoryStore;
///
///     fn claimer(&self) -> MemoryStore {
///         self.0.clone()
///     }
/// }
///
/// let (engine, driver) = Engine::new(EngineOptions::new());
/// driver.spawn()?;
/// let agent = |_: &_| Ok(Started::new(Idle::new()).output::<Arc<dyn Agent>>(Arc::new(Unit)));
/// engine.install("agent", Manifold::without_inputs(agent))?;
/// let store = MemoryStore::new();
/// let caller =
///     move |_: &_| Ok(Started::new(Idle::new()).output(Arc::new(Memory(store.clone()))));
/// engine.install("api-caller", Manifold::without_inputs(caller))?;
/// let config = ManifoldConfig::new("agent", "api-caller", Duration::from_secs(10))?;
/// engine.install("leadership", manifold::<Memory>(config))?;
///
/// let (led, leads) = std::sync::mpsc::channel();
/// engine.install("work", Manifold::new(["leadership"], move |context| {
///     let leadership: Leadership = context.get("leadership")?;
///     led.send(leadership.wait_leader().wait())?;
///     Ok(Started::new(Idle::new()))
/// }))?;
/// assert!(matches!(leads.recv()?, Outcome::Leader { .. }));
/// engine.kill();
/// engine.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn manifold<A: ApiCaller>(config: ManifoldConfig) -> Manifold {
    Manifold::new(config.inputs(), move |context| start::<A>(&config, context))
}

fn start<A: ApiCaller>(config: &ManifoldConfig, context: &Context) -> Result<Started, WorkerError> {
    let agent: Arc<dyn Agent> = context.get(config.agent_name())?;
    let (service, unit) = candidate(&*agent)?;
    let caller: Arc<A> = context.get(config.api_caller_name())?;
    let (claimer, config) = (caller.claimer(), config.config().clone());
    let (tracker, driver) = Tracker::with_clock(claimer, service, unit, config, context.clock());
    let leadership = Leadership::from(tracker.clone());
    let driver = Mutex::new(Some(driver));
    Ok(Started::new(Tracking { tracker, driver }).output(leadership))
}

/// A tracker, and its driver until that runs.
struct Tracking<C> {
    tracker: Tracker,
    driver: Mutex<Option<Driver<C>>>,
}

impl<C: BlockingClaimer> Worker for Tracking<C> {
    fn kill(&self) {
        self.tracker.kill();
    }

    fn wait(&self) -> Result<(), WorkerError> {
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(driver) = driver {
            driver.run();
        }
        Ok(self.tracker.wait()?)
    }
}

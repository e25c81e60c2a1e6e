use std::future::pending;
use std::sync::Arc;

use futures_lite::future;
use tenure_core::Claimer;
use tenure_runtime::dependency::{Agent, ManifoldConfig, WorkerError, candidate};

use crate::dependency::{Context, Manifold, Started, Stop};
use crate::{Driver, Leadership, Tracker};

/// What reaches the store of leases: the output of a [manifold](manifold)'s API caller.
///
/// ```
/// use tenure_memory::MemoryStore;
/// use tenure_smol::ApiCaller;
///
/// struct Connection(MemoryStore);
///
/// impl ApiCaller for Connection {
///     type Claimer = MemoryStore;
///
///     fn claimer(&self) -> MemoryStore {
///         self.0.clone()
///     }
/// }
/// ```
pub trait ApiCaller: Send + Sync + 'static {
    /// What speaks to the store. One that blocks goes into an [`Unblock`](crate::Unblock).
    type Claimer: Claimer;

    /// A claimer for one tracker.
    fn claimer(&self) -> Self::Claimer;
}

/// A tracker that lives in a dependency engine, for the unit that the agent is, over the store that
/// the API caller reaches.
///
/// It depends on these two, which give an `Arc<dyn Agent>` and an `Arc<A>`. To those that depend on
/// it it gives its [`Leadership`]. Its tracker goes by the engine's clock.
///
/// - An agent whose tag is no unit's is an error that names the tag.
/// - A tracker whose store fails for good ends with that error, and comes back after the engine's
///   delay.
/// - When an input changes, or the engine ends, the tracker resigns: it waits for guarded work to
///   end, releases the lease, and only then ends.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tenure_core::Outcome;
/// use tenure_memory::MemoryStore;
/// use tenure_smol::dependency::{
///     Agent, Engine, EngineOptions, Manifold, ManifoldConfig, Started,
/// };
/// use tenure_smol::{ApiCaller, Leadership, manifold};
///
/// struct Unit;
///
/// impl Agent for Unit {
///     fn tag(&self) -> String {
///         "unit-mysql-0".to_owned()
///     }
/// }
///
/// struct Connection(MemoryStore);
///
/// impl ApiCaller for Connection {
///     type Claimer = MemoryStore;
///
///     fn claimer(&self) -> MemoryStore {
///         self.0.clone()
///     }
/// }
///
/// # smol::block_on(async {
/// let (engine, driver) = Engine::new(EngineOptions::new());
/// let running = smol::spawn(driver.run());
///
/// engine.install("agent", Manifold::without_inputs(|context| async move {
///     let stop = context.stop();
///     let worker = async move {
///         stop.wait().await;
///         Ok(())
///     };
///     Ok(Started::new(worker).output::<Arc<dyn Agent>>(Arc::new(Unit)))
/// }))?;
///
/// let store = MemoryStore::new();
/// engine.install("api-caller", Manifold::without_inputs(move |context| {
///     let connection = Arc::new(Connection(store.clone()));
///     async move {
///         let stop = context.stop();
///         let worker = async move {
///             stop.wait().await;
///             Ok(())
///         };
///         Ok(Started::new(worker).output(connection))
///     }
/// }))?;
///
/// let config = ManifoldConfig::new("agent", "api-caller", Duration::from_secs(10))?;
/// engine.install("leadership", manifold::<Connection>(config))?;
///
/// let (sender, outcomes) = async_channel::unbounded();
/// engine.install("worker", Manifold::new(["leadership"], move |context| {
///     let sender = sender.clone();
///     async move {
///         let leadership: Leadership = context.get("leadership")?;
///         Ok(Started::new(async move { Ok(sender.send(leadership.wait_leader().await).await?) }))
///     }
/// }))?;
/// assert!(matches!(outcomes.recv().await?, Outcome::Leader { .. }));
///
/// engine.kill();
/// engine.wait().await?;
/// running.await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn manifold<A: ApiCaller>(config: ManifoldConfig) -> Manifold {
    let inputs = config.inputs();
    let config = Arc::new(config);
    Manifold::new(inputs, move |context| {
        let config = config.clone();
        async move { start::<A>(&config, &context) }
    })
}

fn start<A: ApiCaller>(config: &ManifoldConfig, context: &Context) -> Result<Started, WorkerError> {
    let agent: Arc<dyn Agent> = context.get(config.agent_name())?;
    let (service, unit) = candidate(&*agent)?;
    let caller: Arc<A> = context.get(config.api_caller_name())?;
    let (claimer, clock) = (caller.claimer(), context.clock().clone());
    let (tracker, driver) =
        Tracker::with_clock(claimer, service, unit, config.config().clone(), clock);
    let leadership = Leadership::from(tracker.clone());
    Ok(Started::new(track(tracker, driver, context.stop())).output(leadership))
}

/// The worker: its tracker's driver, and what tells the tracker to end.
async fn track<C: Claimer>(
    tracker: Tracker,
    driver: Driver<C>,
    stop: Stop,
) -> Result<(), WorkerError> {
    let resign = async {
        stop.wait().await;
        tracker.kill();
        pending().await
    };
    future::or(driver.run(), resign).await;
    Ok(tracker.wait().await?)
}

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll};
use std::time::Duration;

use async_channel::Sender;
use smol::Executor;
use tenure_dependency::RunId;
use tenure_runtime::dependency::{EngineHub, EngineOrder};

use super::recipe::{Context, Recipe, Started};
use super::stop::Stop;
use crate::alarm::Alarm;

/// What makes an [`Engine`](super::Engine) go: the one future that all its starts and workers are
/// polled in.
///
/// Hand [`run`](EngineDriver::run) to an executor. Nothing is spawned behind your back, and no
/// thread is started: timers run on the reactor that smol's own types share.
///
/// A driver that is dropped before the engine has ended ends it: its workers are dropped where they
/// are.
#[must_use = "an engine does nothing unless its driver runs"]
#[derive(Debug)]
pub struct EngineDriver {
    hub: Gone,
}

/// Says that the driver is gone when it is.
#[derive(Debug)]
struct Gone(Arc<EngineHub<Recipe>>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.driver_gone();
    }
}

impl EngineDriver {
    pub(super) fn new(hub: Arc<EngineHub<Recipe>>) -> EngineDriver {
        EngineDriver { hub: Gone(hub) }
    }

    /// Runs the engine to its end: until it is killed, its last handle is dropped, or an error is
    /// fatal. [`Engine::wait`](super::Engine::wait) says which.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops all workers where they are, and is as dropping the driver.
    ///
    /// ```
    /// # use tenure_smol::dependency::{Engine, EngineOptions, Manifold, Started};
    /// # smol::block_on(async {
    /// let (engine, driver) = Engine::new(EngineOptions::new());
    /// engine.install("brief", Manifold::without_inputs(|_| async {
    ///     Ok(Started::new(async { Ok(()) }))
    /// }))?;
    /// let running = smol::spawn(driver.run());
    /// drop(engine);
    /// running.await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn run(self) {
        // Dropped before the hub hears that the driver is gone, and with it all runs.
        let executor = Executor::new();
        let out = Arc::new(Out::default());
        let mut alarm = Alarm::default();
        let drive = poll_fn(|context| self.poll(&executor, &out, &mut alarm, context));
        executor.run(drive).await;
    }

    fn poll(
        &self,
        executor: &Executor<'static>,
        out: &Arc<Out>,
        alarm: &mut Alarm,
        context: &mut task::Context<'_>,
    ) -> Poll<()> {
        let hub = &self.hub.0;
        loop {
            let work = hub.take_work(context.waker());
            for order in work.orders {
                match order {
                    EngineOrder::Start { run, manifold, inputs } => {
                        let (place, stop) = out.begin(run);
                        let context = Context::new(inputs, stop, hub.clock().clone());
                        executor.spawn(follow(hub.clone(), place, manifold, context)).detach();
                    }
                    EngineOrder::Stop { run } => out.stop(run),
                }
            }
            if work.has_ended {
                return Poll::Ready(());
            }
            let is_due = |at| alarm.poll(&**hub.clock(), at, Duration::MAX, context);
            if !work.deadline.is_some_and(is_due) {
                return Poll::Pending;
            }
            hub.timer_fired();
        }
    }
}

/// A start, and the worker that comes of it.
async fn follow(
    hub: Arc<EngineHub<Recipe>>,
    place: RunPlace,
    recipe: Arc<Recipe>,
    context: Context,
) {
    match recipe.clone().start(context).await {
        Ok(Started { worker, outputs }) => {
            hub.started(place.run, outputs);
            let result = worker.await.map_err(|error| recipe.filtered(error));
            hub.stopped(place.run, result);
        }
        Err(error) => hub.start_failed(place.run, recipe.filtered(error)),
    }
}

/// The runs that are out, and what tells each to stop.
#[derive(Debug, Default)]
struct Out(Mutex<BTreeMap<RunId, Sender<Infallible>>>);

impl Out {
    fn begin(self: &Arc<Out>, run: RunId) -> (RunPlace, Stop) {
        let (sender, stop) = Stop::new();
        self.lock().insert(run, sender);
        (RunPlace { run, out: self.clone() }, stop)
    }

    fn stop(&self, run: RunId) {
        // Outside of the lock, as whoever is woken may run at once.
        let sender = self.lock().get(&run).cloned();
        if let Some(sender) = sender {
            sender.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Sender<Infallible>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run's place among those that are out, for as long as it is.
#[derive(Debug)]
struct RunPlace {
    run: RunId,
    out: Arc<Out>,
}

impl Drop for RunPlace {
    fn drop(&mut self) {
        let sender = self.out.lock().remove(&self.run);
        drop(sender);
    }
}

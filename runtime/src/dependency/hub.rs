use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use tenure_core::{Instant, Slot, Wakers};
use tenure_dependency::{
    Action, Config, Engine, Event, InstallError, ManifoldName, Outcome, Report, RunId,
};

use super::error::{EngineError, Failure, WorkerError};
use super::inputs::{Inputs, Outputs};
use super::panic::WorkerPanic;
use crate::Clock;
use crate::end::End;
use crate::sync::{Mutex, MutexGuard};

/// One engine, as its handles and its driver share it. `M` is what a runtime keeps of a manifold:
/// how to start it.
#[derive(Debug)]
pub struct EngineHub<M> {
    clock: Arc<dyn Clock>,
    policy: Policy,
    state: Mutex<State<M>>,
}

/// What an engine makes of errors.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Whether an error ends the engine. None does by default. A panic in it is taken for a yes.
    pub is_fatal: fn(&Failure) -> bool,
    /// Whether the first of two fatal errors is worse than the second. Never, by default, so that
    /// the first one to come is reported. A panic in it is taken for a no.
    pub is_worse: fn(&Failure, &Failure) -> bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { is_fatal: |_| false, is_worse: |_, _| false }
    }
}

/// An engine has to end also where what was to judge an error panics.
impl Policy {
    fn is_fatal(&self, error: &Failure) -> bool {
        catch_unwind(AssertUnwindSafe(|| (self.is_fatal)(error))).unwrap_or(true)
    }

    fn is_worse(&self, error: &Failure, than: &Failure) -> bool {
        catch_unwind(AssertUnwindSafe(|| (self.is_worse)(error, than))).unwrap_or(false)
    }
}

#[derive(Debug)]
struct State<M> {
    machine: Engine<Failure>,
    now: Instant,
    manifolds: BTreeMap<ManifoldName, Arc<M>>,
    /// What the workers that run give to others.
    outputs: BTreeMap<RunId, Arc<Outputs>>,
    orders: Vec<EngineOrder<M>>,
    driver: Option<Waker>,
    end: End<EngineError>,
}

/// What the driver has to do.
pub enum EngineOrder<M> {
    /// Start this.
    Start {
        /// The number of the start.
        run: RunId,
        /// How.
        manifold: Arc<M>,
        /// With what.
        inputs: Inputs,
    },
    /// Stop this: as soon as there is a worker, if it is starting still.
    Stop {
        /// The number of its start.
        run: RunId,
    },
}

impl<M> fmt::Debug for EngineOrder<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineOrder::Start { run, inputs, .. } => {
                formatter.debug_tuple("Start").field(run).field(inputs).finish()
            }
            EngineOrder::Stop { run } => formatter.debug_tuple("Stop").field(run).finish(),
        }
    }
}

/// What a driver finds when it looks.
#[derive(Debug)]
pub struct EngineWork<M> {
    /// What to do, in order.
    pub orders: Vec<EngineOrder<M>>,
    /// When to hand in that time has passed, if at all.
    pub deadline: Option<Instant>,
    /// Whether the engine has ended, and so should the driver.
    pub has_ended: bool,
}

/// Whom to wake, and what to drop, once the lock is free.
struct Aftermath<M> {
    driver: Option<Waker>,
    ended: Wakers,
    gone: Vec<Arc<M>>,
}

impl<M> EngineHub<M> {
    /// An engine without manifolds.
    pub fn new(config: Config, policy: Policy, clock: Arc<dyn Clock>) -> Arc<EngineHub<M>> {
        let now = clock.now();
        let state = State {
            machine: Engine::new(config, now),
            now,
            manifolds: BTreeMap::new(),
            outputs: BTreeMap::new(),
            orders: Vec::new(),
            driver: None,
            end: End::new(),
        };
        Arc::new(EngineHub { clock, policy, state: Mutex::new(state) })
    }

    /// The clock that the engine lives by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Adds a manifold.
    ///
    /// # Errors
    ///
    /// Why the machine refuses it.
    pub fn install(
        &self,
        name: ManifoldName,
        inputs: Vec<ManifoldName>,
        manifold: M,
    ) -> Result<(), InstallError> {
        let mut state = self.lock();
        state.now = state.now.max(self.clock.now());
        let now = state.now;
        let actions = state.machine.install(name.clone(), inputs, now)?;
        state.manifolds.insert(name, Arc::new(manifold));
        let aftermath = state.carry_out(actions, self.policy);
        drop(state);
        aftermath.finish();
        Ok(())
    }

    /// Stops and forgets a manifold.
    pub fn uninstall(&self, name: ManifoldName) {
        self.handle(Event::Uninstalled { name });
    }

    /// Asks the engine to end.
    pub fn kill(&self) {
        self.handle(Event::Stop);
    }

    /// What each manifold is doing.
    pub fn report(&self) -> Report<Failure> {
        self.lock().machine.report()
    }

    /// How the engine ended, if it has; else leaves `waker` to be woken when it has. `slot` is
    /// where the caller is parked, and is to be [left](EngineHub::stop_waiting).
    pub fn poll_end(
        &self,
        slot: &mut Option<Slot>,
        waker: &Waker,
    ) -> Option<Result<(), EngineError>> {
        let mut state = self.lock();
        let (end, earlier) = state.end.poll(slot, waker);
        drop((state, earlier));
        end
    }

    /// Forgets one who waited for the end.
    pub fn stop_waiting(&self, slot: &Slot) {
        let waker = self.lock().end.leave(slot);
        drop(waker);
    }
}

/// The driver's side.
impl<M> EngineHub<M> {
    /// What there is to do; `waker` is woken when there is more.
    pub fn take_work(&self, waker: &Waker) -> EngineWork<M> {
        let mut state = self.lock();
        let earlier = state.driver.replace(waker.clone());
        let work = EngineWork {
            orders: std::mem::take(&mut state.orders),
            deadline: state.machine.deadline(),
            has_ended: state.end.has_come(),
        };
        drop((state, earlier));
        work
    }

    /// The timer is due.
    pub fn timer_fired(&self) {
        self.handle(Event::TimerFired);
    }

    /// A start has succeeded, and its worker gives this to others.
    pub fn started(&self, run: RunId, outputs: Outputs) {
        let mut state = self.lock();
        state.outputs.insert(run, Arc::new(outputs));
        let aftermath = state.step(Event::Started { run }, self);
        drop(state);
        aftermath.finish();
    }

    /// A start has failed.
    pub fn start_failed(&self, run: RunId, error: WorkerError) {
        let outcome = self.outcome(Err(error));
        self.handle(Event::StartFailed { run, outcome });
    }

    /// A worker has ended.
    ///
    /// Before that counts, what it gave to others is dropped. A panic there is its error.
    pub fn stopped(&self, run: RunId, result: Result<(), WorkerError>) {
        let outputs = self.lock().outputs.remove(&run);
        let result = match catch_unwind(AssertUnwindSafe(|| drop(outputs))) {
            Ok(()) => result,
            Err(payload) => Err(WorkerPanic::error("what the worker gave", &*payload)),
        };
        let outcome = self.outcome(result);
        self.handle(Event::Stopped { run, outcome });
    }

    /// The driver is gone, and with it all workers. If the engine has not ended, it has now.
    pub fn driver_gone(&self) {
        let mut state = self.lock();
        let gone = (state.driver.take(), std::mem::take(&mut state.orders));
        let manifolds = std::mem::take(&mut state.manifolds);
        let outputs = std::mem::take(&mut state.outputs);
        let mut ended = Wakers::default();
        if !state.end.has_come() {
            state.end.set(Err(EngineError::DriverDropped));
            ended = state.end.tell();
            // Nobody is left to do what it wants done, nor to start what would be installed.
            let now = state.now;
            state.machine.handle(Event::Stop, now);
        }
        drop(state);
        ended.wake();
        drop((gone, manifolds, outputs));
    }

    fn outcome(&self, result: Result<(), WorkerError>) -> Outcome<Failure> {
        match result {
            Ok(()) => Outcome::Finished,
            Err(WorkerError::Bounce) => Outcome::Bounce,
            Err(WorkerError::Failed(error)) if self.policy.is_fatal(&error) => {
                Outcome::Fatal(error)
            }
            Err(WorkerError::Failed(error)) => Outcome::Failed(error),
            Err(WorkerError::Missing(_)) => Outcome::Missing,
            Err(WorkerError::Uninstall) => Outcome::Uninstall,
        }
    }
}

impl<M> EngineHub<M> {
    fn handle(&self, event: Event<Failure>) {
        let mut state = self.lock();
        let aftermath = state.step(event, self);
        drop(state);
        aftermath.finish();
    }

    /// A panic under the lock would be a bug of ours; what it leaves is whole enough to go on.
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> State<M> {
    fn step(&mut self, event: Event<Failure>, hub: &EngineHub<M>) -> Aftermath<M> {
        self.now = self.now.max(hub.clock.now());
        let actions = self.machine.handle(event, self.now);
        self.carry_out(actions, hub.policy)
    }

    fn carry_out(&mut self, actions: Vec<Action<Failure>>, policy: Policy) -> Aftermath<M> {
        let mut aftermath = Aftermath { driver: None, ended: Wakers::default(), gone: Vec::new() };
        for action in actions {
            match action {
                // The driver reads the deadline when it looks for work.
                Action::ArmTimer { .. } => {}
                Action::Changed { name } => {
                    if !self.machine.contains(&name) {
                        aftermath.gone.extend(self.manifolds.remove(&name));
                    }
                    continue;
                }
                Action::Finished { errors } => {
                    let worst = errors.into_iter().reduce(|worst, error| {
                        if policy.is_worse(&error, &worst) { error } else { worst }
                    });
                    let end = worst.map_or(Ok(()), |worst| Err(EngineError::Fatal(worst)));
                    self.end.set(end);
                    aftermath.ended = self.end.tell();
                }
                Action::Start { name, run, inputs } => self.order_start(name, run, inputs),
                Action::Stop { name: _, run } => self.orders.push(EngineOrder::Stop { run }),
            }
            aftermath.driver = aftermath.driver.or_else(|| self.driver.take());
        }
        aftermath
    }

    fn order_start(&mut self, name: ManifoldName, run: RunId, inputs: Vec<Option<RunId>>) {
        let Some(manifold) = self.manifolds.get(&name).cloned() else { return };
        let names = self.machine.inputs(&name).unwrap_or_default().iter().cloned();
        let outputs = |input: Option<RunId>| self.outputs.get(&input?).cloned();
        let inputs = names.zip(inputs.into_iter().map(outputs)).collect();
        let inputs = Inputs::new(name, inputs);
        self.orders.push(EngineOrder::Start { run, manifold, inputs });
    }
}

impl<M> Aftermath<M> {
    fn finish(self) {
        if let Some(driver) = self.driver {
            driver.wake();
        }
        self.ended.wake();
        // Last, as it is not ours: it may block or panic.
        drop(self.gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;
    use crate::dependency::EngineOptions;

    #[test]
    fn an_order_shows_what_it_is_about() {
        let options = EngineOptions::new().clock(Arc::new(ManualClock::new()));
        let hub = options.into_hub::<()>();
        hub.install("api".into(), Vec::new(), ()).unwrap();
        let shown = || format!("{:?}", hub.take_work(Waker::noop()).orders);
        let start = shown();
        assert!(start.starts_with("[Start(RunId(") && start.contains("\"api\""), "{start}");
        hub.kill();
        let stop = shown();
        assert!(stop.starts_with("[Stop(RunId("), "{stop}");
    }
}

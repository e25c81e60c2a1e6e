use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use tenure_dependency::RunId;
use tenure_runtime::CancelToken;
use tenure_runtime::dependency::{EngineHub, Inputs};

use super::manifold::{Context, Manifold, Started, caught};
use super::{Worker, WorkerError};
use crate::sync::{Condvar, Mutex, MutexGuard, thread};

/// The starts and workers of an engine that are out, each on a thread of its own. All are told to
/// stop when it is dropped.
pub(super) struct Runs(Arc<Shared>);

struct Shared {
    hub: Arc<EngineHub<Manifold>>,
    runs: Mutex<BTreeMap<RunId, Run>>,
    /// The driver has come back from a worker's `kill`.
    killed: Condvar,
}

struct Run {
    cancel: CancelToken,
    stage: Stage,
}

enum Stage {
    Starting,
    Running(Arc<dyn Worker>),
    /// The driver is in the worker's `kill`.
    Killing,
    /// Told to stop, before there was a worker or since; and how it took that.
    Told(Result<(), WorkerError>),
}

impl Runs {
    pub(super) fn new(hub: Arc<EngineHub<Manifold>>) -> Runs {
        Runs(Arc::new(Shared { hub, runs: Mutex::default(), killed: Condvar::new() }))
    }

    pub(super) fn start(&self, run: RunId, manifold: Arc<Manifold>, inputs: Inputs) {
        let cancel = CancelToken::new();
        // A thread's name cannot have a zero in it.
        let name = inputs.manifold().as_str().replace('\0', "?");
        let context = Context::new(inputs, cancel.clone(), self.0.hub.clock().clone());
        self.0.lock().insert(run, Run { cancel, stage: Stage::Starting });
        let (shared, started) = (self.0.clone(), manifold.clone());
        let thread = thread::Builder::new().name(name);
        if let Err(error) = thread.spawn(move || shared.run(run, &started, context)) {
            drop(self.0.close(run));
            self.0.hub.start_failed(run, manifold.filtered(error.into()));
        }
    }

    pub(super) fn stop(&self, run: RunId) {
        self.0.stop(run);
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        let runs: Vec<RunId> = self.0.lock().keys().copied().collect();
        runs.into_iter().for_each(|run| self.0.stop(run));
    }
}

impl Shared {
    /// From the start to the end of the worker.
    fn run(&self, run: RunId, manifold: &Manifold, context: Context) {
        let started = manifold.start(&context);
        // The inputs are not to outlive the start for our sake. A panic in them is not the
        // worker's.
        drop(caught("an input", || {
            drop(context);
            Ok(())
        }));
        match started {
            Ok(Started { worker, outputs }) => {
                self.hub.started(run, outputs);
                let result = self.work(run, worker);
                self.hub.stopped(run, result.map_err(|error| manifold.filtered(error)));
            }
            Err(error) => {
                drop(self.close(run));
                self.hub.start_failed(run, manifold.filtered(error));
            }
        }
    }

    /// When this returns the worker has ended and has been dropped.
    fn work(&self, run: RunId, worker: Arc<dyn Worker>) -> Result<(), WorkerError> {
        let killed = if self.begin(run, &worker) { kill(&worker) } else { Ok(()) };
        let result = caught("the worker", || worker.wait());
        let killed = killed.and(self.close(run));
        let dropped = caught("the worker", || {
            drop(worker);
            Ok(())
        });
        killed.and(result).and(dropped)
    }

    /// Notes whom to kill. Whether that has to be done now.
    fn begin(&self, run: RunId, worker: &Arc<dyn Worker>) -> bool {
        match self.lock().get_mut(&run) {
            Some(Run { stage: stage @ Stage::Starting, .. }) => {
                *stage = Stage::Running(worker.clone());
                false
            }
            Some(Run { stage: Stage::Running(_) | Stage::Killing | Stage::Told(_), .. }) | None => {
                true
            }
        }
    }

    /// Tells a start or a worker to stop.
    fn stop(&self, run: RunId) {
        let mut runs = self.lock();
        let Some(Run { stage, cancel }) = runs.get_mut(&run) else { return };
        let cancel = cancel.clone();
        let worker = match stage {
            Stage::Starting => {
                *stage = Stage::Told(Ok(()));
                None
            }
            Stage::Running(_) => match std::mem::replace(stage, Stage::Killing) {
                Stage::Running(worker) => Some(worker),
                Stage::Starting | Stage::Killing | Stage::Told(_) => None,
            },
            Stage::Killing | Stage::Told(_) => None,
        };
        drop(runs);
        // It wakes with a waker that is not ours: a panic in it is not the worker's.
        drop(caught("a waker", || {
            cancel.cancel();
            Ok(())
        }));
        if let Some(worker) = worker {
            let killed = kill(&worker);
            drop(worker);
            if let Some(run) = self.lock().get_mut(&run) {
                run.stage = Stage::Told(killed);
            }
            self.killed.notify_all();
        }
    }

    /// Forgets a run, once nobody is about to kill it. How killing it went.
    fn close(&self, run: RunId) -> Result<(), WorkerError> {
        let is_killed = |runs: &mut BTreeMap<RunId, Run>| {
            runs.get(&run).is_some_and(|run| matches!(run.stage, Stage::Killing))
        };
        let runs = self.killed.wait_while(self.lock(), is_killed);
        let run = runs.unwrap_or_else(PoisonError::into_inner).remove(&run);
        match run.map(|run| run.stage) {
            Some(Stage::Told(killed)) => killed,
            Some(Stage::Starting | Stage::Running(_) | Stage::Killing) | None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kill(worker: &Arc<dyn Worker>) -> Result<(), WorkerError> {
    caught("the worker", || {
        worker.kill();
        Ok(())
    })
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tenure_core::ClaimerError;
use tenure_runtime::{CancelToken, ClaimerPanic};

/// Where the calls of one kind are made: on one thread, which lives as long as there are any.
///
/// A call that hangs keeps that thread, and the next one waits behind it. So a store that never
/// answers costs one thread for each kind of call, however often it is asked.
#[derive(Debug)]
pub(crate) struct Caller {
    /// What the thread is named by, and an error about the call.
    name: &'static str,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    /// The call that is out, to be cancelled.
    current: Option<CancelToken>,
    next: Option<Job>,
}

/// A call to make. It is given its cancel handle, and whether it can be made at all.
struct Job(Box<dyn FnOnce(Start<'_>) + Send>);

/// How a job starts.
pub(crate) enum Start<'a> {
    /// As a call, to be given up when the token is cancelled.
    Call(&'a CancelToken),
    /// With no thread to be had for it.
    Refused(std::io::Error),
}

impl std::fmt::Debug for Job {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Job")
    }
}

impl Caller {
    pub(crate) fn new(name: &'static str) -> Caller {
        Caller { name, state: Arc::default() }
    }

    /// Makes `call` in place of the one that is out or waits, and hands its result to `finished`.
    pub(crate) fn begin<T>(
        &self,
        call: impl FnOnce(&CancelToken) -> Result<T, ClaimerError> + Send + 'static,
        finished: impl FnOnce(Result<T, ClaimerError>) + Send + 'static,
    ) {
        let name = self.name;
        let job = Job(Box::new(move |start| {
            finished(match start {
                Start::Call(cancel) => match catch_unwind(AssertUnwindSafe(|| call(cancel))) {
                    Ok(result) => result,
                    Err(payload) => Err(ClaimerPanic::error(name, &*payload)),
                },
                Start::Refused(error) => Err(ClaimerError::unknown(error)),
            });
        }));
        let start = {
            let mut state = lock(&self.state);
            state.cancel();
            state.next = Some(job);
            !std::mem::replace(&mut state.running, true)
        };
        if start {
            let state = self.state.clone();
            let thread = thread::Builder::new().name(format!("tenure-{name}"));
            if let Err(error) = thread.spawn(move || run(&state)) {
                let job = {
                    let mut state = lock(&self.state);
                    state.running = false;
                    state.next.take()
                };
                if let Some(Job(job)) = job {
                    job(Start::Refused(error));
                }
            }
        }
    }

    /// Gives up the call that is out or waits.
    pub(crate) fn abandon(&self) {
        let dropped = lock(&self.state).cancel();
        drop(dropped);
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl State {
    fn cancel(&mut self) -> Option<Job> {
        if let Some(current) = &self.current {
            current.cancel();
        }
        self.next.take()
    }
}

fn run(state: &Mutex<State>) {
    loop {
        let cancel = CancelToken::new();
        let job = {
            let mut state = lock(state);
            state.current = Some(cancel.clone());
            match state.next.take() {
                Some(job) => job,
                None => {
                    state.running = false;
                    state.current = None;
                    return;
                }
            }
        };
        let Job(job) = job;
        job(Start::Call(&cancel));
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use tenure_core::ClaimerError;
use tenure_runtime::{CancelToken, ClaimerPanic};

use crate::sync::{Condvar, Mutex, MutexGuard, thread};

/// What is called of a store, by kind: one of each is out at most.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Claim,
    Released,
    Release,
}

const KINDS: [Kind; 3] = [Kind::Claim, Kind::Released, Kind::Release];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Claim => "claim",
            Kind::Released => "released",
            Kind::Release => "release",
        }
    }

    fn index(self) -> usize {
        match self {
            Kind::Claim => 0,
            Kind::Released => 1,
            Kind::Release => 2,
        }
    }
}

/// The threads on which a tracker's calls are made.
///
/// A call that hangs keeps its thread, and the next of its kind waits behind it. So there are no
/// more threads than kinds, however long the store hangs. Of those that have nothing to do one
/// stays, as to start a thread takes longer than most claims do.
#[derive(Debug)]
pub(crate) struct Callers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is a call to make, or none will come any more.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: [Line; KINDS.len()],
    /// How many threads have nothing to do, or are about to start.
    idle: usize,
    closed: bool,
}

/// The calls of one kind.
#[derive(Debug, Default)]
struct Line {
    /// What cancels the one that is out.
    out: Option<CancelToken>,
    next: Option<Job>,
}

/// A call to make, and whom to tell of its result.
struct Job(Box<dyn FnOnce(Start<'_>) + Send>);

/// How a job starts.
enum Start<'a> {
    /// As a call, to be given up when the token is cancelled.
    Call(&'a CancelToken),
    /// Not at all: there is no thread for it.
    Refused(std::io::Error),
}

impl fmt::Debug for Job {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Job")
    }
}

impl Callers {
    pub(crate) fn new() -> Callers {
        Callers(Arc::default())
    }

    /// Makes `call` in place of the one of its kind that is out or waits, and hands its result to
    /// `finished`.
    pub(crate) fn begin<T>(
        &self,
        kind: Kind,
        call: impl FnOnce(&CancelToken) -> Result<T, ClaimerError> + Send + 'static,
        finished: impl FnOnce(Result<T, ClaimerError>) + Send + 'static,
    ) {
        let job = Job(Box::new(move |start| {
            finished(match start {
                Start::Call(cancel) => match catch_unwind(AssertUnwindSafe(|| call(cancel))) {
                    Ok(result) => result,
                    Err(payload) => Err(ClaimerPanic::error(kind.name(), &*payload)),
                },
                Start::Refused(error) => Err(ClaimerError::unknown(error)),
            });
        }));
        let mut state = self.0.lock();
        let before = state.lines[kind.index()].give_up();
        state.lines[kind.index()].next = Some(job);
        let needs_thread = state.waiting() > state.idle;
        if needs_thread {
            state.idle += 1;
        }
        drop((state, before));
        if needs_thread {
            self.spawn(kind);
        } else {
            self.0.changed.notify_one();
        }
    }

    /// Gives up the call of this kind that is out or waits.
    pub(crate) fn abandon(&self, kind: Kind) {
        let before = self.0.lock().lines[kind.index()].give_up();
        drop(before);
    }

    fn spawn(&self, kind: Kind) {
        let shared = self.0.clone();
        let thread = thread::Builder::new().name("tenure-store".to_owned());
        if let Err(error) = thread.spawn(move || shared.run()) {
            let mut state = self.0.lock();
            state.idle -= 1;
            let job = state.lines[kind.index()].next.take();
            drop(state);
            if let Some(Job(job)) = job {
                job(Start::Refused(error));
            }
        }
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        let before = state.lines.each_mut().map(Line::give_up);
        drop((state, before));
        self.0.changed.notify_all();
    }
}

impl Line {
    /// Cancels the call that is out, and takes the one that waits.
    fn give_up(&mut self) -> Option<Job> {
        if let Some(out) = &self.out {
            out.cancel();
        }
        self.next.take()
    }

    fn can_start(&self) -> bool {
        self.out.is_none() && self.next.is_some()
    }
}

impl State {
    /// How many calls could be made at once, if there were threads for them.
    fn waiting(&self) -> usize {
        self.lines.iter().filter(|line| line.can_start()).count()
    }

    /// The next call to make, which is out from now on.
    fn take(&mut self) -> Option<(Kind, Job, CancelToken)> {
        let kind = KINDS.into_iter().find(|kind| self.lines[kind.index()].can_start())?;
        let line = &mut self.lines[kind.index()];
        let job = line.next.take()?;
        let cancel = CancelToken::new();
        line.out = Some(cancel.clone());
        Some((kind, job, cancel))
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.lock();
        state.idle -= 1;
        loop {
            if let Some((kind, Job(job), cancel)) = state.take() {
                drop(state);
                job(Start::Call(&cancel));
                state = self.lock();
                state.lines[kind.index()].out = None;
            } else if state.closed || state.idle > 0 {
                return;
            } else {
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

use std::fmt;
use std::ops::Deref;
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
///
/// A thread that has told of a result sees by itself what is to be called next, and makes that call
/// unless another one is quicker: no thread has to wake up between a watch that ends and the claim.
#[derive(Clone, Debug)]
pub(crate) struct Callers(Arc<Shared>);

/// Closes the callers when it is dropped: they begin no more calls, and those that are out are
/// cancelled.
#[derive(Debug)]
pub(crate) struct Open(Callers);

struct Shared {
    state: Mutex<State>,
    /// There is a call to make, or none will come any more.
    changed: Condvar,
    /// Begins and abandons what a result has led to.
    follow_up: Box<dyn Fn(&Callers) + Send + Sync>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    lines: [Line; KINDS.len()],
    /// How many threads are about to look for a call to make.
    looking: usize,
    /// How many threads wait to be told of one.
    asleep: usize,
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
    /// Callers that call `follow_up` whenever the result of a call has been handed in.
    pub(crate) fn open(follow_up: impl Fn(&Callers) + Send + Sync + 'static) -> Open {
        Open(Callers(Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            follow_up: Box::new(follow_up),
        })))
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
        if state.closed {
            return;
        }
        let before = state.lines[kind.index()].give_up();
        state.lines[kind.index()].next = Some(job);
        let waiting = state.waiting();
        let needs_thread = waiting > state.looking + state.asleep;
        let needs_telling = waiting > state.looking;
        if needs_thread {
            state.looking += 1;
        }
        drop(state);
        before.end();
        if needs_thread {
            self.spawn(kind);
        } else if needs_telling {
            self.0.changed.notify_one();
        }
    }

    /// Gives up the call of this kind that is out or waits.
    pub(crate) fn abandon(&self, kind: Kind) {
        let before = self.0.lock().lines[kind.index()].give_up();
        before.end();
    }

    /// Keeps all others from beginning or giving up a call.
    #[cfg(all(test, not(tenure_shuttle)))]
    pub(crate) fn hold(&self) -> impl Drop {
        struct Held<'a>(#[expect(dead_code, reason = "held")] MutexGuard<'a, State>);

        impl Drop for Held<'_> {
            fn drop(&mut self) {}
        }

        Held(self.0.lock())
    }

    fn spawn(&self, kind: Kind) {
        let callers = self.clone();
        let thread = thread::Builder::new().name("tenure-store".to_owned());
        if let Err(error) = thread.spawn(move || callers.run()) {
            let mut state = self.0.lock();
            state.looking -= 1;
            let job = state.lines[kind.index()].next.take();
            drop(state);
            if let Some(Job(job)) = job {
                job(Start::Refused(error));
            }
        }
    }

    fn run(&self) {
        let Callers(shared) = self;
        let mut state = shared.lock();
        state.looking -= 1;
        loop {
            if let Some((kind, Job(job), cancel)) = state.take() {
                drop(state);
                // Handing in the result reads the user's clock. What may panic there must not keep
                // the line of its kind, nor this thread from the next call.
                drop(catch_unwind(AssertUnwindSafe(|| job(Start::Call(&cancel)))));
                state = shared.lock();
                state.lines[kind.index()].out = None;
                state.looking += 1;
                drop(state);
                drop(catch_unwind(AssertUnwindSafe(|| (shared.follow_up)(self))));
                state = shared.lock();
                state.looking -= 1;
            } else if state.closed || state.looking + state.asleep > 0 {
                return;
            } else {
                state.asleep += 1;
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.asleep -= 1;
            }
        }
    }
}

impl Deref for Open {
    type Target = Callers;

    fn deref(&self) -> &Callers {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Callers(shared) = &self.0;
        let mut state = shared.lock();
        state.closed = true;
        let before = state.lines.each_mut().map(Line::give_up);
        drop(state);
        before.into_iter().for_each(GivenUp::end);
        shared.changed.notify_all();
    }
}

/// What was given up, and is to be ended outside of the lock: it wakes and drops what is not ours.
struct GivenUp {
    out: Option<CancelToken>,
    next: Option<Job>,
}

impl GivenUp {
    fn end(self) {
        drop(catch_unwind(AssertUnwindSafe(|| {
            if let Some(out) = self.out {
                out.cancel();
            }
            drop(self.next);
        })));
    }
}

impl Line {
    /// Gives up the call that is out, and takes the one that waits.
    fn give_up(&mut self) -> GivenUp {
        GivenUp { out: self.out.clone(), next: self.next.take() }
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
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

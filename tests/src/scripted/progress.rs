use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// How far the calls of a claimer and the driver that makes them are, for whoever waits until all
/// has happened that follows from what was done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How often anything has happened.
    steps: u64,
    /// How often a driver has looked at the clock, to wait for a deadline.
    looks: u64,
    /// The threads whose blocking call has returned, and whose result is not handed in so far.
    returning: HashSet<ThreadId>,
    /// How many results of blocking calls are handed in.
    handed_in: usize,
    driver_has_ended: bool,
}

/// Only a bug makes anybody wait this long.
const PATIENCE: Duration = Duration::from_secs(60);

impl Progress {
    /// Something has happened.
    pub(crate) fn step(&self) {
        self.change(|_| {});
    }

    /// A blocking call returns on this thread.
    pub(super) fn returns(&self) {
        self.change(|state| {
            state.returning.insert(thread::current().id());
        });
    }

    /// The clock was read: what a thread does first when it hands in a result.
    pub(crate) fn reads(&self) {
        let is_result = self.lock().returning.contains(&thread::current().id());
        if is_result {
            self.change(|state| {
                state.returning.remove(&thread::current().id());
                state.handed_in += 1;
            });
        }
    }

    /// A driver is about to wait for its deadline.
    pub(crate) fn looks(&self) {
        self.change(|state| state.looks += 1);
    }

    pub(crate) fn driver_ends(&self) {
        self.change(|state| state.driver_has_ended = true);
    }

    pub(crate) fn driver_has_ended(&self) -> bool {
        self.lock().driver_has_ended
    }

    pub(crate) fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Waits until something has happened since there were so many steps.
    pub(crate) fn wait_beyond(&self, steps: u64, what: &str) {
        self.wait(what, |state| state.steps > steps);
    }

    /// Waits until so many results of blocking calls are handed in.
    pub(crate) fn wait_for_results(&self, count: usize) {
        self.wait("the results are handed in", |state| state.handed_in >= count);
    }

    /// Has the driver look at the clock, by `rouse`, and waits until it has, or has ended.
    pub(crate) fn wait_for_a_look(&self, rouse: impl FnOnce()) {
        let before = self.lock().looks;
        rouse();
        self.wait("the driver looks at the clock", |state| {
            state.looks > before || state.driver_has_ended
        });
    }

    fn wait(&self, what: &str, mut holds: impl FnMut(&State) -> bool) {
        let waits = |state: &mut State| !holds(state);
        let result = self.0.changed.wait_timeout_while(self.lock(), PATIENCE, waits);
        let (state, result) = result.unwrap_or_else(PoisonError::into_inner);
        assert!(!result.timed_out(), "never: {what}: {state:?}");
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.steps += 1;
        drop(state);
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

use alloc::vec::Vec;
use core::time::Duration;

use tenure_core::Instant;

use crate::{ManifoldName, RunId};

/// A manifold, as the engine keeps it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Node<E> {
    pub(crate) inputs: Vec<ManifoldName>,
    pub(crate) state: State,
    /// Whether it is to be removed once it is down.
    pub(crate) leaving: bool,
    /// How long it waits after its next error.
    pub(crate) next_delay: Duration,
    pub(crate) starts: u64,
    pub(crate) last_error: Option<E>,
}

/// What a manifold is doing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum State {
    /// Nothing, until one of its inputs changes.
    Down,
    /// Waits for its next start.
    Waiting { at: Instant },
    /// A start is out.
    Starting { run: RunId },
    /// A start is out that was told to stop. Nobody has seen its worker, if it has one by now.
    Aborting { run: RunId },
    /// Its worker runs, and dependents may use it.
    Running { run: RunId, since: Instant },
    /// Its worker was told to stop.
    Stopping { run: RunId, since: Instant },
}

impl State {
    /// The start or the worker that is out.
    pub(crate) fn run(self) -> Option<RunId> {
        match self {
            State::Down | State::Waiting { .. } => None,
            State::Starting { run }
            | State::Aborting { run }
            | State::Running { run, .. }
            | State::Stopping { run, .. } => Some(run),
        }
    }
}

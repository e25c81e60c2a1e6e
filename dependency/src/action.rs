use alloc::vec::Vec;

use tenure_core::Instant;

use crate::{ManifoldName, RunId};

/// What can happen to an [`Engine`](crate::Engine), besides [installing](crate::Engine::install).
///
/// One that names a run which is not out, or a manifold that is not there, changes nothing.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Event<E> {
    /// A start has succeeded: there is a worker.
    Started {
        /// The number that the start went out with.
        run: RunId,
    },
    /// A start has failed: there is no worker.
    StartFailed {
        /// The number that the start went out with.
        run: RunId,
        /// How.
        outcome: Outcome<E>,
    },
    /// End: stop every worker, dependents before what they depend on.
    Stop,
    /// A worker has ended.
    Stopped {
        /// The number that its start went out with.
        run: RunId,
        /// How.
        outcome: Outcome<E>,
    },
    /// Time has passed. Needed when the armed timer is due; harmless at any other time.
    TimerFired,
    /// Stop this manifold's worker, if it has one, and forget the manifold.
    Uninstalled {
        /// Which one.
        name: ManifoldName,
    },
}

/// How a worker, or a start, ended.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Outcome<E> {
    /// It wants to be started again at once, and its dependents with it.
    Bounce,
    /// It has nothing more to do, until one of its inputs changes.
    Finished,
    /// It cannot do without an input that is not there.
    Missing,
    /// It failed.
    Failed(E),
    /// It failed, and the whole engine with it.
    Fatal(E),
    /// It wants to be forgotten.
    Uninstall,
}

/// What an [`Engine`](crate::Engine) wants done.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Action<E> {
    /// Hand in [`TimerFired`](Event::TimerFired) once the clock has reached `at`. There is one
    /// timer: this takes the place of what was armed before.
    ArmTimer {
        /// When.
        at: Instant,
    },
    /// What the [report](crate::Engine::report) says of this manifold has changed.
    Changed {
        /// Which one.
        name: ManifoldName,
    },
    /// Nothing more will come.
    Finished {
        /// All fatal errors, in their order: the first of them ended the engine, if it had not been
        /// told to [stop](Event::Stop) before.
        errors: Vec<E>,
    },
    /// Call the manifold's start function, and hand in how that went.
    Start {
        /// Which one.
        name: ManifoldName,
        /// Hand it back with what becomes of it.
        run: RunId,
        /// The runs of the workers that are its inputs now, in the order in which it named them;
        /// `None` for one that is not there.
        inputs: Vec<Option<RunId>>,
    },
    /// Tell this start or worker to stop. It may be starting still: then its worker has to stop as
    /// soon as there is one.
    Stop {
        /// Whose it is.
        name: ManifoldName,
        /// Which one it is.
        run: RunId,
    },
}

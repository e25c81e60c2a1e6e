use std::sync::{Arc, PoisonError};

use super::WorkerError;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// What a manifold runs.
///
/// ```
/// use std::sync::mpsc::{Receiver, Sender, channel};
/// use std::sync::{Mutex, PoisonError};
/// use tenure_std::dependency::{Worker, WorkerError};
///
/// /// Prints lines until it is killed.
/// struct Printer {
///     lines: Mutex<Receiver<Option<String>>>,
///     sender: Sender<Option<String>>,
/// }
///
/// impl Worker for Printer {
///     fn kill(&self) {
///         // If nobody listens any more, it has ended already.
///         let _ = self.sender.send(None);
///     }
///
///     fn wait(&self) -> Result<(), WorkerError> {
///         let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
///         while let Some(line) = lines.recv()? {
///             println!("{line}");
///         }
///         Ok(())
///     }
/// }
///
/// let (sender, lines) = channel();
/// let printer = Printer { lines: Mutex::new(lines), sender };
/// printer.kill();
/// printer.wait().expect("it ends well");
/// ```
pub trait Worker: Send + Sync + 'static {
    /// Asks the worker to end.
    ///
    /// It must return at once: it is called on the driver's thread, and nothing else of the engine
    /// happens meanwhile. It is called once at most, at any time from the worker's start on, also
    /// while [`wait`](Worker::wait) is about to return. A panic is the worker's error, once the
    /// worker has ended.
    fn kill(&self);

    /// Works, or waits for the work to end: called once, on the manifold's own thread, as soon as
    /// the worker is there.
    ///
    /// # Errors
    ///
    /// How the worker ended, where it did not end well, or wants something else than to stay down.
    /// A panic is [`WorkerError::Failed`].
    ///
    /// # Blocking
    ///
    /// Until the worker has ended, of itself or because it was killed.
    fn wait(&self) -> Result<(), WorkerError>;
}

/// A worker that is also given to others.
impl<W: Worker + ?Sized> Worker for Arc<W> {
    fn kill(&self) {
        (**self).kill();
    }

    fn wait(&self) -> Result<(), WorkerError> {
        (**self).wait()
    }
}

/// A worker that does nothing until it is killed: for a manifold that only gives something to
/// others.
///
/// ```
/// use tenure_std::dependency::{Idle, Worker};
///
/// let idle = Idle::new();
/// idle.kill();
/// idle.wait().expect("it ends well");
/// ```
#[derive(Debug, Default)]
pub struct Idle {
    is_killed: Mutex<bool>,
    changed: Condvar,
}

impl Idle {
    /// One that has not been killed.
    pub fn new() -> Idle {
        Idle::default()
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_killed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker for Idle {
    fn kill(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    fn wait(&self) -> Result<(), WorkerError> {
        let is_alive = |is_killed: &mut bool| !*is_killed;
        let waited = self.changed.wait_while(self.lock(), is_alive);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

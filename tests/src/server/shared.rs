use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Server, ServerError};

/// A server that several tests of a program use, each with names of its own.
///
/// It is started by the first that asks for it and ends with the last that holds it, so that
/// nothing is left of it when the program ends.
///
/// ```no_run
/// use tenure_testkit::server::{Server, Shared};
///
/// static REDIS: Shared = Shared::new(|| Server::redis(&[]));
///
/// let server = REDIS.server()?;
/// println!("it listens on {}", server.address());
/// # Ok::<(), tenure_testkit::server::ServerError>(())
/// ```
#[derive(Debug)]
pub struct Shared {
    start: fn() -> Result<Server, ServerError>,
    running: Mutex<Weak<Server>>,
}

impl Shared {
    /// A server that `start` starts when it is first asked for.
    pub const fn new(start: fn() -> Result<Server, ServerError>) -> Shared {
        Shared { start, running: Mutex::new(Weak::new()) }
    }

    /// The server: started now, unless somebody else still holds it.
    ///
    /// # Errors
    ///
    /// Why it did not start.
    ///
    /// # Blocking
    ///
    /// Until it answers.
    pub fn server(&self) -> Result<Arc<Server>, ServerError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = running.upgrade() {
            return Ok(server);
        }
        let server = Arc::new((self.start)()?);
        *running = Arc::downgrade(&server);
        Ok(server)
    }
}

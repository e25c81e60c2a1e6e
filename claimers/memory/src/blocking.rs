use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, ClaimerError, Judge, Leader, ServiceName,
};

use crate::MemoryStore;
use crate::store::NAP_MIN;

/// # Blocking
///
/// Only `released` does. It parks the calling thread, and nobody else's.
///
/// ```
/// use std::thread;
/// use std::time::Duration;
/// use tenure_core::{BlockingClaimer, Candidate};
/// use tenure_memory::MemoryStore;
/// use tenure_runtime::{CancelToken, fresh_nonce};
///
/// let store = MemoryStore::new();
/// let bid = Candidate {
///     service: "mysql".parse()?,
///     unit: "mysql/0".parse()?,
///     nonce: fresh_nonce(),
/// };
/// store.claim(&bid, Duration::from_secs(60))?;
/// thread::scope(|scope| {
///     let waiter = scope.spawn(|| store.released(&bid.service, &CancelToken::new()));
///     store.release(&bid)?;
///     waiter.join().unwrap()
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl BlockingClaimer for MemoryStore {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        self.claim_now(candidate, lease)
    }

    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        cancel.on_cancel(waker.clone());
        let mut listener = None;
        while !cancel.is_cancelled() {
            match self.held_for(service, &mut listener, &waker) {
                Some(remaining) => thread::park_timeout(remaining.max(NAP_MIN)),
                None => break,
            }
        }
        Ok(())
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.release_now(candidate);
        Ok(())
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        Ok(self.leader_now(service))
    }

    fn judge(&self) -> Judge {
        Judge::Host
    }
}

/// Rouses the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

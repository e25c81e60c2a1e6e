use std::task::Poll;
use std::time::Duration;

use futures_lite::future;
use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, Claimer, ClaimerError, Judge, Leader,
    ServiceName,
};

/// Drives an asynchronous [`Claimer`] on threads: each call is polled on the thread that makes it.
///
/// The claimer must not need an executor of its own to be running; smol's types do not.
///
/// ```
/// use std::time::Duration;
/// use tenure_core::{Config, Outcome};
/// use tenure_memory::MemoryStore;
/// use tenure_std::{BlockOn, Tracker};
///
/// // It has both traits; here its asynchronous one is driven.
/// let store = BlockOn::new(MemoryStore::new());
/// let config = Config::new(Duration::from_secs(10))?;
/// let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
/// driver.spawn()?;
/// assert!(matches!(tracker.wait_leader().wait(), Outcome::Leader { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BlockOn<C>(C);

impl<C: Claimer> BlockOn<C> {
    /// Drives `claimer`.
    pub fn new(claimer: C) -> BlockOn<C> {
        BlockOn(claimer)
    }
}

impl<C: Claimer> BlockingClaimer for BlockOn<C> {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        future::block_on(self.0.claim(candidate, lease))
    }

    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        let cancelled = future::poll_fn(|context| {
            cancel.on_cancel(context.waker().clone());
            if cancel.is_cancelled() { Poll::Ready(()) } else { Poll::Pending }
        });
        let cancelled = async {
            cancelled.await;
            Ok(())
        };
        future::block_on(future::or(cancelled, self.0.released(service)))
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        future::block_on(self.0.release(candidate))
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        future::block_on(self.0.leader(service))
    }

    fn judge(&self) -> Judge {
        self.0.judge()
    }
}

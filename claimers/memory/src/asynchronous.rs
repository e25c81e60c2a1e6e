use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use async_io::Timer;
use tenure_core::{Candidate, ClaimAnswer, Claimer, ClaimerError, Judge, Leader, ServiceName};

use crate::MemoryStore;
use crate::store::NAP_MIN;

/// Runs on any executor, and on none: `async-io`'s timers bring their own thread.
///
/// All but `released` are done at their first poll.
///
/// ```
/// use std::time::Duration;
/// use futures_lite::future;
/// use tenure_core::{Candidate, Claimer};
/// use tenure_memory::MemoryStore;
/// use tenure_runtime::fresh_nonce;
///
/// let store = MemoryStore::new();
/// let bid = Candidate {
///     service: "mysql".parse()?,
///     unit: "mysql/0".parse()?,
///     nonce: fresh_nonce(),
/// };
/// future::block_on(async {
///     store.claim(&bid, Duration::from_millis(20)).await?;
///     // Nobody renews it, so this ends in 20 ms.
///     store.released(&bid.service).await
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Claimer for MemoryStore {
    async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        self.claim_now(candidate, lease)
    }

    async fn released(&self, service: &ServiceName) -> Result<(), ClaimerError> {
        let mut listener = None;
        let mut timer = Timer::never();
        poll_fn(|context| {
            loop {
                let Some(remaining) = self.held_for(service, &mut listener, context.waker()) else {
                    return Poll::Ready(Ok(()));
                };
                timer.set_after(remaining.max(NAP_MIN));
                if Future::poll(Pin::new(&mut timer), context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    async fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.release_now(candidate);
        Ok(())
    }

    async fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        Ok(self.leader_now(service))
    }

    fn judge(&self) -> Judge {
        Judge::Host
    }
}

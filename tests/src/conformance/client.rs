use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures_lite::future;
use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, Claimer, ClaimerError, Leader, ServiceName,
};
use tenure_runtime::CancelToken;

/// Either trait, as the checks see it: calls that block.
pub(super) trait Client: Send + Sync + 'static {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError>;
    fn released(&self, service: &ServiceName, cancel: &CancelToken) -> Result<(), ClaimerError>;
    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError>;
    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError>;

    /// Polls a claim this many times at most, and drops it. `false` if this trait's claims cannot
    /// be cancelled.
    fn drop_claim(&self, candidate: &Candidate, lease: Duration, polls: usize) -> bool;
}

pub(super) struct Asynchronous<C>(pub(super) C);

impl<C: Claimer> Client for Asynchronous<C> {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        future::block_on(self.0.claim(candidate, lease))
    }

    fn released(&self, service: &ServiceName, cancel: &CancelToken) -> Result<(), ClaimerError> {
        let cancelled = poll_fn(|context| {
            cancel.on_cancel(context.waker().clone());
            if cancel.is_cancelled() { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        future::block_on(future::or(self.0.released(service), cancelled))
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        future::block_on(self.0.release(candidate))
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        future::block_on(self.0.leader(service))
    }

    fn drop_claim(&self, candidate: &Candidate, lease: Duration, polls: usize) -> bool {
        let mut claim = pin!(self.0.claim(candidate, lease));
        for _ in 0..polls {
            if claim.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                break;
            }
            // Gives what the claim waits for time to come, so that the next poll gets further.
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

pub(super) struct Blocking<C>(pub(super) C);

impl<C: BlockingClaimer> Client for Blocking<C> {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        self.0.claim(candidate, lease)
    }

    fn released(&self, service: &ServiceName, cancel: &CancelToken) -> Result<(), ClaimerError> {
        self.0.released(service, cancel)
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.0.release(candidate)
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        self.0.leader(service)
    }

    fn drop_claim(&self, _: &Candidate, _: Duration, _: usize) -> bool {
        false
    }
}

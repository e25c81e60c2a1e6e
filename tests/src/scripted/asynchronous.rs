use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tenure_core::{Candidate, ClaimAnswer, Claimer, ClaimerError, Judge, Leader, ServiceName};

use super::{Call, Reply, Scripted};

/// A call begins with its first poll, and is given up when it is dropped.
impl Claimer for Scripted {
    async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        self.make(Call::Claim, Some(candidate), Some(lease)).await.of_claim()
    }

    async fn released(&self, _: &ServiceName) -> Result<(), ClaimerError> {
        self.make(Call::Released, None, None).await.of_other()
    }

    async fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.make(Call::Release, Some(candidate), None).await.of_other()
    }

    async fn leader(&self, _: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        self.make(Call::Leader, None, None).await.of_other().map(|()| None)
    }

    fn judge(&self) -> Judge {
        Judge::Host
    }
}

/// A call that is out.
struct Making<'a> {
    claimer: &'a Scripted,
    number: usize,
}

impl Scripted {
    async fn make(
        &self,
        call: Call,
        candidate: Option<&Candidate>,
        lease: Option<Duration>,
    ) -> Reply {
        let making = Making { claimer: self, number: self.begin(call, candidate, lease) };
        poll_fn(|context| {
            let mut state = self.lock();
            match state.reply(making.number) {
                Some(reply) => Poll::Ready(reply),
                None => {
                    let earlier = state.wakers.insert(making.number, context.waker().clone());
                    drop((state, earlier));
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        let mut state = self.claimer.lock();
        state.give_up(self.number);
        let waker = state.wakers.remove(&self.number);
        drop((state, waker));
        self.claimer.0.changed.notify_all();
    }
}

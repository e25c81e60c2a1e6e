use std::future::{pending, poll_fn};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, Claimer, ClaimerError, Judge, Leader,
    ServiceName,
};

/// A claimer that keeps no books, as those would be counted. Its claims end as it is told, its
/// watches never, its releases at once.
#[derive(Clone)]
pub(crate) struct Told(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    always: Option<ClaimAnswer>,
    /// A claim is out, or has been answered.
    out: bool,
    answer: Option<ClaimAnswer>,
    waker: Option<Waker>,
}

impl Told {
    pub(crate) fn always(answer: ClaimAnswer) -> Told {
        let told = Told(Arc::default());
        told.0.state.lock().unwrap().always = Some(answer);
        told
    }

    /// From now on each claim waits to be told.
    pub(crate) fn hold(&self) {
        self.0.state.lock().unwrap().always = None;
    }

    pub(crate) fn is_out(&self) -> bool {
        self.0.state.lock().unwrap().out
    }

    /// Ends the claim that is out.
    pub(crate) fn tell(&self, answer: ClaimAnswer) {
        let waker = {
            let mut state = self.0.state.lock().unwrap();
            state.answer = Some(answer);
            state.waker.take()
        };
        self.0.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    fn end(&mut self) -> Option<ClaimAnswer> {
        let answer = self.answer.take().or_else(|| self.always.clone());
        self.out = answer.is_none();
        answer
    }
}

impl Claimer for Told {
    async fn claim(&self, _: &Candidate, _: Duration) -> Result<ClaimAnswer, ClaimerError> {
        poll_fn(|context| {
            let mut state = self.0.state.lock().unwrap();
            match state.end() {
                Some(answer) => Poll::Ready(Ok(answer)),
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    async fn released(&self, _: &ServiceName) -> Result<(), ClaimerError> {
        pending().await
    }

    async fn release(&self, _: &Candidate) -> Result<(), ClaimerError> {
        Ok(())
    }

    async fn leader(&self, _: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        Ok(None)
    }

    fn judge(&self) -> Judge {
        Judge::Host
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        drop(self.state.lock().unwrap());
        self.changed.notify_all();
    }
}

impl BlockingClaimer for Told {
    fn claim(&self, _: &Candidate, _: Duration) -> Result<ClaimAnswer, ClaimerError> {
        let mut state = self.0.state.lock().unwrap();
        loop {
            match state.end() {
                Some(answer) => return Ok(answer),
                None => state = self.0.changed.wait(state).unwrap(),
            }
        }
    }

    fn released(&self, _: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        cancel.on_cancel(self.0.clone().into());
        let state = self.0.state.lock().unwrap();
        drop(self.0.changed.wait_while(state, |_| !cancel.is_cancelled()).unwrap());
        Ok(())
    }

    fn release(&self, _: &Candidate) -> Result<(), ClaimerError> {
        Ok(())
    }

    fn leader(&self, _: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        Ok(None)
    }

    fn judge(&self) -> Judge {
        Judge::Host
    }
}

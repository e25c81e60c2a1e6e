use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, ClaimerError, Judge, Leader, ServiceName,
};

use super::{Call, Reply, Rouse, Scripted};

/// A call that hangs blocks its thread. Only `released` can be given up.
impl BlockingClaimer for Scripted {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        self.block(Call::Claim, Some(candidate), Some(lease), &Never).of_claim()
    }

    fn released(&self, _: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        self.block(Call::Released, None, None, cancel).of_other()
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.block(Call::Release, Some(candidate), None, &Never).of_other()
    }

    fn leader(&self, _: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        self.block(Call::Leader, None, None, &Never).of_other().map(|()| None)
    }

    fn judge(&self) -> Judge {
        Judge::Host
    }
}

/// The cancel handle of a call that has none.
struct Never;

impl Cancel for Never {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn on_cancel(&self, _: std::task::Waker) {}
}

impl Scripted {
    fn block(
        &self,
        call: Call,
        candidate: Option<&Candidate>,
        lease: Option<Duration>,
        cancel: &dyn Cancel,
    ) -> Reply {
        let number = self.begin(call, candidate, lease);
        let rouse = Rouse { shared: self.0.clone(), number };
        cancel.on_cancel(Arc::new(rouse).into());
        let mut state = self.lock();
        loop {
            if let Some(reply) = state.reply(number) {
                // Whoever looks up the leader hands in nothing.
                if call != Call::Leader {
                    self.0.progress.returns();
                }
                return reply;
            }
            if !state.ignores_cancel && cancel.is_cancelled() {
                state.give_up(number);
            } else {
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

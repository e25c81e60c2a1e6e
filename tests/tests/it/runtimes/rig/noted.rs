use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_core::{Candidate, ClaimAnswer, Claimer, ClaimerError, Judge, Leader, ServiceName};
use tenure_testkit::scripted::Call;

/// Notes which calls have come back to the task that made them, or were given up by it.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted(Arc<Mutex<Vec<Call>>>);

impl Noted {
    pub(super) fn over<C: Claimer>(&self, claimer: C) -> Over<C> {
        Over { claimer, noted: self.clone() }
    }

    pub(super) fn ended(&self, call: Call) -> usize {
        self.0.lock().unwrap().iter().filter(|ended| **ended == call).count()
    }

    fn note(&self, call: Call) -> Ends {
        Ends { noted: self.clone(), call }
    }
}

/// Notes its end.
struct Ends {
    noted: Noted,
    call: Call,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.noted.0.lock().unwrap().push(self.call);
    }
}

/// A claimer whose calls are noted.
#[derive(Debug)]
pub(super) struct Over<C> {
    claimer: C,
    noted: Noted,
}

impl<C: Claimer> Claimer for Over<C> {
    async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        let _ends = self.noted.note(Call::Claim);
        self.claimer.claim(candidate, lease).await
    }

    async fn released(&self, service: &ServiceName) -> Result<(), ClaimerError> {
        let _ends = self.noted.note(Call::Released);
        self.claimer.released(service).await
    }

    async fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        let _ends = self.noted.note(Call::Release);
        self.claimer.release(candidate).await
    }

    async fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        self.claimer.leader(service).await
    }

    fn judge(&self) -> Judge {
        self.claimer.judge()
    }
}

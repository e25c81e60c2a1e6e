use std::future::pending;
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Duration;

use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, Claimer, ClaimerError, Config, Judge, Leader,
    ServiceName, Term, UnitName,
};

/// A config whose renewals are so far apart that hardly any comes into a measurement.
pub(crate) fn config() -> Config {
    let longest = Duration::from_secs(600);
    Config::builder(longest).min_interval(Duration::from_micros(1)).build().expect("is in order")
}

/// The name of service number `number`.
pub(crate) fn service(number: usize) -> ServiceName {
    format!("service-{number}").parse().expect("is a name")
}

/// The name of unit number `unit` of service number `number`.
pub(crate) fn unit(number: usize, unit: usize) -> UnitName {
    format!("service-{number}/{unit}").parse().expect("is a name")
}

/// A claimer without a store: it grants or denies at once, and nothing is ever released. It keeps
/// nothing, so all that a tracker over it takes is the tracker's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Instantly {
    /// Denies everything.
    Deny,
    /// Grants everything.
    Grant,
}

impl Instantly {
    fn answer(self) -> ClaimAnswer {
        match self {
            Instantly::Deny => ClaimAnswer::Denied { leader: None, retry_after: None },
            Instantly::Grant => ClaimAnswer::Granted { term: Term::new(1) },
        }
    }
}

impl Claimer for Instantly {
    async fn claim(&self, _: &Candidate, _: Duration) -> Result<ClaimAnswer, ClaimerError> {
        Ok(self.answer())
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

impl BlockingClaimer for Instantly {
    fn claim(&self, _: &Candidate, _: Duration) -> Result<ClaimAnswer, ClaimerError> {
        Ok(self.answer())
    }

    fn released(&self, _: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        cancel.on_cancel(Arc::new(Unpark(thread::current())).into());
        while !cancel.is_cancelled() {
            thread::park();
        }
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

/// A claimer whose claims are granted when its [`Cue`] says so.
#[derive(Debug)]
pub(crate) struct OnCue {
    claims: async_channel::Sender<()>,
    cues: async_channel::Receiver<()>,
}

/// Says when an [`OnCue`] grants.
#[derive(Debug)]
pub(crate) struct Cue {
    claims: async_channel::Receiver<()>,
    cues: async_channel::Sender<()>,
}

impl OnCue {
    pub(crate) fn new() -> (Cue, OnCue) {
        let (said, claims) = async_channel::unbounded();
        let (cue, cues) = async_channel::unbounded();
        (Cue { claims, cues: cue }, OnCue { claims: said, cues })
    }

    /// If the cue is gone, nobody minds what the answer is.
    async fn answer(&self) -> Result<ClaimAnswer, ClaimerError> {
        let _ = self.claims.try_send(());
        let _ = self.cues.recv().await;
        Ok(Instantly::Grant.answer())
    }
}

impl Cue {
    /// Waits until a claim is out.
    pub(crate) fn wait_for_claim(&self) {
        self.claims.recv_blocking().expect("the claimer is there");
    }

    /// Grants the claim that is out, or the next one.
    pub(crate) fn grant(&self) {
        self.cues.try_send(()).expect("the claimer is there");
    }
}

impl Claimer for OnCue {
    async fn claim(&self, _: &Candidate, _: Duration) -> Result<ClaimAnswer, ClaimerError> {
        self.answer().await
    }

    async fn released(&self, service: &ServiceName) -> Result<(), ClaimerError> {
        Claimer::released(&Instantly::Grant, service).await
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

impl BlockingClaimer for OnCue {
    fn claim(&self, _: &Candidate, _: Duration) -> Result<ClaimAnswer, ClaimerError> {
        smol::block_on(self.answer())
    }

    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        BlockingClaimer::released(&Instantly::Grant, service, cancel)
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

/// Rouses the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

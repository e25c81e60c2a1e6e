use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, Claimer, ClaimerError, Instant, Judge, Leader,
    Nonce, ServiceName, Term,
};
use tenure_memory::MemoryStore;
use tenure_runtime::{Clock, ManualClock};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Fault {
    #[default]
    None,
    /// It does not reach the store.
    Lost,
    /// It does, and its answer does not come back.
    AnswerLost,
    Fatal,
    /// The store did it, and says that it never will.
    FatalAfter,
}

/// Which call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Call {
    Claim,
    Release,
}

/// What a store saw.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The connection it came over.
    pub(super) connection: usize,
    pub(super) nonce: Nonce,
    pub(super) at: Instant,
    pub(super) what: What,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum What {
    Granted(Term),
    Denied,
    /// Noted before it is done.
    Release,
}

type Verdict = dyn Fn(Call) -> Fault + Send + Sync;

/// A connection to a memory store, with faults. Through both of the claimers' traits.
#[derive(Clone)]
pub(super) struct Store {
    shared: Arc<Shared>,
    connection: usize,
}

struct Shared {
    memory: MemoryStore,
    clock: Arc<ManualClock>,
    verdict: Box<Verdict>,
    log: Mutex<Vec<Seen>>,
}

impl Store {
    /// A store on this clock, with the faults that `verdict` makes.
    pub(super) fn new(
        clock: Arc<ManualClock>,
        verdict: impl Fn(Call) -> Fault + Send + Sync + 'static,
    ) -> Store {
        let memory = MemoryStore::with_clock(clock.clone());
        let (verdict, log) = (Box::new(verdict), Mutex::default());
        Store { shared: Arc::new(Shared { memory, clock, verdict, log }), connection: 0 }
    }

    pub(super) fn connection(&self, connection: usize) -> Store {
        Store { shared: self.shared.clone(), connection }
    }

    pub(super) fn log(&self) -> Vec<Seen> {
        self.shared.log.lock().unwrap().clone()
    }

    fn note(&self, candidate: &Candidate, what: What) {
        let (connection, nonce) = (self.connection, candidate.nonce);
        let at = self.shared.clock.now();
        self.shared.log.lock().unwrap().push(Seen { connection, nonce, at, what });
    }

    fn claim_now(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        self.with_faults(Call::Claim, || {
            let answer = BlockingClaimer::claim(&self.shared.memory, candidate, lease)?;
            self.note(
                candidate,
                match answer {
                    ClaimAnswer::Granted { term } => What::Granted(term),
                    ClaimAnswer::Denied { .. } => What::Denied,
                },
            );
            Ok(answer)
        })
    }

    fn release_now(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.with_faults(Call::Release, || {
            self.note(candidate, What::Release);
            BlockingClaimer::release(&self.shared.memory, candidate)
        })
    }

    fn with_faults<T>(
        &self,
        call: Call,
        done: impl FnOnce() -> Result<T, ClaimerError>,
    ) -> Result<T, ClaimerError> {
        match (self.shared.verdict)(call) {
            Fault::None => done(),
            Fault::Lost => Err(ClaimerError::unknown("the call was lost")),
            Fault::AnswerLost => {
                done()?;
                Err(ClaimerError::unknown("the answer was lost"))
            }
            Fault::Fatal => Err(ClaimerError::fatal("the store is gone")),
            Fault::FatalAfter => {
                done()?;
                Err(ClaimerError::fatal("the store is gone"))
            }
        }
    }
}

impl BlockingClaimer for Store {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        self.claim_now(candidate, lease)
    }

    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        BlockingClaimer::released(&self.shared.memory, service, cancel)
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.release_now(candidate)
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        BlockingClaimer::leader(&self.shared.memory, service)
    }

    fn judge(&self) -> Judge {
        Judge::Host
    }
}

impl Claimer for Store {
    async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        self.claim_now(candidate, lease)
    }

    async fn released(&self, service: &ServiceName) -> Result<(), ClaimerError> {
        Claimer::released(&self.shared.memory, service).await
    }

    async fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.release_now(candidate)
    }

    async fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        Claimer::leader(&self.shared.memory, service).await
    }

    fn judge(&self) -> Judge {
        Judge::Host
    }
}

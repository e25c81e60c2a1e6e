use std::sync::Arc;
use std::time::Duration;

use smol::lock::Mutex;
use tenure_core::{
    BlockingClaimer, Candidate, ClaimAnswer, Claimer, ClaimerError, Judge, Leader, ServiceName,
};
use tenure_runtime::CancelToken;

/// Drives a [`BlockingClaimer`] on smol: its calls run on the thread pool of the `blocking` crate,
/// which smol shares.
///
/// A call that hangs costs one thread of that pool for each kind of call, and no more: the next
/// call of the kind waits for it, and is cancelled while it waits.
///
/// ```
/// use std::time::Duration;
/// use tenure_core::{Config, Outcome};
/// use tenure_smol::{Tracker, Unblock};
/// use tenure_sqlite::SqliteClaimer;
///
/// # smol::block_on(async {
/// let directory = tempfile::tempdir()?;
/// let store = SqliteClaimer::open(directory.path().join("leases.db"))?;
/// let config = Config::new(Duration::from_secs(10))?;
/// let (tracker, driver) =
///     Tracker::new(Unblock::new(store), "mysql".parse()?, "mysql/0".parse()?, config);
/// smol::spawn(driver.run()).detach();
/// assert!(matches!(tracker.wait_leader().await, Outcome::Leader { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Unblock<C> {
    claimer: Arc<C>,
    claims: Arc<Mutex<()>>,
    watches: Arc<Mutex<()>>,
    releases: Arc<Mutex<()>>,
    lookups: Arc<Mutex<()>>,
}

impl<C: BlockingClaimer> Unblock<C> {
    /// Drives `claimer`.
    pub fn new(claimer: C) -> Unblock<C> {
        Unblock {
            claimer: Arc::new(claimer),
            claims: Arc::default(),
            watches: Arc::default(),
            releases: Arc::default(),
            lookups: Arc::default(),
        }
    }

    /// Makes a call once the one before it, of the kind that `turn` stands for, has ended.
    async fn call<T: Send + 'static>(
        &self,
        turn: &Arc<Mutex<()>>,
        call: impl FnOnce(&C) -> T + Send + 'static,
    ) -> T {
        let turn = turn.lock_arc().await;
        let claimer = self.claimer.clone();
        smol::unblock(move || {
            // Held until the call has ended, also when nobody waits for it any more.
            let _turn = turn;
            call(&claimer)
        })
        .await
    }
}

impl<C: BlockingClaimer> Claimer for Unblock<C> {
    async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        let candidate = candidate.clone();
        self.call(&self.claims, move |claimer| claimer.claim(&candidate, lease)).await
    }

    async fn released(&self, service: &ServiceName) -> Result<(), ClaimerError> {
        let (service, cancelled) = (service.clone(), CancelToken::new());
        let _cancel = CancelOnDrop(cancelled.clone());
        self.call(&self.watches, move |claimer| claimer.released(&service, &cancelled)).await
    }

    async fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        let candidate = candidate.clone();
        self.call(&self.releases, move |claimer| claimer.release(&candidate)).await
    }

    async fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        let service = service.clone();
        self.call(&self.lookups, move |claimer| claimer.leader(&service)).await
    }

    fn judge(&self) -> Judge {
        self.claimer.judge()
    }
}

struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Candidate, ClaimAnswer, Claimer, ClaimerError, Judge, Leader, ServiceName, Term,
};

use crate::guard::{Fence, GuardedWrite};
use crate::store::Store;

/// A lease store in etcd. Cheap to clone: all clones share its connections.
///
/// Made by [`EtcdOptions::open`](crate::EtcdOptions::open). No call needs a runtime, or spawns
/// anything. Each has a connection of its own, and gives it back when it has ended in order.
#[derive(Clone, Debug)]
pub struct EtcdClaimer(Arc<Store>);

impl EtcdClaimer {
    pub(crate) fn new(store: Arc<Store>) -> EtcdClaimer {
        EtcdClaimer(store)
    }

    /// Sees whether the store can be used: that it is etcd, of a version that will do, lets this
    /// user in, and lets it read and write what begins with the store's prefix. Writes nothing.
    ///
    /// The source of an error is one line that names what is wrong.
    ///
    /// # Errors
    ///
    /// As [`Claimer::claim`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    pub async fn check(&self) -> Result<(), ClaimerError> {
        Ok(self.0.check().await?)
    }

    /// What `term` of `service` looks like to etcd.
    pub fn fence(&self, service: &ServiceName, term: Term) -> Fence {
        Fence::new(&self.0, service, term)
    }

    /// Puts `value` at `key` if `term` of `service` still stands, in one transaction.
    ///
    /// A leader that was paused for longer than its lease, and does not know it yet, is refused.
    /// The user must be allowed to write to `key`.
    ///
    /// # Errors
    ///
    /// As [`Claimer::claim`]: after [`ClaimerError::Unknown`] it may have been written.
    ///
    /// # Cancel safety
    ///
    /// It may have been written or not.
    pub async fn put_guarded(
        &self,
        service: &ServiceName,
        term: Term,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<GuardedWrite, ClaimerError> {
        let fence = self.fence(service, term);
        Ok(self.0.put_guarded(&fence, key.as_ref(), value.as_ref()).await?)
    }
}

/// # Cancel safety
///
/// Whatever a cancelled call was at, its connection is closed. A claim may leave a lease in etcd
/// that no key is under: it runs out by itself.
impl Claimer for EtcdClaimer {
    async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        Ok(self.0.claim(candidate, lease).await?)
    }

    async fn released(&self, service: &ServiceName) -> Result<(), ClaimerError> {
        Ok(self.0.released(service).await?)
    }

    async fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        Ok(self.0.release(candidate).await?)
    }

    async fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        Ok(self.0.leader(service).await?)
    }

    /// [`Judge::Server`]: the clock of the cluster's leader.
    fn judge(&self) -> Judge {
        Judge::Server
    }
}

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Candidate, ClaimAnswer, Claimer, ClaimerError, Judge, Leader, ServiceName};

use crate::store::Store;

/// A lease store in a Postgres table. Cheap to clone: all clones share its connections.
///
/// [`PostgresOptions`](crate::PostgresOptions) opens one. A call takes a connection that nobody
/// uses, or makes one, and drives it inside its own future: no task and no thread is behind it.
/// Four idle connections are kept at most; a tracker needs one or two.
#[derive(Clone, Debug)]
pub struct PostgresClaimer(Arc<Store>);

impl PostgresClaimer {
    pub(crate) fn new(store: Store) -> PostgresClaimer {
        PostgresClaimer(Arc::new(store))
    }

    /// Connects, makes the table if there is none, and makes sure that this user may do with it
    /// what a candidate does: for a program to say at its start what is wrong.
    ///
    /// A claim does the same by itself, so nobody needs to call this.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line: its source is a [`StoreError`](crate::StoreError).
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind, but the table may have been made.
    pub async fn check(&self) -> Result<(), ClaimerError> {
        Ok(self.0.check().await?)
    }

    /// A query that gives a row as long as a term stands, and keeps it standing until the end of
    /// the transaction that it is made in.
    ///
    /// Its parameters are the service (`$1`, a text) and the term (`$2`, a bigint). Made in the
    /// same transaction as a leader's own writes, and before them, it makes these impossible for
    /// one whose term is over: it finds no row then. `examples/guarded.rs` shows it.
    ///
    /// The row's term is locked (`FOR KEY SHARE`). Without that, another could take over between
    /// the look and the commit, and write before it. While the lock is held the leader renews, and
    /// can release, but nobody can take over: so keep such transactions short, and set
    /// `idle_in_transaction_session_timeout`, lest one that was left open keeps everybody waiting.
    ///
    /// ```
    /// use tenure_postgres::PostgresOptions;
    ///
    /// let claimer = PostgresOptions::from_url("postgres://db/jobs")?.open();
    /// let guarded = format!(
    ///     "WITH guard AS ({}) UPDATE job SET owner = $3 WHERE EXISTS (SELECT FROM guard)",
    ///     claimer.guard_sql()
    /// );
    /// assert!(guarded.contains("FOR KEY SHARE"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn guard_sql(&self) -> String {
        self.0.guard()
    }
}

/// # Cancel safety
///
/// A call that is dropped closes the connection that it used. What it had sent may still take
/// effect: within the server's own limit, which is shorter than the claimer's.
impl Claimer for PostgresClaimer {
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

    /// [`Judge::Server`]: the wall clock of the server.
    fn judge(&self) -> Judge {
        Judge::Server
    }
}

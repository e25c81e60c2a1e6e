use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Candidate, ClaimAnswer, Claimer, ClaimerError, Judge, Leader, ServiceName, Term,
};

use crate::guarded::Guarded;
use crate::held_off::HeldOff;
use crate::store::{Look, Store};

/// A lease store in Redis or Valkey. Cheap to clone: all clones share its connections.
///
/// [`RedisOptions`](crate::RedisOptions) opens one. A call takes a connection that nobody uses, or
/// makes one, and drives it inside its own future: no task and no thread is behind it. Four idle
/// connections are kept at most; a tracker needs one or two, and one more while it waits.
#[derive(Clone, Debug)]
pub struct RedisClaimer(Arc<Store>);

impl RedisClaimer {
    pub(crate) fn new(store: Store) -> RedisClaimer {
        RedisClaimer(Arc::new(store))
    }

    /// Connects, and makes sure that this server is one to keep leases on and that this user may
    /// do what a candidate does: for a program to say at its start what is wrong.
    ///
    /// A claim does without, so nobody needs to call this. It leaves nothing in the store.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line: its source is a [`StoreError`](crate::StoreError).
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    pub async fn check(&self) -> Result<(), ClaimerError> {
        Ok(self.0.check().await?)
    }

    /// Whether claims of `service` are held off, why, and for how long: where nobody is known to
    /// lead, and somebody may whom the server has forgotten.
    ///
    /// A claim that is held off is [`Denied`](ClaimAnswer::Denied) without a leader, and logged as
    /// a warning. What no claim has come upon yet is not known here.
    ///
    /// # Errors
    ///
    /// As for [`leader`](Claimer::leader).
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    pub async fn held_off(&self, service: &ServiceName) -> Result<Option<HeldOff>, ClaimerError> {
        match self.0.look(service).await? {
            Look::HeldOff(held_off) => Ok(Some(held_off)),
            Look::Held { .. } | Look::Free => Ok(None),
        }
    }

    /// Runs `script` at the server, if `term` still stands there: if it is the latest term of
    /// `service`, and its lease is not over. Both happen in one atomic operation.
    ///
    /// `script` is Lua, as for `EVAL`: its `KEYS` and `ARGV` are `keys` and `arguments`, and what
    /// it returns is in [`Guarded::Done`]. It is a function's body, so it may not define `KEYS`
    /// itself, but it may `return` from anywhere.
    ///
    /// This guards what is in the same database of the same server. It also guards against a server
    /// that has forgotten the lease: such a server refuses. What is elsewhere has to compare terms
    /// itself: `examples/guarded.rs` shows both.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     claimer: tenure_redis::RedisClaimer,
    /// #     term: tenure_core::Term,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use tenure_redis::Guarded;
    ///
    /// let script = "return redis.call('SET', KEYS[1], ARGV[1])";
    /// let service = "mysql".parse()?;
    /// match claimer.guarded_eval(&service, term, script, &["primary"], &[b"host-a"]).await? {
    ///     Guarded::Done(_) => println!("written"),
    ///     Guarded::Refused => println!("somebody else leads by now, or nobody"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`claim`](Claimer::claim). An error in the script is Unknown too: what it had done
    /// by then is done.
    ///
    /// # Cancel safety
    ///
    /// The script may have been run or not.
    pub async fn guarded_eval(
        &self,
        service: &ServiceName,
        term: Term,
        script: &str,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<Guarded, ClaimerError> {
        Ok(self.0.guarded(service, term, script, keys, arguments).await?)
    }
}

/// # Cancel safety
///
/// A call that is dropped closes the connection that it used. What it had sent may still take
/// effect.
impl Claimer for RedisClaimer {
    async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        Ok(self.0.claim(candidate, lease).await?)
    }

    /// As [`Claimer::released`]. While it waits it has a connection of its own.
    async fn released(&self, service: &ServiceName) -> Result<(), ClaimerError> {
        Ok(self.0.released(service).await?)
    }

    async fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        Ok(self.0.release(candidate).await?)
    }

    async fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        match self.0.look(service).await? {
            Look::Held { leader } => Ok(Some(leader)),
            Look::HeldOff(_) | Look::Free => Ok(None),
        }
    }

    /// [`Judge::Server`]: the server's wall clock.
    fn judge(&self) -> Judge {
        Judge::Server
    }
}

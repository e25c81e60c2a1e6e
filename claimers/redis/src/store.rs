use std::time::{Duration, Instant};

use tenure_core::{Candidate, ClaimAnswer, Leader, ServiceName, Term};
use tenure_net::{Endpoints, Idle, Tls, within};

use crate::error::StoreError;
use crate::facts::Facts;
use crate::guarded::Guarded;
use crate::held_off::HeldOff;
use crate::options::HoldOff;
use crate::reply::{Claimed, Reply};
use crate::scripts::{Lua, Scripts};
use crate::session::{Login, Session};

/// A store, as one process has it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) endpoints: Endpoints,
    pub(crate) login: Login,
    pub(crate) tls: Option<Tls>,
    pub(crate) prefix: String,
    pub(crate) hold_off: HoldOff,
    pub(crate) time_limit: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) scripts: Scripts,
    pub(crate) idle: Idle<Session>,
}

/// The most connections that are kept though nobody uses them.
pub(crate) const IDLE_MAX: usize = 4;

/// Where a service is kept.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) lease: String,
    pub(crate) fence: String,
    /// Of all services: gone when the store was wiped.
    pub(crate) marker: String,
    pub(crate) channel: String,
}

/// What a service's keys say.
#[derive(Debug)]
pub(crate) enum Look {
    /// Somebody leads.
    Held { leader: Leader },
    /// Nobody leads, and nobody will for a while: somebody may lead whom the server has forgotten.
    HeldOff(HeldOff),
    /// Nobody leads.
    Free,
}

impl Store {
    pub(crate) fn keys(&self, service: &str) -> Keys {
        let (prefix, database) = (&self.prefix, self.login.database);
        Keys {
            lease: format!("{prefix}lease:{{{service}}}"),
            fence: format!("{prefix}fence:{{{service}}}"),
            marker: format!("{prefix}marker"),
            // Channels belong to no database.
            channel: format!("{prefix}changed:{database}:{{{service}}}"),
        }
    }

    pub(crate) async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, StoreError> {
        let lease_ms = millis(lease)?.to_string();
        let keys = self.keys(candidate.service.as_str());
        let holder = holder(candidate);
        let claim = async |session: &mut Session| {
            let memory = self.memory_of(session)?;
            let arguments = [
                holder.as_bytes(),
                lease_ms.as_bytes(),
                memory.kind.as_bytes(),
                memory.run.as_bytes(),
                memory.started_ms.as_bytes(),
                keys.channel.as_bytes(),
            ];
            let all_keys = [&*keys.lease, &*keys.fence, &*keys.marker];
            session.run(&self.scripts.claim, &all_keys, &arguments).await
        };
        match Reply::new(self.with_session(claim).await?, &keys)?.claim()? {
            Claimed::Answered(answer) => Ok(answer),
            Claimed::HeldOff(held_off) => {
                let service = candidate.service.as_str();
                tracing::warn!(service, "{held_off}");
                Ok(ClaimAnswer::Denied { leader: None, retry_after: Some(held_off.remaining) })
            }
        }
    }

    pub(crate) async fn release(&self, candidate: &Candidate) -> Result<(), StoreError> {
        let keys = self.keys(candidate.service.as_str());
        let holder = holder(candidate);
        let arguments = [holder.as_bytes(), keys.channel.as_bytes()];
        let release = async |session: &mut Session| {
            session.run(&self.scripts.release, &[&keys.lease, &keys.fence], &arguments).await
        };
        self.with_session(release).await.map(drop)
    }

    pub(crate) async fn look(&self, service: &ServiceName) -> Result<Look, StoreError> {
        let keys = self.keys(service.as_str());
        let look = async |session: &mut Session| {
            // What is held off is in the keys: so one who only looks need not be allowed INFO.
            let kind = match self.hold_off {
                HoldOff::UnsafelyNever => TRUSTED,
                HoldOff::Always | HoldOff::WhenForgetful => DURABLE,
            };
            let all_keys = [&*keys.lease, &*keys.fence];
            session.run(&self.scripts.look, &all_keys, &[kind.as_bytes()]).await
        };
        Reply::new(self.with_session(look).await?, &keys)?.look()
    }

    pub(crate) async fn guarded(
        &self,
        service: &ServiceName,
        term: Term,
        script: &str,
        own_keys: &[&str],
        own_arguments: &[&[u8]],
    ) -> Result<Guarded, StoreError> {
        let keys = self.keys(service.as_str());
        let term = term.to_string();
        let script = Lua::guarded(script);
        let all_keys = [&[&*keys.lease, &*keys.fence], own_keys].concat();
        let arguments = [&[term.as_bytes()], own_arguments].concat();
        let guarded = async |session: &mut Session| {
            // A server that may drop leases has no say in whether a term stands.
            self.memory_of(session)?;
            session.run(&script, &all_keys, &arguments).await
        };
        Reply::new(self.with_session(guarded).await?, &keys)?.guarded()
    }

    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        // No service has a slash in its name.
        let keys = self.keys("/");
        let attempt = async |session: &mut Session| {
            self.memory_of(session)?;
            let script = &self.scripts.attempt;
            let all_keys = [&*keys.lease, &*keys.fence, &*keys.marker];
            session.run(script, &all_keys, &[keys.channel.as_bytes()]).await
        };
        self.with_session(attempt).await?;
        let session = self.connect(self.time_limit).await?;
        within(self.time_limit, session.subscribe(&keys.channel)).await??;
        Ok(())
    }

    /// A connection of one's own.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<Session, StoreError> {
        let open = |endpoint| Session::open(endpoint, self.tls.as_ref(), &self.login);
        self.endpoints.first(limit, open).await.map_err(StoreError::Unreachable)
    }

    /// Makes one call on a connection, which is kept if all went well. Nothing is sent twice.
    async fn with_session<T>(
        &self,
        call: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let mut session = match self.idle_session().await {
            Some(session) => session,
            None => self.connect(self.time_limit).await?,
        };
        let left = self.time_limit.saturating_sub(began.elapsed());
        let result = within(left, call(&mut session)).await.map_err(StoreError::from);
        let result = result.flatten();
        match &result {
            Ok(_) => self.idle.put(session),
            Err(StoreError::Replica) => {
                // It was promoted down: others may know the one that takes writes now.
                self.endpoints.skip();
                self.idle.clear();
            }
            Err(StoreError::Io(_) | StoreError::TimedOut(_)) => self.idle.clear(),
            Err(_) => {}
        }
        result
    }

    async fn idle_session(&self) -> Option<Session> {
        while let Some(mut session) = self.idle.take() {
            if session.is_quiet().await {
                return Some(session);
            }
        }
        None
    }

    /// What the scripts have to know of what the server remembers.
    fn memory_of(&self, session: &Session) -> Result<Memory, StoreError> {
        let Some(facts) = &session.facts else {
            return match self.hold_off {
                HoldOff::UnsafelyNever => Ok(Memory::trusted()),
                HoldOff::Always | HoldOff::WhenForgetful => Err(StoreError::NoInfo),
            };
        };
        let Facts { run, started_ms, is_durable, eviction } = facts;
        if let Some(policy) = eviction {
            return Err(StoreError::Evicting { policy: policy.clone() });
        }
        let kind = match self.hold_off {
            HoldOff::Always => FORGETFUL,
            HoldOff::UnsafelyNever => TRUSTED,
            HoldOff::WhenForgetful if *is_durable => DURABLE,
            HoldOff::WhenForgetful => FORGETFUL,
        };
        Ok(Memory { kind, run: run.clone(), started_ms: started_ms.to_string() })
    }
}

/// May forget what it was told, when it ends.
const FORGETFUL: &str = "forgetful";
/// Forgets only what somebody has it delete.
const DURABLE: &str = "durable";
/// Is held to forget nothing, whatever happens.
const TRUSTED: &str = "trusted";

/// What a server is taken for, and of which times it may have forgotten leases.
struct Memory {
    kind: &'static str,
    run: String,
    started_ms: String,
}

impl Memory {
    fn trusted() -> Memory {
        Memory { kind: TRUSTED, run: String::new(), started_ms: "0".to_owned() }
    }
}

/// How a lease's key says whose it is.
fn holder(candidate: &Candidate) -> String {
    format!("{} {}", candidate.nonce, candidate.unit)
}

/// As the server counts: rounded up, and at least one.
fn millis(lease: Duration) -> Result<u64, StoreError> {
    // Scripts reckon in doubles, which are exact for twice as much.
    const MAX: u128 = 1 << 52;
    let millis = lease.as_nanos().div_ceil(1_000_000).max(1);
    if millis > MAX {
        return Err(StoreError::LeaseTooLong { lease });
    }
    u64::try_from(millis).map_err(|_| StoreError::LeaseTooLong { lease })
}

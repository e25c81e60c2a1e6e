use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tenure_core::ServiceName;
use tenure_net::{Endpoint, Endpoints, Idle, Secret, Tls, connect, within};

use crate::check::version;
use crate::error::StoreError;
use crate::http::{Answer, Ask, Connection};
use crate::wire::{Authenticated, Header, KeyValue, Range, Refusal, Txn, encoded};

/// The cluster, as all clones of a claimer share it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) endpoints: Endpoints,
    pub(crate) tls: Option<Tls>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) prefix: String,
    pub(crate) time_limit: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) idle: Idle<Connection>,
    pub(crate) memory: Memory,
}

/// Who to be.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Secret,
}

/// What the cluster has shown of itself.
#[derive(Default)]
pub(crate) struct Memory {
    /// Its id; zero before it was seen.
    cluster: AtomicU64,
    /// The highest revision that was read.
    revision: AtomicI64,
    /// What etcd gave for the password.
    token: Mutex<Option<Arc<str>>>,
}

/// What was at a key, and the revision of the whole store at which it was.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) revision: i64,
    pub(crate) found: Option<KeyValue>,
}

impl Store {
    pub(crate) fn key(&self, service: &ServiceName) -> String {
        format!("{}/lease/{}", self.prefix, service.as_str())
    }

    /// Makes one call, within the time limit. If it fails or is dropped, the next call begins with
    /// another endpoint.
    pub(crate) async fn limited<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut suspicion = Suspicion { endpoints: &self.endpoints, is_founded: true };
        let result = within(self.time_limit, call).await?;
        suspicion.is_founded = match &result {
            Ok(_) => false,
            Err(error) => !error.is_of_the_cluster(),
        };
        result
    }

    /// Reads `key`, as it is now, at the first endpoint that can tell; and goes on there.
    ///
    /// This has no effect, so another endpoint may be asked after one has failed.
    pub(crate) async fn look(&self, key: &str) -> Result<(Connection, Look), StoreError> {
        let look = |mut connection| async move {
            let look = self.range(&mut connection, key).await?;
            Ok((connection, look))
        };
        self.first(look).await
    }

    /// Does `work`, which has no effect, at the first endpoint that can.
    pub(crate) async fn first<T, F>(&self, work: impl Fn(Connection) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        // A share of the time is for what comes after.
        let count = u32::try_from(self.endpoints.all().len()).unwrap_or(u32::MAX);
        let limit = self.time_limit / count.saturating_add(1) * count;
        let work = &work;
        let attempt = |endpoint| async move {
            let connection = self.open(endpoint).await?;
            match work(connection).await {
                Ok(done) => Ok(Ok(done)),
                Err(error) if error.is_of_the_cluster() => Ok(Err(error)),
                Err(error) => Err(error),
            }
        };
        self.endpoints.first(limit, attempt).await?
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<Connection, StoreError> {
        while let Some(mut connection) = self.idle.take() {
            if connection.endpoint == *endpoint && connection.is_open() {
                return Ok(connection);
            }
        }
        self.connect(endpoint).await
    }

    pub(crate) async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, StoreError> {
        let stream = connect(endpoint, self.tls.as_ref()).await;
        let stream = stream.map_err(StoreError::from_connecting)?;
        Ok(Connection::over(stream, endpoint.clone()).await?)
    }

    pub(crate) async fn range(
        &self,
        connection: &mut Connection,
        key: &str,
    ) -> Result<Look, StoreError> {
        let seen = self.memory.revision.load(Ordering::Relaxed);
        let ask = json!({ "key": encoded(key) });
        let Range { header, kvs } = self.post(connection, "/v3/kv/range", &ask).await?;
        self.memory.heed(&header, seen)?;
        Ok(Look { revision: header.revision, found: kvs.into_iter().next() })
    }

    pub(crate) async fn txn(
        &self,
        connection: &mut Connection,
        txn: &Value,
    ) -> Result<Txn, StoreError> {
        let seen = self.memory.revision.load(Ordering::Relaxed);
        let txn: Txn = self.post(connection, "/v3/kv/txn", txn).await?;
        self.memory.heed(&txn.header, seen)?;
        Ok(txn)
    }

    /// Posts `ask` to `path`.
    ///
    /// What etcd refuses because of its token has had no effect: it is asked once more with
    /// another token.
    pub(crate) async fn post<A: DeserializeOwned>(
        &self,
        connection: &mut Connection,
        path: &str,
        ask: &Value,
    ) -> Result<A, StoreError> {
        let token = self.token(connection, None).await?;
        let answer = connection.ask(posting(path, ask, token.as_deref())).await?;
        not_found(&answer, connection).await?;
        match answered(answer) {
            Err(StoreError::Refused { message }) if token.is_some() && is_stale(&message) => {
                let token = self.token(connection, token).await?;
                answered(connection.ask(posting(path, ask, token.as_deref())).await?)
            }
            answer => answer,
        }
    }

    /// The token to show, which is not `stale`; `None` if there is no user.
    pub(crate) async fn token(
        &self,
        connection: &mut Connection,
        stale: Option<Arc<str>>,
    ) -> Result<Option<Arc<str>>, StoreError> {
        let Some(Credentials { user, password }) = &self.credentials else { return Ok(None) };
        let known = self.memory.token();
        if known.is_some() && known != stale {
            return Ok(known);
        }
        let ask = json!({ "name": user, "password": password.expose() });
        let answer = connection.ask(posting("/v3/auth/authenticate", &ask, None)).await?;
        not_found(&answer, connection).await?;
        let Authenticated { token } = answered(answer)?;
        let token = Some(Arc::from(token));
        self.memory.keep_token(&token);
        Ok(token)
    }
}

/// Tells etcd without a gateway, where a path of the gateway's is not found, from what is no etcd.
async fn not_found(answer: &Answer, connection: &mut Connection) -> Result<(), StoreError> {
    if answer.status != StatusCode::NOT_FOUND {
        return Ok(());
    }
    match version(connection).await {
        Ok(version) => Err(StoreError::NoGateway { version }),
        Err(error @ StoreError::TooOld { .. }) => Err(error),
        Err(_) => Ok(()),
    }
}

/// Whether etcd refuses a request because of its token, though the password may be good.
pub(crate) fn is_stale(message: &str) -> bool {
    message.contains("invalid auth token") || message.contains("revision of auth store is old")
}

pub(crate) fn posting<'a>(path: &'a str, ask: &Value, token: Option<&'a str>) -> Ask<'a> {
    Ask { path, body: Some(ask.to_string().into_bytes()), token }
}

/// Reads an answer, or why there is none.
pub(crate) fn answered<A: DeserializeOwned>(answer: Answer) -> Result<A, StoreError> {
    let Answer { status, body } = answer;
    if status.is_success() {
        let not_etcd = |error| StoreError::NotEtcd { what: format!("its answer: {error}") };
        return serde_json::from_slice(&body).map_err(not_etcd);
    }
    let refusal = serde_json::from_slice::<Refusal>(&body).ok().and_then(Refusal::text);
    if let Some(message) = refusal {
        return Err(StoreError::from_refusal(message));
    }
    let body = String::from_utf8_lossy(&body);
    // It is said by the listener, before the gateway, and so not in JSON.
    if body.starts_with("CommonName of client") {
        return Err(StoreError::CommonName { message: body.trim_end().to_owned() });
    }
    let line: String = body.lines().next().unwrap_or_default().chars().take(80).collect();
    let what = format!("it answers {status}: {line}");
    // Something in front of etcd, perhaps, whose servers are away.
    match status.is_server_error() {
        true => Err(StoreError::Refused { message: what }),
        false => Err(StoreError::NotEtcd { what }),
    }
}

/// Has the next call begin with another endpoint, unless the call turns out well.
struct Suspicion<'a> {
    endpoints: &'a Endpoints,
    is_founded: bool,
}

impl Drop for Suspicion<'_> {
    fn drop(&mut self) {
        if self.is_founded {
            self.endpoints.skip();
        }
    }
}

impl Memory {
    /// Takes in what a linearizable answer says of the cluster, and refuses one that cannot be
    /// from the same one. `seen` is what had been seen when it was asked.
    fn heed(&self, header: &Header, seen: i64) -> Result<(), StoreError> {
        let Header { cluster_id: found, revision } = *header;
        let first = self.cluster.compare_exchange(0, found, Ordering::Relaxed, Ordering::Relaxed);
        let known = first.unwrap_or_else(|known| known);
        if known != 0 && known != found {
            return Err(StoreError::OtherCluster { known, found });
        }
        if revision < seen {
            return Err(StoreError::Reverted { seen, found: revision });
        }
        self.revision.fetch_max(revision, Ordering::Relaxed);
        Ok(())
    }

    fn token(&self) -> Option<Arc<str>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep_token(&self, token: &Option<Arc<str>>) {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone_from(token);
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is as good as the password.
        let Memory { cluster, revision, token: _ } = self;
        let mut shown = formatter.debug_struct("Memory");
        shown.field("cluster", cluster).field("revision", revision).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cluster_id: u64, revision: i64) -> Header {
        Header { cluster_id, revision }
    }

    #[test]
    fn another_cluster_and_one_that_went_back_are_noticed() {
        let memory = Memory::default();
        memory.heed(&header(7, 10), 0).unwrap();
        memory.heed(&header(7, 10), 10).unwrap();
        // It was asked before a later answer was seen: this one may be older.
        memory.heed(&header(7, 9), 8).unwrap();
        let reverted = memory.heed(&header(7, 9), 10).unwrap_err();
        assert!(matches!(reverted, StoreError::Reverted { seen: 10, found: 9 }), "{reverted}");
        let other = memory.heed(&header(8, 11), 10).unwrap_err();
        assert!(matches!(other, StoreError::OtherCluster { known: 7, found: 8 }), "{other}");
        assert_eq!(memory.revision.load(Ordering::Relaxed), 10, "neither is remembered");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let memory = Memory::default();
        memory.keep_token(&Some("token".into()));
        let credentials = Credentials { user: "me".to_owned(), password: Secret::new("password") };
        let shown = format!("{memory:?} {credentials:?}");
        assert!(!shown.contains("password\"") && !shown.contains("\"token"), "{shown}");
        assert!(shown.contains("me"), "{shown}");
    }
}

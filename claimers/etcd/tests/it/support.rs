use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_lite::future::block_on;
use serde_json::{Value, json};
use tenure_core::{Candidate, ClaimAnswer, Claimer, ClaimerError, ServiceName};
use tenure_etcd::{Attempt, Endpoint, EtcdClaimer, EtcdOptions, StoreError};
use tenure_runtime::fresh_nonce;
pub(crate) use tenure_testkit::expect::{denied, granted};
use tenure_testkit::server::{Server, Shared};

/// Longer than anything takes that a test waits for, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A lease that does not run out while a test runs.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// The shortest lease that [`SERVER`] grants.
pub(crate) const SHORT: Duration = Duration::from_secs(1);

/// With which a lease of a second lasts a second, and not two.
pub(crate) const FAST: [&str; 4] = ["--heartbeat-interval", "20", "--election-timeout", "200"];

/// For all the tests that do it no harm.
pub(crate) static SERVER: Shared = Shared::new(|| Server::etcd(&FAST));

/// A store of its own in a server that others use as well.
pub(crate) struct Bench {
    pub(crate) server: Arc<Server>,
    pub(crate) prefix: String,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench { server: SERVER.server().unwrap(), prefix: fresh_prefix() }
    }

    pub(crate) fn options(&self) -> EtcdOptions {
        EtcdOptions::new(endpoint(self.server.address())).prefix(&self.prefix).time_limit(PATIENCE)
    }

    pub(crate) fn open(&self) -> EtcdClaimer {
        self.options().open()
    }

    /// The key of the service `web`.
    pub(crate) fn key(&self) -> String {
        format!("{}/lease/web", self.prefix)
    }

    /// What is at the key of the service `web`, as the gateway says it.
    pub(crate) fn found(&self) -> Value {
        let found = self.post("/v3/kv/range", json!({ "key": STANDARD.encode(self.key()) }));
        found["kvs"][0].clone()
    }

    /// Has the server do something behind the store's back.
    pub(crate) fn post(&self, path: &str, ask: Value) -> Value {
        post(self.server.address(), path, ask)
    }

    /// Writes to the key of the service `web`.
    pub(crate) fn put(&self, value: &str, lease: &str) {
        let key = STANDARD.encode(self.key());
        let value = STANDARD.encode(value);
        self.post("/v3/kv/put", json!({ "key": key, "value": value, "lease": lease }));
    }
}

pub(crate) fn fresh_prefix() -> String {
    static SERIAL: AtomicUsize = AtomicUsize::new(0);
    format!("/tests/{}", SERIAL.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint { host: address.ip().to_string(), port: address.port() }
}

/// What the gateway says to `ask`; it must not refuse.
pub(crate) fn post(address: SocketAddr, path: &str, ask: Value) -> Value {
    let answer = try_post(address, path, None, ask);
    assert!(answer.get("error").is_none(), "{path}: {answer}");
    answer
}

pub(crate) fn try_post(address: SocketAddr, path: &str, token: Option<&str>, ask: Value) -> Value {
    let (mut stream, ask) = (TcpStream::connect(address).unwrap(), ask.to_string());
    let token = token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
    let head = format!("POST {path} HTTP/1.0\r\n{token}Content-Length: {}\r\n\r\n", ask.len());
    stream.write_all(format!("{head}{ask}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {answer}: {error}"))
}

/// What a server says at `path`, plainly asked.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn web() -> ServiceName {
    "web".parse().unwrap()
}

/// A new process of unit `web/<number>` of `web`.
pub(crate) fn unit(number: usize) -> Candidate {
    let unit = format!("web/{number}").parse().unwrap();
    Candidate { service: web(), unit, nonce: fresh_nonce() }
}

pub(crate) fn claim(
    claimer: &EtcdClaimer,
    candidate: &Candidate,
    lease: Duration,
) -> Result<ClaimAnswer, ClaimerError> {
    block_on(claimer.claim(candidate, lease))
}

/// The line of an error that may pass.
#[track_caller]
pub(crate) fn unknown<T: std::fmt::Debug>(answer: Result<T, ClaimerError>) -> (StoreError, String) {
    match answer {
        Err(ClaimerError::Unknown(source)) => cause(*source.downcast().unwrap()),
        other => panic!("not unknown: {other:?}"),
    }
}

/// The line of an error that an operator has to mend, and that is Unknown until then.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, ClaimerError>) -> (StoreError, String) {
    let (error, line) = unknown(answer);
    assert!(error.needs_operator(), "{line}");
    (error, line)
}

/// The line of an error that an operator has to mend, whether or not it may be while this process
/// runs.
#[track_caller]
pub(crate) fn needs_operator<T: std::fmt::Debug>(
    answer: Result<T, ClaimerError>,
) -> (StoreError, String) {
    let error = answer.unwrap_err();
    let is_fatal = error.is_fatal();
    let (ClaimerError::Unknown(source) | ClaimerError::Fatal(source)) = error else {
        panic!("{error:?}")
    };
    let (error, line) = cause(*source.downcast().unwrap());
    assert!(error.needs_operator(), "{line}");
    assert_eq!(is_fatal, matches!(error, StoreError::NewerSchema { .. }), "{line}");
    (error, line)
}

/// The line of an error that never passes.
#[track_caller]
pub(crate) fn fatal<T: std::fmt::Debug>(answer: Result<T, ClaimerError>) -> (StoreError, String) {
    match answer {
        Err(ClaimerError::Fatal(source)) => cause(*source.downcast().unwrap()),
        other => panic!("not fatal: {other:?}"),
    }
}

/// What came of the endpoint that was tried last, and the line about all.
fn cause(error: StoreError) -> (StoreError, String) {
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    let cause = match error {
        StoreError::Away { mut attempts } => match attempts.0.pop().unwrap().1 {
            Attempt::Failed(error) => error,
            Attempt::TimedOut(late) => StoreError::TimedOut { limit: late.limit },
        },
        error => error,
    };
    (cause, line)
}

/// Whether the line of an error says that the server closed the connection: which it may do before
/// it has read all, and then it looks different.
pub(crate) fn was_closed(line: &str) -> bool {
    line.ends_with("wants TLS or is not etcd") || line.contains("reset by peer")
}

pub(crate) fn leader(claimer: &EtcdClaimer) -> Option<(String, u64)> {
    let leader = block_on(claimer.leader(&web())).unwrap()?;
    Some((leader.unit.to_string(), leader.term.number()))
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not even in a minute: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

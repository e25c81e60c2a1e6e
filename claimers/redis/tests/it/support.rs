use std::error::Error;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future;
use tenure_core::{Candidate, ClaimAnswer, Claimer, ClaimerError, ServiceName, Term};
use tenure_redis::{RedisClaimer, RedisOptions, StoreError};
use tenure_runtime::fresh_nonce;
use tenure_testkit::expect;
use tenure_testkit::server::{Server, redis_cli};

/// Longer than anything takes here, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing that takes this long happens in a test.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// A server that is fast, as it writes nothing down, and that nobody holds off from.
pub(crate) fn fast() -> Server {
    Server::redis(&["--appendonly", "no"]).unwrap()
}

/// A claimer that does not hold off, unless `more` says so.
pub(crate) fn open(server: SocketAddr, more: &str) -> RedisClaimer {
    with_url(&format!("redis://{server}/?hold_off=unsafely-never{more}"))
}

pub(crate) fn with_url(url: &str) -> RedisClaimer {
    RedisOptions::from_url(url).unwrap().open()
}

pub(crate) fn service() -> ServiceName {
    "mysql".parse().unwrap()
}

pub(crate) fn candidate(unit: &str) -> Candidate {
    Candidate { service: service(), unit: unit.parse().unwrap(), nonce: fresh_nonce() }
}

pub(crate) fn claim(
    claimer: &RedisClaimer,
    candidate: &Candidate,
    lease: Duration,
) -> Result<ClaimAnswer, ClaimerError> {
    future::block_on(claimer.claim(candidate, lease))
}

#[track_caller]
pub(crate) fn granted(claimer: &RedisClaimer, candidate: &Candidate, lease: Duration) -> Term {
    expect::granted(claim(claimer, candidate, lease))
}

/// Whom a denial names, and when it says to try again.
#[track_caller]
pub(crate) fn denied(
    claimer: &RedisClaimer,
    candidate: &Candidate,
    lease: Duration,
) -> (Option<String>, Duration) {
    match claim(claimer, candidate, lease) {
        Ok(ClaimAnswer::Denied { leader, retry_after: Some(after) }) => {
            (leader.map(|unit| unit.to_string()), after)
        }
        answer => panic!("{answer:?}"),
    }
}

/// Claims as often as a denial says, until it is granted.
#[track_caller]
pub(crate) fn granted_at_last(
    claimer: &RedisClaimer,
    candidate: &Candidate,
    lease: Duration,
) -> Term {
    let began = Instant::now();
    loop {
        match claim(claimer, candidate, lease) {
            Ok(ClaimAnswer::Granted { term }) => return term,
            Ok(ClaimAnswer::Denied { retry_after: Some(after), .. }) => thread::sleep(after),
            answer => panic!("{answer:?}"),
        }
        assert!(began.elapsed() < PATIENCE, "never granted");
    }
}

pub(crate) fn release(claimer: &RedisClaimer, candidate: &Candidate) {
    future::block_on(claimer.release(candidate)).unwrap();
}

#[track_caller]
pub(crate) fn fatal<T: std::fmt::Debug>(result: Result<T, ClaimerError>) -> StoreError {
    let error = result.unwrap_err();
    assert!(error.is_fatal(), "{error:?}");
    store_error(error)
}

/// One that an operator has to mend, and that is Unknown until then.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, ClaimerError>) -> StoreError {
    let error = unknown(result);
    assert!(error.needs_operator(), "{error}");
    error
}

/// What an operator has to mend, whether or not it may be while this process runs.
#[track_caller]
pub(crate) fn needs_operator(error: ClaimerError) -> StoreError {
    let is_fatal = error.is_fatal();
    let error = store_error(error);
    assert!(error.needs_operator(), "{error}");
    assert_eq!(is_fatal, matches!(error, StoreError::NewerSchema { .. }), "{error}");
    error
}

#[track_caller]
pub(crate) fn unknown<T: std::fmt::Debug>(result: Result<T, ClaimerError>) -> StoreError {
    let error = result.unwrap_err();
    assert!(!error.is_fatal(), "{error:?}");
    store_error(error)
}

/// What is behind an error: of a single endpoint that would not do, its own.
fn store_error(error: ClaimerError) -> StoreError {
    let (ClaimerError::Unknown(source) | ClaimerError::Fatal(source)) = error else {
        panic!("{error:?}")
    };
    let error = *source.downcast::<StoreError>().unwrap();
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    match error {
        StoreError::Unreachable(mut attempts) if attempts.0.len() == 1 => {
            match attempts.0.remove(0).1 {
                tenure_net::Attempt::Failed(error) => error,
                tenure_net::Attempt::TimedOut(late) => StoreError::TimedOut(late),
            }
        }
        error => error,
    }
}

#[track_caller]
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not even in a minute: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn cli(server: &Server, command: &[&str]) -> Result<String, Box<dyn Error>> {
    Ok(redis_cli(server.address(), command)?)
}

/// Has the store that the server keeps under `prefix` be one that has been there for long, as an
/// operator may who knows that it is new.
pub(crate) fn settle(server: &Server, prefix: &str) {
    let marker = format!("{prefix}marker");
    cli(server, &["HSET", &marker, "schema", "1", "since_ms", "0"]).unwrap();
}

/// How often something was called at the server so far.
pub(crate) fn calls(server: &Server, command: &str) -> usize {
    let statistics = redis_cli(server.address(), &["INFO", "commandstats"]).unwrap();
    let calls = |line: &str| {
        let rest = line.strip_prefix("cmdstat_")?.strip_prefix(command)?;
        rest.strip_prefix(":calls=")?.split(',').next()?.parse::<usize>().ok()
    };
    statistics.lines().find_map(calls).unwrap_or(0)
}

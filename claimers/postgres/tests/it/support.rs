use std::fmt::Debug;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use tenure_core::{Candidate, ClaimAnswer, Claimer, ClaimerError, Nonce, ServiceName};
use tenure_postgres::{PostgresClaimer, PostgresOptions, StoreError};
pub(crate) use tenure_testkit::expect::{denied, granted};
use tenure_testkit::server::{Server, ServerError, Shared, psql};

/// Longer than anything takes that a test waits for, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const LEASE: Duration = Duration::from_secs(3600);

static SERVER: Shared = Shared::new(|| Server::postgres(&["-c", "log_statement=all"]));

static TABLES: AtomicUsize = AtomicUsize::new(0);

/// A table of its own, which is not made yet.
pub(crate) struct Bench<S = Arc<Server>> {
    pub(crate) server: S,
    pub(crate) table: String,
}

impl Bench {
    /// On the server that the tests share.
    pub(crate) fn new() -> Bench {
        Bench::on(SERVER.server().unwrap())
    }
}

impl Bench<Own> {
    /// On a server of its own, with these settings.
    pub(crate) fn alone(settings: &[&str]) -> Bench<Own> {
        let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["-c", setting]).collect();
        Bench::on(Own(Server::postgres(&arguments).unwrap()))
    }
}

impl<S: AsRef<Server>> Bench<S> {
    fn on(server: S) -> Bench<S> {
        let table = format!("lease_{}", TABLES.fetch_add(1, Ordering::Relaxed));
        Bench { server, table }
    }

    /// The store's URL, with more `options`: each begins with a `&`.
    pub(crate) fn url(&self, options: &str) -> String {
        let (address, table) = (self.server.as_ref().address(), &self.table);
        format!("postgres://postgres@{address}/postgres?table={table}{options}")
    }

    pub(crate) fn claimer(&self) -> PostgresClaimer {
        open(&self.url(""))
    }

    /// What the server answers to `sql`; `{table}` in it is this table.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap()
    }

    pub(crate) fn try_sql(&self, sql: &str) -> Result<String, ServerError> {
        psql(self.server.as_ref().address(), &sql.replace("{table}", &self.table))
    }

    /// As [`sql`](Bench::sql), from a thread of its own.
    pub(crate) fn sql_meanwhile(&self, sql: &str) -> thread::JoinHandle<String> {
        let (address, sql) = (self.server.as_ref().address(), sql.replace("{table}", &self.table));
        thread::spawn(move || psql(address, &sql).unwrap())
    }

    /// How often the server has been asked something about this table.
    pub(crate) fn asked(&self) -> usize {
        let log = fs::read_to_string(self.server.as_ref().directory().join("log")).unwrap();
        let quoted = format!("\"{}\"", self.table);
        log.lines().filter(|line| line.contains("statement: ") && line.contains(&quoted)).count()
    }

    /// How many sessions wait for a lock, or whatever `event` is, with this table.
    pub(crate) fn waiting_for(&self, event: &str) -> String {
        self.sql(&format!(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE query LIKE '%{{table}}%' AND pid <> pg_backend_pid() \
             AND '{event}' IN (wait_event_type, wait_event)"
        ))
    }
}

/// Waits until somebody has a lock on the row.
pub(crate) fn is_locked(bench: &Bench) {
    eventually("the row is locked", || {
        let free = "SELECT count(*) FROM (SELECT 1 FROM {table} FOR UPDATE SKIP LOCKED) AS free";
        bench.sql(free) == "0"
    });
}

/// Keeps a transaction open in which `lock` was done, a lock on the row, for as long as `meanwhile`
/// takes.
pub(crate) fn while_open(bench: &Bench, lock: &str, meanwhile: impl FnOnce()) {
    let sql = format!("BEGIN; {lock}; SELECT pg_sleep(90)");
    thread::scope(|scope| {
        let sleeps = scope.spawn(|| bench.try_sql(&sql));
        is_locked(bench);
        meanwhile();
        bench.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE query LIKE '%{table}%; SELECT pg_sleep(90)' AND pid <> pg_backend_pid()",
        );
        assert!(sleeps.join().unwrap().is_err(), "it slept until then");
    });
}

/// A server that one test has for itself.
pub(crate) struct Own(pub(crate) Server);

impl AsRef<Server> for Own {
    fn as_ref(&self) -> &Server {
        &self.0
    }
}

pub(crate) fn open(url: &str) -> PostgresClaimer {
    PostgresOptions::from_url(url).unwrap().open()
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not even in a minute: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn service(name: &str) -> ServiceName {
    name.parse().unwrap()
}

/// Unit `mysql/<number>` of `mysql`.
pub(crate) fn unit(number: u8) -> Candidate {
    Candidate {
        service: service("mysql"),
        unit: format!("mysql/{number}").parse().unwrap(),
        nonce: Nonce::from_bytes([number; 16]),
    }
}

pub(crate) fn claim(
    claimer: &PostgresClaimer,
    number: u8,
    lease: Duration,
) -> Result<ClaimAnswer, ClaimerError> {
    block_on(claimer.claim(&unit(number), lease))
}

#[track_caller]
pub(crate) fn unknown<T: Debug>(answer: Result<T, ClaimerError>) -> StoreError {
    match answer {
        Err(ClaimerError::Unknown(source)) => one_line(*source.downcast().unwrap()),
        other => panic!("not unknown: {other:?}"),
    }
}

/// One that an operator has to mend, and that is Unknown until then.
#[track_caller]
pub(crate) fn refused<T: Debug>(answer: Result<T, ClaimerError>) -> StoreError {
    let error = unknown(answer);
    assert!(error.needs_operator(), "{error}");
    error
}

#[track_caller]
pub(crate) fn fatal<T: Debug>(answer: Result<T, ClaimerError>) -> StoreError {
    match answer {
        Err(ClaimerError::Fatal(source)) => one_line(*source.downcast().unwrap()),
        other => panic!("not fatal: {other:?}"),
    }
}

/// Every error is told in one line, and none tells a password.
#[track_caller]
fn one_line(error: StoreError) -> StoreError {
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.is_empty(), "{text:?}");
    assert!(!format!("{text} {error:?}").contains("s3cret"), "{text}");
    error
}

pub(crate) fn leader(claimer: &PostgresClaimer) -> Option<(String, u64)> {
    let leader = block_on(claimer.leader(&service("mysql"))).unwrap()?;
    Some((leader.unit.to_string(), leader.term.number()))
}

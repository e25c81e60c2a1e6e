//! Postgres' store, on a real server, through a proxy that does what networks do.

use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure_core::ServiceName;
use tenure_postgres::{PostgresClaimer, PostgresOptions};
use tenure_std::BlockOn;
use tenure_testkit::conformance::{self, Conformance};
use tenure_testkit::server::{Link, Proxy, Server, Shared, psql};

use super::{NOT_BLOCKING, left_out_only};

/// What Postgres cannot show: its clock is the only one, and no client's is ever read.
const NOT_IN_POSTGRES: [&str; 1] = ["lease::heeds_no_client_clock"];

/// The checks that need a server of their own.
const NOT_SHARED: [&str; 2] = ["lease::outlives_a_restart", "terms::outlive_a_restart"];

/// It writes down all that it is asked, and would commit without waiting for its disk, see what
/// has changed since only in a new transaction, and keep warnings to itself, if it were let.
static SERVER: Shared = Shared::new(|| {
    Server::postgres(&[
        "-c",
        "log_statement=all",
        "-c",
        "synchronous_commit=off",
        "-c",
        "default_transaction_isolation=serializable",
        "-c",
        "client_min_messages=error",
    ])
});

/// A table of its own, as a URL has it.
fn url(address: SocketAddr) -> (String, String) {
    static TABLES: AtomicUsize = AtomicUsize::new(0);
    let table = format!("lease_{}", TABLES.fetch_add(1, Ordering::Relaxed));
    (format!("postgres://postgres@{address}/postgres?table={table}&time_limit=1"), table)
}

fn open(url: &str) -> PostgresClaimer {
    PostgresOptions::from_url(url).unwrap().open()
}

/// How often the server was asked something about `table`, but for what it is asked once by every
/// connection, when that is made.
fn asked(directory: &Path, table: &str) -> usize {
    let log = fs::read_to_string(directory.join("log")).unwrap();
    let asked = log.lines().filter(|line| line.contains("statement: ") && line.contains(table));
    asked.filter(|line| !line.contains("pg_is_in_recovery()")).count()
}

/// What can be done to a store from outside.
fn outside<C: 'static>(
    suite: Conformance<C>,
    server: &Server,
    proxy: &'static Proxy,
    table: String,
) -> Conformance<C> {
    let directory = server.directory().to_owned();
    let address = server.address();
    let quoted = format!("\"{table}\"");
    suite
        // It counts in microseconds, and rounds in the holder's favour.
        .granularity(Duration::from_micros(1))
        .counting("connections", || proxy.open())
        .counting_requests(move || asked(&directory, &quoted))
        .losing_answers(|loses| {
            proxy.answers(if loses { Link::Lost } else { Link::Passing });
        })
        .holding_up(
            |holds| match holds {
                true => proxy.hold_next(b"UPDATE"),
                false => proxy.let_go(),
            },
            || proxy.is_holding(),
        )
        .unavailable(|is_away| {
            proxy.refuse(is_away);
            proxy.cut();
        })
        .exhausting_terms(move |service| exhaust_terms(address, &table, service))
}

fn exhaust_terms(address: SocketAddr, table: &str, service: &ServiceName) {
    let (service, nonce) = (service.as_str(), "00".repeat(16));
    let row = format!(
        "INSERT INTO {table} VALUES \
         ('{service}', 'unit/9', decode('{nonce}', 'hex'), 9223372036854775807, 'epoch')"
    );
    psql(address, &row).unwrap();
}

/// A proxy that lasts as long as the process: the suite's hooks own nothing.
fn proxy(server: SocketAddr) -> &'static Proxy {
    Box::leak(Box::new(Proxy::new(server).unwrap()))
}

#[test]
fn postgres_keeps_the_contract() {
    let server = SERVER.server().unwrap();
    let proxy = proxy(server.address());
    let (url, table) = url(proxy.address());
    let suite = outside(conformance::asynchronous(move || open(&url)), &server, proxy, table);
    let report = suite.check();
    left_out_only(&report, &[&NOT_IN_POSTGRES, &NOT_SHARED]);
}

#[test]
fn postgres_keeps_the_contract_on_threads() {
    let server = SERVER.server().unwrap();
    let proxy = proxy(server.address());
    let (url, table) = url(proxy.address());
    let suite =
        outside(conformance::blocking(move || BlockOn::new(open(&url))), &server, proxy, table);
    let report = suite.check();
    left_out_only(&report, &[&NOT_IN_POSTGRES, &NOT_SHARED, &NOT_BLOCKING]);
}

#[test]
fn postgres_keeps_the_contract_over_a_crash_of_its_server() {
    let server = Server::postgres(&[]).unwrap();
    let (url, _) = url(server.address());
    let server = RefCell::new(server);
    conformance::asynchronous(move || open(&url))
        .granularity(Duration::from_micros(1))
        .restarting(move || {
            let mut server = server.borrow_mut();
            server.kill();
            server.restart().unwrap();
        })
        .check();
}

#[test]
fn postgres_keeps_the_contract_when_a_process_shares_one_claimer() {
    let server = SERVER.server().unwrap();
    let (url, _) = url(server.address());
    let claimer = open(&url);
    conformance::asynchronous(move || claimer.clone())
        .granularity(Duration::from_micros(1))
        .check();
}

/// A session is a client's for one transaction only, so nobody can be told of anything.
#[test]
fn postgres_keeps_the_contract_through_pgbouncer() {
    let server = SERVER.server().unwrap();
    let pooler = Server::pgbouncer(&server, &[]).unwrap();
    let proxy = proxy(pooler.address());
    let (url, table) = url(proxy.address());
    let open = move || {
        let options = PostgresOptions::from_url(&url).unwrap();
        options.heartbeat(Duration::from_millis(50)).open()
    };
    let suite = outside(conformance::asynchronous(open), &server, proxy, table);
    let report = suite.must_poll("notifications need a session").check();
    let polled = ["waiting::waits_without_asking"];
    left_out_only(&report, &[&NOT_IN_POSTGRES, &NOT_SHARED, &polled]);
}

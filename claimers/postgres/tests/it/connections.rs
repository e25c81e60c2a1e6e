//! What becomes of connections: they are kept, lost and left behind by nobody.

use std::time::Duration;

use futures_lite::future::{block_on, poll_once, zip};
use tenure_core::Claimer;
use tenure_postgres::StoreError;
use tenure_testkit::server::{Link, Proxy};

use crate::support::{
    Bench, LEASE, claim, denied, eventually, granted, leader, open, unit, unknown,
};

/// A store behind a proxy.
fn proxied(bench: &Bench) -> (Proxy, String) {
    let address = bench.server.address();
    let proxy = Proxy::new(address).unwrap();
    let url = bench.url("&time_limit=2");
    let url = url.replace(&address.to_string(), &proxy.address().to_string());
    (proxy, url)
}

#[test]
fn a_claimer_outlives_a_crash_of_its_server() {
    let mut bench = Bench::alone(&[]);
    let claimer = bench.claimer();
    granted(claim(&claimer, 0, LEASE));
    for _ in 0..2 {
        bench.server.0.kill();
        // Its sessions find out by themselves, a moment later.
        let mut answer = claim(&claimer, 0, LEASE);
        eventually("it is gone", || {
            let is_over = answer.is_err();
            if !is_over {
                answer = claim(&claimer, 0, LEASE);
            }
            is_over
        });
        unknown(answer);
        let error = unknown(block_on(claimer.released(&unit(0).service)));
        assert!(matches!(error, StoreError::Away { .. }), "{error}");
        bench.server.0.restart().unwrap();
        assert_eq!(granted(claim(&claimer, 0, LEASE)).number(), 1);
        denied(claim(&claimer, 1, LEASE));
    }
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for_by_whoever_tries_again() {
    let mut bench = Bench::alone(&[]);
    bench.server.0.stop();
    let claimer = bench.claimer();
    let error = unknown(block_on(claimer.check()));
    assert!(matches!(error, StoreError::Away { .. }), "{error}");
    bench.server.0.restart().unwrap();
    granted(claim(&claimer, 0, LEASE));
}

#[test]
fn one_connection_is_used_over_and_over_and_two_at_once_if_need_be() {
    let bench = Bench::new();
    let (proxy, url) = proxied(&bench);
    let claimer = open(&url);
    for _ in 0..5 {
        granted(claim(&claimer, 0, LEASE));
        denied(claim(&claimer, 1, LEASE));
        leader(&claimer);
    }
    assert_eq!(proxy.accepted(), 1);
    let (zero, one) = (unit(0), unit(1));
    let at_once = zip(claimer.claim(&zero, LEASE), claimer.claim(&one, LEASE));
    let (first, second) = block_on(at_once);
    granted(first);
    denied(second);
    assert_eq!(proxy.accepted(), 2);
    // A wait takes one of them along and gives it back, and a claim after it listens no more.
    assert!(block_on(async {
        let mut waits = Box::pin(claimer.released(&zero.service));
        let is_over = |poll: Option<_>| poll.is_some();
        for _ in 0..50 {
            assert!(!is_over(poll_once(&mut waits).await));
            async_io::Timer::after(Duration::from_millis(1)).await;
        }
        claimer.release(&zero).await.unwrap();
        waits.await.is_ok()
    }));
    for _ in 0..3 {
        granted(claim(&claimer, 0, LEASE));
        block_on(claimer.release(&unit(0))).unwrap();
    }
    assert_eq!(proxy.accepted(), 2);
    drop(claimer);
    eventually("they are closed", || proxy.open() == 0);
}

#[test]
fn a_connection_that_died_while_idle_is_replaced_before_anything_is_sent() {
    let bench = Bench::new();
    let (proxy, url) = proxied(&bench);
    let claimer = open(&url);
    granted(claim(&claimer, 0, LEASE));
    proxy.cut();
    granted(claim(&claimer, 0, LEASE));
    // By the server, which says why.
    bench.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = 'tenure' AND query LIKE '%\"{table}\"%'",
    );
    eventually("it is closed", || proxy.open() == 0);
    granted(claim(&claimer, 0, LEASE));
}

#[test]
fn an_answer_that_never_comes_is_unknown_within_the_limit_and_its_connection_is_not_used_again() {
    let bench = Bench::new();
    let (proxy, url) = proxied(&bench);
    let claimer = open(&url.replace("time_limit=2", "time_limit=0.3"));
    granted(claim(&claimer, 0, LEASE));
    proxy.answers(Link::Stalled);
    let error = unknown(claim(&claimer, 1, LEASE));
    assert!(matches!(error, StoreError::TimedOut { .. }), "{error}");
    proxy.answers(Link::Passing);
    // The answer to the other question is not taken for the answer to this one.
    let calm = open(&url);
    assert_eq!(granted(claim(&calm, 0, LEASE)).number(), 1);
    eventually("it is answered again", || claim(&claimer, 0, LEASE).is_ok());
    assert_eq!(leader(&claimer), Some(("mysql/0".to_owned(), 1)));
}

#[test]
fn cancelled_calls_leave_no_session_at_the_server() {
    let bench = Bench::new();
    let (proxy, url) = proxied(&bench);
    let claimer = open(&url);
    granted(claim(&claimer, 0, LEASE));
    for polls in 0..30 {
        let (holder, other) = (unit(0), unit(1));
        block_on(async {
            let mut waits = Box::pin(claimer.released(&holder.service));
            let mut claims = Box::pin(claimer.claim(&other, LEASE));
            for _ in 0..polls {
                assert!(poll_once(&mut waits).await.is_none());
                if poll_once(&mut claims).await.is_some() {
                    break;
                }
                async_io::Timer::after(Duration::from_micros(200)).await;
            }
        });
    }
    eventually("only idle ones are left", || proxy.open() <= 4);
    drop(claimer);
    eventually("none are left", || proxy.open() == 0);
}

#[test]
fn what_the_server_says_as_it_goes_is_unknown() {
    let bench = Bench::new();
    block_on(bench.claimer().check()).unwrap();
    // Conditions that a claim can meet, brought about in its own statement.
    let cases = [
        ("serialization_failure", "Busy"),
        ("deadlock_detected", "Busy"),
        ("disk_full", "Full"),
        ("admin_shutdown", "Server"),
        ("out_of_memory", "Server"),
        ("io_error", "Server"),
        ("read_only_sql_transaction", "ReadOnly"),
    ];
    for (condition, variant) in cases {
        bench.sql(&format!(
            "CREATE OR REPLACE FUNCTION {{table}}_fail() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION USING ERRCODE = ''{condition}''; END'; \
             DROP TRIGGER IF EXISTS fails ON {{table}}; \
             CREATE TRIGGER fails BEFORE INSERT ON {{table}} \
             FOR EACH ROW EXECUTE FUNCTION {{table}}_fail()"
        ));
        let claimer = bench.claimer();
        let error = unknown(claim(&claimer, 0, LEASE));
        assert!(format!("{error:?}").starts_with(variant), "{condition}: {error:?}");
        bench.sql("DROP TRIGGER fails ON {table}");
        granted(claim(&claimer, 0, LEASE));
        bench.sql("TRUNCATE {table}");
    }
}

#[test]
fn too_many_connections_are_unknown_and_pass() {
    let bench = Bench::new();
    block_on(bench.claimer().check()).unwrap();
    bench.sql("CREATE ROLE {table}_user LOGIN SUPERUSER CONNECTION LIMIT 0");
    // Superusers have no limit.
    bench.sql("ALTER ROLE {table}_user NOSUPERUSER; GRANT ALL ON {table} TO {table}_user");
    let url = bench.url("").replace("postgres@", &format!("{}_user@", bench.table));
    let claimer = open(&url);
    let error = unknown(claim(&claimer, 0, LEASE));
    assert!(matches!(&error, StoreError::Server { code, .. } if code == "53300"), "{error:?}");
    bench.sql("ALTER ROLE {table}_user CONNECTION LIMIT -1");
    granted(claim(&claimer, 0, LEASE));
}

//! Several servers, of which one takes writes.

use std::fs::File;
use std::net::TcpListener;

use futures_lite::future::block_on;
use tenure_core::{Claimer, Judge};
use tenure_postgres::StoreError;

use crate::support::{Bench, LEASE, Own, claim, granted, leader, open, refused, unit, unknown};

/// A port where somebody listens who never answers, and one where nobody does.
fn bad_ports() -> (TcpListener, String, String) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let vacant = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let address = silent.local_addr().unwrap().to_string();
    (silent, address, vacant)
}

/// A server that follows another, which it never reaches.
fn standby() -> Bench<Own> {
    let mut bench = Bench::alone(&[]);
    bench.server.0.stop();
    File::create(bench.server.0.directory().join("data/standby.signal")).unwrap();
    bench.server.0.restart().unwrap();
    bench
}

#[test]
fn servers_that_are_away_or_silent_are_passed_over_within_one_limit() {
    let bench = Bench::new();
    let (_silent, silent, vacant) = bad_ports();
    let url =
        bench.url("&time_limit=6").replace("postgres@", &format!("postgres@{vacant},{silent},"));
    let claimer = open(&url);
    granted(claim(&claimer, 0, LEASE));
    assert_eq!(leader(&claimer), Some(("mysql/0".to_owned(), 1)));
    assert_eq!(claimer.judge(), Judge::Server);

    let none = bench
        .url("&time_limit=0.4")
        .replace(&bench.server.address().to_string(), &format!("{vacant},{silent}"));
    let error = unknown(claim(&open(&none), 0, LEASE));
    let text = error.to_string();
    assert!(matches!(error, StoreError::NoServer { .. }), "{text}");
    assert!(text.contains(&vacant) && text.contains(&silent), "{text}");
}

#[test]
fn a_standby_is_passed_over_and_alone_it_is_unknown() {
    let standby = standby();
    let alone = standby.claimer();
    for error in [
        unknown(claim(&alone, 0, LEASE)),
        unknown(block_on(alone.leader(&unit(0).service))),
        unknown(block_on(alone.check())),
    ] {
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    }
    let bench = Bench::new();
    let both = format!("postgres@{},", standby.server.0.address());
    let claimer = open(&bench.url("").replace("postgres@", &both));
    granted(claim(&claimer, 0, LEASE));
    // Once it is promoted it will do.
    assert_eq!(standby.sql("SELECT pg_promote()"), "t");
    granted(claim(&alone, 0, LEASE));
}

#[test]
fn a_server_that_turns_read_only_is_unknown() {
    let bench = Bench::alone(&[]);
    let claimer = bench.claimer();
    granted(claim(&claimer, 0, LEASE));
    bench.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    bench.sql("SELECT pg_reload_conf()");
    crate::support::eventually("it is read-only", || claim(&claimer, 0, LEASE).is_err());
    for _ in 0..2 {
        let error = unknown(claim(&claimer, 0, LEASE));
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    }
    bench.sql("ALTER SYSTEM RESET ALL");
    bench.sql("SELECT pg_reload_conf()");
    crate::support::eventually("it is not any more", || claim(&claimer, 0, LEASE).is_ok());
}

#[test]
fn all_servers_must_refuse_before_that_is_a_refusal() {
    let bench = Bench::new();
    let (_silent, _, vacant) = bad_ports();
    let address = bench.server.address().to_string();
    let nowhere = bench.url("").replace("/postgres?", "/nowhere?");
    let twice = nowhere.replace(&address, &format!("{address},{address}"));
    let error = refused(claim(&open(&twice), 0, LEASE));
    assert!(matches!(error, StoreError::NoServer { .. }), "{error}");
    let once = nowhere.replace(&address, &format!("{address},{vacant}"));
    let error = unknown(claim(&open(&once), 0, LEASE));
    assert!(matches!(error, StoreError::NoServer { .. }) && !error.needs_operator(), "{error}");
}

//! What can go wrong between a claimer and its store, and what comes of it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use async_io::Timer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_lite::future::{block_on, or};
use serde_json::json;
use tenure_core::Claimer;
use tenure_etcd::{EtcdOptions, StoreError};
use tenure_testkit::server::{Proxy, Server};

use crate::support::*;

/// Where nobody listens.
fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Answers every request with the same.
fn always(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn a_lease_outlives_a_restart_and_so_does_the_claimer() {
    let mut server = Server::etcd(&FAST).unwrap();
    let claimer = EtcdOptions::new(endpoint(server.address())).open();
    let holder = unit(0);
    let term = granted(claim(&claimer, &holder, LONG));
    server.kill();
    let (error, line) = unknown(claim(&claimer, &holder, LONG));
    assert!(matches!(error, StoreError::Connection { .. }), "{line}");
    server.restart().unwrap();
    denied(claim(&claimer, &unit(1), LONG));
    assert_eq!(granted(claim(&claimer, &holder, LONG)), term);
}

#[test]
fn where_nobody_listens_the_address_is_named() {
    let address = nowhere();
    let claimer = EtcdOptions::new(endpoint(address)).open();
    let (error, line) = unknown(claim(&claimer, &unit(0), LONG));
    assert!(matches!(error, StoreError::Connection { .. }), "{line}");
    assert!(line.starts_with(&format!("{address}: ")) && line.contains("refused"), "{line}");
    unknown(block_on(claimer.check()));
}

#[test]
fn a_server_of_another_kind_is_told() {
    let redis = Server::redis(&[]).unwrap();
    let claimer = EtcdOptions::new(endpoint(redis.address())).open();
    // That is all it does when it is spoken to in HTTP; so does a server that dies.
    let (error, line) = unknown(block_on(claimer.check()));
    assert!(matches!(error, StoreError::Connection { .. }), "{line}");
    assert!(was_closed(&line), "{line}");

    let strangers = [
        "HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nhi\n",
        "220 mail.example ESMTP\r\n",
    ];
    for stranger in strangers {
        let claimer = EtcdOptions::new(endpoint(always(stranger))).open();
        let (error, line) = refused(claim(&claimer, &unit(0), LONG));
        assert!(matches!(error, StoreError::NotEtcd { .. }), "{line}");
        assert!(line.contains("this is not etcd"), "{line}");
    }
    // Something in front of a server that is away.
    let away = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let claimer = EtcdOptions::new(endpoint(always(away))).open();
    let (error, line) = unknown(claim(&claimer, &unit(0), LONG));
    assert!(matches!(error, StoreError::Refused { .. }), "{line}");

    let old = "HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n{\"etcdserver\":\"3.3.27\"}  ";
    let (error, line) = refused(block_on(EtcdOptions::new(endpoint(always(old))).open().check()));
    assert!(matches!(error, StoreError::TooOld { .. }), "{line}");
}

#[test]
fn one_good_endpoint_is_enough_even_if_another_answers_nonsense() {
    let bench = Bench::new();
    let stranger = always("220 mail.example ESMTP\r\n");
    let options = EtcdOptions::new(endpoint(stranger)).prefix(&bench.prefix);
    let claimer = options.endpoint(endpoint(nowhere())).endpoint(endpoint(bench.server.address()));
    granted(claim(&claimer.open(), &unit(0), LONG));
    // None is: this may pass, as not all say that it never will.
    let claimer = EtcdOptions::new(endpoint(stranger)).endpoint(endpoint(nowhere())).open();
    let (_, line) = unknown(claim(&claimer, &unit(0), LONG));
    assert!(line.contains("this is not etcd") && line.contains("refused"), "{line}");
}

#[test]
fn an_endpoint_that_swallows_everything_is_left_at_the_first_call_that_it_spoils() {
    let bench = Bench::new();
    // The system takes connections for it. It says nothing.
    let hole = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    hole.set_nonblocking(true).unwrap();
    let options = EtcdOptions::new(endpoint(hole.local_addr().unwrap())).prefix(&bench.prefix);
    let options = options.endpoint(endpoint(bench.server.address()));
    let swallowed = || std::iter::from_fn(|| hole.accept().ok()).count();

    // Within the limit of one call.
    let claimer = options.clone().time_limit(Duration::from_secs(6)).open();
    let holder = unit(0);
    granted(claim(&claimer, &holder, LONG));
    assert_eq!(swallowed(), 1);
    granted(claim(&claimer, &holder, LONG));
    assert_eq!(swallowed(), 0, "the good one comes first now");

    // By a caller with less patience than the limit.
    let claimer = options.time_limit(PATIENCE * 10).open();
    let hurried = async {
        Timer::after(Duration::from_millis(100)).await;
        None
    };
    let answer = async { Some(claimer.claim(&holder, LONG).await) };
    assert!(block_on(or(answer, hurried)).is_none());
    assert_eq!(swallowed(), 1);
    granted(claim(&claimer, &holder, LONG));
    assert_eq!(swallowed(), 0);
}

#[test]
fn a_server_that_stands_still_costs_no_more_than_the_time_limit() {
    let server = Server::etcd(&FAST).unwrap();
    let limit = Duration::from_millis(600);
    let claimer = EtcdOptions::new(endpoint(server.address())).time_limit(limit).open();
    let holder = unit(0);
    eventually("a slow machine has its time", || claim(&claimer, &holder, LONG).is_ok());
    server.freeze();
    let (error, line) = unknown(claim(&claimer, &holder, LONG));
    assert!(matches!(error, StoreError::TimedOut { limit: late } if late <= limit), "{line}");
    unknown(block_on(claimer.leader(&web())));
    unknown(block_on(claimer.release(&holder)));
    unknown(block_on(claimer.released(&web())));
    unknown(block_on(claimer.check()));
    server.thaw();
    eventually("it goes on", || claim(&claimer, &holder, LONG).is_ok());
}

/// Passes everything on but the answers to transactions: it closes their connections.
fn loses_transactions(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            thread::spawn(move || {
                let (mut client, mut server) =
                    (client.unwrap(), TcpStream::connect(server).unwrap());
                let mut buffer = [0; 16 * 1024];
                loop {
                    // What is asked and answered here fits into one piece.
                    let asked = client.read(&mut buffer).unwrap_or(0);
                    if asked == 0 || server.write_all(&buffer[..asked]).is_err() {
                        return;
                    }
                    let is_txn = buffer[..asked].starts_with(b"POST /v3/kv/txn");
                    let answered = server.read(&mut buffer).unwrap_or(0);
                    if is_txn || client.write_all(&buffer[..answered]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_grant_whose_answer_was_lost_is_unknown_though_it_was_made() {
    let bench = Bench::new();
    let options = EtcdOptions::new(endpoint(loses_transactions(bench.server.address())));
    let claimer = options.prefix(&bench.prefix).time_limit(PATIENCE).open();
    let holder = unit(0);
    let (error, line) = unknown(claim(&claimer, &holder, LONG));
    assert!(matches!(error, StoreError::Connection { .. }), "{line}");
    let (name, term) = leader(&bench.open()).expect("it was made");
    assert_eq!(name, "web/0");
    // A renewal is as unknown.
    unknown(claim(&claimer, &holder, LONG));
    // It was not read back, but it is renewed by who gets through, and keeps its term.
    assert_eq!(granted(claim(&bench.open(), &holder, LONG)).number(), term);
    unknown(block_on(claimer.release(&holder)));
    assert_eq!(leader(&bench.open()), None);
}

#[test]
fn a_connection_that_died_while_nobody_used_it_spoils_no_call() {
    let bench = Bench::new();
    let proxy = Proxy::new(bench.server.address()).unwrap();
    let options = EtcdOptions::new(endpoint(proxy.address())).prefix(&bench.prefix);
    let claimer = options.time_limit(PATIENCE).open();
    let holder = unit(0);
    granted(claim(&claimer, &holder, LONG));
    granted(claim(&claimer, &holder, LONG));
    assert_eq!((proxy.open(), proxy.accepted()), (1, 1), "one is enough for calls in turn");
    proxy.cut();
    // So that its end has arrived.
    thread::sleep(Duration::from_millis(100));
    granted(claim(&claimer, &holder, LONG));
    assert_eq!(proxy.accepted(), 2);
    drop(claimer);
    eventually("nothing is left open", || proxy.open() == 0);
}

#[test]
fn a_server_that_has_lost_its_data_is_found_out() {
    let mut server = Server::etcd(&FAST).unwrap();
    let claimer = EtcdOptions::new(endpoint(server.address())).open();
    let holder = unit(0);
    granted(claim(&claimer, &holder, LONG));
    server.kill();
    fs::remove_dir_all(server.directory().join("data")).unwrap();
    server.restart().unwrap();
    let (error, line) = fatal(claim(&claimer, &holder, LONG));
    assert!(matches!(error, StoreError::Reverted { found: 1, .. }), "{line}");
    assert!(line.contains("it has lost data"), "{line}");
    // Who knows nothing of it has no reason to mind: that is what a restore from a backup is.
    let another = EtcdOptions::new(endpoint(server.address())).open();
    granted(claim(&another, &unit(1), LONG));
}

#[test]
fn members_of_two_clusters_are_not_one_store() {
    let bench = Bench::new();
    let mut first = Server::etcd(&FAST).unwrap();
    let options = EtcdOptions::new(endpoint(first.address())).prefix(&bench.prefix);
    let claimer = options.endpoint(endpoint(bench.server.address())).open();
    granted(claim(&claimer, &unit(0), LONG));
    first.kill();
    let (error, line) = refused(claim(&claimer, &unit(0), LONG));
    assert!(matches!(error, StoreError::OtherCluster { .. }), "{line}");
}

#[test]
fn a_server_without_space_may_have_some_again() {
    let mut arguments = FAST.to_vec();
    arguments.extend(["--quota-backend-bytes", "400000"]);
    let server = Server::etcd(&arguments).unwrap();
    let claimer = EtcdOptions::new(endpoint(server.address())).open();
    let holder = unit(0);
    granted(claim(&claimer, &holder, LONG));
    let large = STANDARD.encode([0; 30_000]);
    let revision = loop {
        let put = json!({ "key": STANDARD.encode("filler"), "value": large });
        let answer = try_post(server.address(), "/v3/kv/put", None, put);
        match answer["header"]["revision"].as_str() {
            Some(_) => {}
            None => {
                let range = json!({ "key": STANDARD.encode("filler") });
                let now = post(server.address(), "/v3/kv/range", range);
                break now["header"]["revision"].as_str().unwrap().to_owned();
            }
        }
    };
    let (error, line) = unknown(claim(&claimer, &holder, LONG));
    assert!(matches!(error, StoreError::Full), "{line}");
    unknown(block_on(claimer.check()));
    assert_eq!(leader(&claimer).unwrap().0, "web/0", "it can still be read");
    // As an operator does.
    let post = |path: &str, ask| post(server.address(), path, ask);
    post("/v3/kv/compaction", json!({ "revision": revision, "physical": true }));
    post("/v3/maintenance/defragment", json!({}));
    let alarms = post("/v3/maintenance/alarm", json!({ "action": "GET" }))["alarms"].clone();
    let member = &alarms[0]["memberID"];
    let disarm = json!({ "action": "DEACTIVATE", "memberID": member, "alarm": "NOSPACE" });
    post("/v3/maintenance/alarm", disarm);
    granted(claim(&claimer, &holder, LONG));
}

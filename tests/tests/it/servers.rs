//! The servers that other tests use: they start, die and come back.

use std::net::TcpStream;
use std::sync::Arc;

use tenure_testkit::server::{Server, ServerError, Shared};

fn comes_back(mut server: Server) {
    let (address, id) = (server.address(), server.id());
    TcpStream::connect(address).unwrap();
    server.kill();
    assert_eq!(server.id(), None);
    assert!(TcpStream::connect(address).is_err(), "it is gone");
    server.restart().unwrap();
    assert_ne!(server.id(), id);
    assert_eq!(server.address(), address);
    server.stop();
    assert!(TcpStream::connect(address).is_err(), "it has ended");
    let directory = server.directory().to_owned();
    drop(server);
    assert!(!directory.exists());
}

#[test]
fn etcd_comes_back() {
    comes_back(Server::etcd(&[]).unwrap());
}

#[test]
fn postgres_comes_back() {
    comes_back(Server::postgres(&[]).unwrap());
}

/// Each session is a process of its own, which holds the memory that a new server needs.
#[test]
fn postgres_comes_back_after_many_sessions() {
    let mut server = Server::postgres(&[]).unwrap();
    for _ in 0..3 {
        let connect = |_| TcpStream::connect(server.address()).unwrap();
        let sessions: Vec<TcpStream> = (0..60).map(connect).collect();
        server.kill();
        server.restart().unwrap();
        drop(sessions);
    }
}

#[test]
fn redis_comes_back() {
    comes_back(Server::redis(&[]).unwrap());
    comes_back(Server::forgetful_redis(&[]).unwrap());
}

#[test]
fn valkey_comes_back() {
    comes_back(Server::valkey(&[]).unwrap());
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let error = Server::redis(&["--no-such-option", "1"]).unwrap_err();
    assert!(matches!(error, ServerError::NotReady { .. }), "{error}");
    assert!(error.to_string().contains("no-such-option"), "{error}");
}

#[test]
fn a_shared_server_lives_as_long_as_somebody_has_it() {
    static SHARED: Shared = Shared::new(|| Server::redis(&[]));
    let first = SHARED.server().unwrap();
    // Who started it may go: it is no child of that thread.
    let second = std::thread::spawn(|| SHARED.server().unwrap()).join().unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let address = first.address();
    drop(first);
    TcpStream::connect(address).unwrap();
    drop(second);
    assert!(TcpStream::connect(address).is_err());
}

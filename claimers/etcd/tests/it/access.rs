//! Users, passwords, permissions and certificates.

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_lite::future::block_on;
use serde_json::json;
use tenure_core::Claimer;
use tenure_etcd::{Endpoint, EtcdOptions, StoreError, Tls, TlsOptions};
use tenure_testkit::server::{Authority, Certificate, Server};

use crate::support::*;

/// A server that lets in `tenure` with the password `p@ss`, for the keys under `/ours/` only. Its
/// tokens are good for a second after they were last used.
fn guarded() -> Server {
    let mut arguments = FAST.to_vec();
    arguments.extend(["--auth-token-ttl", "1", "--bcrypt-cost", "4"]);
    let server = Server::etcd(&arguments).unwrap();
    let [from, to] = ["/ours/", "/ours0"].map(|key| STANDARD.encode(key));
    let permission = json!({ "permType": "READWRITE", "key": from, "range_end": to });
    for (path, ask) in [
        ("user/add", json!({ "name": "root", "password": "root" })),
        ("role/add", json!({ "name": "root" })),
        ("user/grant", json!({ "user": "root", "role": "root" })),
        ("user/add", json!({ "name": "tenure", "password": "p@ss" })),
        ("role/add", json!({ "name": "leases" })),
        ("role/grant", json!({ "name": "leases", "perm": permission })),
        ("user/grant", json!({ "user": "tenure", "role": "leases" })),
        ("enable", json!({})),
    ] {
        post(server.address(), &format!("/v3/auth/{path}"), ask);
    }
    server
}

fn options(server: &Server) -> EtcdOptions {
    EtcdOptions::new(endpoint(server.address())).prefix("/ours").time_limit(PATIENCE)
}

#[test]
fn who_may_what_is_what_etcd_says() {
    let server = guarded();
    let claimer = options(&server).credentials("tenure", "p@ss").open();
    block_on(claimer.check()).unwrap();
    let holder = unit(0);
    granted(claim(&claimer, &holder, LONG));
    let url = format!("etcd://tenure:p%40ss@{}/ours", server.address());
    denied(claim(&EtcdOptions::from_url(&url).unwrap().open(), &unit(1), LONG));

    let elsewhere = options(&server).credentials("tenure", "p@ss").prefix("/theirs").open();
    for (error, line) in [
        refused(claim(&elsewhere, &unit(0), LONG)),
        refused(block_on(elsewhere.check())),
        refused(block_on(elsewhere.released(&web()))),
        refused(block_on(claimer.put_guarded(
            &web(),
            granted(claim(&claimer, &holder, LONG)),
            "/x",
            "",
        ))),
    ] {
        assert!(matches!(error, StoreError::Forbidden { .. }), "{line}");
        assert!(line.contains("permission denied"), "{line}");
    }
    let wrong = options(&server).credentials("tenure", "guess").open();
    let nobody = options(&server).open();
    for (error, line) in [
        refused(block_on(wrong.check())),
        refused(claim(&wrong, &unit(0), LONG)),
        refused(claim(&nobody, &unit(0), LONG)),
        refused(block_on(nobody.check())),
    ] {
        assert!(matches!(error, StoreError::Login { .. }), "{line}");
        assert!(!line.contains("guess"), "{line}");
    }
    let open = Bench::new();
    let (error, line) = refused(block_on(open.options().credentials("a", "b").open().check()));
    assert!(matches!(error, StoreError::Login { .. }), "{line}");
}

#[test]
fn a_token_that_ran_out_is_fetched_anew() {
    let server = guarded();
    let claimer = options(&server).credentials("tenure", "p@ss").open();
    let holder = unit(0);
    let term = granted(claim(&claimer, &holder, LONG));
    let waiting = {
        let claimer = claimer.clone();
        thread::spawn(move || block_on(claimer.released(&web())))
    };
    // Not used any more, it is as good as any other that etcd does not know.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(granted(claim(&claimer, &holder, LONG)), term);
    thread::sleep(Duration::from_secs(4));
    block_on(claimer.release(&holder)).unwrap();
    waiting.join().unwrap().unwrap();
    assert_eq!(leader(&claimer), None);
}

#[test]
fn a_password_that_was_changed_is_noticed_at_the_next_token() {
    let server = guarded();
    let claimer = options(&server).credentials("tenure", "p@ss").open();
    granted(claim(&claimer, &unit(0), LONG));
    let root = json!({ "name": "root", "password": "root" });
    let token = post(server.address(), "/v3/auth/authenticate", root)["token"].clone();
    let change = json!({ "name": "tenure", "password": "another" });
    try_post(server.address(), "/v3/auth/user/changepw", token.as_str(), change);
    let (error, line) = refused(claim(&claimer, &unit(0), LONG));
    assert!(matches!(error, StoreError::Login { .. }), "{line}");
}

/// A server that speaks TLS, with `certificate`, and wants one from its clients if there are
/// `clients` that it trusts.
fn secured(certificate: &Certificate, clients: Option<&Authority>) -> Server {
    let [shown, key] =
        [&certificate.certificate, &certificate.key].map(|path| path.to_str().unwrap());
    let url = "https://127.0.0.1:{port}";
    let mut arguments = vec!["--listen-client-urls", url, "--advertise-client-urls", url];
    arguments.extend(["--cert-file", shown, "--key-file", key]);
    let authority = clients.map(Authority::path);
    if let Some(authority) = &authority {
        let authority = authority.to_str().unwrap();
        arguments.extend(["--client-cert-auth", "--trusted-ca-file", authority]);
    }
    Server::etcd(&arguments).unwrap()
}

/// By its name: that is what its certificate is for.
fn named(address: SocketAddr) -> EtcdOptions {
    let endpoint = Endpoint { host: "localhost".to_owned(), port: address.port() };
    EtcdOptions::new(endpoint).time_limit(PATIENCE)
}

fn tls(options: &TlsOptions) -> Tls {
    Tls::new(options).unwrap()
}

#[test]
fn tls_is_spoken_by_both_or_by_none() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let server = secured(&ours.certificate("localhost").unwrap(), None);
    let trusting = TlsOptions::new().authority(ours.path());
    let claimer = named(server.address()).tls(tls(&trusting)).open();
    block_on(claimer.check()).unwrap();
    granted(claim(&claimer, &unit(0), LONG));
    let path = ours.path();
    let url = format!("etcd://localhost:{}?ca={}", server.address().port(), path.display());
    denied(claim(&EtcdOptions::from_url(&url).unwrap().open(), &unit(1), LONG));

    let mistrusting = TlsOptions::new().authority(theirs.path());
    let (error, line) =
        refused(block_on(named(server.address()).tls(tls(&mistrusting)).open().check()));
    assert!(matches!(error, StoreError::Tls { .. }), "{line}");
    // The certificate is for a name, not for the address.
    let (error, line) = refused(block_on(
        EtcdOptions::new(endpoint(server.address())).tls(tls(&trusting)).open().check(),
    ));
    assert!(matches!(error, StoreError::Tls { .. }), "{line}");
    let (error, line) = unknown(claim(&named(server.address()).open(), &unit(0), LONG));
    assert!(matches!(error, StoreError::Connection { .. }), "{line}");
    assert!(was_closed(&line), "{line}");
    let plain = Bench::new();
    let claimer = named(plain.server.address()).tls(tls(&trusting)).open();
    let (error, line) = unknown(block_on(claimer.check()));
    assert!(matches!(error, StoreError::Connection { .. }), "{line}");
    assert!(was_closed(&line) || line.contains("tls handshake"), "{line}");
}

#[test]
fn an_etcd_whose_gateway_is_off_is_told_from_what_is_no_etcd() {
    let server = Server::etcd(&["--enable-grpc-gateway=false"]).unwrap();
    let claimer = EtcdOptions::new(endpoint(server.address())).time_limit(PATIENCE).open();
    let with_password = EtcdOptions::new(endpoint(server.address())).credentials("me", "p").open();
    for (error, line) in [
        unknown(claim(&claimer, &unit(0), LONG)),
        unknown(block_on(claimer.check())),
        unknown(block_on(claimer.released(&web()))),
        unknown(claim(&with_password, &unit(0), LONG)),
    ] {
        assert!(matches!(error, StoreError::NoGateway { .. }), "{line}");
        assert!(line.contains("without --enable-grpc-gateway=false"), "{line}");
    }
}

#[test]
fn a_gateway_that_has_no_certificate_for_its_own_server_says_what_it_needs() {
    let authority = Authority::new().unwrap();
    let server = secured(&authority.server_certificate("localhost").unwrap(), Some(&authority));
    let client = authority.certificate("tenure").unwrap();
    let shown = TlsOptions::new().authority(authority.path());
    let shown = shown.identity(&client.certificate, &client.key);
    let claimer = named(server.address()).tls(tls(&shown)).open();
    for (error, line) in
        [unknown(claim(&claimer, &unit(0), LONG)), unknown(block_on(claimer.check()))]
    {
        assert!(matches!(error, StoreError::GatewayCut { .. }), "{line}");
        assert!(line.contains("--cert-file") && line.contains("clientAuth"), "{line}");
    }
}

#[test]
fn a_certificate_with_a_common_name_is_refused_with_what_to_do_once_users_log_in() {
    let authority = Authority::new().unwrap();
    let own = authority.certificate("localhost").unwrap();
    let plain = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let authority_path = authority.path();
    let [path, certificate, key] = [&authority_path, &own.certificate, &own.key];
    let [path, certificate, key] = [path, certificate, key].map(|path| path.to_str().unwrap());
    // The other one is for those who set it up.
    let urls = format!("https://127.0.0.1:{{port}},http://{plain}");
    let mut arguments = vec!["--listen-client-urls", &urls, "--advertise-client-urls", &urls];
    arguments.extend(["--cert-file", certificate, "--key-file", key]);
    arguments.extend(["--client-cert-auth", "--trusted-ca-file", path, "--bcrypt-cost", "4"]);
    let server = Server::etcd(&arguments).unwrap();
    for (path, ask) in [
        ("user/add", json!({ "name": "root", "password": "root" })),
        ("role/add", json!({ "name": "root" })),
        ("user/grant", json!({ "user": "root", "role": "root" })),
        ("enable", json!({})),
    ] {
        post(plain, &format!("/v3/auth/{path}"), ask);
    }
    let showing = |client: Certificate| {
        let shown = TlsOptions::new().authority(authority.path());
        let shown = shown.identity(&client.certificate, &client.key);
        named(server.address()).tls(tls(&shown)).credentials("root", "root").open()
    };
    let claimer = showing(authority.certificate("tenure").unwrap());
    for (error, line) in
        [unknown(claim(&claimer, &unit(0), LONG)), unknown(block_on(claimer.check()))]
    {
        assert!(matches!(error, StoreError::CommonName { .. }), "{line}");
        assert!(line.contains("use one without, and user and password"), "{line}");
    }
    let claimer = showing(authority.certificate_without_common_name("tenure").unwrap());
    block_on(claimer.check()).unwrap();
    granted(claim(&claimer, &unit(0), LONG));
}

#[test]
fn a_server_may_want_to_see_a_certificate() {
    let authority = Authority::new().unwrap();
    let server = secured(&authority.certificate("localhost").unwrap(), Some(&authority));
    let trusting = TlsOptions::new().authority(authority.path());
    let client = authority.certificate("tenure").unwrap();
    let shown = trusting.clone().identity(&client.certificate, &client.key);
    granted(claim(&named(server.address()).tls(tls(&shown)).open(), &unit(0), LONG));
    let (error, line) =
        refused(claim(&named(server.address()).tls(tls(&trusting)).open(), &unit(0), LONG));
    assert!(matches!(error, StoreError::Tls { .. }), "{line}");
}

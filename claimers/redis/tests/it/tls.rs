//! TLS, with a server that insists on it.

use std::error::Error;

use futures_lite::future;
use tenure_redis::{RedisOptions, StoreError};
use tenure_testkit::server::{Authority, Certificate, Server};

use crate::support::*;

type Outcome = Result<(), Box<dyn Error>>;

/// A Redis that shows `shown`, and wants a certificate of `authority` in turn if it `insists`.
fn server(authority: &Authority, shown: &Certificate, insists: bool) -> Server {
    let root = authority.path().display().to_string();
    let [certificate, key] =
        [&shown.certificate, &shown.key].map(|path| path.display().to_string());
    let wants = if insists { "yes" } else { "no" };
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    let trust = ["--tls-ca-cert-file", &root, "--tls-auth-clients", wants];
    let arguments = [&["--appendonly", "no", "--tls-port", "{peer-port}"], &files[..], &trust];
    Server::redis(&arguments.concat()).unwrap()
}

fn check(url: &str) -> Result<(), tenure_core::ClaimerError> {
    future::block_on(with_url(url).check())
}

#[test]
fn a_certificate_has_to_be_good() -> Outcome {
    let (authority, stranger) = (Authority::new()?, Authority::new()?);
    let server = server(&authority, &authority.certificate("localhost")?, false);
    let port = server.peer_address().port();
    let good = format!("rediss://localhost:{port}/?authority={}", authority.path().display());
    check(&good)?;
    granted(&with_url(&format!("{good}&hold_off=unsafely-never")), &candidate("mysql/0"), LONG);

    let url = format!("rediss://localhost:{port}/?authority={}", stranger.path().display());
    let error = refused(check(&url));
    assert!(matches!(&error, StoreError::Tls(_)), "{error}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let error = refused(check(&good.replace("localhost", "127.0.0.1")));
    assert!(error.to_string().contains("not valid for name"), "{error}");
    Ok(())
}

#[test]
fn a_server_may_want_a_certificate_of_ours() -> Outcome {
    let authority = Authority::new()?;
    let server = server(&authority, &authority.certificate("localhost")?, true);
    let port = server.peer_address().port();
    let without = format!("rediss://localhost:{port}/?authority={}", authority.path().display());
    let error = refused(check(&without));
    assert!(matches!(&error, StoreError::Tls(_)), "{error}");
    let ours = authority.certificate("somebody")?;
    let (certificate, key) = (ours.certificate.display(), ours.key.display());
    check(&format!("{without}&certificate={certificate}&key={key}"))?;
    Ok(())
}

#[test]
fn tls_and_plain_do_not_match() -> Outcome {
    let authority = Authority::new()?;
    let server = server(&authority, &authority.certificate("localhost")?, false);
    let root = authority.path();
    let [plain, secure] = [server.address(), server.peer_address()].map(|address| address.port());
    let url = format!("rediss://localhost:{plain}/?authority={}&time_limit=2", root.display());
    // It waits for the end of a line, and none comes.
    let error = unknown(check(&url));
    assert!(matches!(error, StoreError::TimedOut(_)), "{error}");
    let error = unknown(check(&format!("redis://localhost:{secure}")));
    assert!(error.to_string().contains("as if it expected TLS"), "{error}");
    Ok(())
}

#[test]
fn a_file_that_cannot_be_used_is_named() -> Outcome {
    let options = RedisOptions::from_url("rediss://localhost/?authority=/no/such/file")?;
    let error = refused(future::block_on(options.open().check()));
    assert!(matches!(&error, StoreError::TlsOptions(_)), "{error}");
    assert!(error.to_string().contains("/no/such/file"), "{error}");
    Ok(())
}

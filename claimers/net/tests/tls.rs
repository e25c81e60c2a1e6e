//! TLS, against a real server that insists on it.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::io;

use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use tenure_net::{Endpoint, Stream, Tls, TlsError, TlsOptions, connect};
use tenure_testkit::server::{Authority, Certificate, Server};

type Outcome = Result<(), Box<dyn Error>>;

/// A Redis that shows `shown` and wants a certificate of `authority` in turn.
fn server(
    authority: &Authority,
    shown: &Certificate,
) -> Result<(Server, Endpoint), Box<dyn Error>> {
    let [certificate, key] = [&shown.certificate, &shown.key].map(|path| path.to_str());
    let root = authority.path();
    let server = Server::redis(&[
        "--tls-port",
        "{peer-port}",
        "--tls-cert-file",
        certificate.ok_or("a path")?,
        "--tls-key-file",
        key.ok_or("a path")?,
        "--tls-ca-cert-file",
        root.to_str().ok_or("a path")?,
    ])?;
    let endpoint = Endpoint { host: "localhost".to_owned(), port: server.peer_address().port() };
    Ok((server, endpoint))
}

/// Whether the server answers.
async fn ping(mut stream: Stream) -> io::Result<bool> {
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await?;
    Ok(&answer == b"+PONG\r\n")
}

#[test]
fn who_knows_whom_is_what_counts() -> Outcome {
    let authority = Authority::new()?;
    let stranger = Authority::new()?;
    let (_server, endpoint) = server(&authority, &authority.certificate("localhost")?)?;
    let client = authority.certificate("somebody")?;
    let try_with = |options: TlsOptions| -> Result<bool, Box<dyn Error>> {
        let tls = Tls::new(&options)?;
        Ok(future::block_on(async { ping(connect(&endpoint, Some(&tls)).await?).await })?)
    };
    let known = TlsOptions::new().authority(authority.path());
    let good = known.clone().identity(&client.certificate, &client.key);
    assert!(try_with(good.clone())?);

    let error = try_with(known).unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    let unknown = good.clone().authority(stranger.path());
    let error = try_with(unknown).unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let plain = future::block_on(async { ping(connect(&endpoint, None).await?).await });
    assert!(!plain.unwrap_or(false));
    Ok(())
}

#[test]
fn a_certificate_for_another_name_is_refused() -> Outcome {
    let authority = Authority::new()?;
    let (_server, endpoint) = server(&authority, &authority.certificate("elsewhere")?)?;
    let tls = Tls::new(&TlsOptions::new().authority(authority.path()))?;
    let error = future::block_on(connect(&endpoint, Some(&tls))).unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
    Ok(())
}

#[test]
fn a_file_that_makes_no_sense_is_named() -> Outcome {
    let authority = Authority::new()?;
    let key = authority.certificate("somebody")?.key;
    for path in [key.as_path(), authority.directory().join("nothing").as_path()] {
        let error = Tls::new(&TlsOptions::new().authority(path)).unwrap_err();
        assert!(matches!(error, TlsError::File { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    Ok(())
}

/// Certificates are renewed under a process that runs: it reads them again, but keeps to what it
/// has while they make no sense.
#[test]
fn files_are_read_again_once_they_have_changed() -> Outcome {
    let (authority, stranger) = (Authority::new()?, Authority::new()?);
    let (_server, endpoint) = server(&authority, &authority.certificate("localhost")?)?;
    let (good, bad) = (authority.certificate("somebody")?, stranger.certificate("somebody")?);
    let [trusted, certificate, key] =
        ["trusted", "mine", "key"].map(|name| authority.directory().join(name));
    let put = |shown: &Certificate, trust: &Authority| -> Outcome {
        fs::copy(&shown.certificate, &certificate)?;
        fs::copy(&shown.key, &key)?;
        fs::copy(trust.path(), &trusted)?;
        Ok(())
    };
    put(&good, &authority)?;
    let options = TlsOptions::new().authority(&trusted).identity(&certificate, &key);
    let tls = Tls::new(&options)?;
    let answers = || {
        future::block_on(async { ping(connect(&endpoint, Some(&tls)).await?).await })
            .map_err(|error| error.to_string())
    };
    assert_eq!(answers(), Ok(true));
    put(&bad, &authority)?;
    assert!(answers().is_err(), "the server does not know this one");
    put(&good, &stranger)?;
    assert!(answers().unwrap_err().contains("UnknownIssuer"));
    put(&good, &authority)?;
    assert_eq!(answers(), Ok(true), "all is well again");

    for (path, content) in [(&certificate, &b""[..]), (&key, b"-----BEGIN"), (&trusted, b"x")] {
        let before = fs::read(path)?;
        fs::write(path, content)?;
        assert_eq!(answers(), Ok(true), "{path:?} is half written");
        fs::remove_file(path)?;
        assert_eq!(answers(), Ok(true), "{path:?} is gone");
        fs::write(path, before)?;
    }
    // A new certificate is there, and its key is not yet.
    fs::copy(&bad.certificate, &certificate)?;
    assert_eq!(answers(), Ok(true));
    fs::copy(&bad.key, &key)?;
    assert!(answers().is_err(), "now both are read");
    Ok(())
}

#[test]
fn files_may_come_later_than_the_process() -> Outcome {
    let authority = Authority::new()?;
    let (_server, endpoint) = server(&authority, &authority.certificate("localhost")?)?;
    let late = authority.directory().join("late");
    let tls = Tls::deferred(&TlsOptions::new().authority(&late));
    let error = future::block_on(connect(&endpoint, Some(&tls))).unwrap_err();
    let inside = TlsError::inside(&error).ok_or("it says why")?;
    assert!(inside.to_string().contains("late"), "{inside}");
    fs::copy(authority.path(), &late)?;
    future::block_on(connect(&endpoint, Some(&tls)))?;
    Ok(())
}

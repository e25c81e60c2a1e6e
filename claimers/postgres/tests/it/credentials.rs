//! Who is let in, and through what: passwords, TLS, and servers of another kind.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::{fs, thread};

use futures_lite::future::block_on;
use tenure_postgres::{PostgresOptions, StoreError};
use tenure_testkit::server::{Authority, Certificate, Server};

use crate::support::{Bench, LEASE, Own, claim, granted, open, refused, unknown};

/// Has the server ask everybody but its owner for a proof, from now on.
fn ask_for(bench: &Bench<Own>, lines: &str) {
    let directory = bench.server.0.directory().join("data");
    let rules = format!("host all postgres 127.0.0.1/32 trust\n{lines}\n");
    fs::write(directory.join("pg_hba.conf"), rules).unwrap();
    bench.sql("SELECT pg_reload_conf()");
    crate::support::eventually("the rules are read", || {
        let rules = bench.sql("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL");
        assert_eq!(rules, "0");
        bench.sql("SELECT pg_conf_load_time() > clock_timestamp() - interval '1 hour'") == "t"
    });
}

#[test]
fn a_password_is_asked_for_and_never_shown() {
    let bench = Bench::alone(&[]);
    bench.sql("CREATE ROLE me LOGIN SUPERUSER");
    let methods =
        [("scram-sha-256", "scram-sha-256"), ("md5", "md5"), ("password", "scram-sha-256")];
    for (method, encryption) in methods {
        bench.sql(&format!(
            "SET password_encryption = '{encryption}'; ALTER ROLE me PASSWORD 's3cret/1'"
        ));
        ask_for(&bench, &format!("host all me 127.0.0.1/32 {method}"));
        let with = |credentials: &str| bench.url("").replace("postgres@", credentials);
        granted_once(&bench, &with("me:s3cret%2F1@"));
        let error = refused(claim(&open(&with("me:s3cret%2F2@")), 0, LEASE));
        assert!(matches!(error, StoreError::Authentication { .. }), "{error}");
        let error = refused(claim(&open(&with("me@")), 0, LEASE));
        assert!(matches!(error, StoreError::Authentication { .. }), "{error}");
        assert!(error.to_string().contains("password missing"), "{error}");
        let options = PostgresOptions::from_url(&with("me@")).unwrap().password("s3cret/1");
        assert!(!format!("{options:?} {:?}", options.clone().open()).contains("s3cret"));
        block_on(options.open().check()).unwrap();
    }
    // Nobody of that name; a rule that lets nobody in; no such database.
    let nobody = bench.url("").replace("postgres@", "nobody:s3cret@");
    let error = refused(claim(&open(&nobody), 0, LEASE));
    assert!(matches!(error, StoreError::Authentication { .. }), "{error}");
    ask_for(&bench, "host all me 127.0.0.1/32 reject");
    let error = refused(claim(&open(&bench.url("").replace("postgres@", "me:s3cret@")), 0, LEASE));
    assert!(matches!(error, StoreError::Authentication { .. }), "{error}");
    let error = refused(claim(&open(&bench.url("").replace("/postgres?", "/nowhere?")), 0, LEASE));
    assert!(matches!(error, StoreError::NoDatabase { .. }), "{error}");
    let schema = bench.url("").replace("table=", "table=nowhere.");
    let error = refused(claim(&open(&schema), 0, LEASE));
    assert!(matches!(error, StoreError::NoDatabase { .. }), "{error}");
}

fn granted_once(bench: &Bench<Own>, url: &str) {
    granted(claim(&open(url), 0, LEASE));
    bench.sql("DROP TABLE {table}");
}

/// This test's program again, with a password in its environment.
#[test]
fn a_password_may_come_from_the_environment() {
    if let Ok(url) = std::env::var("TENURE_TEST_URL") {
        granted(claim(&open(&url), 0, LEASE));
        return;
    }
    let bench = Bench::alone(&[]);
    bench.sql("CREATE ROLE me LOGIN SUPERUSER PASSWORD 's3cret'");
    ask_for(&bench, "host all me 127.0.0.1/32 scram-sha-256");
    let run = |password: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "credentials::a_password_may_come_from_the_environment"]);
        command.env("TENURE_TEST_URL", bench.url("").replace("postgres@", ""));
        command.env("PGUSER", "me").env("PGPASSWORD", password).output().unwrap()
    };
    let output = run("s3cret");
    assert!(output.status.success(), "{output:?}");
    assert!(!run("another").status.success());
}

/// A server with a certificate for `name`, that knows the clients of `authority`.
fn secure(authority: &Authority, name: &str) -> Bench<Own> {
    let Certificate { certificate, key } = authority.certificate(name).unwrap();
    // Its owner must be able to read them, and nobody else the key.
    fs::set_permissions(authority.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    let bench = Bench::alone(&[]);
    let data = bench.server.0.directory().join("data");
    for (from, to) in
        [(certificate, "server.crt"), (key, "server.key"), (authority.path(), "ca.crt")]
    {
        let to = data.join(to);
        fs::copy(from, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        let like_the_data = Command::new("chown").arg("--reference").arg(&data).arg(&to).status();
        assert!(like_the_data.unwrap().success());
    }
    bench.sql("ALTER SYSTEM SET ssl_ca_file = 'ca.crt'");
    bench.sql("ALTER SYSTEM SET ssl = on");
    bench.sql("CREATE ROLE me LOGIN SUPERUSER PASSWORD 's3cret'");
    ask_for(
        &bench,
        "hostssl all me 127.0.0.1/32 scram-sha-256\nhostssl all certified 127.0.0.1/32 cert",
    );
    crate::support::eventually("it speaks TLS", || bench.sql("SHOW ssl") == "on");
    bench
}

#[test]
fn tls_is_spoken_with_a_server_whose_certificate_is_good_and_with_no_other() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let bench = secure(&ours, "localhost");
    let url = |host: &str, options: &str| {
        bench.url(options).replace("postgres@127.0.0.1", &format!("me:s3cret@{host}"))
    };
    let root = |authority: &Authority| format!("&sslrootcert={}", authority.path().display());
    granted(claim(&open(&url("localhost", &root(&ours))), 0, LEASE));
    for mode in ["require", "verify-full"] {
        let options = format!("{}&sslmode={mode}", root(&ours));
        granted(claim(&open(&url("localhost", &options)), 0, LEASE));
    }
    let is_secure = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE usename = 'me'";
    let kept = open(&url("localhost", &root(&ours)));
    granted(claim(&kept, 0, LEASE));
    assert_eq!(bench.sql(is_secure), "t");

    let tls = |url: String| {
        let error = refused(claim(&open(&url), 0, LEASE));
        assert!(matches!(error, StoreError::Tls { .. }), "{error}");
    };
    tls(url("localhost", &root(&theirs)));
    tls(url("127.0.0.1", &root(&ours)));
    // The server lets nobody in who speaks plainly.
    let error = refused(claim(&open(&url("localhost", "")), 0, LEASE));
    assert!(matches!(error, StoreError::Authentication { .. }), "{error}");
    assert!(error.to_string().contains("no encryption"), "{error}");
    let error = refused(claim(&open(&url("localhost", "&sslrootcert=/nowhere.pem")), 0, LEASE));
    assert!(matches!(error, StoreError::TlsSetup { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere.pem"), "{error}");
}

#[test]
fn a_certificate_may_be_the_proof() {
    let authority = Authority::new().unwrap();
    let bench = secure(&authority, "localhost");
    bench.sql("CREATE ROLE certified LOGIN SUPERUSER");
    let root = format!("&sslrootcert={}", authority.path().display());
    let url = |name: &str| {
        let Certificate { certificate, key } = authority.certificate(name).unwrap();
        let (certificate, key) = (certificate.display(), key.display());
        bench
            .url(&format!("{root}&sslcert={certificate}&sslkey={key}"))
            .replace("postgres@127.0.0.1", "certified@localhost")
    };
    granted(claim(&open(&url("certified")), 0, LEASE));
    let error = refused(claim(&open(&url("another")), 0, LEASE));
    assert!(matches!(error, StoreError::Authentication { .. }), "{error}");
}

#[test]
fn a_server_without_tls_is_refused_by_who_asks_for_it() {
    let bench = Bench::new();
    let authority = Authority::new().unwrap();
    let url = bench.url(&format!("&sslrootcert={}", authority.path().display()));
    let error = refused(claim(&open(&url), 0, LEASE));
    assert!(matches!(error, StoreError::NoTls { .. }), "{error}");
}

/// A server that answers whatever it is sent with `answer`, and then closes.
fn impostor(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 100]);
            let _ = stream.write_all(answer);
        }
    });
    format!("postgres://me:s3cret@{address}/x?time_limit=2")
}

#[test]
fn a_server_of_another_kind_is_told() {
    let authority = Authority::new().unwrap();
    let root = format!("&sslrootcert={}", authority.path().display());
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"-ERR unknown command\r\n", b"\0"] {
        for options in ["", &root] {
            let url = format!("{}{options}", impostor(answer));
            let error = refused(claim(&open(&url), 0, LEASE));
            assert!(matches!(error, StoreError::NotPostgres { .. }), "{answer:?}: {error:?}");
        }
    }
    // One that says nothing may be one that is busy.
    let url = impostor(b"");
    let error = unknown(claim(&open(&url), 0, LEASE));
    assert!(matches!(error, StoreError::Lost { .. }), "{error:?}");
    // Redis waits for the end of a line that never comes.
    let redis = Server::redis(&[]).unwrap();
    let url = format!("postgres://me:s3cret@{}/x?time_limit=0.5", redis.address());
    let error = unknown(claim(&open(&url), 0, LEASE));
    assert!(matches!(error, StoreError::TimedOut { .. }), "{error:?}");
}

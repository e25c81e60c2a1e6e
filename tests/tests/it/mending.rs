//! What an operator breaks and mends while somebody leads: a certificate, a password. The leader
//! keeps its lease, and renews it again.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tenure_core::{Claimer, Config, Standing};
use tenure_etcd::EtcdOptions;
use tenure_postgres::PostgresOptions;
use tenure_redis::RedisOptions;
use tenure_std::{BlockOn, Tracker};
use tenure_testkit::server::{Authority, Certificate, Proxy, Server, psql, redis_cli};

const PATIENCE: Duration = Duration::from_secs(60);

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not even in a minute: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Leads over `claimer` while the store is spoiled, so that it refuses with one of these `words`,
/// and then mended.
fn leads_on<C: Claimer>(claimer: C, spoil: impl Fn(), words: &[&str], mend: impl Fn()) {
    let config = Config::builder(Duration::from_secs(5)).build().unwrap();
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) = Tracker::new(BlockOn::new(claimer), service, unit, config);
    driver.spawn().unwrap();
    tracker.wait_leader().wait();
    let standing = || match tracker.standing() {
        Standing::Leader { term, valid_until, .. } => (term, valid_until),
        other => panic!("{other:?}: {:?}", tracker.last_error()),
    };
    let lost = tracker.wait_minion();
    let (term, before) = standing();
    spoil();
    eventually("a renewal is refused", || {
        let said = tracker.last_error().map(|error| format!("{error:?}")).unwrap_or_default();
        words.iter().any(|word| said.contains(word))
    });
    assert_eq!(standing(), (term, before), "it keeps the lease that it has");
    mend();
    eventually("the lease is renewed", || standing().1 > before);
    assert_eq!(standing().0, term);
    assert!(!lost.is_ready(), "it led all the time");
    tracker.stop().unwrap();
}

/// What is swapped is what the leader trusts: Go's servers resume sessions, in which no certificate
/// is shown, so a wrong one there would go unnoticed.
#[test]
fn a_leader_over_etcd_outlives_a_wrong_authority() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let Certificate { certificate, key } = ours.certificate("localhost").unwrap();
    let url = "https://127.0.0.1:{port}";
    let listens = ["--listen-client-urls", url, "--advertise-client-urls", url];
    let [certificate, key] = [&certificate, &key].map(|path| path.to_str().unwrap());
    let speaks = ["--cert-file", certificate, "--key-file", key];
    let server = Server::etcd(&[&listens[..], &speaks].concat()).unwrap();
    let proxy = Proxy::new(server.address()).unwrap();
    let trusted = ours.directory().join("trusted");
    let swap = |to: &Authority| {
        fs::copy(to.path(), &trusted).unwrap();
        proxy.cut();
    };
    swap(&ours);
    let (port, trusted) = (proxy.address().port(), trusted.display());
    let claimer = EtcdOptions::from_url(&format!("etcd://localhost:{port}/?ca={trusted}"));
    let words = ["UnknownIssuer", "BadSignature"];
    leads_on(claimer.unwrap().open(), || swap(&theirs), &words, || swap(&ours));
}

#[test]
fn a_leader_over_redis_outlives_a_wrong_certificate() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let (good, bad) =
        (ours.certificate("localhost").unwrap(), theirs.certificate("localhost").unwrap());
    let root = ours.path().display().to_string();
    let [certificate, key] = [&good.certificate, &good.key].map(|path| path.display().to_string());
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    let trust = ["--tls-ca-cert-file", &root, "--tls-auth-clients", "no"];
    let server = Server::redis(
        &[&["--appendonly", "no", "--tls-port", "{peer-port}"], &files[..], &trust].concat(),
    )
    .unwrap();
    let cli = |command: &[&str]| redis_cli(server.address(), command).unwrap();
    let swap = |to: &Certificate| {
        let [certificate, key] = [&to.certificate, &to.key].map(|path| path.display().to_string());
        cli(&["CONFIG", "SET", "tls-cert-file", &certificate, "tls-key-file", &key]);
        cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    };
    let port = server.peer_address().port();
    let url = format!("rediss://localhost:{port}/?hold_off=unsafely-never&authority={root}");
    let claimer = RedisOptions::from_url(&url).unwrap().open();
    leads_on(claimer, || swap(&bad), &["UnknownIssuer", "BadSignature"], || swap(&good));
}

#[test]
fn a_leader_over_redis_outlives_a_wrong_password() {
    let server = Server::redis(&["--appendonly", "no"]).unwrap();
    let cli = |command: &[&str]| redis_cli(server.address(), command).unwrap();
    cli(&["ACL", "SETUSER", "me", "on", ">s3cret", "~*", "&*", "+@all"]);
    let swap = |password: &str| {
        cli(&["ACL", "SETUSER", "me", "resetpass", password]);
        cli(&["CLIENT", "KILL", "USER", "me"]);
    };
    let url = format!("redis://me:s3cret@{}/?hold_off=unsafely-never", server.address());
    let claimer = RedisOptions::from_url(&url).unwrap().open();
    leads_on(claimer, || swap(">another"), &["WRONGPASS"], || swap(">s3cret"));
}

#[test]
fn a_leader_over_postgres_outlives_a_wrong_password() {
    let server = Server::postgres(&[]).unwrap();
    let sql = |sql: &str| psql(server.address(), sql).unwrap();
    sql("CREATE ROLE me LOGIN SUPERUSER PASSWORD 's3cret'");
    let rules = "host all postgres 127.0.0.1/32 trust\nhost all me 127.0.0.1/32 scram-sha-256\n";
    fs::write(server.directory().join("data/pg_hba.conf"), rules).unwrap();
    sql("SELECT pg_reload_conf()");
    let url = format!("postgres://me:another@{}/postgres", server.address());
    let asks = || {
        let checked = PostgresOptions::from_url(&url).unwrap().open();
        futures_lite::future::block_on(checked.check()).is_err()
    };
    eventually("the rules are read", asks);
    let swap = |password: &str| {
        sql(&format!("ALTER ROLE me PASSWORD '{password}'"));
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'me'");
    };
    let claimer = PostgresOptions::from_url(&url.replace("another", "s3cret")).unwrap().open();
    leads_on(claimer, || swap("another"), &["Authentication"], || swap("s3cret"));
}

#[test]
fn a_leader_over_postgres_outlives_a_wrong_certificate() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let (good, bad) =
        (ours.certificate("localhost").unwrap(), theirs.certificate("localhost").unwrap());
    let server = Server::postgres(&[]).unwrap();
    let data = server.directory().join("data");
    let sql = |sql: &str| psql(server.address(), sql).unwrap();
    let swap = |to: &Certificate| {
        for (from, name) in [(&to.certificate, "server.crt"), (&to.key, "server.key")] {
            let to = data.join(name);
            fs::copy(from, &to).unwrap();
            let own = Command::new("chown").arg("--reference").arg(&data).arg(&to).status();
            let hide = Command::new("chmod").arg("600").arg(&to).status();
            assert!(own.unwrap().success() && hide.unwrap().success());
        }
        sql("SELECT pg_reload_conf()");
        // It may take the server a moment.
        thread::sleep(Duration::from_millis(100));
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'tenure'");
    };
    swap(&good);
    sql("ALTER SYSTEM SET ssl = on");
    sql("SELECT pg_reload_conf()");
    eventually("it speaks TLS", || sql("SHOW ssl") == "on");
    let (port, root) = (server.address().port(), ours.path());
    let url =
        format!("postgres://postgres@localhost:{port}/postgres?sslrootcert={}", root.display());
    let claimer = PostgresOptions::from_url(&url).unwrap().open();
    leads_on(claimer, || swap(&bad), &["UnknownIssuer", "BadSignature"], || swap(&good));
}

//! Stores that are servers: they do what a file does, and what is wrong with one is told in a line.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::Value;
use tenure_testkit::server::{Server, redis_cli};

use crate::support::{Bench, Process, until};

/// Runs, claims, looks and releases over the store at `url`.
fn does_it_all(url: &str) {
    let bench = Bench::new();
    let tenure = |arguments: &[&str]| {
        let mut command = bench.tenure(arguments);
        Process::start(command.env("TENURE_STORE", url)).ends()
    };
    let script = "echo $TENURE_UNIT leads $TENURE_SERVICE";
    let run = ["run", "--unit=mysql/0", "--guarantee=1s", "--", "sh", "-c", script];
    assert_eq!(tenure(&run).expect(0).stdout, "mysql/0 leads mysql\n");
    let nobody = tenure(&["status", "--service=mysql"]);
    assert_eq!(nobody.expect(0).stdout, "nobody leads mysql\n");

    let claim = |unit: &str| tenure(&["claim", "--guarantee=100s", "--json", "--unit", unit]);
    let said: Value = serde_json::from_str(&claim("mysql/1").expect(0).stdout).unwrap();
    let term = said["term"].as_u64().unwrap();
    claim("mysql/2").expect(1);
    let said = tenure(&["status", "--service=mysql", "--json"]);
    let said: Value = serde_json::from_str(&said.expect(0).stdout).unwrap();
    assert_eq!(
        (&said["leader"]["unit"], &said["leader"]["term"]),
        (&"mysql/1".into(), &term.into())
    );
    tenure(&["release", "--unit=mysql/1"]).expect(0);
    let said: Value = serde_json::from_str(&claim("mysql/2").expect(0).stdout).unwrap();
    assert!(said["term"].as_u64().unwrap() > term, "{said}");
    assert!(bench.files().is_empty(), "nothing is left here");
}

/// Whether the store's clock may be stepped, as the command has it: it takes a second off.
#[track_caller]
fn has_slack(url: &str, expected: bool) {
    let bench = Bench::new();
    let store = format!("--store={url}");
    let promised = |more: &[&str]| {
        let claim = ["claim", &store, "--unit=slack/0", "--guarantee=100s", "--clock-ratio=1"];
        let answer = bench.ask(&[&claim, &["--json"][..], more].concat());
        let said: Value = serde_json::from_str(&answer.expect(0).stdout).unwrap();
        said["remaining_ms"].as_u64().unwrap()
    };
    // A claim that takes a quarter of the guarantee says no at all.
    let (least, most) = if expected { (174_000, 199_000) } else { (175_000, 200_000) };
    let found = promised(&[]);
    assert!(found > least && found <= most, "{found}");
    assert!(promised(&["--store-slack=5s"]) <= 195_000);
    assert!(expected || (0..5).any(|_| promised(&[]) > 199_000), "{found}");
    bench.ask(&["release", &store, "--unit=slack/0"]).expect(0);
}

/// Watches the store at `url` while its leader changes.
fn tells_changes(url: &str) {
    let bench = Bench::new();
    let store = format!("--store={url}");
    let ask = |call: &str, unit: &str| {
        let unit = format!("--unit={unit}");
        let claim = call == "claim";
        let guarantee = claim.then_some("--guarantee=100s");
        let arguments: Vec<&str> = [call, &store, &unit].into_iter().chain(guarantee).collect();
        bench.ask(&arguments).expect(0);
    };
    ask("claim", "watched/0");
    let watch = Process::start(&mut bench.tenure(&["watch", &store, "--service=watched"]));
    let told = |whom: &str| {
        until(&format!("{whom} to lead"), || {
            watch.stdout().lines().last().is_some_and(|line| line.contains(whom))
        });
    };
    told("watched/0 leads");
    for (next, last) in [("watched/1", "watched/0"), ("watched/2", "watched/1")] {
        ask("release", last);
        told("nobody leads");
        ask("claim", next);
        told(&format!("{next} leads"));
    }
    assert_eq!(watch.stdout().lines().count(), 5, "{}", watch.stdout());
}

/// A demo over the store at `url`, where a crash may cost as much as `bound` says.
fn shows_it_all(url: &str, bound: &str) {
    let bench = Bench::new();
    let store = format!("--store={url}");
    let answer = bench.ask(&["demo", "--candidates=2", "--guarantee=600ms", &store]);
    let said = &answer.expect(0).stdout;
    let row = said.lines().find(|line| line.starts_with("killed (SIGKILL)  ")).unwrap();
    assert_eq!(row.split("  ").filter(|part| !part.is_empty()).nth(2).unwrap().trim(), bound);
    assert!(said.ends_with("no two led at once, and terms only rose\n"), "{said}");
    assert!(bench.files().is_empty(), "nothing is left here");
}

/// What `status` and `claim` say of `url` in the one line that they say: it has these words, and
/// no password.
#[track_caller]
fn told(url: &str, words: &[&str]) {
    let store = format!("--store={url}");
    told_by(&[&["status", &store, "--service=mysql"], &["claim", &store, "--unit=mysql/0"]], words);
}

/// As [`told`], by those that go on for long as well: at the first contact they end at once.
#[track_caller]
fn told_by_all(url: &str, words: &[&str]) {
    told(url, words);
    let store = format!("--store={url}");
    told_by(&[&["run", &store, "--service=mysql", "true"]], words);
    told_by(&[&["watch", &store, "--service=mysql"]], words);
}

#[track_caller]
fn told_by(commands: &[&[&str]], words: &[&str]) {
    let bench = Bench::new();
    for arguments in commands {
        let answer = bench.ask(arguments);
        let said = answer.expect(69).stderr.clone();
        assert_eq!(said.lines().count(), 1, "{said}");
        for word in words {
            assert!(said.contains(word), "{word} in {said}");
        }
        assert!(!said.contains("sesame"), "{said}");
    }
}

/// A port where nobody listens.
fn unused() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn etcd_serves_the_command() {
    let server = Server::etcd(&[]).unwrap();
    let url = format!("etcd://{}/some/prefix", server.address());
    does_it_all(&url);
    tells_changes(&url);
    // Its leases are whole seconds, two of them at least, and it is half a second late.
    shows_it_all(&url, "2.70 s");
    has_slack(&url, false);
    told(&format!("etcd://{}?tls=on", server.address()), &[&server.address().to_string()]);
}

#[test]
fn postgres_serves_the_command() {
    let server = Server::postgres(&[]).unwrap();
    let url = format!("postgres://postgres@{}/postgres", server.address());
    does_it_all(&url);
    tells_changes(&url);
    shows_it_all(&url, "1.40 s");
    has_slack(&url, true);
    let nowhere = format!("postgres://postgres:sesame@{}/nowhere", server.address());
    told_by_all(&nowhere, &["nowhere", "does not exist"]);
    // One kind of server where another was meant.
    told(&format!("redis://{}", server.address()), &[&server.address().to_string()]);
}

#[test]
fn redis_serves_the_command() {
    let server = Server::redis(&[]).unwrap();
    let url = format!("redis://{}/3", server.address());
    is_no_new_redis(&server, "3");
    does_it_all(&url);
    tells_changes(&url);
    shows_it_all(&url, "1.40 s");
    has_slack(&url, true);
    told(&format!("etcd://{}", server.address()), &[&server.address().to_string()]);
    let locked = Server::redis(&["--requirepass", "open-sesame"]).unwrap();
    told_by_all(&format!("redis://:sesame@{}", locked.address()), &["password"]);
}

/// Marks a database as one that has been in use for long: a new one could be one that was wiped.
fn is_no_new_redis(server: &Server, database: &str) {
    let mark = ["-n", database, "HSET", "tenure:marker", "schema", "1", "since_ms", "0"];
    redis_cli(server.address(), &mark).unwrap();
}

#[test]
fn a_new_redis_says_that_it_holds_off_and_why_and_for_how_long() {
    let server = Server::redis(&[]).unwrap();
    let store = format!("--store=redis://{}", server.address());
    let bench = Bench::new();
    let why = "the store is new or was wiped (there was no key \"tenure:marker\"), and may have \
               forgotten a leader: no lease is granted for another ";
    let claim = ["claim", &store, "--unit=mysql/0", "--guarantee=100s"];
    let answer = bench.ask(&claim);
    let said = &answer.expect(1).stdout;
    let expected = format!("mysql/0 does not lead mysql yet: {why}");
    assert!(said.starts_with(&expected) && said.ends_with("s\n"), "{said}");
    let answer = bench.ask(&["claim", &store, "--unit=mysql/1", "--guarantee=100s", "--json"]);
    let said: Value = serde_json::from_str(&answer.expect(1).stdout).unwrap();
    assert_eq!(said["leader"], Value::Null, "{said}");
    assert!(said["held_off"].as_str().unwrap().starts_with(why), "{said}");
    let status = ["status", &store, "--service=mysql"];
    let answer = bench.ask(&status);
    let said = &answer.expect(0).stdout;
    assert!(said.starts_with(&format!("nobody leads mysql: {why}")), "{said}");
    // One that runs says it without being asked for more, and has its turn.
    server_is_wiped(&server);
    let script = ["--guarantee=500ms", "--", "echo", "led"];
    let run = [&["run", &store, "--unit=mysql/0"][..], &script].concat();
    let answer = bench.ask(&run);
    assert_eq!(answer.expect(0).stdout, "led\n");
    assert!(answer.stderr.contains("WARN") && answer.stderr.contains(why), "{}", answer.stderr);
}

fn server_is_wiped(server: &Server) {
    redis_cli(server.address(), &["FLUSHALL"]).unwrap();
}

/// What both commands log shows that no two run at once.
#[test]
fn a_redis_that_is_wiped_has_no_two_commands_run_at_once() {
    let server = Server::redis(&[]).unwrap();
    is_no_new_redis(&server, "0");
    let bench = Bench::new();
    let store = format!("--store=redis://{}", server.address());
    let script = "trap 'echo end $TENURE_UNIT >> $LOG; exit 0' TERM
                  echo start $TENURE_UNIT >> $LOG; while :; do sleep 0.02; done";
    let start = |unit: &str| {
        let unit = format!("--unit={unit}");
        let options = ["run", &store, "--service=mysql", &unit, "--guarantee=1s", "--"];
        let arguments = [&options[..], &["sh", "-c", script]].concat();
        Process::start(bench.tenure(&arguments).env("LOG", bench.path("log")))
    };
    let first = start("mysql/0");
    bench.until_logged("start mysql/0");
    let second = start("mysql/1");
    let listens = || redis_cli(server.address(), &["PUBSUB", "CHANNELS"]).unwrap();
    until("the other to wait", || listens().contains("mysql"));
    server_is_wiped(&server);
    // A third that knows nothing comes just then.
    let third = start("mysql/2");
    first.ends().expect(75);
    until("another to lead", || bench.log().len() > 2);
    let log = bench.log();
    assert_eq!(log[..2], ["start mysql/0", "end mysql/0"], "{log:?}");
    assert!(log[2] == "start mysql/1" || log[2] == "start mysql/2", "{log:?}");
    assert_eq!(log.len(), 3, "{log:?}");
    drop((second, third));
}

#[test]
fn a_server_that_is_away_is_told_in_time() {
    let port = unused();
    for scheme in ["etcd", "postgres", "redis"] {
        let address = format!("127.0.0.1:{port}");
        told(&format!("{scheme}://me:sesame@{address}"), &[&address, "refused"]);
    }
    // It takes connections, and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for scheme in ["etcd", "postgres", "redis"] {
        let address = silent.local_addr().unwrap();
        told(&format!("{scheme}://me:sesame@{address}"), &["no answer within"]);
    }
}

/// A server that says `greeting`, and then `more` without end, whatever it is asked.
fn talks_without_end(greeting: &'static [u8], more: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let more = more.repeat(16);
                // Not before it is asked: a client may look whether there is something already.
                let mut said = stream.read(&mut [0; 64]).and_then(|_| stream.write_all(greeting));
                while said.is_ok() {
                    said = stream.write_all(&more);
                }
            });
        }
    });
    address
}

/// However it does so: a list of very many parts, a line or a setting without end, one provisional
/// answer after another.
#[test]
fn a_server_that_never_stops_talking_is_told_in_time() {
    let kinds = [
        ("redis", &b"*1000000000\r\n"[..], &b":1\r\n"[..]),
        ("redis", b"+", b"going on and on "),
        ("postgres", b"R\0\0\0\x08\0\0\0\0", b"S\0\0\0\x08a\0b\0"),
        ("etcd", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ];
    for (scheme, greeting, more) in kinds {
        let bench = Bench::new();
        let store = format!("--store={scheme}://me:sesame@{}", talks_without_end(greeting, more));
        let claim = bench.ask(&["claim", &store, "--unit=mysql/0", "--guarantee=1s"]);
        assert_eq!(claim.expect(69).stderr.lines().count(), 1, "{claim:?}");
    }
    let bench = Bench::new();
    let store = format!("--store=redis://{}", talks_without_end(b"+", b"going on and on "));
    let status = bench.ask(&["status", &store, "--service=mysql"]);
    assert_eq!(status.expect(69).stderr.lines().count(), 1, "{status:?}");
}

/// How many scripts the server has run.
fn scripts(address: SocketAddr) -> u64 {
    let said = redis_cli(address, &["INFO", "commandstats"]).unwrap();
    let calls = |line: &str| {
        let (_, rest) = line.strip_prefix("cmdstat_eval")?.split_once("calls=")?;
        rest.split(',').next()?.parse::<u64>().ok()
    };
    said.lines().filter_map(calls).sum()
}

/// Else whoever watches costs the store more than a leader does.
#[test]
fn to_watch_a_leader_asks_redis_next_to_nothing() {
    let server = Server::redis(&[]).unwrap();
    let store = format!("--store=redis://{}", server.address());
    is_no_new_redis(&server, "0");
    let bench = Bench::new();
    bench.ask(&["claim", &store, "--unit=mysql/0", "--guarantee=100s"]).expect(0);
    let watch = Process::start(&mut bench.tenure(&["watch", &store, "--service=mysql"]));
    let listening = || {
        let channels = redis_cli(server.address(), &["PUBSUB", "CHANNELS"]).unwrap();
        channels.contains("mysql") && !watch.stdout().is_empty()
    };
    until("the watch to listen", listening);
    let (before, start) = (scripts(server.address()), Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let asked = scripts(server.address()) - before;
    // It looks once when it begins to listen, and then every five seconds.
    let looks = 2 + start.elapsed().as_secs() / 5;
    assert!(asked <= looks, "it asked {asked} times, not {looks}");
}

//! `tenure status` and `tenure watch`.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Bench, Process, until};

const LOOK: [&str; 2] = ["--store=sqlite:leases.db", "--service=mysql"];

fn status(bench: &Bench) -> Value {
    let answer = bench.ask(&["status", LOOK[0], LOOK[1], "--json"]);
    serde_json::from_str(&answer.expect(0).stdout).unwrap()
}

#[test]
fn status_says_who_leads_in_which_term_and_for_how_long_yet() {
    let bench = Bench::new();
    let script = "echo ready >> $LOG; while :; do sleep 0.02; done";
    let process = bench.run(&["--unit=mysql/0", "--guarantee=100s"], script);
    bench.until_logged("ready");
    let said = bench.ask(&["status", LOOK[0], LOOK[1]]);
    let said = said.expect(0).stdout.trim_end().to_owned();
    assert!(said.starts_with("mysql/0 leads mysql in term 1, for "), "{said}");
    assert!(said.ends_with(" s yet unless it renews"), "{said}");
    let said = status(&bench);
    assert_eq!((&said["service"], &said["leader"]["unit"]), (&json!("mysql"), &json!("mysql/0")));
    assert_eq!(said["leader"]["term"], json!(1));
    let remaining_ms = said["leader"]["remaining_ms"].as_u64().unwrap();
    assert!(remaining_ms > 0 && remaining_ms <= 200_001, "{said}");

    process.signal(Signal::TERM);
    process.ends().expect(143);
    assert_eq!(bench.ask(&["status", LOOK[0], LOOK[1]]).expect(0).stdout, "nobody leads mysql\n");
    assert_eq!(status(&bench), json!({ "service": "mysql", "leader": null }));
    assert_eq!(bench.files(), ["leases.db", "log"], "looking leaves nothing");
}

#[test]
fn watch_tells_each_change_once() {
    let bench = Bench::new();
    let claim = |unit: &str| bench.ask(&["claim", LOOK[0], "--guarantee=100s", "--unit", unit]);
    let release = |unit: &str| bench.ask(&["release", LOOK[0], "--unit", unit]);
    claim("mysql/0").expect(0);
    let plain = Process::start(&mut bench.tenure(&["watch", LOOK[0], LOOK[1]]));
    let json = Process::start(&mut bench.tenure(&["watch", LOOK[0], LOOK[1], "--json"]));
    let told = |count: usize| {
        until(&format!("{count} lines"), || {
            [&plain, &json].iter().all(|process| process.stdout().lines().count() == count)
        });
    };
    told(1);
    claim("mysql/0").expect(0);
    release("mysql/0").expect(0);
    told(2);
    claim("mysql/1").expect(0);
    told(3);

    let without_time = |line: &str| line.split_once(' ').unwrap().1.to_owned();
    let lines: Vec<String> = plain.stdout().lines().map(without_time).collect();
    let expected =
        ["mysql/0 leads mysql in term 1", "nobody leads mysql", "mysql/1 leads mysql in term 2"];
    assert_eq!(lines, expected);
    let changes: Vec<Value> =
        json.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let leaders: Vec<(&Value, &Value)> = changes
        .iter()
        .map(|change| (&change["leader"]["unit"], &change["leader"]["term"]))
        .collect();
    let null = Value::Null;
    assert_eq!(
        leaders,
        [(&json!("mysql/0"), &json!(1)), (&null, &null), (&json!("mysql/1"), &json!(2))]
    );
    assert!(changes.iter().all(|change| change["at"].as_str().unwrap().ends_with('Z')));
}

#[test]
fn watch_ends_with_its_reader() {
    let bench = Bench::new();
    bench.ask(&["claim", LOOK[0], "--unit=mysql/0", "--guarantee=100s"]).expect(0);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut watch = bench.tenure(&["watch", LOOK[0], LOOK[1]]);
    let mut child = watch.stdout(writer).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut status = None;
    until("the watch to end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(141));
}

/// `tenure watch | head -1`
#[test]
fn watch_ends_with_its_reader_though_nothing_changes() {
    use std::io::{BufRead, BufReader};

    let bench = Bench::new();
    bench.ask(&["claim", LOOK[0], "--unit=mysql/0", "--guarantee=1000s"]).expect(0);
    let mut watch = bench.tenure(&["watch", LOOK[0], LOOK[1]]);
    watch.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = watch.spawn().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    assert!(line.ends_with(" mysql/0 leads mysql in term 1\n"), "{line}");
    drop(reader);
    let mut status = None;
    until("the watch to end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(141));
}

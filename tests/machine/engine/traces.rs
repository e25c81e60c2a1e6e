use std::path::{Path, PathBuf};

use tenure_core::Instant;
use tenure_dependency::{Config, Event, ManifoldName, Outcome, RunId};
use tenure_testkit::engine::trace::{self, Input};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/engine")
}

/// `REWRITE=1` writes what comes out; read the diff, and keep only what you can explain.
#[test]
fn every_trace_says_what_the_engine_does() {
    let rewrite = std::env::var_os("REWRITE").is_some();
    let files = tenure_testkit::trace::files(&directory()).unwrap();
    let wrong: Vec<String> =
        files.iter().filter_map(|path| trace::check(path, rewrite).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!files.is_empty(), "there are no traces");
}

#[test]
fn an_error_names_its_file_and_line() {
    let error = |text: &str| trace::run("file.txt", text).unwrap_err();
    assert_eq!(error("timer at=0\n----\n"), "file.txt:1: there is no engine: new at=0");
    let error = |line: &str| error(&format!("new at=0\n----\n\n{line}\n----\n"));
    assert_eq!(error("jump"), "file.txt:4: no such command: jump");
    assert_eq!(error("install"), "file.txt:4: install whom?");
    assert_eq!(error("stopped 1 as=x"), "file.txt:4: no such outcome: x");
    let wants = "file.txt:4: stopped wants one of as=, error=, fatal=";
    assert_eq!(error("stopped 1"), wants);
    assert_eq!(error("stopped 1 as=bounce error=x"), wants);
    assert_eq!(error("config factor=x"), "file.txt:4: not a factor: x");
    assert_eq!(error("report 1"), "file.txt:4: report does not take 1");
}

/// What a failure prints can be put into a file and run.
#[test]
fn a_history_is_a_trace() {
    let [name, other] = ["a", "b"].map(ManifoldName::from);
    let run = RunId::new(1);
    let mut inputs = vec![
        Input::Install { name: name.clone(), inputs: Vec::new() },
        Input::Install { name: other.clone(), inputs: vec![name.clone(), other] },
        Input::Event(Event::Started { run }),
    ];
    let outcomes = [
        Outcome::Bounce,
        Outcome::Failed(7),
        Outcome::Finished,
        Outcome::Missing,
        Outcome::Uninstall,
        Outcome::Fatal(8),
    ];
    for outcome in outcomes {
        inputs.push(Input::Event(Event::StartFailed { run, outcome: outcome.clone() }));
        inputs.push(Input::Event(Event::Stopped { run, outcome }));
    }
    inputs.extend([Event::TimerFired, Event::Uninstalled { name }, Event::Stop].map(Input::Event));
    for at in [0, 1, 1_500_000, u64::MAX].map(Instant::from_nanos) {
        let history: Vec<(Input<u8>, Instant)> =
            inputs.iter().map(|input| (input.clone(), at)).collect();
        let text = trace::history(&Config::default(), Instant::ORIGIN, &history);
        let came = trace::run("history", &text).unwrap();
        assert!(came.starts_with(&text), "{came}");
    }
}

//! `tenure claim` and `tenure release`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{Answer, Bench, Process, names_in};

const STORE: &str = "--store=sqlite:leases.db";

fn claim(bench: &Bench, options: &[&str]) -> Answer {
    bench.ask(&[&["claim", STORE, "--guarantee=100s"], options].concat())
}

fn release(bench: &Bench, options: &[&str]) -> Answer {
    bench.ask(&[&["release", STORE], options].concat())
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.stdout).unwrap()
}

#[test]
fn one_holder_claims_renews_and_releases_over_several_processes() {
    let bench = Bench::new();
    let yes = claim(&bench, &["--unit=mysql/0"]);
    let said = yes.expect(0).stdout.trim_end();
    assert!(said.starts_with("mysql/0 leads mysql in term 1, for "), "{said}");
    let renewed = parsed(claim(&bench, &["--unit=mysql/0", "--json"]).expect(0));
    assert_eq!((&renewed["leads"], &renewed["term"]), (&json!(true), &json!(1)));
    assert!(renewed["remaining_ms"].as_u64().unwrap() >= 100_000, "{renewed}");

    let no = claim(&bench, &["--unit=mysql/1"]);
    assert_eq!(no.expect(1).stdout, "mysql/0 leads mysql\n");
    let no = parsed(claim(&bench, &["--unit=mysql/1", "--json"]).expect(1));
    assert_eq!((&no["leads"], &no["leader"]), (&json!(false), &json!("mysql/0")));
    assert!(no["retry_after_ms"].as_u64().unwrap() > 0, "{no}");
    assert_eq!(claim(&bench, &["--unit=mysql/1", "--quiet"]).expect(1).stdout, "");

    let free = release(&bench, &["--unit=mysql/0"]);
    assert_eq!(free.expect(0).stdout, "mysql/0 holds nothing of mysql any more\n");
    assert_eq!(claim(&bench, &["--unit=mysql/1", "-q"]).expect(0).stdout, "");
    // A late release of the first one's must not free what is the second one's.
    release(&bench, &["--unit=mysql/0"]).expect(0);
    assert_eq!(claim(&bench, &["--unit=mysql/0"]).expect(1).stdout, "mysql/1 leads mysql\n");
}

#[test]
fn a_released_session_is_another_holder() {
    let bench = Bench::new();
    let session = bench.path("session");
    let options = ["--unit=mysql/0", "--session", session.to_str().unwrap()];
    let nonce = || {
        let content: Value = serde_json::from_slice(&fs::read(&session).unwrap()).unwrap();
        content["nonce"].as_str().unwrap().to_owned()
    };
    claim(&bench, &options).expect(0);
    let first = nonce();
    claim(&bench, &options).expect(0);
    assert_eq!(nonce(), first);
    release(&bench, &options).expect(0);
    assert_ne!(nonce(), first);
    assert!(claim(&bench, &options).expect(0).stdout.contains(" in term 2, "));
}

#[test]
fn the_same_unit_with_another_session_is_another_holder() {
    let bench = Bench::new();
    claim(&bench, &["--unit=mysql/0", "--session=one"]).expect(0);
    claim(&bench, &["--unit=mysql/0", "--session=other"]).expect(1);
    release(&bench, &["--unit=mysql/0", "--session=other"]).expect(0);
    claim(&bench, &["--unit=mysql/0", "--session=other"]).expect(1);
    claim(&bench, &["--unit=mysql/0", "--session=one"]).expect(0);
}

#[test]
fn a_session_is_its_owners_alone_and_of_one_unit() {
    let bench = Bench::new();
    claim(&bench, &["--unit=mysql/0"]).expect(0);
    let directory = bench.sessions();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let [name] = &names_in(&directory)[..] else { panic!("{:?}", names_in(&directory)) };
    let session = directory.join(name);
    assert_eq!((mode(&directory), mode(&session)), (0o700, 0o600));

    let chosen = format!("--session={}", session.display());
    let store = bench.path("leases.db").canonicalize().unwrap();
    let answer = claim(&bench, &["--unit=mysql/1", &chosen]);
    let line = format!(
        "tenure: session file {session:?} is that of mysql/0 for mysql in sqlite:{}\n",
        store.display()
    );
    assert_eq!(answer.expect(2).stderr, line);

    fs::set_permissions(&session, PermissionsExt::from_mode(0o644)).unwrap();
    let line = format!("tenure: session file {session:?}: others than its owner may use it\n");
    assert_eq!(claim(&bench, &["--unit=mysql/0"]).expect(71).stderr, line);
    fs::set_permissions(&session, PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&session, "garbage").unwrap();
    let line = format!("tenure: session file {session:?}: it is not a session of tenure's\n");
    assert_eq!(claim(&bench, &["--unit=mysql/0"]).expect(71).stderr, line);
}

#[test]
fn a_release_without_a_session_does_nothing_and_leaves_nothing() {
    let bench = Bench::new();
    claim(&bench, &["--unit=mysql/0", "--session=mine"]).expect(0);
    let answer = release(&bench, &["--unit=mysql/0"]);
    let line = "mysql/0 has no session for mysql: there is nothing to release\n";
    assert_eq!(answer.expect(0).stdout, line);
    let answer = release(&bench, &["--unit=mysql/0", "--json"]);
    assert_eq!(parsed(answer.expect(0)), json!({ "had_session": false }));
    assert_eq!(names_in(&bench.sessions()), [""; 0]);
}

/// The session files of this process's tests in the place where they are unless told otherwise.
struct Kept(String);

impl Kept {
    fn directory() -> std::path::PathBuf {
        match rustix::process::geteuid() {
            uid if uid.is_root() => "/var/lib/tenure".into(),
            uid => format!("/var/tmp/tenure-{}", uid.as_raw()).into(),
        }
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let found = fs::read_dir(Kept::directory()).into_iter().flatten().flatten();
        let is_ours =
            |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&self.0);
        found.filter(is_ours).map(|entry| entry.path()).collect()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        for file in self.files() {
            let _ = fs::remove_file(file);
        }
        // If nothing else is there.
        let _ = fs::remove_dir(Kept::directory());
    }
}

#[test]
fn a_session_is_found_whoever_is_logged_in() {
    let bench = Bench::new();
    let kept = Kept(format!("login{}", std::process::id()));
    let unit = format!("--unit={}/0", kept.0);
    let claim = |set: &[(&str, Option<&str>)]| {
        let mut command = bench.tenure(&["claim", STORE, "--guarantee=100s", &unit]);
        command.env_remove("TENURE_SESSIONS");
        for (name, value) in set {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let answer = Process::start(&mut command).ends();
        assert!(answer.expect(0).stdout.contains(" in term 1, "), "{set:?}: {answer:?}");
    };
    let scratch = bench.scratch();
    claim(&[]);
    claim(&[("XDG_RUNTIME_DIR", None)]);
    claim(&[("XDG_RUNTIME_DIR", scratch.to_str()), ("XDG_STATE_HOME", scratch.to_str())]);
    claim(&[("HOME", None), ("TMPDIR", None), ("USER", None), ("XDG_RUNTIME_DIR", None)]);
    claim(&[("HOME", Some("/nonexistent")), ("TMPDIR", Some("/nonexistent"))]);
    assert_eq!(kept.files().len(), 1, "{:?}", kept.files());
    assert_eq!(names_in(&bench.runtime()), [""; 0]);
}

#[test]
fn a_session_that_an_earlier_version_left_goes_on() {
    let earlier = |bench: &Bench| {
        let mut command = bench.tenure(&["claim", STORE, "--guarantee=100s", "--unit=mysql/0"]);
        command.env("TENURE_SESSIONS", bench.runtime().join("tenure"));
        Process::start(&mut command).ends().expect(0);
    };
    let bench = Bench::new();
    earlier(&bench);
    assert!(claim(&bench, &["--unit=mysql/0"]).expect(0).stdout.contains(" in term 1, "));
    let released = release(&bench, &["--unit=mysql/0"]);
    assert_eq!(released.expect(0).stdout, "mysql/0 holds nothing of mysql any more\n");
    // What is left in the old place is not another holder's once more.
    claim(&bench, &["--unit=mysql/1"]).expect(0);
    claim(&bench, &["--unit=mysql/0"]).expect(1);

    let bench = Bench::new();
    earlier(&bench);
    let released = release(&bench, &["--unit=mysql/0"]);
    assert_eq!(released.expect(0).stdout, "mysql/0 holds nothing of mysql any more\n");
    claim(&bench, &["--unit=mysql/1"]).expect(0);
}

#[test]
fn a_place_for_sessions_that_others_can_change_is_refused() {
    let refused = |bench: &Bench, why: &str| {
        let answer = claim(bench, &["--unit=mysql/0"]);
        let said = &answer.expect(71).stderr;
        assert!(said.contains(why) && said.contains("--session"), "{said}");
    };
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let bench = Bench::new();
    fs::create_dir(bench.sessions()).unwrap();
    mode(&bench.sessions(), 0o755);
    refused(&bench, "others than its owner may use it");
    mode(&bench.sessions(), 0o700);
    let parent = bench.sessions().parent().unwrap().to_owned();
    mode(&parent, 0o777);
    refused(&bench, "others than its owner may replace it");
    mode(&parent, 0o1777);
    claim(&bench, &["--unit=mysql/0"]).expect(0);

    let mut command = bench.tenure(&["claim", STORE, "--unit=mysql/0"]);
    command.env("TENURE_SESSIONS", format!("{}\n", bench.sessions().display()));
    assert!(Process::start(&mut command).ends().expect(2).stderr.contains("a blank at an end"));

    let bench = Bench::new();
    std::os::unix::fs::symlink(bench.scratch(), bench.sessions()).unwrap();
    refused(&bench, "not a directory");
}

#[test]
fn who_is_denied_by_its_own_name_is_told_why() {
    let bench = Bench::new();
    claim(&bench, &["--unit=mysql/0", "--session=one"]).expect(0);
    for quiet in [&["--json"][..], &["--quiet"]] {
        let answer = claim(&bench, &[&["--unit=mysql/0", "--session=other"], quiet].concat());
        let said = &answer.expect(1).stderr;
        for part in
            ["mysql/0 leads mysql, but with another session than \"other\"", " ms, ", "--unit"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert_eq!(claim(&bench, &["--unit=mysql/1"]).expect(1).stderr, "");
}

#[test]
fn slack_and_ratio_shorten_what_a_claim_promises() {
    let bench = Bench::new();
    let remaining = |options: &[&str]| {
        let said =
            parsed(claim(&bench, &[&["--unit=mysql/0", "--json"], options].concat()).expect(0));
        said["remaining_ms"].as_u64().unwrap()
    };
    assert!(remaining(&["--clock-ratio=1"]) > 190_000);
    assert!(remaining(&["--clock-ratio=1.5"]) <= 133_333);
    assert!(remaining(&["--clock-ratio=1", "--store-slack=50s"]) <= 150_000);
}

#[test]
fn a_store_that_is_busy_is_no_denial() {
    let bench = Bench::new();
    claim(&bench, &["--unit=mysql/0"]).expect(0);
    let meddler = bench.meddler();
    meddler.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = claim(&bench, &["--unit=mysql/1"]);
    let line = answer.expect(69).stderr.trim_end().to_owned();
    assert!(line.starts_with("tenure: "), "{line}");
    assert!(line.contains(" is busy: "), "{line}");
    assert_eq!(answer.stderr.lines().count(), 1);
}

#[test]
fn of_many_that_claim_at_once_with_one_session_all_are_one_holder() {
    let bench = Bench::new();
    let processes: Vec<Process> = (0..8)
        .map(|_| {
            let arguments = ["claim", STORE, "--unit=mysql/0", "--guarantee=100s"];
            Process::start(&mut bench.tenure(&arguments))
        })
        .collect();
    for process in processes {
        assert!(process.ends().expect(0).stdout.contains(" in term 1, "));
    }
}

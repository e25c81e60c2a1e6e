//! `tenure run` of a command that becomes another user's. As root only: who else could set it up.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;

use crate::support::{Bench, NOTE, Process, is_noted, until};

/// "nobody".
const NOBODY: u32 = 65_534;

/// Ends when it is wanted, or when the test has ended.
const UNTIL_WANTED: &str = "trap 'note TERM' TERM; note start
    while [ -e log ] && ! [ -e wanted ]; do note beat; sleep 0.02; done; note end";

/// A directory that everybody may use; in it `tenure`, and `escape`, which is setuid.
///
/// `None` for who is not root.
fn bench() -> Option<Bench> {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test wants to be root");
        return None;
    }
    let bench = Bench::new();
    let everybody = |mode| Permissions::from_mode(mode);
    let work = bench.path("");
    fs::set_permissions(work.parent().unwrap(), everybody(0o755)).unwrap();
    fs::set_permissions(&work, everybody(0o777)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_tenure"), bench.path("tenure")).unwrap();
    let setpriv = which("setpriv");
    fs::copy(setpriv, bench.path("escape")).unwrap();
    fs::set_permissions(bench.path("escape"), everybody(0o4755)).unwrap();
    fs::write(bench.path("log"), "").unwrap();
    fs::set_permissions(bench.path("log"), everybody(0o666)).unwrap();
    Some(bench)
}

fn which(name: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut found = std::env::split_paths(&path).map(|directory| directory.join(name));
    found.find(|path| path.exists()).unwrap()
}

/// `tenure run` by nobody, of a command that becomes root's.
fn escapes(bench: &Bench, options: &[&str], script: &str) -> Process {
    let script = format!("{NOTE}{script}");
    let mut command = Command::new(bench.path("tenure"));
    command.args(["run", "--store=sqlite:leases.db", "--service=mysql", "--unit=mysql/0"]);
    command.args(options).args(["--", "./escape", "--reuid=0", "--regid=0", "--keep-groups"]);
    command.args(["sh", "-c", &script]).current_dir(bench.path(""));
    command.env("LOG", bench.path("log")).env_remove("TENURE_LOG").env_remove("TENURE_STORE");
    Process::start(command.uid(NOBODY).gid(NOBODY).stdin(std::process::Stdio::null()))
}

fn want(bench: &Bench) {
    fs::write(bench.path("wanted"), "").unwrap();
}

fn assert_truth(stderr: &str) {
    for lie in ["killed the command", "command was stopped", "command was killed"] {
        assert!(!stderr.contains(lie), "{stderr}");
    }
}

#[test]
fn a_command_that_may_become_another_users_is_refused() {
    let Some(bench) = bench() else { return };
    let answer = escapes(&bench, &[], "note start").ends();
    let line = format!(
        "tenure: command {:?} is setuid and belongs to user 0: tenure could not end it when \
         leadership is lost, and the next leader's would run beside it; run tenure as root, or \
         give --allow-setuid\n",
        "./escape"
    );
    let said = answer.expect(126).stderr.replace(bench.path("").to_str().unwrap(), "./");
    assert_eq!(said.replace("././", "./"), line);
    assert_eq!(bench.log(), [""; 0]);
    // Root may signal everybody.
    let arguments = ["run", "--store=sqlite:leases.db", "--service=mysql", "--", "./escape"];
    bench.ask(&[&arguments[..], &["--reuid=65534", "--clear-groups", "true"]].concat()).expect(0);
}

#[test]
fn a_command_that_cannot_be_killed_keeps_its_lease() {
    let Some(bench) = bench() else { return };
    let options = ["--allow-setuid", "--grace=100ms", "--guarantee=1s"];
    let leader = escapes(&bench, &options, UNTIL_WANTED);
    until("it to start", || is_noted(&bench, "start"));
    let mut next = bench.run_by(&[], "mysql/1", &[], "note start");
    leader.signal(Signal::TERM);
    let told = "was sent KILL, and is still alive: its lease is kept as long";
    until("it to be told", || leader.stderr().contains(told));
    // For longer than its lease.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(next.is_running());
    want(&bench);
    let answer = leader.ends();
    let first = answer.expect(0).stderr.lines().next().unwrap();
    assert!(first.starts_with("tenure: cannot signal the command (process "), "{first}");
    assert!(first.contains("Operation not permitted"), "{first}");
    assert_truth(&answer.stderr);
    next.ends().expect(0);
    assert!(!is_noted(&bench, "TERM"));
    bench.assert_one_at_a_time(&["mysql/0", "mysql/1"]);
}

#[test]
fn a_command_that_outlives_its_leadership_is_reported_as_that() {
    let Some(bench) = bench() else { return };
    let leader = escapes(&bench, &["--allow-setuid", "--guarantee=1s"], UNTIL_WANTED);
    until("it to start", || is_noted(&bench, "start"));
    let meddler = bench.meddler();
    meddler.execute_batch("BEGIN IMMEDIATE").unwrap();
    let told = "is still alive, and its leadership has ended";
    until("it to be told", || leader.stderr().contains(told));
    want(&bench);
    let answer = leader.ends();
    let last = answer.expect(77).stderr.lines().last().unwrap();
    let end = "; the command could not be ended in time and ran on without leadership, \
               its code was 0";
    assert!(last.ends_with(end), "{last}");
    assert_truth(&answer.stderr);
}

#[test]
fn a_watchdog_does_not_say_that_it_killed_what_it_could_not() {
    let Some(bench) = bench() else { return };
    let leader = escapes(&bench, &["--allow-setuid", "--guarantee=1s"], UNTIL_WANTED);
    until("it to start", || is_noted(&bench, "start"));
    leader.signal(Signal::KILL);
    let told = "which runs on: Operation not permitted";
    until("it to be told", || leader.stderr().contains(told));
    assert_truth(&leader.stderr());
    want(&bench);
    until("the command to end", || is_noted(&bench, "end"));
}

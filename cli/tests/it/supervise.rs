//! `tenure run` under callers and over commands that do not make it easy: no two commands at once.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Bench, Frozen, Process, children_of, is_alive, is_noted, until};

/// Notes that it is there, until it is killed.
const BEATS: &str = "note start; while :; do note beat; sleep 0.02; done";
/// As that, and does not end by TERM.
const STUBBORN: &str = "trap 'note TERM' TERM; note start; while :; do note beat; sleep 0.02; done";

/// The one that leads when the first does not.
fn next(bench: &Bench) -> Process {
    bench.run_by(&[], "mysql/1", &[], "note start")
}

fn until_noted(bench: &Bench, what: &str) {
    until(&format!("{what:?} in the log"), || is_noted(bench, what));
}

fn in_namespaces() -> Vec<&'static str> {
    vec!["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
}

#[test]
fn a_caller_that_ignores_the_end_of_children_changes_nothing() {
    let bench = Bench::new();
    let by = ["env", "--ignore-signal=CHLD"];
    let script = "note start; grep SigIgn /proc/self/status; while ! [ -e wanted ]; do
                  sleep 0.02; done; note end; exit 3";
    let leader = bench.run_by(&by, "mysql/0", &[], script);
    until_noted(&bench, "start");
    let next = next(&bench);
    fs::write(bench.path("wanted"), "").unwrap();
    let answer = leader.ends();
    let ignored = answer.expect(3).stdout.trim().rsplit('\t').next().unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    assert_eq!(ignored >> (17 - 1) & 1, 0, "the command does not inherit it");
    next.ends().expect(0);
    bench.assert_one_at_a_time(&["mysql/0", "mysql/1"]);
}

#[test]
fn what_a_caller_has_blocked_reaches_tenure_and_its_command() {
    let bench = Bench::new();
    let by = ["env", "--block-signal=CHLD,HUP,INT,TERM,USR1"];
    let script = format!("grep SigBlk /proc/self/status; trap 'note end; exit 5' TERM; {BEATS}");
    let leader = bench.run_by(&by, "mysql/0", &["--grace=90s"], &script);
    until_noted(&bench, "start");
    let next = next(&bench);
    leader.signal(Signal::TERM);
    assert_eq!(leader.ends().expect(5).stdout, "SigBlk:\t0000000000000000\n");
    next.ends().expect(0);
    bench.assert_one_at_a_time(&["mysql/0", "mysql/1"]);
}

/// The command ends, and leaves something behind that only KILL ends.
fn leaves_something_behind(by: &[&str], prepare: &str) {
    let bench = Bench::new();
    let rest = format!("{}trap '' TERM; {BEATS}", crate::support::NOTE);
    fs::write(bench.path("rest.sh"), rest).unwrap();
    let script = format!(
        "{prepare} \"$name\" rest.sh &
         while ! [ -e wanted ]; do sleep 0.02; done; exit 4"
    );
    let leader = bench.run_by(by, "mysql/0", &["--grace=300ms"], &script);
    until_noted(&bench, "start");
    let next = next(&bench);
    fs::write(bench.path("wanted"), "").unwrap();
    leader.ends().expect(4);
    next.ends().expect(0);
    bench.assert_one_at_a_time(&["mysql/0", "mysql/1"]);
}

#[test]
fn a_process_whose_name_is_no_text_is_seen_like_any_other() {
    leaves_something_behind(&[], "name=./$(printf '\\377sh'); ln -s /bin/sh \"$name\";");
}

/// So /proc has other numbers than the processes have.
#[test]
fn a_proc_of_another_namespace_hides_nothing() {
    // Process 1 would take all the others along when it ends.
    let mut by = in_namespaces();
    by.extend(["sh", "-c", "\"$@\"; code=$?; sleep 1; exit $code", "sh"]);
    leaves_something_behind(&by, "name=/bin/sh;");
}

/// Its parent left the group, so it is not tenure's to wait for.
#[test]
fn a_process_whose_parent_has_left_the_group_is_seen() {
    let bench = Bench::new();
    let rest = format!("{}trap '' TERM; {BEATS}", crate::support::NOTE);
    fs::write(bench.path("rest.sh"), rest).unwrap();
    let script = "perl -e 'if (!fork) { exec \"sh\", \"rest.sh\" } setpgrp; wait' &
                  while ! [ -e wanted ]; do sleep 0.02; done; exit 4";
    let leader = bench.run_by(&[], "mysql/0", &[], script);
    until_noted(&bench, "start");
    let next = next(&bench);
    // It has left it by then.
    std::thread::sleep(std::time::Duration::from_millis(200));
    fs::write(bench.path("wanted"), "").unwrap();
    leader.ends().expect(4);
    next.ends().expect(0);
    bench.assert_one_at_a_time(&["mysql/0", "mysql/1"]);
}

#[test]
fn what_leaves_the_group_and_runs_on_is_told() {
    let bench = Bench::new();
    let script =
        "setsid sh -c 'while [ -d \"$PWD\" ] && ! [ -e wanted ]; do touch here; sleep 0.02; done' &
                  while ! [ -e here ]; do sleep 0.02; done";
    let leader = bench.run_by(&[], "mysql/0", &[], script);
    let told = "tenure: something that the command started has left its process group, and runs on \
                without leadership\n";
    assert_eq!(leader.ends().expect(0).stderr, told);
    fs::write(bench.path("wanted"), "").unwrap();
}

fn name_of(pid: Pid) -> String {
    let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_pid())).unwrap();
    name.trim_end().to_owned()
}

/// As `killall` and `pkill` do, but for `leader` and its children alone.
fn signal_all_named(name: &str, leader: &Process, signal: Signal) {
    let own = Pid::from_raw(i32::try_from(leader.id()).unwrap()).unwrap();
    let children = children_of(leader.id()).into_iter().map(|(pid, _)| pid);
    let found: Vec<Pid> =
        children.chain([own]).filter(|&pid| name_of(pid).contains(name)).collect();
    assert!(found.contains(&own), "{found:?}");
    for pid in found {
        kill_process(pid, signal).unwrap();
    }
}

/// The name and the arguments of the watchdog do not have `tenure` in them.
#[test]
fn killall_by_name_spares_the_watchdog() {
    for signal in [Signal::KILL, Signal::STOP] {
        let bench = Bench::new();
        let script =
            format!("(trap '' TERM; while :; do note beat; sleep 0.02; done) & {STUBBORN}");
        let leader = bench.run_by(&[], "mysql/0", &["--guarantee=1s"], &script);
        until_noted(&bench, "start");
        let children = children_of(leader.id());
        let watchdog = children.iter().find(|(_, line)| line.contains("watchdog")).unwrap();
        assert!(!watchdog.1.contains("tenure"), "{children:?}");
        signal_all_named("tenure", &leader, signal);
        next(&bench).ends().expect(0);
        bench.assert_one_at_a_time(&["mysql/0", "mysql/1"]);
        if signal == Signal::STOP {
            leader.signal(Signal::CONT);
            leader.ends().expect(75);
        }
    }
}

#[test]
fn a_watchdog_that_is_stopped_counts_as_one_that_died() {
    let bench = Bench::new();
    let script = "trap 'note end; exit 9' TERM; note start; while :; do sleep 0.02; done";
    let leader = bench.run_by(&[], "mysql/0", &[], script);
    until_noted(&bench, "start");
    let next = next(&bench);
    let children = children_of(leader.id());
    let watchdog = children.iter().find(|(_, line)| line.contains("watchdog")).unwrap().0;
    let _frozen = Frozen::new(watchdog);
    let lost = "tenure: leadership cannot be relied on: the watchdog was stopped; \
                the command was stopped, its code was 9";
    assert_eq!(leader.ends().expect(75).stderr.lines().last(), Some(lost));
    assert!(!is_alive(watchdog));
    next.ends().expect(0);
    bench.assert_one_at_a_time(&["mysql/0", "mysql/1"]);
}

/// systemd sends it to all of a unit's processes at once.
#[test]
fn a_watchdog_stays_when_all_are_asked_to_end() {
    let bench = Bench::new();
    let leader = bench.run_by(&[], "mysql/0", &["--guarantee=1s"], STUBBORN);
    until_noted(&bench, "start");
    let children = children_of(leader.id());
    let watchdog = children.iter().find(|(_, line)| line.contains("watchdog")).unwrap().0;
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        kill_process(watchdog, signal).unwrap();
    }
    // It is needed only when tenure does not run.
    leader.signal(Signal::STOP);
    next(&bench).ends().expect(0);
    bench.assert_one_at_a_time(&["mysql/0", "mysql/1"]);
    leader.signal(Signal::CONT);
    let answer = leader.ends();
    assert!(answer.expect(75).stderr.contains("watchdog: its lease was not renewed in time: sent"));
}

/// Another leads already. Half a guarantee later, at the latest, is much sooner than the old end.
#[test]
fn a_command_whose_lease_another_has_is_killed_soon() {
    let bench = Bench::new();
    let script = "trap 'note TERM; setsid sh rest.sh &' TERM
                  note start; while :; do note beat; sleep 0.02; done";
    let rest = format!("{}sleep 2; note late", crate::support::NOTE);
    fs::write(bench.path("rest.sh"), rest).unwrap();
    let leader = bench.run_by(&[], "mysql/0", &["--guarantee=4s"], script);
    until_noted(&bench, "start");
    let taken = "UPDATE lease SET nonce = zeroblob(16), term = term + 1,
                 expires_ms = expires_ms + 600000";
    assert_eq!(bench.meddler().execute(taken, []).unwrap(), 1);
    let answer = leader.ends();
    assert!(answer.expect(75).stderr.ends_with("its code was 137\n"), "{}", answer.stderr);
    assert!(answer.stderr.contains("the store denied it to this unit"), "{}", answer.stderr);
    assert!(!answer.stderr.contains("watchdog"), "{}", answer.stderr);
    until_noted(&bench, "late");
    let log = bench.log();
    assert!(log.last().unwrap().ends_with(" late"), "{log:?}");
    assert!(is_noted(&bench, "TERM"), "it was asked first");
}

#[test]
fn process_1_waits_for_orphans_also_while_it_waits_to_lead() {
    let bench = Bench::new();
    let leader = bench.run_by(&[], "mysql/0", &[], BEATS);
    until_noted(&bench, "start");
    let mut by = in_namespaces();
    let orphan = "sh -c 'while ! [ -e wanted ]; do sleep 0.02; done' & exec \"$@\"";
    by.extend(["sh", "-c", orphan, "sh"]);
    let waiting = bench.run_by(&by, "mysql/1", &[], "note start");
    let mut one = None;
    until("it to open the store", || {
        let children = children_of(waiting.id());
        one = children.iter().find(|(_, line)| line.contains("tenure")).map(|(pid, _)| *pid);
        one.is_some_and(|pid| {
            let open = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid()));
            open.into_iter()
                .flatten()
                .flatten()
                .any(|fd| fs::read_link(fd.path()).is_ok_and(|path| path.ends_with("leases.db")))
        })
    });
    let one = u32::try_from(one.unwrap().as_raw_pid()).unwrap();
    assert_eq!(children_of(one).len(), 1);
    fs::write(bench.path("wanted"), "").unwrap();
    until("the orphan to be gone", || children_of(one).is_empty());
    leader.signal(Signal::TERM);
    leader.ends().expect(143);
    waiting.ends().expect(0);
    bench.assert_one_at_a_time(&["mysql/0", "mysql/1"]);
}

#[test]
fn a_command_that_is_stopped_is_told_and_hears_that_it_should_end() {
    let bench = Bench::new();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let script = "trap 'note end; exit 5' TERM INT HUP QUIT; kill -STOP $$
                      while :; do sleep 0.02; done";
        let leader = bench.run_by(&[], "mysql/0", &["--grace=90s"], script);
        let told = "it keeps the leadership";
        until("it to be told", || leader.stderr().contains(told));
        leader.signal(signal);
        let answer = leader.ends();
        let lines: Vec<&str> = answer.expect(5).stderr.lines().collect();
        let [line] = lines[..] else { panic!("{lines:?}") };
        assert!(line.starts_with("tenure: the command (process "), "{line}");
        assert!(line.contains(") was stopped by SIGSTOP; it keeps the leadership: "), "{line}");
    }
}

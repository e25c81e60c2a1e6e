//! `tenure run` as long as nothing goes wrong.

use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Bench, Frozen, Process, children_of, feed, is_alive, until};

const BEAT: &str = "while :; do sleep 0.02; done";

#[test]
fn a_command_knows_whom_it_runs_for_and_its_code_is_returned() {
    let bench = Bench::new();
    let script = "echo $TENURE_SERVICE $TENURE_UNIT $TENURE_TERM; exit 7";
    let answer = bench.run(&["--unit=mysql/0"], script).ends();
    assert_eq!(answer.expect(7).stdout, "mysql mysql/0 1\n");
    assert_eq!(answer.stderr, "");
    let answer = bench.run(&["--unit=mysql/1"], script).ends();
    assert_eq!(answer.expect(7).stdout, "mysql mysql/1 2\n", "the lease was released");
    assert_eq!(bench.files(), ["leases.db"]);
}

#[test]
fn a_unit_in_jujus_grammar_says_its_service_and_the_default_is_this_process() {
    let bench = Bench::new();
    let arguments = ["run", "--store=sqlite:leases.db", "--unit=foo-bar/3", "--", "sh", "-c"];
    let show = ["echo $TENURE_SERVICE $TENURE_UNIT"];
    let answer = bench.ask(&[&arguments[..], &show].concat());
    assert_eq!(answer.expect(0).stdout, "foo-bar foo-bar/3\n");

    let process = bench.run(&[], "echo $TENURE_UNIT");
    let pid = process.id();
    let unit = process.ends().expect(0).stdout.trim_end().to_owned();
    assert!(unit.ends_with(&format!(":{pid}")), "{unit}");
}

#[test]
fn a_command_that_a_signal_killed_says_which() {
    let bench = Bench::new();
    bench.run(&[], "kill -9 $$").ends().expect(137);
    bench.run(&[], "kill -USR2 $$").ends().expect(128 + 12);
}

#[test]
fn a_command_leads_a_group_of_its_own_and_keeps_its_input() {
    let bench = Bench::new();
    let script = "read -r pid _ _ _ group _ < /proc/$$/stat; [ $pid = $group ] && exec cat";
    let arguments =
        ["run", "--store=sqlite:leases.db", "--service=mysql", "--", "sh", "-c", script];
    let mut process = Process::start(bench.tenure(&arguments).stdin(Stdio::piped()));
    feed(&mut process, "hello\n");
    assert_eq!(process.ends().expect(0).stdout, "hello\n");
}

#[test]
fn arguments_reach_the_command_as_they_are() {
    let bench = Bench::new();
    let printf = ["printf", "%s|", "--json", "-v", "a b", "--", ""];
    let arguments = ["run", "--store=sqlite:leases.db", "--service=mysql", "--"];
    let answer = bench.ask(&[&arguments[..], &printf].concat());
    assert_eq!(answer.expect(0).stdout, "--json|-v|a b|--||");
}

#[test]
fn signals_are_forwarded_and_the_command_has_time_to_end() {
    let bench = Bench::new();
    let script = format!(
        "for s in HUP INT QUIT USR1 USR2; do trap \"echo $s >> $LOG\" $s; done
         trap 'sleep 0.3; echo TERM >> $LOG; exit 5' TERM
         echo ready >> $LOG; {BEAT}"
    );
    let process = bench.run(&["--unit=mysql/0", "--grace=90s"], &script);
    bench.until_logged("ready");
    let signals = [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ];
    for (signal, name) in signals {
        process.signal(signal);
        bench.until_logged(name);
    }
    process.signal(Signal::TERM);
    process.ends().expect(5);
    assert_eq!(bench.log().last().unwrap(), "TERM");
}

#[test]
fn a_command_that_does_not_end_is_killed_after_its_grace() {
    let bench = Bench::new();
    let script = format!("trap '' TERM; echo ready >> $LOG; {BEAT}");
    let process = bench.run(&["--grace=100ms"], &script);
    bench.until_logged("ready");
    process.signal(Signal::TERM);
    process.ends().expect(137);
}

#[test]
fn a_signal_ends_the_wait_to_lead() {
    let bench = Bench::new();
    let leader = bench.run(&["--unit=mysql/0"], &format!("echo first >> $LOG; {BEAT}"));
    bench.until_logged("first");
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let waiting = bench.run(&["--unit=mysql/1"], "echo second >> $LOG");
        // It catches signals from before it opens the store.
        until("it to open the store", || {
            std::fs::read_dir(format!("/proc/{}/fd", waiting.id())).unwrap().flatten().any(|fd| {
                std::fs::read_link(fd.path()).is_ok_and(|path| path.ends_with("leases.db"))
            })
        });
        waiting.signal(signal);
        waiting.ends().expect(code);
    }
    leader.signal(Signal::TERM);
    leader.ends().expect(143);
    assert_eq!(bench.log(), ["first"]);
}

/// Starts a leader with `script`, and another behind it that logs its start.
fn leader_and_next(bench: &Bench, options: &[&str], script: &str) -> (Process, Process) {
    let leader = bench.run(&[&["--unit=mysql/0"], options].concat(), script);
    bench.until_logged("start 0");
    let next = bench.run(&["--unit=mysql/1"], "echo start 1 >> $LOG");
    (leader, next)
}

/// All that the first leader's processes logged was logged before the second one started.
#[track_caller]
fn assert_in_turn(bench: &Bench) {
    let log = bench.log();
    assert_eq!(log.last().unwrap(), "start 1", "{:?}", log.iter().rev().take(5));
}

#[test]
fn the_lease_is_released_when_the_command_has_ended_and_not_before() {
    let bench = Bench::new();
    let script =
        format!("trap 'sleep 0.5; echo end 0 >> $LOG; exit 0' TERM; echo start 0 >> $LOG; {BEAT}");
    let (leader, next) = leader_and_next(&bench, &[], &script);
    leader.signal(Signal::TERM);
    leader.ends().expect(0);
    next.ends().expect(0);
    assert_eq!(bench.log(), ["start 0", "end 0", "start 1"]);
}

#[test]
fn what_a_command_leaves_behind_ends_before_the_lease_is_released() {
    let bench = Bench::new();
    let script = "
        (trap 'sleep 0.3; echo end of the rest >> $LOG; exit' TERM
         echo start 0 >> $LOG; while :; do sleep 0.02; done) &
        while ! grep -q 'start 1' wanted 2> /dev/null; do sleep 0.02; done; exit 4";
    let (leader, next) = leader_and_next(&bench, &[], script);
    std::fs::write(bench.path("wanted"), "start 1\n").unwrap();
    leader.ends().expect(4);
    next.ends().expect(0);
    assert_eq!(bench.log(), ["start 0", "end of the rest", "start 1"]);
}

#[test]
fn what_a_command_leaves_behind_is_killed_if_it_must_be() {
    let bench = Bench::new();
    let script = "
        (trap '' TERM; while :; do echo beat >> $LOG; sleep 0.02; done) &
        echo start 0 >> $LOG
        while ! [ -e wanted ]; do sleep 0.02; done; exit 4";
    let (leader, next) = leader_and_next(&bench, &["--grace=200ms"], script);
    std::fs::write(bench.path("wanted"), "").unwrap();
    leader.ends().expect(4);
    next.ends().expect(0);
    assert_in_turn(&bench);
}

#[test]
fn of_two_processes_with_one_unit_name_one_leads() {
    let bench = Bench::new();
    let script = "echo start $TENURE_TERM >> $LOG; trap 'echo end $TENURE_TERM >> $LOG; exit' TERM
                  while :; do sleep 0.02; done";
    let mut twins = [0, 1].map(|_| bench.run(&["--unit=mysql/0", "--guarantee=1s"], script));
    bench.until_logged("start 1");
    let commands = |twin: &Process| {
        let children = children_of(twin.id());
        children.into_iter().filter(|(_, line)| !line.contains("watchdog")).count()
    };
    let leads = twins.iter().position(|twin| commands(twin) > 0).unwrap();
    // For longer than the lease.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(twins.iter_mut().all(Process::is_running));
    assert_eq!(bench.log(), ["start 1"]);
    assert_eq!(commands(&twins[1 - leads]), 0);

    twins[leads].signal(Signal::TERM);
    bench.until_logged("start 2");
    assert_eq!(bench.log(), ["start 1", "end 1", "start 2"]);
}

#[test]
fn a_killed_tenure_takes_its_command_and_all_of_its_group_along() {
    let bench = Bench::new();
    let script = "
        echo $$ > child
        (trap '' TERM HUP INT; while :; do echo beat >> $LOG; sleep 0.02; done) &
        echo start 0 >> $LOG; trap '' TERM HUP INT; while :; do sleep 0.02; done";
    let (leader, next) = leader_and_next(&bench, &["--guarantee=1s"], script);
    let child = std::fs::read_to_string(bench.path("child")).unwrap();
    let child = rustix::process::Pid::from_raw(child.trim().parse().unwrap()).unwrap();
    let helpers = children_of(leader.id());
    assert_eq!(helpers.len(), 2, "{helpers:?}");
    assert!(is_alive(child));
    leader.kill();
    until("all to be gone", || helpers.iter().all(|&(pid, _)| !is_alive(pid)));
    assert!(!is_alive(child));
    let beats = bench.log().len();
    next.ends().expect(0);
    assert_eq!(bench.log().len(), beats + 1, "nothing beat after the watchdog had ended");
    assert_in_turn(&bench);
}

/// Not even the watchdog is there to do it: the kernel does, where it can.
#[test]
#[cfg(any(target_os = "android", target_os = "linux"))]
fn a_killed_tenure_takes_its_command_along_without_the_watchdog() {
    let bench = Bench::new();
    let process = bench.run(&[], "echo ready >> $LOG; trap '' TERM; while :; do sleep 0.02; done");
    bench.until_logged("ready");
    let helpers = children_of(process.id());
    let (watchdog, command): (Vec<_>, Vec<_>) =
        helpers.into_iter().partition(|(_, line)| line.contains("watchdog"));
    let (watchdog, command) = (watchdog[0].0, command[0].0);
    let _frozen = Frozen::new(watchdog);
    process.kill();
    until("the command to be gone", || !is_alive(command));
}

#[test]
fn what_happens_is_told_to_who_wants_to_know() {
    let bench = Bench::new();
    let quiet = bench.run(&[], "exit 0").ends();
    assert_eq!(quiet.expect(0).stderr, "");
    let verbose = bench.run(&["-v"], "exit 0").ends();
    for part in ["promoted", "command starts", "command ended", "demoted"] {
        assert!(verbose.expect(0).stderr.contains(part), "{part}: {}", verbose.stderr);
    }
}

/// As under `nohup`, and in the background of a script.
#[test]
#[cfg(any(target_os = "android", target_os = "linux"))]
fn a_signal_that_tenure_was_started_to_ignore_is_ignored() {
    let bench = Bench::new();
    let script = "trap '' HUP; exec \"$0\" run --store=sqlite:leases.db --service=mysql -- \
                  sh -c 'echo ready >> $LOG; while ! [ -e wanted ]; do sleep 0.02; done; exit 6'";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_tenure")]);
    shell.current_dir(bench.path("")).env("LOG", bench.path("log")).env_remove("TENURE_LOG");
    let process = Process::start(&mut shell);
    bench.until_logged("ready");
    process.signal(Signal::HUP);
    // It would have ended by it before it gets this one.
    process.signal(Signal::WINCH);
    std::fs::write(bench.path("wanted"), "").unwrap();
    process.ends().expect(6);
}

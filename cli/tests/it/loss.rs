//! `tenure run` when leadership is lost, and when those who have to see to it cannot.

use rustix::process::Signal;

use crate::support::{Bench, Process, children_of, until};

/// Logs its start, its beats, and TERM, of which it does not die.
const STUBBORN: &str = "trap 'echo TERM >> $LOG' TERM; echo start $TENURE_TERM >> $LOG
                        while :; do echo beat >> $LOG; sleep 0.02; done";

const NOT_RENEWED: &str = "tenure: leadership was lost: the lease could not be renewed in time";

/// Somebody else has the lease, in the next term, and for long.
const TAKEN: &str = "UPDATE lease SET nonce = zeroblob(16), term = term + 1,
                     expires_ms = expires_ms + 600000";

fn watchdog_of(process: &Process) -> rustix::process::Pid {
    let children = children_of(process.id());
    let found = children.iter().find(|(_, line)| line.contains("watchdog"));
    found.unwrap_or_else(|| panic!("no watchdog in {children:?}")).0
}

/// The group of a leader is gone before another leads.
#[track_caller]
fn assert_in_turn(bench: &Bench, next: &str) {
    let log = bench.log();
    let start = log.iter().position(|line| line == next).unwrap();
    assert!(log[start..].iter().all(|line| line == next), "{:?}", &log[start..]);
}

#[test]
fn a_frozen_tenure_has_its_command_killed_before_its_lease_runs_out() {
    let bench = Bench::new();
    let script =
        format!("(trap '' TERM; while :; do echo grand >> $LOG; sleep 0.02; done) & {STUBBORN}");
    let leader = bench.run(&["--unit=mysql/0", "--guarantee=2s"], &script);
    bench.until_logged("start 1");
    leader.signal(Signal::STOP);
    let next = bench.run(&["--unit=mysql/1"], "echo start $TENURE_TERM >> $LOG");
    next.ends().expect(0);
    assert_in_turn(&bench, "start 2");
    assert!(!bench.log().contains(&"TERM".to_owned()), "nobody was there to ask it to end");

    leader.signal(Signal::CONT);
    let answer = leader.ends();
    let lines: Vec<&str> = answer.expect(75).stderr.lines().collect();
    let sent = "tenure: watchdog: its lease was not renewed in time: sent KILL to the command \
                (process group ";
    assert!(lines.first().unwrap().starts_with(sent), "{lines:?}");
    // Both are true: it was not renewed, and another led in between.
    let last = lines.last().unwrap();
    assert!(last.starts_with("tenure: leadership was lost: "), "{lines:?}");
    assert!(last.ends_with("; the command was stopped, its code was 137"), "{lines:?}");
}

/// And tenure itself sees to it, before the watchdog has to.
#[test]
fn a_store_that_does_not_answer_costs_the_leadership() {
    let bench = Bench::new();
    let leader = bench.run(&["--unit=mysql/0", "--guarantee=4s"], STUBBORN);
    bench.until_logged("start 1");
    let meddler = bench.meddler();
    meddler.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = leader.ends();
    let last = answer.expect(75).stderr.lines().last().unwrap();
    let told = format!("{NOT_RENEWED} (the store's last error: the store's answer is not known: ");
    assert!(last.starts_with(&told), "{last}");
    assert!(last.contains("/leases.db\" is busy: "), "{last}");
    assert!(last.ends_with("; the command was stopped, its code was 137"), "{last}");
    assert!(!answer.stderr.contains("watchdog"), "{}", answer.stderr);
    assert!(bench.log().contains(&"TERM".to_owned()), "it was asked to end first");
    meddler.execute_batch("ROLLBACK").unwrap();
    bench.run(&["--unit=mysql/1"], "echo start $TENURE_TERM >> $LOG").ends().expect(0);
    assert_in_turn(&bench, "start 2");
}

#[test]
fn a_lease_that_somebody_else_has_ends_the_command() {
    let bench = Bench::new();
    let script = "trap 'echo end >> $LOG; exit 9' TERM
                  echo start >> $LOG; while :; do sleep 0.02; done";
    let process = bench.run(&["--unit=mysql/0", "--guarantee=1s"], script);
    bench.until_logged("start");
    assert_eq!(bench.meddler().execute(TAKEN, []).unwrap(), 1);
    let lost = "tenure: leadership was lost: the store denied it to this unit; \
                the command was stopped, its code was 9";
    assert_eq!(process.ends().expect(75).stderr.lines().last(), Some(lost));
    assert_eq!(bench.log(), ["start", "end"]);
}

#[test]
fn a_command_is_run_anew_when_leadership_has_come_back() {
    let bench = Bench::new();
    let script = "trap 'echo end $TENURE_TERM >> $LOG; exit 9' TERM
                  echo start $TENURE_TERM >> $LOG; while :; do sleep 0.02; done";
    let options = ["--unit=mysql/0", "--guarantee=1s", "--on-loss=restart"];
    let process = bench.run(&options, script);
    bench.until_logged("start 1");
    // Somebody else has it, and the next renewal is denied.
    let meddler = bench.meddler();
    assert_eq!(meddler.execute(TAKEN, []).unwrap(), 1);
    bench.until_logged("end 1");
    assert_eq!(meddler.execute("UPDATE lease SET expires_ms = 0", []).unwrap(), 1);
    bench.until_logged("start 3");
    process.signal(Signal::TERM);
    process.ends().expect(9);
    assert_eq!(bench.log(), ["start 1", "end 1", "start 3", "end 3"]);
}

#[test]
fn a_watchdog_that_dies_counts_as_a_loss() {
    let bench = Bench::new();
    let script = "trap 'echo end >> $LOG; exit 9' TERM
                  echo start >> $LOG; while :; do sleep 0.02; done";
    let process = bench.run(&["--unit=mysql/0"], script);
    bench.until_logged("start");
    rustix::process::kill_process(watchdog_of(&process), Signal::KILL).unwrap();
    let answer = process.ends();
    let lost = "tenure: leadership cannot be relied on: the watchdog died; \
                the command was stopped, its code was 9";
    assert_eq!(answer.expect(75).stderr.lines().last(), Some(lost));
    assert_eq!(bench.log(), ["start", "end"]);
}

#[test]
fn a_store_that_is_deleted_ends_the_command() {
    let bench = Bench::new();
    let process = bench.run(&["--guarantee=1s", "--on-loss=restart"], STUBBORN);
    bench.until_logged("start 1");
    for name in ["leases.db", "leases.db-wal", "leases.db-shm"] {
        std::fs::remove_file(bench.path(name)).unwrap();
    }
    let answer = process.ends();
    let last = answer.expect(69).stderr.lines().last().unwrap();
    assert!(last.starts_with("tenure: the store will never grant this: "), "{last}");
    assert!(last.ends_with("leases.db\" was deleted while in use"), "{last}");
}

/// What cannot change by itself is told once, with its cause, and ends the wait.
#[test]
fn a_store_that_fails_for_good_ends_the_wait_and_is_told_once() {
    let bench = Bench::new();
    bench.ask(&["claim", "--store=sqlite:leases.db", "--unit=mysql/0", "--guarantee=2s"]).expect(0);
    let waiting = bench.run(&["--unit=mysql/1", "--guarantee=2s"], "echo led >> $LOG");
    until("it to wait", || {
        std::fs::read_dir(format!("/proc/{}/fd", waiting.id()))
            .unwrap()
            .flatten()
            .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|path| path.ends_with("leases.db")))
    });
    bench.meddler().execute_batch("DROP TABLE lease").unwrap();
    let answer = waiting.ends();
    let said = &answer.expect(69).stderr;
    let told: Vec<&str> = said.lines().filter(|line| line.starts_with("tenure: ")).collect();
    let [told] = told[..] else { panic!("{said}") };
    assert!(told.contains("is damaged: no such table: lease"), "{told}");
    // Its watch may have noticed first.
    let rest: Vec<&str> = said.lines().filter(|line| *line != told).collect();
    assert!(rest.len() <= 1 && rest.iter().all(|line| line.contains("watch failed")), "{said}");
    assert!(bench.log().is_empty());
}

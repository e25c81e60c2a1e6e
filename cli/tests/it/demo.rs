//! `tenure demo`, and its candidates.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use rustix::process::{Pid, Signal};

use crate::support::{Bench, Frozen, Process, children_of, is_alive, names_in, until};

#[test]
fn the_demo_elects_hands_over_and_fails_over() {
    let bench = Bench::new();
    let answer = bench.ask(&["demo"]);
    let said = &answer.expect(0).stdout;
    let parts = [
        "3 candidates for the service \"demo\"",
        "guarantee 1.00 s, lease 2.00 s",
        "leads in term 1\n",
        "is asked to end (SIGTERM)",
        "leads in term 2: nobody led for ",
        "is killed (SIGKILL)",
        "is frozen (SIGSTOP)",
        "is thawed (SIGCONT), ",
        "answers, and its first answer is: not the leader",
        "the leader was            nobody led for       bound",
        "no two led at once, and terms only rose",
    ];
    let mut rest = said.as_str();
    for part in parts {
        let found = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not in {rest}"));
        rest = &rest[found..];
    }
    // But for the path of the store, which is as long as it is.
    let mut lines = said.lines().filter(|line| !line.starts_with("store "));
    assert!(lines.all(|line| line.len() < 80), "{said}");
    assert!(!said.contains('\x1b'), "this is no terminal");
    assert_eq!(answer.stderr, "");
    assert_eq!(names_in(&bench.scratch()), [""; 0]);
    assert_eq!(bench.files(), [""; 0]);
}

/// A demo that has elected its first leader, and its candidates.
fn demo(bench: &Bench, more: &[&str]) -> (Process, Vec<Pid>) {
    let mut command = bench.tenure(&["demo", "--candidates=4", "--guarantee=2s"]);
    let demo = Process::start(command.args(more));
    until("a leader", || demo.stdout().contains("leads in term 1\n"));
    let children = children_of(demo.id()).into_iter();
    let candidates: Vec<Pid> =
        children.filter(|(_, line)| line.contains("candidate")).map(|(pid, _)| pid).collect();
    assert_eq!(candidates.len(), 4);
    (demo, candidates)
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let bench = Bench::new();
    let (demo, candidates) = demo(&bench, &[]);
    // Also not what cannot run.
    let _frozen = Frozen::new(candidates[0]);
    demo.signal(Signal::INT);
    let answer = demo.ends();
    assert_eq!(answer.expect(130).stderr, "");
    assert!(candidates.iter().all(|&pid| !is_alive(pid)));
    assert_eq!(names_in(&bench.scratch()), [""; 0]);
}

#[test]
fn a_killed_demo_takes_its_candidates_along() {
    let bench = Bench::new();
    let (demo, candidates) = demo(&bench, &[]);
    let _frozen = Frozen::new(candidates[0]);
    demo.kill();
    until("the candidates to be gone", || candidates.iter().all(|&pid| !is_alive(pid)));
    until("the directory to be gone", || names_in(&bench.scratch()).is_empty());
}

#[test]
fn a_candidate_that_ends_by_itself_fails_the_demo() {
    let bench = Bench::new();
    let (demo, candidates) = demo(&bench, &[]);
    rustix::process::kill_process(candidates[0], Signal::KILL).unwrap();
    let answer = demo.ends();
    let line = answer.expect(1).stderr.trim_end();
    assert!(line.starts_with("tenure: demo/") && line.ends_with(" ended by itself"), "{line}");
    assert_eq!(names_in(&bench.scratch()), [""; 0]);
}

#[test]
fn the_demos_store_can_be_chosen_and_stays() {
    let bench = Bench::new();
    let arguments = ["demo", "--store=sqlite:mine.db", "--candidates=2", "--guarantee=400ms"];
    let answer = bench.ask(&arguments);
    assert!(answer.expect(0).stdout.contains("\nstore sqlite:mine.db\n"));
    assert_eq!(bench.files(), ["mine.db"]);
}

#[test]
fn nothing_stays_beside_the_chosen_store_though_the_candidates_were_killed() {
    let bench = Bench::new();
    let (demo, candidates) = demo(&bench, &["--store=sqlite:mine.db"]);
    demo.signal(Signal::INT);
    demo.ends().expect(130);
    assert!(candidates.iter().all(|&pid| !is_alive(pid)));
    assert_eq!(bench.files(), ["mine.db"]);
}

/// A candidate, as the demo has it.
struct Candidate {
    child: Child,
    _input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What it answered: when it was asked and answered, in nanoseconds, and whether yes.
#[derive(Debug)]
struct Said {
    asked_ns: u64,
    answered_ns: u64,
    is_yes: bool,
}

impl Candidate {
    fn start(bench: &Bench, unit: &str) -> Candidate {
        let parent = format!("--parent={}", std::process::id());
        let arguments = ["candidate", &parent, "--store=sqlite:leases.db", "--guarantee=1s"];
        let mut command = bench.tenure(&arguments);
        command.args(["--unit", unit]).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env("TENURE_LOG", "error");
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Candidate { _input: child.stdin.take().unwrap(), child, lines }
    }

    fn says(&mut self) -> Said {
        let line = self.lines.next().unwrap().unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        Said {
            asked_ns: words[1].parse().unwrap(),
            answered_ns: words[2].parse().unwrap(),
            is_yes: words[0] == "yes",
        }
    }

    fn says_yes(&mut self) -> Said {
        loop {
            let said = self.says();
            if said.is_yes {
                return said;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_leader_that_was_frozen_past_its_lease_does_not_answer_yes() {
    let bench = Bench::new();
    let mut frozen = Candidate::start(&bench, "mysql/0");
    frozen.says_yes();
    let mut next = Candidate::start(&bench, "mysql/1");
    assert!(!next.says().is_yes);
    frozen.signal(Signal::STOP);
    let taken_over = next.says_yes().answered_ns;
    // The other one still leads, whatever the machine is busy with.
    next.signal(Signal::STOP);
    frozen.signal(Signal::CONT);
    let first = loop {
        let said = frozen.says();
        if said.asked_ns > taken_over {
            break said;
        }
    };
    assert!(!first.is_yes, "{first:?}");
}

#[test]
fn of_two_candidates_with_one_unit_name_one_says_yes() {
    let bench = Bench::new();
    let mut leader = Candidate::start(&bench, "mysql/0");
    leader.says_yes();
    let mut twin = Candidate::start(&bench, "mysql/0");
    let until_ns = twin.says().answered_ns + 3_000_000_000;
    while twin.says().answered_ns < until_ns {
        assert!(!twin.says().is_yes);
    }
    leader.signal(Signal::KILL);
    twin.says_yes();
}

use std::hint::black_box;
use std::process::{Command, Stdio};

use clap::ValueEnum;
use tenure_core::{ClaimOutcome, Event, Term};
use tenure_runtime::{BootClock, Clock};

use crate::claim::{ask_smol, ask_std, smol_leader, std_leader};
use crate::handle::{States, due, finished};
use crate::table::{Quantity, Row};

/// How often the subject is repeated: once so, and once twice as often.
const TIMES: u64 = 100_000;

/// What instructions are counted of.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Subject {
    Clock,
    ClaimSmol,
    ClaimStd,
    Early,
    Renewal,
}

/// Instructions of what a leader does most often, counted by valgrind: the same number each time,
/// whatever else the machine is doing.
pub(crate) fn run() -> Vec<Row> {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        eprint!(" left out, there is no valgrind");
        return Vec::new();
    }
    let subjects = [
        // Under valgrind it is a system call, of which only the call counts.
        ("a clock read, without the system call", Subject::Clock),
        ("claim_leader() answered, smol", Subject::ClaimSmol),
        ("claim_leader() answered, std", Subject::ClaimStd),
        ("handle, TimerFired early", Subject::Early),
        ("handle, a renewal: TimerFired, then granted", Subject::Renewal),
    ];
    let row = |(what, subject)| {
        Row::new(format!("instructions of {what}"), Quantity::Count(count(subject)))
            .next_to("again", Quantity::Count(count(subject)))
    };
    subjects.into_iter().map(row).collect()
}

/// Instructions of one repetition: what more of them take more, so that start and end do not count.
fn count(subject: Subject) -> f64 {
    let [once, twice] = [TIMES, 2 * TIMES].map(|times| total(subject, times));
    ((twice - once) / TIMES as f64).round()
}

fn total(subject: Subject, times: u64) -> f64 {
    let name = subject.to_possible_value().expect("none is skipped");
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["repeat", name.get_name(), &times.to_string()])
        .output()
        .expect("valgrind starts");
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let number = collected.and_then(|(_, number)| number.trim().parse().ok());
    number.unwrap_or_else(|| panic!("valgrind counts instructions: {said}"))
}

impl Subject {
    /// Does it `times` times.
    pub(crate) fn repeat(self, times: u64) {
        let repeat = |work: &mut dyn FnMut()| (0..times).for_each(|_| work());
        match self {
            Subject::Clock => repeat(&mut || {
                black_box(BootClock.now());
            }),
            Subject::ClaimSmol => {
                let tracker = smol_leader();
                repeat(&mut || ask_smol(&tracker));
            }
            Subject::ClaimStd => {
                let tracker = std_leader();
                repeat(&mut || ask_std(&tracker));
            }
            Subject::Early => {
                let states = States::new();
                let mut leader = states.leader;
                repeat(&mut || {
                    let _ = black_box(leader.handle(black_box(Event::TimerFired), states.now));
                });
            }
            Subject::Renewal => {
                let mut leader = States::new().leader;
                let mut attempt = 1;
                repeat(&mut || {
                    let now = due(&leader);
                    let _ = black_box(leader.handle(black_box(Event::TimerFired), now));
                    attempt += 1;
                    let granted = ClaimOutcome::Granted { term: Term::new(1) };
                    let _ = black_box(leader.handle(black_box(finished(attempt, granted)), now));
                });
            }
        }
    }
}

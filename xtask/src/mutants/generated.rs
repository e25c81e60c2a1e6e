use std::{
    env, fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use clap::{ValueEnum, builder::PossibleValue};
use serde_json::Value;

use super::scratch::Scratch;
use crate::{
    cargo,
    outcome::{self, Shortfall},
};

mod known;

use known::Known;

/// A package whose every mutant that cargo-mutants can think of has to be caught.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Subject {
    /// The machine
    Core,
    /// What the runtimes share
    Runtime,
    /// The dependency engine
    Dependency,
}

/// Tests that look at mutants.
struct Round {
    packages: &'static [&'static str],
    /// For cargo: what of them to build, if not all.
    options: &'static [&'static str],
    /// Arguments for the tests.
    arguments: &'static [&'static str],
}

/// The tests of the package itself, with the examples in its documentation.
const fn own(packages: &'static [&'static str]) -> Round {
    Round { packages, options: &["--all-features"], arguments: &[] }
}

/// What is quick in the two packages that try the machine without a runtime.
const MACHINE_AT_ONCE: Round = Round {
    packages: &["tenure-core", "tenure-machine-tests"],
    options: &["--lib", "--test=machine"],
    arguments: &[
        "tests::",
        "config::a_ratio",
        "config::every_refusal",
        "config::every_setting",
        "time::the_ends",
        "traces::",
        "a_history_of_two_believers",
        "--skip=engine::",
    ],
};
/// The searches that take longest find nothing here that the others do not.
const MACHINE: Round = Round {
    packages: &["tenure-machine-tests"],
    options: &["--test=machine"],
    arguments: &[
        "--skip=engine::",
        "--skip=every_history_of",
        "--skip=other_configs",
        "--skip=no_world_has_two_leaders",
        "--skip=two_units_keep",
        "--skip=deep_states_keep",
    ],
};
const ENGINE_AT_ONCE: Round = Round {
    packages: &["tenure-dependency", "tenure-machine-tests"],
    options: &["--lib", "--test=machine"],
    arguments: &["tests::", "engine::traces", "engine::random::larger", "cycles_are_found"],
};
const ENGINE: Round = Round {
    packages: &["tenure-machine-tests"],
    options: &["--test=machine"],
    arguments: &["engine::", "--skip=every_history_of", "--skip=other_configs"],
};
/// Where a mutant makes them wait in vain, they do so at the same time.
const RUNTIMES: Round = Round {
    packages: &["tenure-testkit"],
    options: &["--test=it"],
    arguments: &[
        "runtimes::",
        "engines::",
        "--skip=crowds::",
        "--skip=histories::",
        "--test-threads=16",
    ],
};
const HISTORIES: Round = Round {
    packages: &["tenure-testkit"],
    options: &["--test=it"],
    arguments: &["runtimes::histories::", "runtimes::crowds::"],
};
/// Real hubs in simulated clusters.
const CLUSTERS: Round = Round {
    packages: &["tenure-machine-tests"],
    options: &["--test=machine"],
    arguments: &["simulate::", "--skip=no_world_has_two_leaders"],
};

impl Subject {
    pub(crate) const ALL: &'static [Subject] =
        &[Subject::Core, Subject::Runtime, Subject::Dependency];

    fn name(self) -> String {
        self.to_possible_value()
            .as_ref()
            .map(PossibleValue::get_name)
            .unwrap_or_default()
            .to_owned()
    }

    fn package(self) -> String {
        format!("tenure-{}", self.name())
    }

    /// The tests, the quickest first: each round tries what those before have not caught.
    fn rounds(self) -> Vec<Round> {
        match self {
            Subject::Core => {
                vec![MACHINE_AT_ONCE, own(&["tenure-core"]), RUNTIMES, MACHINE]
            }
            Subject::Runtime => vec![RUNTIMES, own(&["tenure-runtime"]), HISTORIES, CLUSTERS],
            Subject::Dependency => {
                vec![ENGINE_AT_ONCE, own(&["tenure-dependency"]), RUNTIMES, ENGINE]
            }
        }
    }
}

/// Has cargo-mutants make the mutants of the packages, and sees that all are caught. With `go_on`,
/// those that were caught before are not tried again.
pub(crate) fn check(subjects: &[Subject], go_on: bool) -> Result<(), Shortfall> {
    if !cargo::command(["mutants", "--version"]).stdout(Stdio::null()).status()?.success() {
        let get = "cargo install --locked cargo-mutants@27.1.0";
        return Err(Shortfall::LeftOut(format!("cargo-mutants is not here: {get}")));
    }
    let mut failures = Vec::new();
    let mut scores = Vec::new();
    for &subject in subjects {
        match try_all(subject, go_on) {
            Ok(score) => {
                failures.extend(score.missed.iter().cloned());
                scores.push((subject, score));
            }
            Err(shortfall) => failures.push(format!("{}: {shortfall}", subject.package())),
        }
    }
    println!("\n{:18}  {}", "package", Score::HEAD);
    for (subject, score) in &scores {
        println!("{:18}  {score}", subject.package());
    }
    outcome::all("not caught", &failures)
}

fn try_all(subject: Subject, go_on: bool) -> Result<Score, Shortfall> {
    let directory = cargo::target_directory("mutants");
    let record = directory.join(subject.name());
    if !go_on && record.exists() {
        fs::remove_dir_all(&record)?;
    }
    fs::create_dir_all(&record)?;
    let mut known = Known::read(&record)?;
    let all = list(subject, &[])?;
    for round in subject.rounds() {
        let open = known.open(&all).len();
        if open == 0 {
            break;
        }
        let packages = round.packages.join(" and ");
        println!("\n== {open} mutants of {}, by tests of {packages}", subject.package());
        // It may still have the mutant in it that an earlier run was stopped at.
        let scratch = Scratch::of(cargo::root(), &directory)?;
        let patience = patience(baseline(&scratch, &round)?);
        let tried = try_round(&scratch, subject, &round, &known, &record, patience);
        known.learn(&record)?;
        tried?;
    }
    let excused = list(subject, &["--no-config"])?.len().saturating_sub(all.len());
    Ok(Score::of(&all, &known, excused))
}

/// The tests have to pass on the tree as it is. Gives how long they take.
fn baseline(scratch: &Scratch, round: &Round) -> Result<Duration, Shortfall> {
    let test = |built: &[&str]| {
        let mut command = scratch.cargo(&["test", "--quiet", "--profile", PROFILE]);
        command.args(round.packages.iter().flat_map(|package| ["--package", package]));
        command.args(round.options).args(built);
        command
    };
    cargo::finish(&mut test(&["--no-run"]))?;
    let start = Instant::now();
    cargo::finish(test(&["--"]).args(round.arguments))?;
    Ok(start.elapsed())
}

/// How long tests may take over a mutant before they count as such that never end, if without it
/// they took `unbroken`. A machine may well have more to do then.
fn patience(unbroken: Duration) -> Duration {
    (3 * unbroken).max(Duration::from_secs(30))
}

/// In the root manifest.
const PROFILE: &str = "mutants";

/// Tries what is not known yet. In one place, so that each build goes on from the last one.
fn try_round(
    scratch: &Scratch,
    subject: Subject,
    round: &Round,
    known: &Known,
    record: &Path,
    patience: Duration,
) -> Result<(), Shortfall> {
    let mut command = scratch.cargo(&["mutants", "--in-place", "--baseline=skip"]);
    command.args(["--package", &subject.package(), "--profile", PROFILE]);
    command.args(until_failure()?);
    command.arg(format!("--timeout={}", patience.as_secs())).arg("--build-timeout=600");
    command.arg("--output").arg(record);
    command.args(known.names().map(|name| format!("--exclude-re=^{}$", verbatim(name))));
    command.args(round.packages.iter().flat_map(|package| ["--test-package", package]));
    command.args(round.options.iter().map(|target| format!("--cargo-test-arg={target}")));
    let status = command.args(["--", "--"]).args(round.arguments).stdin(Stdio::null()).status()?;
    match status.code() {
        // Some were missed, or took too long: the lists that it leaves say which.
        Some(0 | 2 | 3) => Ok(()),
        _ => Err(Shortfall::Failed(format!("cargo-mutants ended with {status}"))),
    }
}

/// Has cargo run each binary of tests until a test fails, and no longer.
fn until_failure() -> Result<[String; 2], Shortfall> {
    let this = env::current_exe()?;
    let this = this.to_str().ok_or_else(|| Shortfall::failed("a path that is not UTF-8"))?;
    let runner = format!("target.'cfg(all())'.runner = ['{this}', 'first-failure']");
    Ok([String::from("--cargo-arg=--config"), format!("--cargo-arg={runner}")])
}

/// A regular expression for just this text.
fn verbatim(text: &str) -> String {
    let mut expression = String::new();
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            expression.push('\\');
        }
        expression.push(character);
    }
    expression
}

/// The names of the mutants of the package with these options.
fn list(subject: Subject, options: &[&str]) -> Result<Vec<String>, Shortfall> {
    let mut command = cargo::command(["mutants", "--list", "--json"]);
    let list = cargo::output(command.args(["--package", &subject.package()]).args(options))?;
    let list: Value = serde_json::from_str(&list).map_err(Shortfall::failed)?;
    let names = list.as_array().into_iter().flatten().map(|mutant| &mutant["name"]);
    Ok(names.filter_map(Value::as_str).map(str::to_owned).collect())
}

/// What became of the mutants of a package.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Score {
    mutants: usize,
    unviable: usize,
    caught: usize,
    /// Of the caught ones, those at which the tests did not end.
    timed_out: usize,
    missed: Vec<String>,
    excused: usize,
}

impl Score {
    const HEAD: &str = "mutants  unviable  viable  caught  by time  missed  score  excused";

    fn of(all: &[String], known: &Known, excused: usize) -> Score {
        let count = |list: &[String]| list.iter().filter(|name| all.contains(name)).count();
        let timed_out = count(&known.timed_out);
        Score {
            mutants: all.len(),
            unviable: count(&known.unviable),
            // A test that would never end has noticed.
            caught: count(&known.caught) + timed_out,
            timed_out,
            missed: known.open(all).into_iter().cloned().collect(),
            excused,
        }
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Score { mutants, unviable, caught, timed_out, missed, excused } = self;
        let (missed, viable) = (missed.len(), mutants - unviable);
        let percent = *caught as f64 * 100.0 / viable.max(1) as f64;
        write!(
            formatter,
            "{mutants:7}  {unviable:8}  {viable:6}  {caught:6}  {timed_out:7}  {missed:6}  \
             {percent:3.0} %  {excused:7}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_known_of_mutants_that_are_still_there_is_counted() {
        let known = Known {
            caught: names(&["a", "gone"]),
            timed_out: names(&["b"]),
            unviable: names(&["c"]),
        };
        let score = Score::of(&names(&["a", "b", "c", "d"]), &known, 5);
        let (mutants, unviable, caught, timed_out, excused) = (4, 1, 2, 1, 5);
        let missed = names(&["d"]);
        assert_eq!(score, Score { mutants, unviable, caught, timed_out, missed, excused });
        assert!(score.to_string().contains(" 67 % "), "{score}");
    }

    #[test]
    fn a_name_is_no_expression() {
        let name = r"a.rs:1:2: replace <impl Add<u8> for X>::add -> [u8; 2] with (1 + 2) | 3";
        let escaped =
            r"a\.rs:1:2: replace <impl Add<u8> for X>::add -> \[u8; 2\] with \(1 \+ 2\) \| 3";
        assert_eq!(verbatim(name), escaped);
    }
}

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::{ValueEnum, builder::PossibleValue};
use serde_json::Value;

use super::scratch::build_in;
use crate::{
    cargo,
    outcome::{self, Shortfall},
};

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
    package: &'static str,
    /// What of it: `--lib` or the like, or all if there is none.
    target: Option<&'static str>,
    /// Arguments for the tests.
    arguments: &'static [&'static str],
}

/// The tests of the package itself.
const fn own(package: &'static str) -> Round {
    Round { package, target: None, arguments: &[] }
}

/// The searches that take longest find nothing here that the others do not.
const MACHINE: Round = Round {
    package: "tenure-machine-tests",
    target: None,
    arguments: &[
        "--skip=engine::",
        "--skip=every_history_of",
        "--skip=other_configs",
        "--skip=no_world_has_two_leaders",
    ],
};
const ENGINE: Round = Round {
    package: "tenure-machine-tests",
    target: None,
    arguments: &["engine::", "--skip", "every_history_of", "--skip", "other_configs"],
};
/// Where a mutant makes them wait in vain, they do so at the same time.
const RUNTIMES: Round = Round {
    package: "tenure-testkit",
    target: Some("--test=it"),
    arguments: &[
        "runtimes::",
        "engines::",
        "--skip=crowds::",
        "--skip=histories::",
        "--test-threads=16",
    ],
};
const HISTORIES: Round = Round {
    package: "tenure-testkit",
    target: Some("--test=it"),
    arguments: &["runtimes::histories::"],
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
            Subject::Core => vec![own("tenure-core"), MACHINE, RUNTIMES],
            Subject::Runtime => vec![own("tenure-runtime"), RUNTIMES, HISTORIES],
            Subject::Dependency => vec![own("tenure-dependency"), ENGINE, RUNTIMES],
        }
    }
}

/// Has cargo-mutants make the mutants of the packages, and sees that all are caught.
pub(crate) fn check(subjects: &[Subject]) -> Result<(), Shortfall> {
    if !mutants(&["--version"]).stdout(Stdio::null()).status()?.success() {
        let get = "cargo install --locked cargo-mutants@27.1.0";
        return Err(Shortfall::LeftOut(format!("cargo-mutants is not here: {get}")));
    }
    let mut failures = Vec::new();
    let mut scores = Vec::new();
    for &subject in subjects {
        match try_all(subject) {
            Ok(score) => {
                failures.extend(score.missed.iter().cloned());
                scores.push((subject, score));
            }
            Err(shortfall) => failures.push(format!("{}: {shortfall}", subject.package())),
        }
    }
    println!("\npackage             viable  caught  missed  score  unviable  excused");
    for (subject, score) in &scores {
        println!("{:18}  {score}", subject.package());
    }
    outcome::all("not caught", &failures)
}

fn try_all(subject: Subject) -> Result<Score, Shortfall> {
    let directory = cargo::target_directory("mutants");
    let output = directory.join(subject.name());
    fs::create_dir_all(&output)?;
    let mut score = None;
    for (index, round) in subject.rounds().into_iter().enumerate() {
        println!("\n== {}, by the tests of {}", subject.package(), round.package);
        baseline(&round)?;
        let mut command = mutants(&["--package", &subject.package(), "--baseline", "skip"]);
        command.arg("--all-features");
        command.args(["--jobs", "1", "--timeout", "120", "--build-timeout", "600"]);
        command.arg("--output").arg(&output);
        build_in(&directory.join("build"), &mut command);
        command.args(["--test-package", round.package]);
        command.args(round.target.map(|target| format!("--cargo-arg={target}")));
        if index > 0 {
            command.arg("--iterate");
        }
        let status =
            command.args(["--", "--"]).args(round.arguments).stdin(Stdio::null()).status()?;
        // Some were missed, or took too long: the list that it leaves says which.
        if !matches!(status.code(), Some(0 | 2 | 3)) {
            return Err(Shortfall::Failed(format!("cargo-mutants ended with {status}")));
        }
        let of_round = Score::read(&output.join("mutants.out"))?;
        let all = score.get_or_insert_with(|| of_round.clone());
        all.missed.retain(|name| of_round.missed.contains(name));
        if all.missed.is_empty() {
            break;
        }
    }
    let mut score = score.unwrap_or_default();
    score.excused = count(subject, &["--no-config"])?.saturating_sub(count(subject, &[])?);
    Ok(score)
}

/// The tests have to pass on the tree as it is.
fn baseline(round: &Round) -> Result<(), Shortfall> {
    let arguments = ["test", "--quiet", "--all-features", "--package", round.package];
    let target: Vec<&str> = round.target.into_iter().collect();
    cargo::run(&[&arguments[..], &target, &["--"], round.arguments].concat())
}

fn mutants(arguments: &[&str]) -> Command {
    let mut command = cargo::command(["mutants"]);
    command.args(arguments);
    command
}

/// How many mutants of the package there are with these options.
fn count(subject: Subject, options: &[&str]) -> Result<usize, Shortfall> {
    let mut command = mutants(&["--list", "--json", "--package", &subject.package()]);
    let list = cargo::output(command.args(options))?;
    let list: Value = serde_json::from_str(&list).map_err(Shortfall::failed)?;
    Ok(list.as_array().map_or(0, Vec::len))
}

/// What became of the mutants of a package.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Score {
    viable: usize,
    unviable: usize,
    missed: Vec<String>,
    excused: usize,
}

impl Score {
    /// Reads what cargo-mutants left in `directory`.
    fn read(directory: &Path) -> Result<Score, Shortfall> {
        let path: PathBuf = directory.join("outcomes.json");
        Score::of(&fs::read_to_string(path)?)
    }

    fn of(outcomes: &str) -> Result<Score, Shortfall> {
        let outcomes: Value = serde_json::from_str(outcomes).map_err(Shortfall::failed)?;
        let mut score = Score::default();
        for outcome in outcomes["outcomes"].as_array().into_iter().flatten() {
            let name = outcome["scenario"]["Mutant"]["name"].as_str().unwrap_or_default();
            match outcome["summary"].as_str() {
                // A test that would never end has noticed.
                Some("CaughtMutant" | "Timeout") => score.viable += 1,
                Some("MissedMutant") => {
                    score.viable += 1;
                    score.missed.push(name.to_owned());
                }
                Some("Unviable") => score.unviable += 1,
                _ => return Err(Shortfall::Failed(format!("cargo-mutants broke off at {name}"))),
            }
        }
        Ok(score)
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Score { viable, unviable, missed, excused } = self;
        let (missed, caught) = (missed.len(), viable - missed.len());
        let percent = caught as f64 * 100.0 / (*viable).max(1) as f64;
        write!(
            formatter,
            "{viable:6}  {caught:6}  {missed:6}  {percent:4.1} %  {unviable:8}  {excused:7}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_mutants_says_is_counted() {
        let one = |summary: &str| {
            format!(
                "{{\"scenario\": {{\"Mutant\": {{\"name\": \"m\"}}}}, \"summary\": \"{summary}\"}}"
            )
        };
        let text = |all: &[&str]| {
            let all: Vec<String> = all.iter().map(|summary| one(summary)).collect();
            format!("{{\"outcomes\": [{}]}}", all.join(", "))
        };
        let score =
            Score::of(&text(&["CaughtMutant", "MissedMutant", "Timeout", "Unviable"])).unwrap();
        let missed = vec!["m".to_owned()];
        assert_eq!(score, Score { viable: 3, unviable: 1, missed, excused: 0 });
        assert!(score.to_string().contains("66.7 %"), "{score}");
        assert!(Score::of(&text(&["Failure"])).is_err());
    }
}

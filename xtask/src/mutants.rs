use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{cargo, outcome::Shortfall};

mod generated;
mod mutant;
mod scratch;
mod verdict;

use generated::Subject;
use mutant::{Check, Mutant};
use scratch::Scratch;
use verdict::Verdict;

/// Break the code in many ways, and see that the tests notice each
///
/// The mutants in `xtask/mutants` name the checks that must catch them. They are put, one at a
/// time, into a copy of the tree below the target directory, never into the tree itself; before
/// that the checks have to pass on the copy as it is. Last comes a table: which mutant, where, who
/// caught it. With `--all`, cargo-mutants makes many more of its own in the packages that decide,
/// and all of those have to be caught too, but for those that `.cargo/mutants.toml` excuses. Such a
/// run may be stopped at any time: with `--go-on` the next one tries only what is left.
#[derive(Args)]
pub(crate) struct Arguments {
    /// After the mutants of the list, also those that cargo-mutants makes
    #[arg(long)]
    all: bool,
    /// Only those that cargo-mutants makes in this package; may be given several times
    #[arg(long, value_name = "PACKAGE", conflicts_with_all = ["all", "only"])]
    generated: Vec<Subject>,
    /// Do not try those that cargo-mutants made and an earlier run found caught: for a run that was
    /// stopped, or after tests were added. Whoever changed anything else begins anew
    #[arg(long)]
    go_on: bool,
    /// Say what the mutants of the list are, and try none
    #[arg(long)]
    list: bool,
    /// Try this mutant only; may be given several times
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    only: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let outcome = match arguments.list {
        true => chosen(arguments).map(|mutants| list(&mutants)),
        false => try_all(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(shortfall) => {
            eprintln!("xtask: {shortfall}");
            ExitCode::FAILURE
        }
    }
}

fn try_all(arguments: &Arguments) -> Result<(), Shortfall> {
    if !arguments.generated.is_empty() {
        return generated::check(&arguments.generated, arguments.go_on);
    }
    let mutants = chosen(arguments)?;
    let listed = check(cargo::root(), &cargo::target_directory("mutants"), &mutants);
    if !arguments.all {
        return listed;
    }
    if let Err(shortfall) = &listed {
        eprintln!("xtask: {shortfall}; and on to the others");
    }
    listed.and(generated::check(Subject::ALL, arguments.go_on))
}

fn chosen(arguments: &Arguments) -> Result<Vec<Mutant>, Shortfall> {
    let mut mutants = Mutant::read_all(&cargo::root().join("xtask/mutants"))?;
    for name in &arguments.only {
        if !mutants.iter().any(|mutant| mutant.name == *name) {
            return Err(Shortfall::Failed(format!("there is no mutant {name}: see --list")));
        }
    }
    mutants.retain(|mutant| arguments.only.is_empty() || arguments.only.contains(&mutant.name));
    Ok(mutants)
}

fn list(mutants: &[Mutant]) {
    for mutant in mutants {
        println!("{} ({})\n    {}", mutant.name, mutant.place(), mutant.about);
    }
}

/// Tries the mutants in a copy of the tree at `root`, which is kept in `directory`.
fn check(root: &Path, directory: &Path, mutants: &[Mutant]) -> Result<(), Shortfall> {
    let mut scratch = Scratch::of(root, directory)?;
    println!("the checks on the tree as it is");
    let all: Vec<Check> = mutants.iter().flat_map(|mutant| mutant.checks.clone()).collect();
    let verdict = Verdict::of(&scratch, &distinct(all))?;
    if !verdict.failed.is_empty() {
        let (failed, tests) = (names(verdict.failed.iter()), verdict.tests.join(", "));
        let reason = format!("fail without any mutant: {failed}, by {tests}");
        return Err(Shortfall::Failed(reason));
    }
    let mut rows = Vec::new();
    for (index, mutant) in mutants.iter().enumerate() {
        let row = Row::of(&mut scratch, mutant)?;
        println!("{}/{}  {}: {}", index + 1, mutants.len(), row.name, row.result());
        row.print_tests();
        rows.push(row);
    }
    println!("\n{:NAME$}  {:PLACE$}  seconds  caught by", "mutant", "where");
    rows.iter().for_each(Row::print);
    let survivors: Vec<&str> =
        rows.iter().filter(|row| !row.is_caught()).map(|row| &*row.name).collect();
    println!("{} mutants, {} caught", rows.len(), rows.len() - survivors.len());
    match survivors[..] {
        [] => Ok(()),
        _ => Err(Shortfall::Failed(format!("not caught: {}", survivors.join(", ")))),
    }
}

/// Each check once.
fn distinct(mut checks: Vec<Check>) -> Vec<Check> {
    checks.iter_mut().for_each(|check| check.must_catch = true);
    checks.sort_by(|one, other| (&one.binary, &one.tests).cmp(&(&other.binary, &other.tests)));
    checks.dedup();
    checks
}

fn names<'a>(checks: impl Iterator<Item = &'a Check>) -> String {
    let names: Vec<String> = checks
        .map(|check| {
            let package = check.binary.package.trim_start_matches("tenure-");
            match &*check.binary.target {
                "it" | "lib" => format!("{package} {}", check.tests),
                target => format!("{target} {}", check.tests),
            }
        })
        .collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

const NAME: usize = 44;
const PLACE: usize = 34;

/// What became of a mutant.
struct Row {
    name: String,
    place: String,
    outcome: Result<Verdict, Shortfall>,
    took: Duration,
}

impl Row {
    fn of(scratch: &mut Scratch, mutant: &Mutant) -> Result<Row, Shortfall> {
        let started = Instant::now();
        let outcome = scratch.break_by(mutant).and_then(|()| Verdict::of(scratch, &mutant.checks));
        scratch.mend()?;
        let (name, place) = (mutant.name.clone(), mutant.place().to_owned());
        Ok(Row { name, place, outcome, took: started.elapsed() })
    }

    /// Whether every check that must has caught it.
    fn is_caught(&self) -> bool {
        match &self.outcome {
            Ok(verdict) => !verdict.passed.iter().any(|check| check.must_catch),
            Err(_) => false,
        }
    }

    fn result(&self) -> String {
        match &self.outcome {
            Ok(verdict) => {
                let caught = names(verdict.failed.iter());
                let missed = verdict.passed.iter().filter(|check| check.must_catch);
                match missed.clone().count() {
                    0 => caught,
                    _ => format!("NOT by {} (only by {caught})", names(missed)),
                }
            }
            Err(shortfall) => format!("ERROR: {shortfall}"),
        }
    }

    /// Which tests failed.
    fn print_tests(&self) {
        const SHOWN: usize = 5;
        let tests = self.outcome.as_ref().map_or(&[][..], |verdict| &verdict.tests);
        tests.iter().take(SHOWN).for_each(|test| println!("    {test}"));
        if tests.len() > SHOWN {
            println!("    and {} more", tests.len() - SHOWN);
        }
    }

    fn print(&self) {
        let (name, place, seconds) = (&self.name, &self.place, self.took.as_secs_f64());
        println!("{name:NAME$}  {place:PLACE$}  {seconds:7.1}  {}", self.result());
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    const MANIFEST: &str = "[package]\nname = \"tiny\"\nedition = \"2021\"\n\n[workspace]\n";
    const SOURCE: &str = "pub fn one() -> u8 {\n    1\n}\n\n#[test]\nfn it_is_one() {\n    \
                          assert_eq!(one(), 1);\n}\n\n#[test]\nfn always() {}\n";

    fn mutant(name: &str, old: &str, new: &str, caught_by: &str) -> Mutant {
        let text = format!("file src/lib.rs\n-{old}\n+{new}\n\ncaught by tiny/lib {caught_by}\n");
        Mutant::parse(name, &text).unwrap()
    }

    /// Mutants of a small package, through all that the command does.
    fn try_on_a_tiny_package(name: &str, mutants: &[Mutant]) -> Result<(), Shortfall> {
        let directory = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        let root = directory.join("tiny");
        fs::create_dir_all(root.join("src")).unwrap();
        fs::write(root.join("Cargo.toml"), MANIFEST).unwrap();
        fs::write(root.join("src/lib.rs"), SOURCE).unwrap();
        let git = Command::new("git").current_dir(&root).args(["init", "--quiet"]).status();
        assert!(git.unwrap().success());
        let outcome = check(&root, &directory.join("scratch"), mutants);
        let untouched = fs::read_to_string(root.join("src/lib.rs")).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(untouched, SOURCE, "mutants go into the copy only");
        outcome
    }

    #[test]
    fn mutants_that_are_all_caught_are_a_success() {
        let two = mutant("two", "    1", "    2", "it_is_one");
        let zero = mutant("zero", "    1", "    0", "it_is_one");
        try_on_a_tiny_package("caught", &[two, zero]).unwrap();
    }

    #[test]
    fn who_changes_nothing_or_cannot_be_applied_or_built_is_named() {
        let mutants = [
            mutant("comment", "    1", "    1 // the same", "it_is_one"),
            mutant("caught", "    1", "    3", "it_is_one"),
            mutant("gone", "    7", "    2", "it_is_one"),
            mutant("unbuilt", "    1", "    \"1\"", "it_is_one"),
            mutant("unseen", "    1", "    2", "always"),
        ];
        let outcome = try_on_a_tiny_package("survivors", &mutants).unwrap_err();
        assert_eq!(outcome.to_string(), "not caught: comment, gone, unbuilt, unseen");
    }

    #[test]
    fn a_check_that_fails_or_is_missing_without_a_mutant_ends_it() {
        let missing = mutant("missing", "    1", "    2", "nowhere::");
        let outcome = try_on_a_tiny_package("missing", &[missing]).unwrap_err();
        assert_eq!(outcome.to_string(), "no test of tiny/lib is called nowhere::");
    }
}

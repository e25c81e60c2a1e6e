use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    mutant::{Binary, Check},
    scratch::Scratch,
};
use crate::{cargo, outcome::Shortfall};

/// No test binary takes that long, unless a mutant makes it hang.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the checks say of a tree.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Verdict {
    /// The checks of which a test failed.
    pub(crate) failed: Vec<Check>,
    /// Those of which none did.
    pub(crate) passed: Vec<Check>,
    /// The tests that failed.
    pub(crate) tests: Vec<String>,
}

impl Verdict {
    /// Runs the checks.
    pub(crate) fn of(scratch: &Scratch, checks: &[Check]) -> Result<Verdict, Shortfall> {
        let mut by_binary: BTreeMap<&Binary, Vec<&Check>> = BTreeMap::new();
        for check in checks {
            by_binary.entry(&check.binary).or_default().push(check);
        }
        let mut verdict = Verdict::default();
        for (binary, checks) in by_binary {
            let ran = run(scratch, binary, &checks)?;
            verdict.judge(&checks, &ran)?;
        }
        Ok(verdict)
    }

    /// Sorts the checks by what their tests said.
    fn judge(&mut self, checks: &[&Check], ran: &[Test]) -> Result<(), Shortfall> {
        for &check in checks {
            let mut tests =
                ran.iter().filter(|test| test.name.starts_with(&check.tests)).peekable();
            if tests.peek().is_none() {
                let Binary { package, target } = &check.binary;
                let reason = format!("no test of {package}/{target} is called {}", check.tests);
                return Err(Shortfall::Failed(reason));
            }
            let side =
                if tests.any(|test| test.failed) { &mut self.failed } else { &mut self.passed };
            side.push(check.clone());
        }
        self.tests.extend(ran.iter().filter(|test| test.failed).map(|test| test.name.clone()));
        Ok(())
    }
}

/// A test that ran.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Test {
    name: String,
    failed: bool,
}

/// Builds a test binary and runs the tests that `checks` name.
fn run(scratch: &Scratch, binary: &Binary, checks: &[&Check]) -> Result<Vec<Test>, Shortfall> {
    let (program, directory) = build(scratch, binary)?;
    let mut command = Command::new(program);
    command.current_dir(directory).args(checks.iter().map(|check| &check.tests));
    let (said, ended) = finish(&mut command)?;
    let tests = tests_of(&said);
    if ended == Ended::Well || tests.iter().any(|test| test.failed) {
        return Ok(tests);
    }
    let Binary { package, target } = binary;
    let last = said.lines().last().unwrap_or_default();
    Err(Shortfall::Failed(format!("{package}/{target} {ended:?} without a failed test: {last}")))
}

/// Gives the program, and the directory that its tests run in.
fn build(scratch: &Scratch, binary: &Binary) -> Result<(PathBuf, PathBuf), Shortfall> {
    let mut arguments = vec!["test", "--no-run", "--quiet", "--package", &binary.package];
    match &*binary.target {
        "bin" => arguments.push("--bins"),
        "lib" => arguments.push("--lib"),
        target => arguments.extend(["--test", target]),
    }
    arguments.extend(["--all-features", "--message-format", "json-render-diagnostics"]);
    let messages = cargo::output(&mut scratch.cargo(&arguments))?;
    let artifact = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["profile"]["test"] == true)
        .find_map(|message| {
            let program = PathBuf::from(message["executable"].as_str()?);
            let manifest = PathBuf::from(message["manifest_path"].as_str()?);
            Some((program, manifest.parent()?.to_owned()))
        });
    artifact.ok_or_else(|| Shortfall::Failed(format!("{} builds no such test", binary.package)))
}

/// How a test binary ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ended {
    Badly,
    Hung,
    Well,
}

/// What it prints, until it ends or is ended.
fn finish(command: &mut Command) -> Result<(String, Ended), Shortfall> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (sender, lines) = mpsc::channel();
    let output = child.stdout.take();
    thread::spawn(move || read(output, &sender));
    let deadline = Instant::now() + PATIENCE;
    let mut said = String::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => said.push_str(&line),
            Err(RecvTimeoutError::Disconnected) => {
                let ended = if child.wait()?.success() { Ended::Well } else { Ended::Badly };
                return Ok((said, ended));
            }
            Err(RecvTimeoutError::Timeout) => {
                end(&mut child)?;
                return Ok((said, Ended::Hung));
            }
        }
    }
}

fn read(output: Option<impl Read>, sender: &mpsc::Sender<String>) {
    let Some(output) = output else { return };
    // Tests may print what is not UTF-8.
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = format!("{}\n", String::from_utf8_lossy(&line));
        if sender.send(line).is_err() {
            return;
        }
    }
}

fn end(child: &mut Child) -> Result<(), Shortfall> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// Reads `test a::b ... ok` and `test a::c ... FAILED`.
fn tests_of(said: &str) -> Vec<Test> {
    let mut tests = Vec::new();
    for line in said.lines() {
        let Some((name, result)) =
            line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        else {
            continue;
        };
        let name = name.trim_end_matches(" - should panic").to_owned();
        match result {
            "ok" => tests.push(Test { name, failed: false }),
            "FAILED" => tests.push(Test { name, failed: true }),
            _ => {}
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tests: &str) -> Check {
        let binary = Binary { package: "a".to_owned(), target: "lib".to_owned() };
        Check { binary, tests: tests.to_owned(), must_catch: true }
    }

    #[test]
    fn a_check_fails_with_any_of_its_tests() {
        let said = "running 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\ntest d ... ok\n\n\
                    test result: FAILED. 2 passed; 1 failed;\n";
        let checks = [check("a::"), check("a::b"), check("d")];
        let mut verdict = Verdict::default();
        verdict.judge(&checks.each_ref(), &tests_of(said)).unwrap();
        assert_eq!(verdict.failed, [check("a::")]);
        assert_eq!(verdict.passed, [check("a::b"), check("d")]);
        assert_eq!(verdict.tests, ["a::c"]);
    }

    #[test]
    fn a_check_without_tests_is_an_error() {
        let nothing = Verdict::default().judge(&[&check("gone::")], &tests_of("test a ... ok\n"));
        assert_eq!(nothing.unwrap_err().to_string(), "no test of a/lib is called gone::");
    }
}

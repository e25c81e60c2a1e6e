use std::{
    collections::BTreeSet,
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{cargo, outcome::Shortfall};

/// How long a test binary may take. The slowest takes some minutes on two busy cores.
const BINARY: Duration = Duration::from_secs(20 * 60);

/// How long a test may go on once libtest has warned that it has been running for a minute.
const TEST: Duration = Duration::from_secs(7 * 60);

/// What libtest says of a test that has been running for long.
const WARNING: &str = " has been running for over ";

/// Run a test binary, and end it if it or one of its tests takes too long
///
/// Says which tests had not ended by then.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// The binary
    binary: OsString,
    /// Its arguments
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    arguments: Vec<OsString>,
}

/// Has `command`, a `cargo test`, run every binary under the time limit.
pub(crate) fn put_on(command: &mut Command) -> Result<(), Shortfall> {
    let version = cargo::output(&mut cargo::command(["--version", "--verbose"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Shortfall::Failed("cargo does not name its host".to_owned()))?;
    let xtask = std::env::current_exe()?;
    // In the form of a list, because a path may contain blanks.
    let runner = serde_json::json!([xtask.to_string_lossy(), "time-limit"]);
    command.args(["--config", &format!("target.{host}.runner={runner}")]);
    Ok(())
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let mut command = Command::new(&arguments.binary);
    command.args(&arguments.arguments);
    match watch(&mut command, Limits { binary: BINARY, test: TEST }, &mut io::stdout()) {
        Ok(Outcome::Ended(0)) => ExitCode::SUCCESS,
        Ok(Outcome::Ended(code)) => ExitCode::from(code),
        Ok(Outcome::TooLong(tests)) => {
            let name = Path::new(&arguments.binary).file_name().unwrap_or_default().display();
            println!("time limit: {name} was ended: {}", tests.describe(&listed(arguments)));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("xtask: {}: {error}", arguments.binary.display());
            ExitCode::FAILURE
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    binary: Duration,
    test: Duration,
}

#[derive(Debug, Eq, PartialEq)]
enum Outcome {
    /// With this code.
    Ended(u8),
    TooLong(Tests),
}

/// Runs `command` and passes on to `log` what it prints.
fn watch(command: &mut Command, limits: Limits, log: &mut impl Write) -> io::Result<Outcome> {
    let mut binary = command.stdout(Stdio::piped()).spawn()?;
    let (sender, lines) = mpsc::channel();
    let stdout = binary.stdout.take();
    thread::spawn(move || {
        // Tests may print what is not UTF-8.
        let lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).split(b'\n'));
        lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let mut tests = Tests::default();
    let end = Instant::now() + limits.binary;
    loop {
        let due = tests.slow_since().map_or(end, |since| end.min(since + limits.test));
        let left = due.saturating_duration_since(Instant::now()).min(Duration::from_secs(1));
        match lines.recv_timeout(left) {
            Ok(line) => {
                log.write_all(&[&line[..], b"\n"].concat())?;
                log.flush()?;
                tests.read(&String::from_utf8_lossy(&line));
            }
            Err(RecvTimeoutError::Disconnected) => return ended(&mut binary),
            Err(RecvTimeoutError::Timeout) => {
                // A process that it left behind may hold its output.
                if binary.try_wait()?.is_some() {
                    return ended(&mut binary);
                }
                if due <= Instant::now() {
                    binary.kill()?;
                    binary.wait()?;
                    return Ok(Outcome::TooLong(tests));
                }
            }
        }
    }
}

fn ended(binary: &mut Child) -> io::Result<Outcome> {
    let status = binary.wait()?;
    if status.code().is_none() {
        println!("the test binary ended with {status}");
    }
    Ok(Outcome::Ended(status.code().map_or(101, |code| code.clamp(0, 255) as u8)))
}

/// The names of all tests that the binary was to run.
fn listed(arguments: &Arguments) -> BTreeSet<String> {
    let mut command = Command::new(&arguments.binary);
    command.args(&arguments.arguments).args(["--list", "--format=terse"]).stderr(Stdio::null());
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    let lines = String::from_utf8_lossy(&output).into_owned();
    lines.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// What a test binary has said of its tests.
#[derive(Debug, Default, Eq, PartialEq)]
struct Tests {
    ended: BTreeSet<String>,
    /// Those that libtest has warned of, the first one first.
    slow: Vec<(String, Instant)>,
}

impl Tests {
    fn read(&mut self, line: &str) {
        let Some(said) = line.strip_prefix("test ") else { return };
        if let Some((name, _)) = said.split_once(WARNING) {
            self.slow.push((name.to_owned(), Instant::now()));
        } else if let Some((name, _)) = said.split_once(" ... ") {
            // Of a test that is expected to panic, libtest says so behind its name.
            let name = name.split(" - should panic").next().unwrap_or(name);
            self.slow.retain(|(slow, _)| slow != name);
            self.ended.insert(name.to_owned());
        }
    }

    fn slow_since(&self) -> Option<Instant> {
        self.slow.first().map(|&(_, since)| since)
    }

    fn describe(&self, all: &BTreeSet<String>) -> String {
        let slow: Vec<&str> = self.slow.iter().map(|(name, _)| name.as_str()).collect();
        let open = all.difference(&self.ended).filter(|name| !slow.contains(&name.as_str()));
        let open: Vec<&str> = open.map(String::as_str).collect();
        let names = |names: &[&str]| match names {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        format!(
            "tests that ran for minutes: {}; other tests without a result: {}",
            names(&slow),
            names(&open)
        )
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, binary: u64, test: u64) -> (Outcome, String) {
        let limits =
            Limits { binary: Duration::from_secs(binary), test: Duration::from_millis(test) };
        let mut log = Vec::new();
        let outcome = watch(Command::new("sh").args(["-c", script]), limits, &mut log).unwrap();
        (outcome, String::from_utf8(log).unwrap())
    }

    #[test]
    fn a_binary_in_time_passes_its_output_and_its_code_on() {
        assert_eq!(shell("echo a; exit 3", 1_000, 0), (Outcome::Ended(3), "a\n".to_owned()));
        assert_eq!(shell("kill -9 $$", 1_000, 0), (Outcome::Ended(101), String::new()));
    }

    #[test]
    fn a_test_that_hangs_is_named_and_its_binary_ended() {
        let script = "echo 'test quick ... ok'; echo 'test slow ... ok'
            echo 'test hangs has been running for over 60 seconds'; exec sleep 1000";
        let (outcome, _) = shell(script, 1_000, 10);
        let Outcome::TooLong(tests) = outcome else { panic!("{outcome:?}") };
        let all = ["hangs", "next", "quick", "slow"].map(str::to_owned).into();
        let said = tests.describe(&all);
        assert_eq!(said, "tests that ran for minutes: hangs; other tests without a result: next");
    }

    #[test]
    fn a_test_that_was_slow_and_ended_hangs_no_more() {
        let script = "echo 'test slow has been running for over 60 seconds'
            echo 'test slow ... ok'; sleep 0.1; exit 0";
        assert_eq!(shell(script, 1_000, 10).0, Outcome::Ended(0));
    }

    #[test]
    fn a_binary_that_says_nothing_is_ended_too() {
        assert!(matches!(shell("exec sleep 1000", 0, 0).0, Outcome::TooLong(_)));
    }

    /// By the real cargo, in a package of its own.
    #[test]
    fn cargo_runs_test_binaries_under_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let manifest = "[package]\nname = \"hangs\"\nedition = \"2024\"\n[workspace]\n";
        std::fs::write(path.join("Cargo.toml"), manifest).unwrap();
        std::fs::create_dir(path.join("src")).unwrap();
        std::fs::write(path.join("src/lib.rs"), "#[test]\nfn passes() {}\n").unwrap();
        let mut command = cargo::command(["test", "--lib", "--verbose"]);
        command.current_dir(path).env("CARGO_TARGET_DIR", path.join("target"));
        put_on(&mut command).unwrap();
        // The runner is this test binary here, and finds no test of its own by these names.
        let said = command.output().unwrap();
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("time-limit"), "{said}");
    }
}

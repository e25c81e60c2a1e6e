use std::{
    env,
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use crate::outcome::Shortfall;

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where builds that must not touch the workspace's own go: `name` below the target directory.
pub(crate) fn target_directory(name: &str) -> PathBuf {
    let given = env::var_os("CARGO_TARGET_DIR").filter(|given| !given.is_empty());
    root().join(given.unwrap_or_else(|| "target".into())).join(name)
}

/// The cargo that runs us, at the top of the repository.
pub(crate) fn command(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// Runs cargo to its end, with its output passed through.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Shortfall> {
    finish(&mut command(arguments))
}

/// Runs a program of the workspace in release mode, with these arguments of its own.
pub(crate) fn run_program(program: &[&str], arguments: &[OsString]) -> ExitCode {
    let mut command = command([&["run", "--release"], program, &["--"]].concat());
    match command.args(arguments).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: cargo does not start: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `command` to its end, with its output passed through and nothing to read.
pub(crate) fn finish(command: &mut Command) -> Result<(), Shortfall> {
    let status = command.stdin(Stdio::null()).status()?;
    judge(command, status)
}

/// As [`finish`], and each line that it prints is also shown to `see`. A process that it leaves
/// behind with its output open is a failure, and not waited for.
pub(crate) fn watch(command: &mut Command, mut see: impl FnMut(&str)) -> Result<(), Shortfall> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let (sender, lines) = mpsc::channel();
    let output = child.stdout.take();
    thread::spawn(move || {
        // Tests may print what is not UTF-8.
        let lines = output.into_iter().flat_map(|output| BufReader::new(output).split(b'\n'));
        lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => {
                let line = String::from_utf8_lossy(&line);
                println!("{line}");
                see(&line);
            }
            Err(RecvTimeoutError::Disconnected) => return judge(command, child.wait()?),
            Err(RecvTimeoutError::Timeout) => {
                if child.try_wait()?.is_some() {
                    let reason = "left a process behind that holds its output";
                    return Err(Shortfall::Failed(format!("{} {reason}", shown(command))));
                }
            }
        }
    }
}

/// What `command` prints on stdout, as text; what it says on stderr is passed on when it has ended.
pub(crate) fn output(command: &mut Command) -> Result<String, Shortfall> {
    let output = command.stdin(Stdio::null()).output()?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    judge(command, output.status)?;
    String::from_utf8(output.stdout).map_err(Shortfall::failed)
}

fn judge(command: &Command, status: ExitStatus) -> Result<(), Shortfall> {
    if status.success() {
        Ok(())
    } else {
        Err(Shortfall::Failed(format!("{} ended with {status}", shown(command))))
    }
}

fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<_> =
        [name].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn every_line_is_seen_also_one_that_is_not_text() {
        let mut seen = Vec::new();
        let outcome = watch(&mut shell(r"printf 'a\n\377\nb'"), |line| seen.push(line.to_owned()));
        assert!(outcome.is_ok());
        assert_eq!(seen, ["a", "\u{fffd}", "b"]);
    }

    #[test]
    fn a_command_that_fails_is_named_with_its_status() {
        let failed = watch(&mut shell("exit 3"), |_| {}).unwrap_err().to_string();
        assert_eq!(failed, "`sh -c exit 3` ended with exit status: 3");
    }

    #[test]
    fn a_process_left_behind_is_a_failure_and_not_waited_for() {
        let left = watch(&mut shell("sleep 4 & exit 0"), |_| {}).unwrap_err().to_string();
        assert!(left.ends_with("left a process behind that holds its output"), "{left}");
    }
}

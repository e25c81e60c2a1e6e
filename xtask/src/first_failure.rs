use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    process::{Child, Command, ExitCode, Stdio},
};

use clap::Args;

/// Run a test binary until a test fails
///
/// What the other tests would have said is not waited for: where code is broken on purpose, many
/// of them wait in vain.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// The binary
    binary: OsString,
    /// Its arguments
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let mut command = Command::new(&arguments.binary);
    let passed = command
        .args(&arguments.arguments)
        .stdout(Stdio::piped())
        .spawn()
        .and_then(|mut tests| all_pass(&mut tests, &mut io::stdout()));
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {}: {error}", arguments.binary.display());
            ExitCode::FAILURE
        }
    }
}

/// Passes on to `log` what the tests print, up to the first that failed.
fn all_pass(tests: &mut Child, log: &mut impl Write) -> io::Result<bool> {
    // Tests may print what is not UTF-8.
    for line in tests.stdout.take().into_iter().flat_map(|out| BufReader::new(out).split(b'\n')) {
        let line = line?;
        log.write_all(&[&line[..], b"\n"].concat())?;
        if line.starts_with(b"test ") && line.ends_with(b" ... FAILED") {
            tests.kill()?;
            break;
        }
    }
    Ok(tests.wait()?.success())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Whether what `script` does counts as passed, and what is passed on of it.
    fn run(script: &str) -> (bool, Vec<u8>) {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdout(Stdio::piped());
        let mut log = Vec::new();
        (all_pass(&mut shell.spawn().unwrap(), &mut log).unwrap(), log)
    }

    #[test]
    fn the_first_failed_test_is_the_last() {
        let failed = run("echo 'test one ... FAILED'; exec sleep 1000");
        assert_eq!(failed, (false, b"test one ... FAILED\n".to_vec()));
        assert!(!run("echo 'test one ... ok'; exit 101").0);
        let strange = run("printf 'FAILED, says \\377\\ntest two ... ok\\n'");
        assert_eq!(strange, (true, b"FAILED, says \xff\ntest two ... ok\n".to_vec()));
    }
}

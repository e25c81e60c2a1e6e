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
        .and_then(|mut tests| all_pass(&mut tests));
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {}: {error}", arguments.binary.display());
            ExitCode::FAILURE
        }
    }
}

/// Passes on what the tests print, up to the first that failed.
fn all_pass(tests: &mut Child) -> io::Result<bool> {
    // Tests may print what is not UTF-8.
    for line in tests.stdout.take().into_iter().flat_map(|out| BufReader::new(out).split(b'\n')) {
        let line = line?;
        io::stdout().write_all(&[&line[..], b"\n"].concat())?;
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

    fn passes(script: &str) -> bool {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdout(Stdio::piped());
        all_pass(&mut shell.spawn().unwrap()).unwrap()
    }

    #[test]
    fn the_first_failed_test_is_the_last() {
        assert!(!passes("echo 'test one ... FAILED'; exec sleep 1000"));
        assert!(!passes("echo 'test one ... ok'; exit 101"));
        assert!(passes("echo 'test one ... ok'; printf 'FAILED, says \\377\\ntest two ... ok'"));
    }
}

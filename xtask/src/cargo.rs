use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
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

/// Runs `command` to its end, with its output passed through and nothing to read.
pub(crate) fn finish(command: &mut Command) -> Result<(), Shortfall> {
    let status = command.stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(ended(command, &status.to_string())) }
}

/// As [`finish`], and each line that it prints is also shown to `see`.
pub(crate) fn watch(command: &mut Command, mut see: impl FnMut(&str)) -> Result<(), Shortfall> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    if let Some(output) = child.stdout.take() {
        // Tests may print what is not UTF-8.
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            see(&line);
        }
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(ended(command, &status.to_string())) }
}

/// What `command` prints on stdout, as text; what it says on stderr is passed through.
pub(crate) fn output(command: &mut Command) -> Result<String, Shortfall> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(ended(command, &output.status.to_string()));
    }
    String::from_utf8(output.stdout).map_err(Shortfall::failed)
}

fn ended(command: &Command, how: &str) -> Shortfall {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<_> =
        [name].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    Shortfall::Failed(format!("`{}` ended with {how}", words.join(" ")))
}

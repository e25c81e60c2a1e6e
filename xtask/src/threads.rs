use std::{env, ffi::OsString, process::Command};

use crate::{
    cargo,
    counts::{self, Counts},
    outcome::Shortfall,
    time_limit,
};

/// The workspace of the tests that are built with another cfg than the rest.
pub(crate) const MANIFEST: &str = "threads/Cargo.toml";

/// The tools that decide how threads interleave: each has a cfg `tenure_<tool>`, a test binary of
/// its name, and a target directory, as the cfg builds everything anew.
const TOOLS: [&str; 2] = ["loom", "shuttle"];

/// Runs the tests of each tool.
pub(crate) fn check(counts: &mut Counts) -> Result<(), Shortfall> {
    let mut outcomes = Vec::new();
    for tool in TOOLS {
        let mut command = command("test", tool);
        command.args(["--no-fail-fast", "--test", tool]);
        time_limit::put_on(&mut command)?;
        outcomes.push(counts::run(&mut command, counts));
    }
    outcomes.into_iter().collect()
}

/// Clippy, which takes `arguments`, over those tests.
pub(crate) fn clippy(arguments: &[&str]) -> Result<(), Shortfall> {
    TOOLS.into_iter().try_for_each(|tool| {
        cargo::finish(command("clippy", tool).arg("--all-targets").args(arguments))
    })
}

fn command(verb: &str, tool: &str) -> Command {
    let mut command = cargo::command([verb, "--manifest-path", MANIFEST, "--target-dir"]);
    let flags = with(env::var_os("RUSTFLAGS"), &format!("--cfg tenure_{tool}"));
    command.arg(cargo::target_directory(tool)).env("RUSTFLAGS", flags);
    command
}

/// Compiler flags in the environment replace each other: what was there is kept.
pub(crate) fn with(given: Option<OsString>, flags: &str) -> OsString {
    let mut all = given.unwrap_or_default();
    if !all.is_empty() {
        all.push(" ");
    }
    all.push(flags);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_that_were_given_are_kept() {
        assert_eq!(with(None, "--cfg a"), "--cfg a");
        assert_eq!(with(Some("-C b".into()), "--cfg a"), "-C b --cfg a");
    }
}

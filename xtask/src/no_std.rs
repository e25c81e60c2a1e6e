use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{cargo, outcome::Shortfall};

/// The program that links the machine without std.
pub(crate) const MANIFEST: &str = "core/examples/no-std-link/Cargo.toml";
/// Its only file.
pub(crate) const PROGRAM: &str = "core/examples/no-std-link/src/main.rs";

/// Builds and runs a program whose panic handler is its own and that has no allocator: rustc does
/// not link such a program once std or alloc is anywhere below it. That it does not is tried too,
/// as is that a panic would be seen.
pub(crate) fn check() -> Result<(), Shortfall> {
    if !cfg!(unix) {
        return Err(Shortfall::LeftOut("starts from the C library of a Unix".to_owned()));
    }
    let program = build(&[])?;
    cargo::finish(&mut Command::new(&program))?;
    if can_panic(&program)? {
        return Err(Shortfall::failed("a panic is left in the machine after optimisation"));
    }
    if !can_panic(&build(&["--features", "panic"])?)? {
        return Err(Shortfall::failed("the check does not see a panic that is there"));
    }
    refuses("alloc", "no global memory allocator found")?;
    refuses("std", "found duplicate lang item `panic_impl`")
}

/// Clippy, which takes `arguments`, over that program.
pub(crate) fn clippy(arguments: &[&str]) -> Result<(), Shortfall> {
    cargo::finish(command("clippy").args(arguments))
}

/// Builds the program and says where it lies.
fn build(arguments: &[&str]) -> Result<PathBuf, Shortfall> {
    let mut command = command("build");
    command.arg("--release");
    let messages =
        cargo::output(command.arg("--message-format=json-render-diagnostics").args(arguments))?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| Shortfall::failed("cargo names no program"))
}

/// Does the panic handler's mark stand in the program? It goes when nothing calls the handler.
fn can_panic(program: &Path) -> Result<bool, Shortfall> {
    const MARK: &[u8] = b"no-std-link: a panic";
    let bytes = fs::read(program)?;
    Ok(bytes.windows(MARK.len()).any(|window| window == MARK))
}

/// The program must not build with `feature`, and for the reason that is expected.
fn refuses(feature: &str, reason: &str) -> Result<(), Shortfall> {
    let output = command("build")
        .args(["--quiet", "--release", "--features", feature])
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Err(Shortfall::Failed(format!("it links with {feature}: the check shows nothing")))
    } else if said.contains(reason) {
        println!("with {feature} it does not link: {reason}");
        Ok(())
    } else {
        Err(Shortfall::Failed(format!("with {feature}, not \"{reason}\" but: {said}")))
    }
}

fn command(verb: &str) -> Command {
    let mut command = cargo::command([verb, "--manifest-path", MANIFEST, "--target-dir"]);
    command.arg(cargo::target_directory("no-std-link"));
    command
}

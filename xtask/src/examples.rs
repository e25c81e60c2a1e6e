use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use crate::{
    cargo,
    outcome::{self, Shortfall},
    packages,
};

/// An example is a program that ends by itself, soon.
const PATIENCE: Duration = Duration::from_secs(60);

/// Builds every example and runs it.
pub(crate) fn check() -> Result<(), Shortfall> {
    let mut failures = Vec::new();
    for package in packages::members("Cargo.toml")? {
        let of_package = ["--package", &package.name, "--all-features"];
        if package.examples.is_empty() {
            continue;
        }
        if let Err(shortfall) = cargo::run(&[&["build", "--examples"][..], &of_package].concat()) {
            failures.push(shortfall.to_string());
            continue;
        }
        for example in &package.examples {
            println!("{}: {example}", package.name);
            let to_run = ["run", "--quiet", "--example", example];
            if let Err(shortfall) = run(&[&to_run[..], &of_package].concat()) {
                failures.push(format!("{example} of {}: {shortfall}", package.name));
            }
        }
    }
    outcome::all("do not end well", &failures)
}

fn run(arguments: &[&str]) -> Result<(), Shortfall> {
    let mut child = cargo::command(arguments).stdin(Stdio::null()).spawn()?;
    let started = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Shortfall::failed(status)),
            None if started.elapsed() > PATIENCE => {
                child.kill()?;
                child.wait()?;
                return Err(Shortfall::Failed(format!("still runs after {PATIENCE:?}")));
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    }
}

use clap::{ValueEnum, builder::PossibleValue};

use crate::{
    cargo,
    counts::{self, Counts},
    examples, house, no_std,
    outcome::{self, Shortfall},
    packages, servers, threads, time_limit, torture,
};

/// A step of `cargo xtask test`, in the order in which they run: what is quick to know comes first.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Step {
    /// The servers that tests start are installed, if that is allowed
    Servers,
    /// The house rules that show in the text of a file
    House,
    /// Formatting
    Fmt,
    /// Clippy over everything, with all features; a warning is an error
    Clippy,
    /// Each package alone, with none of its features, and with each one of them
    Features,
    /// All tests, and the examples in the docs
    Tests,
    /// How threads interleave: all schedules of a few, drawn ones of many
    Threads,
    /// The docs; a warning is an error
    Docs,
    /// The machine links without std and without alloc, and cannot panic
    NoStd,
    /// Every example builds, runs and ends well
    Examples,
    /// A minute of torture for each store, and the broken premises that it has to notice
    Torture,
    /// No dependency wants a newer Rust than we promise (for std, clippy tells)
    Msrv,
}

/// The workspaces beside the main one. Clippy does not see into `fuzz`: libFuzzer wants a C++
/// compiler, and its targets are of one line.
const OTHER_WORKSPACES: [&str; 3] = ["fuzz/Cargo.toml", no_std::MANIFEST, threads::MANIFEST];

impl Step {
    pub(crate) fn run(self, counts: &mut Counts) -> Result<(), Shortfall> {
        match self {
            Step::Servers => servers::install(),
            Step::House => house::check(&OTHER_WORKSPACES),
            Step::Fmt => fmt(),
            Step::Clippy => clippy(),
            Step::Features => features(),
            Step::Tests => tests(counts),
            Step::Threads => threads::check(counts),
            Step::Docs => docs(),
            Step::NoStd => no_std::check(),
            Step::Examples => examples::check(),
            Step::Torture => torture::check(),
            Step::Msrv => msrv(),
        }
    }

    pub(crate) fn name(self) -> String {
        self.value().get_name().to_owned()
    }

    pub(crate) fn about(self) -> String {
        self.value().get_help().map(ToString::to_string).unwrap_or_default()
    }

    /// The name and the help that `clap` shows.
    fn value(self) -> PossibleValue {
        self.to_possible_value().unwrap_or_default()
    }
}

fn fmt() -> Result<(), Shortfall> {
    cargo::run(&["fmt", "--all", "--check"])?;
    for manifest in OTHER_WORKSPACES {
        cargo::run(&["fmt", "--check", "--manifest-path", manifest])?;
    }
    Ok(())
}

fn clippy() -> Result<(), Shortfall> {
    const STRICT: [&str; 3] = ["--", "-D", "warnings"];
    let everything = ["clippy", "--workspace", "--all-targets", "--all-features"];
    cargo::run(&[&everything[..], &STRICT].concat())?;
    no_std::clippy(&STRICT)?;
    threads::clippy(&STRICT)
}

fn features() -> Result<(), Shortfall> {
    let mut failures = Vec::new();
    for package in packages::members("Cargo.toml")? {
        let alone = ["clippy", "--package", &package.name, "--no-default-features"];
        let mut try_with = |features: &[&str]| {
            let arguments = [&alone[..], features, &["--", "-D", "warnings"]].concat();
            println!("{} {}", package.name, features.join(" "));
            if let Err(shortfall) = cargo::run(&arguments) {
                failures.push(shortfall.to_string());
            }
        };
        try_with(&[]);
        for feature in &package.features {
            try_with(&["--features", feature]);
        }
    }
    outcome::all("do not build alone", &failures)
}

fn tests(counts: &mut Counts) -> Result<(), Shortfall> {
    let left_out = servers::left_out();
    let mut command = cargo::command(["test", "--workspace", "--no-fail-fast"]);
    time_limit::put_on(&mut command)?;
    command.args(left_out.packages).arg("--").args(left_out.tests);
    counts::run(&mut command, counts)
}

fn docs() -> Result<(), Shortfall> {
    let mut command = cargo::command(["doc", "--workspace", "--no-deps", "--all-features"]);
    cargo::finish(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn msrv() -> Result<(), Shortfall> {
    let promised = env!("CARGO_PKG_RUST_VERSION");
    let newer: Vec<String> = packages::with_dependencies()?
        .into_iter()
        .filter_map(|package| {
            let wanted = package.rust_version?;
            (release(&wanted) > release(promised)).then(|| format!("{} {wanted}", package.name))
        })
        .collect();
    outcome::all(&format!("want a newer Rust than {promised}"), &newer)
}

/// `1.89.0` as numbers that compare.
fn release(version: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = version.split('.').map_while(|part| part.parse().ok()).collect();
    numbers.resize(3, 0);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        assert!(release("1.100") > release("1.89"));
        assert!(release("1.89.1") > release("1.89"));
        assert_eq!(release("1.89.0"), release("1.89"));
    }
}

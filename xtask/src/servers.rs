use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{cargo, outcome::Shortfall};

/// A kind of server that tests start.
struct Server {
    /// What the tests that need it have in their names, and the package that is its store's.
    name: &'static str,
    /// The Debian package that has it.
    package: &'static str,
    /// What runs it.
    program: &'static str,
}

const SERVERS: [Server; 3] = [
    Server { name: "etcd", package: "etcd-server", program: "etcd" },
    Server { name: "postgres", package: "postgresql", program: "initdb" },
    Server { name: "redis", package: "redis-server", program: "redis-server" },
];

/// Installs what is missing, where that is allowed: as root, with apt.
pub(crate) fn install() -> Result<(), Shortfall> {
    let lacking = missing();
    if lacking.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = lacking.iter().map(|server| server.package).collect();
    if find("apt-get").is_some() && is_root() {
        println!("installing {}", packages.join(", "));
        cargo::finish(&mut apt(&["update", "-qq"]))?;
        let install = ["install", "-qq", "--yes", "--no-install-recommends"];
        cargo::finish(&mut apt(&[&install[..], &packages].concat()))?;
    }
    let lacking: Vec<&str> = missing().iter().map(|server| server.name).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Shortfall::LeftOut(format!(
        "the tests of {}: `apt-get install {}`, or run this as root",
        lacking.join(", "),
        packages.join(" ")
    )))
}

fn is_root() -> bool {
    cargo::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// What keeps `cargo test` from the tests whose server is not there.
pub(crate) fn left_out() -> LeftOut {
    let lacking = missing();
    LeftOut {
        packages: lacking
            .iter()
            .flat_map(|server| ["--exclude".to_owned(), format!("tenure-{}", server.name)])
            .collect(),
        tests: lacking
            .iter()
            .flat_map(|server| ["--skip".to_owned(), server.name.to_owned()])
            .collect(),
    }
}

/// Arguments of `cargo test`.
pub(crate) struct LeftOut {
    /// Before the `--`.
    pub(crate) packages: Vec<String>,
    /// After the `--`.
    pub(crate) tests: Vec<String>,
}

fn missing() -> Vec<&'static Server> {
    SERVERS.iter().filter(|server| find(server.program).is_none()).collect()
}

fn find(program: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    // Debian keeps Postgres where no path leads.
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    env::split_paths(&paths)
        .chain(versions.map(|version| version.path().join("bin")))
        .chain(["/usr/sbin", "/sbin"].map(|path| Path::new(path).to_owned()))
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_or_not() {
        assert!(find("sh").is_some());
        assert!(find("no such program").is_none());
    }
}

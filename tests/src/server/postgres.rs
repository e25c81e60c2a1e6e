use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Signal, geteuid};

use super::{Engine, Ports, ServerError, answers, find, tied};

#[derive(Debug)]
pub(super) struct Postgres {
    /// Whose standby it is, if it is one.
    pub(super) primary: Option<SocketAddr>,
}

impl Postgres {
    /// What makes the data that it starts with, its own or its primary's.
    fn data_maker(&self, directory: &Path) -> Result<(&'static str, Command), ServerError> {
        let Some(primary) = self.primary else {
            let mut command = tied(&program("initdb")?, user());
            command.args(["--username", "postgres", "--auth", "trust", "--no-sync", "--pgdata"]);
            command.arg(data(directory));
            return Ok(("initdb", command));
        };
        let mut command = tied(&program("pg_basebackup")?, user());
        let (host, port) = (primary.ip().to_string(), primary.port().to_string());
        command.args(["--host", &host, "--port", &port, "--username", "postgres"]);
        command.args(["--checkpoint", "fast", "--no-sync", "--write-recovery-conf", "--pgdata"]);
        command.arg(data(directory));
        Ok(("pg_basebackup", command))
    }
}

impl Engine for Postgres {
    fn package(&self) -> (&'static str, &'static str) {
        ("postgres", "postgresql")
    }

    fn prepare(&self, directory: &Path) -> Result<(), ServerError> {
        own(directory)?;
        let (program, mut command) = self.data_maker(directory)?;
        let output = command.stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(ServerError::NotReady { program, log })
    }

    fn command(&self, directory: &Path, ports: Ports) -> Result<Command, ServerError> {
        let mut command = tied(&program("postgres")?, user());
        command.args(["-h", "127.0.0.1", "-p", &ports.clients.to_string(), "-D"]);
        command.arg(data(directory)).arg("-k").arg(directory);
        Ok(command)
    }

    fn is_ready(&self, ports: Ports) -> bool {
        is_greeting(ports)
    }

    /// It ends the sessions that are open, and then itself.
    fn stop_signal(&self) -> Signal {
        Signal::INT
    }
}

/// It tells who wants to come in how to prove who that is once it can let anybody in. Before that,
/// while it recovers, it answers with an error.
pub(super) fn is_greeting(ports: Ports) -> bool {
    answers(ports.clients, b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0", b"R")
}

/// Has the Postgres at `address` do what `sql` says, as `postgres` in the database of that name,
/// and gives what it answers: a line for each row, its columns parted by `|`.
///
/// # Errors
///
/// What `psql` says, if it is there.
///
/// # Blocking
///
/// Until it is done.
pub fn psql(address: SocketAddr, sql: &str) -> Result<String, ServerError> {
    let mut command = Command::new(program("psql")?);
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
    command.args(["-U", "postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(ServerError::NotReady { program: "psql", log });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

/// Gives `directory` to whom it runs as.
pub(super) fn own(directory: &Path) -> Result<(), ServerError> {
    if user().is_some() {
        Command::new("chown").arg("postgres:postgres").arg(directory).status()?;
    }
    Ok(())
}

/// Whom it runs as: it refuses to be root.
pub(super) fn user() -> Option<&'static str> {
    geteuid().is_root().then_some("postgres")
}

/// Debian keeps its programs where no path leads.
fn program(name: &'static str) -> Result<PathBuf, ServerError> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    match found.pop() {
        Some(path) => Ok(path),
        None => find(name, "postgresql"),
    }
}

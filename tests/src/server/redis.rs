use std::path::Path;
use std::process::Command;

use super::{Engine, Ports, ServerError, answers, find, tied};

#[derive(Debug)]
pub(super) struct Redis {
    /// Whether it writes a command to its disk before it answers.
    pub(super) durable: bool,
}

impl Engine for Redis {
    fn package(&self) -> (&'static str, &'static str) {
        ("redis-server", "redis-server")
    }

    fn command(&self, directory: &Path, ports: Ports) -> Result<Command, ServerError> {
        let (program, package) = self.package();
        let mut command = tied(&find(program, package)?, None);
        let port = ports.clients.to_string();
        command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--dir"]);
        command.arg(directory);
        match self.durable {
            true => command.args(["--appendonly", "yes", "--appendfsync", "always"]),
            false => command.args(["--appendonly", "no"]),
        };
        Ok(command)
    }

    fn is_ready(&self, ports: Ports) -> bool {
        answers(ports.clients, b"PING\r\n", b"+PONG")
    }
}

use std::path::Path;
use std::process::Command;

use super::{Engine, Ports, ServerError, answers, find, tied};

#[derive(Debug)]
pub(super) struct Etcd;

impl Engine for Etcd {
    fn package(&self) -> (&'static str, &'static str) {
        ("etcd", "etcd-server")
    }

    fn command(&self, directory: &Path, ports: Ports) -> Result<Command, ServerError> {
        let (program, package) = self.package();
        let mut command = tied(&find(program, package)?, None);
        let [clients, peers] =
            [ports.clients, ports.peers].map(|port| format!("http://127.0.0.1:{port}"));
        command.args(["--name", "test", "--log-level", "warn"]);
        command.arg("--data-dir").arg(directory.join("data"));
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("test={peers}")]);
        Ok(command)
    }

    fn is_ready(&self, ports: Ports) -> bool {
        let question = b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n";
        answers(ports.clients, question, b"HTTP/1.0 200 OK")
    }
}

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Engine, Ports, ServerError, answers, find, tied};

/// A member of a cluster.
#[derive(Debug)]
pub(super) struct Etcd {
    name: String,
    /// All members, or `None` if it is alone.
    cluster: Option<String>,
}

impl Etcd {
    pub(super) fn alone() -> Etcd {
        Etcd { name: "test".to_owned(), cluster: None }
    }

    /// One for each of `ports`.
    pub(super) fn cluster(ports: &[Ports]) -> Vec<Etcd> {
        let name = |place: usize| format!("test-{place}");
        let member = |(place, ports): (usize, &Ports)| format!("{}={}", name(place), peers(*ports));
        let members: Vec<_> = ports.iter().enumerate().map(member).collect();
        let cluster = Some(members.join(","));
        (0..ports.len()).map(|place| Etcd { name: name(place), cluster: cluster.clone() }).collect()
    }
}

impl Engine for Etcd {
    fn package(&self) -> (&'static str, &'static str) {
        ("etcd", "etcd-server")
    }

    fn command(&self, directory: &Path, ports: Ports) -> Result<Command, ServerError> {
        let (program, package) = self.package();
        let mut command = tied(&find(program, package)?, None);
        let (clients, peers) = (format!("http://127.0.0.1:{}", ports.clients), peers(ports));
        let alone = format!("{}={peers}", self.name);
        command.args(["--name", &self.name, "--log-level", "warn"]);
        command.arg("--data-dir").arg(directory.join("data"));
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", self.cluster.as_ref().unwrap_or(&alone)]);
        Ok(command)
    }

    fn is_ready(&self, ports: Ports) -> bool {
        let question = b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n";
        answers(ports.clients, question, b"HTTP/1.0 200 OK") || closes(ports.clients, question)
    }
}

/// Whether something closes its connection without an answer: as etcd does that was told to speak
/// TLS.
fn closes(port: u16, question: &[u8]) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(question)?;
        Ok(stream.read(&mut [0])? == 0)
    };
    ask().unwrap_or(false)
}

fn peers(ports: Ports) -> String {
    format!("http://127.0.0.1:{}", ports.peers)
}

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use tenure_core::Instant;
use tenure_runtime::{BootClock, Clock};

use super::NODES;
use crate::room::run;

/// How long a node may take to answer a question about itself.
const PATIENCE: Duration = Duration::from_millis(300);
/// One that does not start is started again after this long.
const BETWEEN_STARTS: Duration = Duration::from_millis(500);
/// Shorter than by default, as leases are short: in milliseconds.
const HEARTBEAT: &str = "50";
const ELECTION: &str = "500";

/// One node. To drop it kills it.
#[derive(Debug)]
pub(super) struct Node {
    number: usize,
    is_apart: bool,
    clients: SocketAddr,
    peers: SocketAddr,
    directory: PathBuf,
    running: Option<Child>,
    started: Option<Instant>,
}

impl Node {
    /// One that does not run yet; with a network namespace of its own if it is to be `apart`.
    pub(super) fn new(
        number: usize,
        is_apart: bool,
        directory: &Path,
    ) -> Result<Node, Box<dyn Error>> {
        let [clients, peers] = if is_apart {
            make_namespace(number)?;
            [2379, 2380].map(|port| SocketAddr::from((host(number), port)))
        } else {
            let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr();
            [free()?, free()?]
        };
        let directory = directory.join(format!("node-{number}"));
        Ok(Node { number, is_apart, clients, peers, directory, running: None, started: None })
    }

    pub(super) fn clients(&self) -> SocketAddr {
        self.clients
    }

    /// As the list of the cluster's members has it.
    pub(super) fn as_member(&self) -> String {
        format!("node-{}=http://{}", self.number, self.peers)
    }

    pub(super) fn start(&mut self, members: &str) -> Result<(), Box<dyn Error>> {
        let [clients, peers] =
            [self.clients, self.peers].map(|address| format!("http://{address}"));
        let namespace = format!("node-{}", self.number);
        let mut command = Command::new("setpriv");
        if self.is_apart {
            command = Command::new("ip");
            command.args(["netns", "exec", &namespace, "setpriv"]);
        }
        let log =
            File::options().create(true).append(true).open(self.directory.with_extension("log"))?;
        command
            .args(["--pdeathsig", "KILL", "etcd", "--log-level", "error", "--name", &namespace])
            .arg("--data-dir")
            .arg(&self.directory)
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", members])
            .args(["--heartbeat-interval", HEARTBEAT, "--election-timeout", ELECTION])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.running = Some(command.spawn()?);
        self.started = Some(BootClock.now());
        Ok(())
    }

    /// Whether it does not run, and was not started just now.
    pub(super) fn may_start(&mut self) -> bool {
        let running = self.running.as_mut();
        if running.is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            return false;
        }
        let now = BootClock.now();
        self.started.is_none_or(|at| now.saturating_duration_since(at) > BETWEEN_STARTS)
    }

    /// What it said last.
    pub(super) fn end_of_log(&self) -> String {
        let log = fs::read(self.directory.with_extension("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(child) = &self.running {
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// Whether it leads the others, by what it says itself.
    pub(super) fn leads(&self) -> bool {
        let Ok(status) = self.status() else { return false };
        let number = |key: &str| {
            let (_, after) = status.split_once(&format!("\"{key}\":\""))?;
            after.split('"').next().map(str::to_owned)
        };
        number("leader").is_some_and(|leader| leader != "0" && number("member_id") == Some(leader))
    }

    fn status(&self) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.clients, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let question = "POST /v3/maintenance/status HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}";
        stream.write_all(question.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    }

    /// From now on it hears nothing of its peers, and if it is so in `both` ways nor they of it.
    pub(super) fn lose_peers(&self, both: bool) -> Result<(), Box<dyn Error>> {
        for peer in (1..=NODES).filter(|&peer| peer != self.number) {
            let peer = host(peer).to_string();
            self.filter(&["-A", "INPUT", "-s", &peer, "-j", "DROP"])?;
            if both {
                self.filter(&["-A", "OUTPUT", "-d", &peer, "-j", "DROP"])?;
            }
        }
        Ok(())
    }

    pub(super) fn find_peers(&self) -> Result<(), Box<dyn Error>> {
        self.filter(&["-F"])
    }

    fn filter(&self, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
        let namespace = format!("node-{}", self.number);
        let command = ["netns", "exec", &namespace, "iptables"];
        run("ip", &[&command[..], arguments].concat())
    }

    /// Pulls its plug, or puts it in again.
    pub(super) fn connect(&self, connect: bool) -> Result<(), Box<dyn Error>> {
        let link = format!("node-{}", self.number);
        run("ip", &["link", "set", &link, if connect { "up" } else { "down" }])
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn host(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number as u8)
}

/// A network namespace that is linked to the bridge.
fn make_namespace(number: usize) -> Result<(), Box<dyn Error>> {
    let name = format!("node-{number}");
    let address = format!("{}/24", host(number));
    let ip = |arguments: &[&str]| run("ip", arguments);
    ip(&["netns", "add", &name])?;
    ip(&["link", "add", &name, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
    ip(&["link", "set", &name, "master", "nodes", "up"])?;
    ip(&["-n", &name, "addr", "add", &address, "dev", "eth0"])?;
    for link in ["eth0", "lo"] {
        ip(&["-n", &name, "link", "set", link, "up"])?;
    }
    Ok(())
}

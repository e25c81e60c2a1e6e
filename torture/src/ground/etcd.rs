//! Three nodes of etcd, as root each in a network namespace of its own.

mod node;

use std::error::Error;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tenure_core::Instant;
use tenure_runtime::{BootClock, Clock};

use super::ways::{ETCD_FLOOD, Ways};
use super::{Ground, Lateness, unknown};
use crate::rack::Settings;
use crate::room::{self, Room};
use crate::schedule::{Blow, Fault};
use node::Node;

const NODES: usize = 3;
/// How long they may take to agree on a leader.
const PATIENCE: Duration = Duration::from_secs(60);

/// All of them.
#[derive(Debug)]
pub(super) struct Cluster {
    nodes: Vec<Node>,
    ways: Ways,
    room: Room,
    /// Goes after them.
    _directory: TempDir,
}

impl Cluster {
    pub(super) fn new(settings: &Settings, room: Room) -> Result<Cluster, Box<dyn Error>> {
        let directory = tempfile::Builder::new().prefix("tenure-torture-").tempdir()?;
        let is_apart = room.is_apart().is_ok();
        if is_apart {
            room::run("ip", &["link", "add", "nodes", "type", "bridge"])?;
            room::run("ip", &["addr", "add", "10.77.0.254/24", "dev", "nodes"])?;
            room::run("ip", &["link", "set", "nodes", "up"])?;
        }
        let mut nodes = Vec::new();
        for number in 1..=NODES {
            nodes.push(Node::new(number, is_apart, directory.path())?);
        }
        let servers: Vec<SocketAddr> = nodes.iter().map(Node::clients).collect();
        let ways =
            Ways::new(settings.candidates, &servers, 2 * settings.guarantee, ETCD_FLOOD, &room)?;
        let mut cluster = Cluster { nodes, ways, room, _directory: directory };
        cluster.start_all()?;
        Ok(cluster)
    }

    /// Starts those that do not run, also if they end again, and waits until they have a leader.
    ///
    /// They could have none, or none that can be seen, while another fault lasts that keeps the
    /// others from answering: so that ends here.
    fn start_all(&mut self) -> Result<(), Box<dyn Error>> {
        let all: Vec<String> = self.nodes.iter().map(Node::as_member).collect();
        self.nodes.iter().for_each(|node| node.signal(Signal::CONT));
        self.room.pass_packets()?;
        let begun = BootClock.now();
        loop {
            for node in &mut self.nodes {
                if !node.may_start() {
                    continue;
                }
                // It cannot start on a full disk.
                self.room.free_disk()?;
                node.start(&all.join(","))?;
            }
            if self.leader().is_some() {
                return Ok(());
            }
            if since(begun) > PATIENCE {
                let logs: Vec<String> = self.nodes.iter().map(Node::end_of_log).collect();
                let logs = logs.join("\n");
                return Err(format!("etcd has no leader after {PATIENCE:?}:\n{logs}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The node that the others follow.
    fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(Node::leads)
    }
}

fn since(begun: Instant) -> Duration {
    BootClock.now().saturating_duration_since(begun)
}

impl Ground for Cluster {
    fn name(&self) -> String {
        format!("etcd, {NODES} nodes")
    }

    fn url(&self, place: usize) -> String {
        format!("etcd://{}/rack", self.ways.hosts(place))
    }

    fn faults(&self) -> Vec<(Fault, Result<(), String>)> {
        let of_nodes = [
            Fault::ServerKill,
            Fault::ServerFreeze,
            Fault::ServerFreezeBriefly,
            Fault::NodeKill,
            Fault::NodeFreeze,
            Fault::NodeCutOff,
            Fault::NodeDeaf,
            Fault::NodeAway,
        ];
        let all = Fault::OF_WAYS.into_iter().chain(of_nodes);
        let mut faults: Vec<_> = all
            .map(|fault| match fault {
                Fault::PacketsDropped | Fault::NodeCutOff | Fault::NodeDeaf => {
                    (fault, self.room.drops_packets())
                }
                Fault::AddressDead => (fault, self.room.name_of_store().map(drop)),
                Fault::NodeAway => (fault, self.room.is_apart()),
                _ => (fault, Ok(())),
            })
            .collect();
        faults.push((Fault::DiskFull, self.room.is_apart()));
        let why = "its leases go by a monotonic clock, which nobody sets";
        for fault in [Fault::ClockBack, Fault::ClockForward] {
            faults.push((fault, Err(why.to_owned())));
        }
        faults
    }

    fn begin(&mut self, blow: &Blow, leader: usize) -> Result<(), Box<dyn Error>> {
        if self.ways.begin(blow, leader, &self.room)? {
            return Ok(());
        }
        let number = self.leader().unwrap_or(blow.victim % NODES);
        let node = &mut self.nodes[number];
        match blow.fault {
            Fault::ServerKill => self.nodes.iter_mut().for_each(Node::kill),
            Fault::ServerFreeze | Fault::ServerFreezeBriefly => {
                self.nodes.iter().for_each(|node| node.signal(Signal::STOP));
            }
            Fault::NodeKill => node.kill(),
            Fault::NodeFreeze => node.signal(Signal::STOP),
            Fault::NodeCutOff => node.lose_peers(true)?,
            Fault::NodeDeaf => node.lose_peers(false)?,
            Fault::NodeAway => node.connect(false)?,
            Fault::PacketsDropped => {
                for (chain, way) in [("INPUT", "-i"), ("OUTPUT", "-o")] {
                    room::run("iptables", &["-A", chain, way, "nodes", "-j", "DROP"])?;
                }
            }
            Fault::DiskFull => self.room.fill_disk()?,
            other => return Err(unknown(other)),
        }
        Ok(())
    }

    fn end(&mut self, fault: Fault) -> Result<(), Box<dyn Error>> {
        match fault {
            Fault::ServerKill | Fault::NodeKill => self.start_all(),
            Fault::ServerFreeze | Fault::ServerFreezeBriefly | Fault::NodeFreeze => {
                self.nodes.iter().for_each(|node| node.signal(Signal::CONT));
                Ok(())
            }
            Fault::NodeCutOff | Fault::NodeDeaf => self.nodes.iter().try_for_each(Node::find_peers),
            Fault::NodeAway => self.nodes.iter().try_for_each(|node| node.connect(true)),
            Fault::PacketsDropped => self.room.pass_packets(),
            Fault::DiskFull => {
                self.room.free_disk()?;
                self.start_all()
            }
            _ => self.ways.clear(&self.room),
        }
    }

    /// It looks for leases that have expired twice a second; and a node that begins to lead gives
    /// all of them their full time again.
    fn lateness(&self) -> Lateness {
        Lateness { always: Duration::from_millis(500), after_outage: Duration::from_secs(1) }
    }
}

//! Where a rack lives: as root in a network of its own, with a disk of its own, which go with it.

use std::error::Error;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

/// Set inside.
const INSIDE: &str = "TENURE_TORTURE_ROOM";
/// The mount point of its disk: nothing else in there is of use to a rack.
const DISK: &str = "/run";

/// How often it is tried to leave nothing of a disk that is written to.
const TRIES: usize = 100;

/// What the rack may do to the machine that it sees.
#[derive(Debug)]
pub(crate) struct Room {
    /// Whether it has a network and a disk of its own; why not, if not.
    apart: Result<(), String>,
    /// Whether the network can be told to drop packets.
    filter: Result<(), String>,
    /// Whether the store has a name.
    name: Result<(), String>,
    disk_mb: u32,
}

/// The name of the store, and its addresses: one of them swallows whatever is sent to it.
const NAME: &str = "rack-store";
const ADDRESSES: [&str; 2] = ["127.77.0.1", "127.77.0.2"];

impl Room {
    /// Becomes the same program in a room of its own, with a disk of this size, if that can be.
    pub(crate) fn enter(disk_mb: u32) -> Result<Room, Box<dyn Error>> {
        if std::env::var_os(INSIDE).is_some() {
            let size = format!("size={disk_mb}m");
            run("mount", &["-t", "tmpfs", "-o", &size, "tenure-torture", DISK])?;
            // What libfaketime leaves there goes with the room.
            run("mount", &["-t", "tmpfs", "-o", "mode=1777", "tenure-torture", "/dev/shm"])?;
            run("ip", &["link", "set", "lo", "up"])?;
            let filter = run("iptables", &["-F"]).map_err(|error| error.to_string());
            let room = Room { apart: Ok(()), filter, name: Ok(()), disk_mb };
            let name = room.name_store().map_err(|error| error.to_string());
            return Ok(Room { name, ..room });
        }
        let outside = |why: &str| {
            let apart = Err(format!("it has no room of its own: {why}"));
            Ok(Room { filter: apart.clone(), name: apart.clone(), apart, disk_mb })
        };
        if !geteuid().is_root() {
            return outside("it needs root");
        }
        const OWN: [&str; 4] = ["--net", "--mount", "--propagation", "private"];
        let mut tried = Command::new("unshare");
        tried.args(OWN).args(["ip", "link"]).stdin(Stdio::null()).stdout(Stdio::null());
        if !tried.status().is_ok_and(|status| status.success()) {
            return outside("unshare, or ip, is not to be had or not allowed");
        }
        let mut command = Command::new("unshare");
        command.args(OWN).arg("--").arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
        Err(command.env(INSIDE, "1").env("TMPDIR", DISK).exec().into())
    }

    /// Whether it has a network and a disk of its own.
    ///
    /// # Errors
    ///
    /// Why it has not.
    pub(crate) fn is_apart(&self) -> Result<(), String> {
        self.apart.clone()
    }

    /// Whether packets can be dropped in its network.
    ///
    /// # Errors
    ///
    /// Why they cannot be.
    pub(crate) fn drops_packets(&self) -> Result<(), String> {
        self.filter.clone()
    }

    /// Gives the store a name of two addresses, the first of which is dead.
    fn name_store(&self) -> Result<(), Box<dyn Error>> {
        self.drops_packets()?;
        let lines = ADDRESSES.map(|address| format!("{address} {NAME}\n")).concat();
        let (hosts, known) = (Path::new(DISK).join("hosts"), Path::new("/etc/hosts"));
        fs::write(&hosts, fs::read_to_string(known).unwrap_or_default() + &lines)?;
        run("mount", &["--bind", &hosts.display().to_string(), &known.display().to_string()])?;
        self.swallow_address(false)
    }

    /// The name of the store, which has two addresses.
    ///
    /// # Errors
    ///
    /// Why it has none.
    pub(crate) fn name_of_store(&self) -> Result<&'static str, String> {
        self.name.clone().map(|()| NAME)
    }

    /// Has the usual address of the store swallow everything, or the other one.
    pub(crate) fn swallow_address(&self, usual: bool) -> Result<(), Box<dyn Error>> {
        if self.name.is_err() {
            return Ok(());
        }
        // In another table than what drops all packets.
        run("iptables", &["-t", "mangle", "-F", "INPUT"])?;
        let address = ADDRESSES[usize::from(usual)];
        run("iptables", &["-t", "mangle", "-A", "INPUT", "-d", address, "-j", "DROP"])
    }

    /// Drops no packets any more.
    pub(crate) fn pass_packets(&self) -> Result<(), Box<dyn Error>> {
        match self.filter {
            Ok(()) => run("iptables", &["-F"]),
            Err(_) => Ok(()),
        }
    }

    /// Leaves no byte free on the disk.
    pub(crate) fn fill_disk(&self) -> Result<(), Box<dyn Error>> {
        let fill = || {
            let stat = rustix::fs::statvfs(DISK)?;
            let used = stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize);
            run("mount", &["-o", &format!("remount,size={used}"), DISK])
        };
        // It is refused if somebody has written meanwhile.
        let mut tries = std::iter::repeat_with(fill).take(TRIES);
        tries.find(Result::is_ok).unwrap_or_else(fill)
    }

    /// Gives back what [`fill_disk`](Room::fill_disk) took.
    pub(crate) fn free_disk(&self) -> Result<(), Box<dyn Error>> {
        match self.apart {
            Ok(()) => run("mount", &["-o", &format!("remount,size={}m", self.disk_mb), DISK]),
            Err(_) => Ok(()),
        }
    }

    /// Makes the disk read-only, or no longer so. Nobody may have a file open to write.
    pub(crate) fn write_protect_disk(&self, protect: bool) -> Result<(), Box<dyn Error>> {
        let change =
            || run("mount", &["-o", if protect { "remount,ro" } else { "remount,rw" }, DISK]);
        // Those that were killed may not have closed their files yet.
        for _ in 1..TRIES {
            if change().is_ok() {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        change()
    }
}

/// Whether processes may have a boot clock that is ahead; why not, if not.
pub(crate) fn clocks_can_differ() -> Result<(), String> {
    let mut command = Command::new("unshare");
    command.args(["--time", "--boottime", "1000", "true"]).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("time namespaces are not allowed".to_owned()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

/// How far the boot clock of `process` is ahead of the host's, in seconds.
pub(crate) fn clock_is_ahead_by(process: &str) -> Option<i64> {
    let path = Path::new("/proc").join(process).join("timens_offsets");
    let offsets = fs::read_to_string(path).ok()?;
    let line = offsets.lines().find_map(|line| line.strip_prefix("boottime"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How much memory the process with this number has; nothing, if it has ended.
pub(crate) fn resident_mib(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// Whether the process with this number runs, or is at least stopped.
pub(crate) fn is_running(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name of the program stands in parentheses, and may have any character in it.
    let state = stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X' | 'x'))
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", arguments.join(" "), said.trim()).into())
}

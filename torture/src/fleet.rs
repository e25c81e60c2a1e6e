//! The candidates, as the rack holds them.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use rustix::process::{Pid, Signal, kill_process};
use tenure_testkit::witness::{Process, Report};

use crate::arguments::{Control, Runtime};
use crate::candidate::Order;
use crate::journal::Journal;
use crate::room;

/// What all candidates are started with.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) guarantee: Duration,
    pub(crate) slack: Duration,
    pub(crate) control: Option<Control>,
    pub(crate) sink: SocketAddr,
    /// Whether some of them may have a boot clock that is ahead.
    pub(crate) clocks_differ: bool,
    /// The command `tenure`, if one of them is a command that it runs.
    pub(crate) tenure: Option<PathBuf>,
}

/// Where the command is that `tenure` runs.
pub(crate) const COMMAND_PLACE: usize = 4;

/// The command `tenure` as it was built with this program.
///
/// # Errors
///
/// Why there is none.
pub(crate) fn tenure() -> Result<PathBuf, String> {
    let built = std::env::current_exe().map(|program| program.with_file_name("tenure"));
    match built {
        Ok(tenure) if tenure.exists() => Ok(tenure),
        Ok(tenure) => Err(format!("there is no {}", tenure.display())),
        Err(error) => Err(error.to_string()),
    }
}

/// What comes from a candidate.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) process: Process,
    /// `None`: it will say no more.
    pub(crate) report: Option<Report>,
}

/// One candidate. To drop it kills it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) process: Process,
    /// That it ends is no news.
    pub(crate) is_leaving: bool,
    /// Whether it is a command that runs under leadership.
    is_command: bool,
    child: Child,
}

impl Member {
    pub(crate) fn signal(&self, signal: Signal) {
        // Not waited for yet, so its number is its own.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    pub(crate) fn order(&mut self, order: Order) {
        // One that has ended is seen to have.
        if let Some(stdin) = &mut self.child.stdin {
            let _ = stdin.write_all(order.line().as_bytes());
        }
    }

    /// Has it end politely.
    pub(crate) fn end(&mut self) {
        self.is_leaving = true;
        self.child.stdin = None;
        if self.is_command {
            self.signal(Signal::TERM);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All of them, by their places.
#[derive(Debug)]
pub(crate) struct Fleet {
    recipe: Recipe,
    pub(crate) members: BTreeMap<usize, Member>,
    sender: Sender<Message>,
    pub(crate) messages: Receiver<Message>,
    /// How many were started so far, and how many of them with a clock that is ahead.
    pub(crate) started: (u64, u64),
}

/// The program that runs now, even if a newer one has been built over it meanwhile.
fn own_program() -> io::Result<PathBuf> {
    let running = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}

/// A place's runtime: half of them each.
pub(crate) fn runtime(place: usize) -> Runtime {
    if place.is_multiple_of(2) { Runtime::Std } else { Runtime::Smol }
}

impl Fleet {
    pub(crate) fn new(recipe: Recipe) -> Fleet {
        let (sender, messages) = crossbeam_channel::unbounded();
        Fleet { recipe, members: BTreeMap::new(), sender, messages, started: (0, 0) }
    }

    /// Whether one of the candidates is a command that ignores TERM.
    pub(crate) fn has_command(&self) -> bool {
        self.recipe.tenure.is_some()
    }

    /// How far the boot clock of who is in `place` is ahead: that of every third is.
    fn ahead(&self, place: usize) -> Duration {
        let is_ahead = self.recipe.clocks_differ && place % 3 == 2;
        Duration::from_secs(if is_ahead { 1_000 * place as u64 } else { 0 })
    }

    /// Starts a process in `place`, as the candidate of the unit that belongs to the place `name`.
    pub(crate) fn start(
        &mut self,
        place: usize,
        name: usize,
        store: &str,
        journal: &Journal,
    ) -> Result<(), Box<dyn Error>> {
        let name = match self.recipe.control {
            Some(Control::SharedNonce) => 0,
            Some(Control::CountFromReply | Control::NoHoldOff) | None => name,
        };
        let (unit, ahead) = (format!("rack/{name}"), self.ahead(place));
        let program = own_program()?;
        let mut command = Command::new(&program);
        if !ahead.is_zero() {
            command = Command::new("unshare");
            command.args(["--time", "--boottime", &ahead.as_secs().to_string(), "--"]).arg(program);
        }
        let is_command = place == COMMAND_PLACE && self.recipe.tenure.is_some();
        match &self.recipe.tenure {
            Some(tenure) if is_command => {
                command = Command::new(tenure);
                self.command_of(&mut command, store, &unit)?;
            }
            Some(_) | None => self.candidate_of(&mut command, place, store, &unit),
        }
        // Also where nobody reads it: a log that cannot be written is one of the faults.
        if std::env::var_os("TENURE_LOG").is_none() {
            command.env("TENURE_LOG", "info");
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(journal.stderr(place)?)
            .process_group(0)
            .spawn()?;
        let process = Process { unit, pid: child.id() };
        let stdout = child.stdout.take();
        let member = Member { process: process.clone(), is_leaving: false, is_command, child };
        self.members.insert(place, member);
        self.started.0 += 1;
        self.started.1 += u64::from(!ahead.is_zero());
        let sender = self.sender.clone();
        thread::Builder::new().name("fleet".to_owned()).spawn(move || {
            let pid = process.pid.to_string();
            // On this host's clock, whatever its own shows. Asked once it speaks, when it has one.
            let mut is_checked = ahead.is_zero();
            for line in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
                let report = line.ok().and_then(|line| line.parse::<Report>().ok());
                let Some(report) = report.map(|report| report.earlier_by(ahead)) else { break };
                if !is_checked {
                    let shown = |process: &str| room::clock_is_ahead_by(process).unwrap_or(0);
                    // One that has just been killed has no clock left to be asked about.
                    let is_as_told = ahead.as_secs() as i64 == shown(&pid) - shown("self")
                        || room::clock_is_ahead_by(&pid).is_none();
                    assert!(is_as_told, "the clock of {process} is not {ahead:?} ahead");
                    is_checked = true;
                }
                let message = Message { process: process.clone(), report: Some(report) };
                if sender.send(message).is_err() {
                    return;
                }
            }
            let _ = sender.send(Message { process, report: None });
        })?;
        Ok(())
    }

    /// A candidate that uses the library.
    fn candidate_of(&self, command: &mut Command, place: usize, store: &str, unit: &str) {
        let runtime = match runtime(place) {
            Runtime::Smol => "smol",
            Runtime::Std => "std",
        };
        command
            .arg("candidate")
            .arg(format!("--parent={}", std::process::id()))
            .arg(format!("--runtime={runtime}"))
            .arg(format!("--store={store}"))
            .arg("--service=rack")
            .arg(format!("--unit={unit}"))
            .arg(format!("--guarantee={}ns", self.recipe.guarantee.as_nanos()))
            .arg(format!("--slack={}ns", self.recipe.slack.as_nanos()))
            .arg(format!("--sink={}", self.recipe.sink));
        match self.recipe.control {
            // That is the store's.
            Some(Control::NoHoldOff) | None => {}
            Some(Control::CountFromReply) => drop(command.arg("--control=count-from-reply")),
            Some(Control::SharedNonce) => drop(command.arg("--control=shared-nonce")),
        }
    }

    /// `tenure run` of a command that ignores TERM, which ends with its leadership all the same.
    fn command_of(&self, command: &mut Command, store: &str, unit: &str) -> io::Result<()> {
        command
            .env("TENURE_STORE", store)
            .args(["run", "--service=rack", "--on-loss=restart"])
            .arg(format!("--unit={unit}"))
            .arg(format!("--guarantee={}ns", self.recipe.guarantee.as_nanos()))
            .arg(format!("--store-slack={}ns", self.recipe.slack.as_nanos()))
            .arg(format!("--grace={}ns", (self.recipe.guarantee / 4).as_nanos()))
            .arg("--")
            .arg(own_program()?)
            .arg("worker");
        Ok(())
    }

    /// Where `process` is, unless another has its place by now.
    pub(crate) fn place_of(&self, process: &Process) -> Option<usize> {
        let mut members = self.members.iter();
        members.find(|(_, member)| member.process == *process).map(|(&place, _)| place)
    }
}

//! The candidates of the demo, as the demo holds them.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use rustix::process::{Pid, Signal};
use tenure_core::ServiceName;
use tenure_testkit::witness::{Answer, Process, Report};

use crate::child::own_command;
use crate::failure::Failure;
use crate::log;
use crate::store::{self, StoreUrl};
use crate::timing::ClockOptions;

/// What all candidates are started with.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) store: StoreUrl,
    pub(crate) service: ServiceName,
    pub(crate) guarantee: Duration,
    pub(crate) clocks: ClockOptions,
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
    pub(crate) is_frozen: bool,
    pub(crate) last: Option<Answer>,
    child: Child,
}

impl Member {
    pub(crate) fn signal(&mut self, signal: Signal) {
        // Not waited for yet, so its number is its own.
        let _ = rustix::process::kill_process(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All of them, each in its place.
#[derive(Debug)]
pub(crate) struct Fleet {
    recipe: Recipe,
    pub(crate) members: Vec<Member>,
    sender: Sender<Message>,
    pub(crate) messages: Receiver<Message>,
}

impl Fleet {
    pub(crate) fn start(recipe: Recipe, count: u8) -> Result<Fleet, Failure> {
        let (sender, messages) = crossbeam_channel::unbounded();
        let mut fleet = Fleet { recipe, members: Vec::new(), sender, messages };
        for index in 0..usize::from(count) {
            let member = fleet.spawn(index)?;
            fleet.members.push(member);
        }
        Ok(fleet)
    }

    /// Puts a new process in the place of one that has ended.
    pub(crate) fn restart(&mut self, index: usize) -> Result<(), Failure> {
        let member = self.spawn(index)?;
        if let Some(place) = self.members.get_mut(index) {
            *place = member;
        }
        Ok(())
    }

    /// The place of `process`, unless another has it by now.
    pub(crate) fn index_of(&self, process: &Process) -> Option<usize> {
        self.members.iter().position(|member| member.process == *process)
    }

    fn spawn(&self, index: usize) -> Result<Member, Failure> {
        let failed = |error| Failure::system("cannot start a candidate", &error);
        let unit = format!("{}/{index}", self.recipe.service);
        let mut command = own_command()?;
        if std::env::var_os(log::VARIABLE).is_none() {
            // That a store is busy now and then is no news here.
            command.env(log::VARIABLE, "error");
        }
        let mut child = command
            .arg("candidate")
            .arg(format!("--parent={}", std::process::id()))
            .env(store::VARIABLE, self.recipe.store.text())
            .arg(format!("--service={}", self.recipe.service))
            .arg(format!("--unit={unit}"))
            .arg(format!("--guarantee={}ns", self.recipe.guarantee.as_nanos()))
            .args(self.recipe.clocks.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the demo, which ends them.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let process = Process { unit, pid: child.id() };
        let stdout = child.stdout.take();
        let member = Member { process: process.clone(), is_frozen: false, last: None, child };
        let sender = self.sender.clone();
        let read = move || {
            for line in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
                let Some(report) = line.ok().and_then(|line| line.parse().ok()) else { break };
                let _ = sender.send(Message { process: process.clone(), report: Some(report) });
            }
            let _ = sender.send(Message { process, report: None });
        };
        thread::Builder::new().name("tenure-fleet".to_owned()).spawn(read).map_err(failed)?;
        Ok(member)
    }
}

//! The dead man's switch of `tenure run`: a second process that kills the command's group when
//! tenure cannot.
//!
//! It reads from a pipe whose only writing end tenure has, and hears on it until when the group may
//! live. It kills the group when the pipe is closed, because tenure has died, and when that time
//! comes without a later one, because tenure does not run. So it also covers what the kernel's
//! signal on a parent's death does not: grandchildren, a tenure that is frozen, and systems without
//! that signal.
//!
//! It is in a group of its own, as `kill -9 %1` kills all of tenure's, and under a name of its own,
//! as `killall -9 tenure` does, and `pkill`. One that is stopped, or that does not answer, guards
//! as little as one that has died.
//!
//! The group that it kills has its number from a process that tenure does not wait for before the
//! watchdog has ended: no other group can have that number by then.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions};
use tenure_core::Instant;
use tenure_std::{BootClock, Clock};

use crate::args::WatchdogOptions;
use crate::failure::{self, Failure, complain};
use crate::group::{self, Starter};
use crate::{child, output, signals};

/// How long the watchdog sleeps at most: no timer sees the time that the machine was suspended.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// The name of its process. Not one that has `tenure` in it.
const NAME: &str = "lease-watchdog";

/// How long it sees to it that those whom it killed are gone.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// Tenure's end of the pipe. To drop it has the group killed.
#[derive(Debug)]
pub(crate) struct Watchdog {
    pid: Pid,
    pipe: Option<ChildStdin>,
    /// What it was told.
    until: Instant,
    /// What it has said that it was told, and what it says.
    heard: Instant,
    answers: Receiver<Instant>,
    failed: Option<Failed>,
}

/// Why a watchdog guards nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failed {
    Died,
    Silent,
    Stopped,
}

impl Watchdog {
    /// Starts a watchdog over `group`, and returns when it watches.
    pub(crate) fn start(
        starter: &Starter,
        group: Pid,
        until: Instant,
    ) -> Result<Watchdog, Failure> {
        let failed = |error| Failure::system("cannot start the watchdog", &error);
        let mut command = child::own_command()?;
        command
            .arg0(NAME)
            .arg("watchdog")
            .arg(format!("--group={}", group.as_raw_pid()))
            .arg(format!("--until-ns={}", until.as_nanos()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        let mut process = starter.start(command).map_err(failed)?;
        let (sender, answers) = crossbeam_channel::unbounded();
        let mut watchdog = Watchdog {
            pid: Pid::from_child(&process),
            pipe: process.stdin.take(),
            until,
            heard: until,
            answers,
            failed: None,
        };
        let mut answer = String::new();
        let mut stdout = process.stdout.take().map(BufReader::new);
        if let Some(stdout) = &mut stdout {
            stdout.read_line(&mut answer).map_err(failed)?;
        }
        match stdout {
            Some(stdout) if answer == READY => {
                read_answers(stdout, sender)?;
                Ok(watchdog)
            }
            Some(_) | None => {
                watchdog.end();
                Err(failed(std::io::Error::other("it ended at once")))
            }
        }
    }

    /// Lets the group live until then.
    pub(crate) fn extend(&mut self, until: Instant) {
        if until != self.until {
            self.until = until;
            if let Some(pipe) = &mut self.pipe {
                // Whether it still reads shows in its answer.
                let _ = writeln!(pipe, "{}", until.as_nanos());
            }
        }
    }

    /// Whether it cannot be counted on to kill the group in tenure's place, at `now`.
    pub(crate) fn failed(&mut self, now: Instant) -> Option<Failed> {
        if self.failed.is_none() {
            self.heard = self.answers.try_iter().last().unwrap_or(self.heard);
            self.failed = self.look(now);
        }
        self.failed
    }

    fn look(&self, now: Instant) -> Option<Failed> {
        let options = WaitIdOptions::EXITED
            | WaitIdOptions::STOPPED
            | WaitIdOptions::NOHANG
            | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::Pid(self.pid), options) {
            Ok(Some(status)) if status.stopped() => Some(Failed::Stopped),
            Ok(Some(_)) | Err(_) => Some(Failed::Died),
            // Since it was told of a later end, all of the earlier lease has passed.
            Ok(None) if self.heard != self.until && self.heard <= now => Some(Failed::Silent),
            Ok(None) => None,
        }
    }

    /// Ends it, and returns when it has ended. The group is left as it is.
    pub(crate) fn end(&mut self) {
        // Before the pipe is closed, and also if it is stopped. Its number is its own until here.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        let _ = rustix::io::retry_on_intr(|| {
            rustix::process::waitpid(Some(self.pid), WaitOptions::empty())
        });
        self.pipe = None;
    }
}

impl Failed {
    /// What is said of the watchdog.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Failed::Died => "died",
            Failed::Silent => "does not answer",
            Failed::Stopped => "was stopped",
        }
    }
}

/// Each line that comes, as what the watchdog has been told.
fn read_answers(
    answers: BufReader<ChildStdout>,
    sender: crossbeam_channel::Sender<Instant>,
) -> Result<(), Failure> {
    thread::Builder::new()
        .name("tenure-watchdog".to_owned())
        .spawn(move || send_instants(answers, &sender))
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    Ok(())
}

fn send_instants(lines: impl BufRead, sender: &crossbeam_channel::Sender<Instant>) {
    for line in lines.lines() {
        let Some(nanos) = line.ok().and_then(|line| line.parse().ok()) else { return };
        if sender.send(Instant::from_nanos(nanos)).is_err() {
            return;
        }
    }
}

const READY: &str = "watching\n";

/// The hidden subcommand.
pub(crate) fn watchdog(options: &WatchdogOptions) -> Result<u8, Failure> {
    let group = Pid::from_raw(options.group)
        .ok_or_else(|| Failure::new(failure::USAGE, "there is no group 0"))?;
    let mut until = Instant::from_nanos(options.until_ns);
    // Its own name, before tenure hears that it watches.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Ok(name) = std::ffi::CString::new(NAME) {
        let _ = rustix::thread::set_name(&name);
    }
    // Under `stty tostop` it would be stopped for what it says.
    signals::block_terminal_stops()?;
    signals::disregard(&signals::ENDING)?;
    let extensions = read_extensions()?;
    output::say(READY.trim_end())?;
    let (reason, is_tenure_dead) = loop {
        let left = until.saturating_duration_since(BootClock.now());
        if left.is_zero() {
            break ("its lease was not renewed in time", false);
        }
        match extensions.recv_timeout(left.min(HEARTBEAT)) {
            Ok(later) => {
                until = later;
                // Tenure may be dying, which the next read tells.
                let _ = output::say(&until.as_nanos().to_string());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break ("tenure has died", true),
        }
    };
    let done = kill(group, is_tenure_dead);
    complain(&format!("watchdog: {reason}: {done}"));
    Ok(0)
}

/// Kills the group, and says what came of it as far as that can be known.
fn kill(group: Pid, is_tenure_dead: bool) -> String {
    let number = group.as_raw_pid();
    let sent = group::signal(group, Signal::KILL);
    // The group's answer is that of any one in it, so its leader is asked for apart.
    let leader = match rustix::process::test_kill_process(group) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other,
    };
    if let Err(error) = sent.and(leader) {
        return format!(
            "cannot kill the command (process group {number}), which runs on: {error}: \
             it runs as another user"
        );
    }
    if is_tenure_dead {
        // As long as tenure lives it does not wait for the leader, and the group is there.
        let start = BootClock.now();
        while !group::is_gone(group) {
            if BootClock.now().saturating_duration_since(start) > GONE_WITHIN {
                return format!(
                    "sent KILL to the command (process group {number}), \
                     but some of its processes are still there"
                );
            }
            thread::sleep(group::LOOK);
        }
        return "killed the command".to_owned();
    }
    format!("sent KILL to the command (process group {number})")
}

/// Each line that comes, as an instant. Disconnected when no more can come.
fn read_extensions() -> Result<Receiver<Instant>, Failure> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    thread::Builder::new()
        .name("extensions".to_owned())
        .spawn(move || send_instants(std::io::stdin().lock(), &sender))
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    Ok(receiver)
}

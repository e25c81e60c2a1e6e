//! The dead man's switch of `tenure run`: a second process that kills the command's group when
//! tenure cannot.
//!
//! It reads from a pipe whose only writing end tenure has, and hears on it until when the group may
//! live. It kills the group when the pipe is closed, because tenure has died, and when that time
//! comes without a later one, because tenure does not run. So it also covers what the kernel's
//! signal on a parent's death does not: grandchildren, a tenure that is frozen, and systems without
//! that signal.
//!
//! It is in a group of its own, as `kill -9 %1` kills all of tenure's. The group that it kills has
//! its number from a process that tenure does not wait for before the watchdog has ended: no other
//! group can have that number by then.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustix::process::{Pid, Signal, WaitOptions};
use tenure_core::Instant;
use tenure_std::{BootClock, Clock};

use crate::args::WatchdogOptions;
use crate::failure::{self, Failure, complain};
use crate::{child, group, output, signals};

/// How long the watchdog sleeps at most: no timer sees the time that the machine was suspended.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// Tenure's end of the pipe. To drop it has the group killed.
#[derive(Debug)]
pub(crate) struct Watchdog {
    pid: Pid,
    pipe: Option<ChildStdin>,
    until: Instant,
    has_died: bool,
}

impl Watchdog {
    /// Starts a watchdog over `group`, and returns when it watches.
    pub(crate) fn start(group: Pid, until: Instant) -> Result<Watchdog, Failure> {
        let failed = |error| Failure::system("cannot start the watchdog", &error);
        let mut process = child::own_command()?
            .arg("watchdog")
            .arg(format!("--group={}", group.as_raw_pid()))
            .arg(format!("--until-ns={}", until.as_nanos()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let mut watchdog = Watchdog {
            pid: Pid::from_child(&process),
            pipe: process.stdin.take(),
            until,
            has_died: false,
        };
        let mut answer = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut answer).map_err(failed)?;
        }
        if answer == READY {
            Ok(watchdog)
        } else {
            watchdog.end();
            Err(failed(std::io::Error::other("it ended at once")))
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets the group live until then.
    pub(crate) fn extend(&mut self, until: Instant) {
        if until != self.until {
            self.until = until;
            if let Some(pipe) = &mut self.pipe {
                // Whether it still reads shows in its being alive.
                let _ = writeln!(pipe, "{}", until.as_nanos());
            }
        }
    }

    /// Whether it has died, so that nobody would kill the group in tenure's place.
    pub(crate) fn has_died(&mut self) -> bool {
        if !self.has_died {
            let status = rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG);
            self.has_died = !matches!(status, Ok(None));
        }
        self.has_died
    }

    /// Ends it, and returns when it has ended. The group is left as it is.
    pub(crate) fn end(&mut self) {
        if !self.has_died() {
            // Before the pipe is closed, and also if it is stopped.
            let _ = rustix::process::kill_process(self.pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
            self.has_died = true;
        }
        self.pipe = None;
    }
}

const READY: &str = "watching\n";

/// The hidden subcommand.
pub(crate) fn watchdog(options: &WatchdogOptions) -> Result<u8, Failure> {
    let group = Pid::from_raw(options.group)
        .ok_or_else(|| Failure::new(failure::USAGE, "there is no group 0"))?;
    let mut until = Instant::from_nanos(options.until_ns);
    signals::disregard(&signals::ENDING)?;
    let extensions = read_extensions()?;
    output::say(READY.trim_end())?;
    let reason = loop {
        let left = until.saturating_duration_since(BootClock.now());
        if left.is_zero() {
            break "its lease was not renewed in time";
        }
        match extensions.recv_timeout(left.min(HEARTBEAT)) {
            Ok(later) => until = later,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break "tenure has died",
        }
    };
    group::signal(group, Signal::KILL);
    complain(&format!("watchdog: {reason}: killed the command"));
    Ok(0)
}

/// Each line that comes, as an instant. Disconnected when no more can come.
fn read_extensions() -> Result<Receiver<Instant>, Failure> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    let read = move || {
        for line in std::io::stdin().lock().lines() {
            let Some(nanos) = line.ok().and_then(|line| line.parse().ok()) else { return };
            if sender.send(Instant::from_nanos(nanos)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("tenure-extensions".to_owned())
        .spawn(read)
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    Ok(receiver)
}

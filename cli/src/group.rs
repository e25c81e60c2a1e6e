//! Processes and groups of processes: ended, and found to be gone.
//!
//! On Linux tenure is a subreaper: a process whose parent has ended becomes tenure's child. So what
//! is in the command's group is a child of tenure's, or is below one that is in the group too, and
//! `waitid` says whether there are any: without /proc, which may hide processes, or be another
//! namespace's. The exception is a process whose parent has left the group and lives. It shows when
//! all the others are gone, as the group is still there: see [`is_gone`].
//!
//! The kernel hands an orphan to the first thread of a process, and a child to the thread that
//! started it. The command and the watchdog are started by another thread, [`Starter`], so that
//! the first one can wait for orphans, and for them alone.

use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
#[cfg(any(target_os = "android", target_os = "linux"))]
use rustix::process::{WaitId, WaitIdOptions};

use crate::failure::Failure;

/// How often to look whether a group has ended, where nothing tells.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// Sends `signal` to all of `group`. That nobody is left to get it is no error; that somebody is
/// and that none of them may be signalled is.
pub(crate) fn signal(group: Pid, signal: Signal) -> Result<(), Errno> {
    match rustix::process::kill_process_group(group, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        // macOS says so of a group in which all have ended.
        Err(Errno::PERM) if cfg!(target_vendor = "apple") => Ok(()),
        Err(error) => Err(error),
    }
}

/// Has this process killed when the thread that started it ends, as it does with its process.
///
/// `Ok(false)` where the system cannot.
pub(crate) fn die_with_parent() -> std::io::Result<bool> {
    #[cfg(any(target_os = "android", target_os = "freebsd", target_os = "linux"))]
    {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(true)
    }
    #[cfg(not(any(target_os = "android", target_os = "freebsd", target_os = "linux")))]
    Ok(false)
}

/// Whether `parent` still is what it was when it started this process: it may have died before
/// [`die_with_parent`] was called.
pub(crate) fn is_parent(parent: i32) -> bool {
    rustix::process::getppid().is_some_and(|found| found.as_raw_pid() == parent)
}

/// Has whatever a child of this process leaves behind become a child of this process.
///
/// `false` where the system cannot.
pub(crate) fn adopt_orphans() -> bool {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    return rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_ok();
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    false
}

/// What was adopted from `group`, and has not ended. What has is waited for.
///
/// To be asked by the first thread of a process that [adopts orphans](adopt_orphans). Not counted
/// are the children of a [`Starter`]: the leader of the group above all.
pub(crate) fn has_orphans(group: Pid) -> bool {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    return has_living(WaitId::Pgid(Some(group)), of_this_thread());
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    {
        let _ = group;
        false
    }
}

/// What was adopted from anywhere, and has not ended. What has is waited for. Else as
/// [`has_orphans`].
pub(crate) fn has_any_orphans() -> bool {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    return has_living(WaitId::All, of_this_thread());
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    false
}

/// Waits for all children that have ended. To be called while no thread waits for one itself.
pub(crate) fn reap_all() {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    has_living(WaitId::All, WaitIdOptions::empty());
}

/// The kernel's `__WNOTHREAD`: children of the thread that asks, and not of others.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn of_this_thread() -> WaitIdOptions {
    WaitIdOptions::from_bits_retain(0x2000_0000)
}

#[cfg(any(target_os = "android", target_os = "linux"))]
fn has_living(whom: WaitId<'_>, options: WaitIdOptions) -> bool {
    let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    loop {
        match rustix::process::waitid(whom.clone(), options) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Whether no process has `group` for its group, not even one that has ended and was not waited
/// for. So not before its leader was.
pub(crate) fn is_gone(group: Pid) -> bool {
    rustix::process::test_kill_process_group(group) == Err(Errno::SRCH)
}

/// A thread that starts processes, and lives as long as this one. The kernel takes its end for its
/// process's, see [`die_with_parent`]; and keeps its children apart from what is adopted.
#[derive(Clone, Debug)]
pub(crate) struct Starter {
    requests: Sender<Request>,
}

/// What to start, and whom to answer.
#[derive(Debug)]
struct Request {
    command: Command,
    answer: Sender<std::io::Result<Child>>,
}

impl Starter {
    pub(crate) fn new() -> Result<Starter, Failure> {
        let (requests, wanted) = crossbeam_channel::unbounded::<Request>();
        let start_all = move || {
            for mut request in wanted {
                let _ = request.answer.send(request.command.spawn());
            }
            // The last handle may be dropped while a child runs.
            loop {
                thread::park();
            }
        };
        thread::Builder::new()
            .name("tenure-starter".to_owned())
            .spawn(start_all)
            .map_err(|error| Failure::system("cannot start a thread", &error))?;
        Ok(Starter { requests })
    }

    pub(crate) fn start(&self, command: Command) -> std::io::Result<Child> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        let ended = || std::io::Error::other("the thread that starts processes has ended");
        self.requests.send(Request { command, answer }).map_err(|_| ended())?;
        answered.recv().map_err(|_| ended())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_this_process_is_not_gone() {
        assert!(!is_gone(rustix::process::getpgrp()));
        assert!(is_gone(Pid::from_raw(i32::MAX).unwrap()));
    }
}

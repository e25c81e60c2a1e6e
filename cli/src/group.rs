//! Processes and groups of processes: ended, and found to be gone.

use std::time::Duration;

use rustix::process::{Pid, Signal};

/// How often to look whether a group has ended: nothing tells.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// What those who were killed take to end, and more.
const FREE_WITHIN: Duration = Duration::from_secs(10);

/// Sends `signal` to all of `group`. That nobody is left to get it is no error.
pub(crate) fn signal(group: Pid, signal: Signal) {
    let _ = rustix::process::kill_process_group(group, signal);
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

/// Whether a process of `group` is alive. One that has ended and was not waited for is not.
///
/// `None` where the system does not say which processes there are. Processes of other users are
/// not seen where /proc hides them.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) fn is_alive(group: Pid) -> Option<bool> {
    let mut all = processes().ok()?;
    Some(all.any(|found| found.group == group.as_raw_pid() && !found.has_ended))
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(crate) fn is_alive(_group: Pid) -> Option<bool> {
    None
}

/// Waits until no process has `group` for its group, not even one that has ended.
///
/// Not for long: one may have ended that nobody will ever wait for.
pub(crate) fn wait_until_free(group: Pid) {
    let start = std::time::Instant::now();
    while rustix::process::test_kill_process_group(group) != Err(rustix::io::Errno::SRCH)
        && start.elapsed() < FREE_WITHIN
    {
        std::thread::sleep(LOOK);
    }
}

/// As process 1 of a container, waits for those that have ended and that nobody else can wait for.
/// Not for `own`, which somebody here waits for.
pub(crate) fn reap_orphans(own: &[Pid]) {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if std::process::id() == 1 {
        let orphans = processes().into_iter().flatten();
        for orphan in orphans.filter(|found| found.has_ended && found.parent == 1) {
            if let Some(pid) = Pid::from_raw(orphan.pid).filter(|pid| !own.contains(pid)) {
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
            }
        }
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = own;
}

/// What `/proc/PID/stat` says.
#[cfg(any(target_os = "android", target_os = "linux"))]
#[derive(Debug, Eq, PartialEq)]
struct Process {
    pid: i32,
    has_ended: bool,
    parent: i32,
    group: i32,
}

/// All that there are, and that may be seen.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn processes() -> std::io::Result<impl Iterator<Item = Process>> {
    let is_process = |entry: &std::fs::DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok())
    };
    Ok(std::fs::read_dir("/proc")?
        .flatten()
        .filter(is_process)
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter_map(|stat| Process::parse(&stat)))
}

#[cfg(any(target_os = "android", target_os = "linux"))]
impl Process {
    fn parse(stat: &str) -> Option<Process> {
        let (pid, _) = stat.split_once(' ')?;
        // The name of the program stands in parentheses, and may have any character in it.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let has_ended = matches!(fields.next()?, "Z" | "X" | "x");
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        Some(Process { pid: pid.parse().ok()?, has_ended, parent, group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(any(target_os = "android", target_os = "linux"))]
    fn a_program_may_have_any_name() {
        let process = |has_ended, group| Process { pid: 7, has_ended, parent: 1, group };
        assert_eq!(Process::parse("7 (sh) S 1 42 7 0"), Some(process(false, 42)));
        assert_eq!(Process::parse("7 (a) S 9 8 (b) Z 1 43 7 0"), Some(process(true, 43)));
        assert_eq!(Process::parse("7 (sh"), None);
    }

    #[test]
    #[cfg(any(target_os = "android", target_os = "linux"))]
    fn the_group_of_this_process_is_alive() {
        assert_eq!(is_alive(rustix::process::getpgrp()), Some(true));
        let nobodys = Pid::from_raw(i32::MAX).unwrap();
        assert_eq!(is_alive(nobodys), Some(false));
        wait_until_free(nobodys);
    }
}

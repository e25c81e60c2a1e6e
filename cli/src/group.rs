//! Processes and groups of processes: ended, and found to be gone.

use std::time::Duration;

use rustix::process::{Pid, Signal};

/// How often to look whether a group has ended: nothing tells.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

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
/// Processes of other users are not seen where /proc hides them.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) fn is_alive(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return exists(group) };
    processes
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()))
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter_map(|stat| Stat::parse(&stat))
        .any(|stat| stat.group == group.as_raw_pid() && !stat.has_ended)
}

/// Whether there is a process in `group`. One that has ended and was not waited for is one.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(crate) fn is_alive(group: Pid) -> bool {
    exists(group)
}

fn exists(group: Pid) -> bool {
    rustix::process::test_kill_process_group(group) != Err(rustix::io::Errno::SRCH)
}

/// What `/proc/PID/stat` says.
#[cfg(any(target_os = "android", target_os = "linux"))]
#[derive(Debug, Eq, PartialEq)]
struct Stat {
    has_ended: bool,
    group: i32,
}

#[cfg(any(target_os = "android", target_os = "linux"))]
impl Stat {
    fn parse(stat: &str) -> Option<Stat> {
        // The name of the program stands in parentheses, and may have any character in it.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let has_ended = matches!(fields.next()?, "Z" | "X" | "x");
        let group = fields.nth(1)?.parse().ok()?;
        Some(Stat { has_ended, group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(any(target_os = "android", target_os = "linux"))]
    fn a_program_may_have_any_name() {
        let stat = |text| Stat::parse(text);
        assert_eq!(stat("7 (sh) S 1 42 7 0"), Some(Stat { has_ended: false, group: 42 }));
        assert_eq!(stat("7 (a) Z 1 2 (b) Z 9 43 7 0"), Some(Stat { has_ended: true, group: 43 }));
        assert_eq!(stat("7 (sh"), None);
    }

    #[test]
    fn the_group_of_this_process_is_alive() {
        assert!(is_alive(rustix::process::getpgrp()));
        assert!(!is_alive(Pid::from_raw(i32::MAX).unwrap()));
    }
}

#[cfg(any(target_os = "android", target_os = "linux"))]
use std::fs;
use std::io;
#[cfg(any(target_os = "android", target_os = "linux"))]
use std::path::Path;
use std::sync::Arc;

use tenure_core::Instant;
use tenure_runtime::{BootClock, Clock};

/// Which start of the machine a lease was granted in, by the name that it had there.
///
/// No lease is judged by it. Containers may have a name of their own for the boot that they share
/// with the host, and a name may stay the same over a reboot. It tells that terms may have been
/// lost: see `TERMS_SKIPPED_AFTER_REBOOT`.
///
/// Empty where the system has no boot id to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Boot(pub(crate) Arc<str>);

impl Boot {
    /// This boot, as the kernel names it.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub(crate) fn current() -> io::Result<Boot> {
        let id = proc("/proc/sys/kernel/random/boot_id", |path| fs::read_to_string(path))?;
        Ok(Boot(id.trim().into()))
    }

    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    pub(crate) fn current() -> io::Result<Boot> {
        Ok(Boot("".into()))
    }

    /// As the store keeps it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The host's boot clock, the same in every time namespace.
///
/// `CLOCK_BOOTTIME` is shifted inside a Linux time namespace. Expiries in one file must be on one
/// clock, so the shift is taken out again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostClock {
    shift_ns: i128,
}

impl HostClock {
    pub(crate) fn new() -> io::Result<HostClock> {
        Ok(HostClock { shift_ns: namespace_shift_ns()? })
    }
}

impl Clock for HostClock {
    fn now(&self) -> Instant {
        unshifted(BootClock.now(), self.shift_ns)
    }
}

fn unshifted(now: Instant, shift_ns: i128) -> Instant {
    let nanos = i128::from(now.as_nanos()).saturating_sub(shift_ns);
    Instant::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

#[cfg(any(target_os = "android", target_os = "linux"))]
fn namespace_shift_ns() -> io::Result<i128> {
    const OFFSETS: &str = "/proc/self/timens_offsets";
    let own = |name: &str| proc(&format!("/proc/self/ns/{name}"), |path| fs::read_link(path));
    // Of a kernel without time namespaces too. Without it nothing is known: it may be the /proc of
    // other processes than this one.
    own("mnt")?;
    let namespace = match own("time") {
        Ok(namespace) => namespace,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    // The file tells of the namespace that children will live in.
    if namespace != own("time_for_children")? {
        return Err(io::Error::other(
            "this process lives in another time namespace than its children: start it anew in one",
        ));
    }
    let offsets = proc(OFFSETS, |path| fs::read_to_string(path))?;
    boot_shift_ns(&offsets)
        .ok_or_else(|| io::Error::other(format!("{OFFSETS} has no line for boottime")))
}

/// Reads what the system always has, where it is to be seen.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn proc<T>(path: &str, read: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    read(Path::new(path)).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => {
                ": mount the proc file system at /proc, as in \"mount -t proc proc /proc\""
            }
            io::ErrorKind::PermissionDenied => ": allow this process to read it",
            _ => "",
        };
        io::Error::new(error.kind(), format!("cannot read {path}: {error}{remedy}"))
    })
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn namespace_shift_ns() -> io::Result<i128> {
    Ok(0)
}

/// The line `boottime <seconds> <nanoseconds>`.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn boot_shift_ns(offsets: &str) -> Option<i128> {
    let line = offsets.lines().find_map(|line| line.strip_prefix("boottime"))?;
    let mut numbers = line.split_whitespace().map(str::parse::<i64>);
    let secs = numbers.next()?.ok()?;
    let nanos = numbers.next()?.ok()?;
    Some(i128::from(secs) * 1_000_000_000 + i128::from(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(any(target_os = "android", target_os = "linux"))]
    fn what_cannot_be_read_is_named_with_what_to_do() {
        let error = proc("/proc/none/such", |path| fs::read_to_string(path)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(
            error.to_string(),
            "cannot read /proc/none/such: No such file or directory (os error 2): \
             mount the proc file system at /proc, as in \"mount -t proc proc /proc\""
        );
    }

    #[test]
    #[cfg(any(target_os = "android", target_os = "linux"))]
    fn a_time_namespaces_shift_is_taken_out() {
        let offsets = "monotonic           0         0\nboottime        86400        5\n";
        assert_eq!(boot_shift_ns(offsets), Some(86_400_000_000_005));
        assert_eq!(boot_shift_ns("boottime -7 0\n"), Some(-7_000_000_000));
        assert_eq!(boot_shift_ns("monotonic 0 0\n"), None);
        let inside = Instant::from_nanos(86_400_000_000_105);
        assert_eq!(unshifted(inside, 86_400_000_000_005), Instant::from_nanos(100));
        assert_eq!(unshifted(Instant::from_nanos(100), -5), Instant::from_nanos(105));
        assert_eq!(unshifted(Instant::from_nanos(1), 5), Instant::ORIGIN);
    }
}

#[cfg(any(target_os = "android", target_os = "linux"))]
use std::fs;
use std::io;
use std::sync::Arc;

use tenure_core::Instant;
use tenure_runtime::{BootClock, Clock};

/// Which start of the machine a lease was granted in.
///
/// A lease of another boot is void: its holder died with the machine, and the clock that its
/// expiry was counted on started anew.
///
/// Empty where the system has no boot id to read. Then a row that was written later than now is of
/// another boot: the clock has started anew since.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Boot(pub(crate) Arc<str>);

impl Boot {
    /// This boot, as the kernel names it.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub(crate) fn current() -> io::Result<Boot> {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Boot(id.trim().into()))
    }

    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    pub(crate) fn current() -> io::Result<Boot> {
        Ok(Boot("".into()))
    }

    pub(crate) fn is_known(&self) -> bool {
        !self.0.is_empty()
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
    let offsets = match fs::read_to_string("/proc/self/timens_offsets") {
        Ok(offsets) => offsets,
        // A kernel without time namespaces.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    // The file tells of the namespace that children will live in.
    if fs::read_link("/proc/self/ns/time")? != fs::read_link("/proc/self/ns/time_for_children")? {
        return Err(io::Error::other(
            "this process lives in another time namespace than its children",
        ));
    }
    boot_shift_ns(&offsets).ok_or_else(|| io::Error::other("cannot read /proc/self/timens_offsets"))
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

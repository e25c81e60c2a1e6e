use std::fmt;
use std::sync::PoisonError;
use std::task::Waker;
use std::time::Duration;

use tenure_core::Instant;

use crate::sync::Mutex;

/// Where a tracker reads the time.
///
/// A clock must also count the time that the machine was suspended: [`BootClock`] does,
/// [`std::time::Instant`] does not on Linux and macOS. A tracker on a clock that stops while the
/// machine sleeps believes in a lease that somebody else has long had.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Instant;

    /// Calls `waker` whenever this clock jumps, that is, moves in a way that a timer of the
    /// runtime does not see. The default is for clocks that never do, and drops the waker.
    ///
    /// A waker that [wakes the same task](Waker::will_wake) as one registered before takes its
    /// place.
    fn on_jump(&self, waker: &Waker) {
        let _ = waker;
    }
}

/// Time since the machine started, suspended time included.
///
/// | system | clock | in suspend |
/// | --- | --- | --- |
/// | Linux, Android | `CLOCK_BOOTTIME` | goes on |
/// | macOS, iOS | `CLOCK_MONOTONIC` | goes on (`CLOCK_UPTIME_RAW` is the one that stops) |
/// | other Unix | `CLOCK_MONOTONIC` | as the system has it: ask its manual |
/// | Windows, others | [`std::time::Instant`] | `QueryPerformanceCounter` goes on |
///
/// Only Linux has been tried.
///
/// All the processes of one Linux host read the same `CLOCK_BOOTTIME`, unless they live in
/// different time namespaces.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

impl Clock for BootClock {
    #[inline]
    fn now(&self) -> Instant {
        boot_time()
    }
}

#[cfg(unix)]
#[inline]
fn boot_time() -> Instant {
    use rustix::time::{ClockId, clock_gettime};

    #[cfg(any(target_os = "android", target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let time = clock_gettime(CLOCK);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_nanos(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(not(unix))]
fn boot_time() -> Instant {
    static ORIGIN: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    Instant::ORIGIN.saturating_add(ORIGIN.elapsed())
}

/// A clock that stands still until it is told to move: for tests of what uses a tracker.
///
/// It can also move back, which a tracker must bear.
///
/// ```
/// use std::time::Duration;
/// use tenure_runtime::{Clock, ManualClock};
///
/// let clock = ManualClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(40));
/// assert_eq!(clock.now().saturating_duration_since(before), Duration::from_secs(40));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Manual>);

#[derive(Debug, Default)]
struct Manual {
    now: Instant,
    wakers: Vec<Waker>,
}

impl ManualClock {
    /// A clock that stands at the origin.
    pub fn new() -> ManualClock {
        ManualClock::default()
    }

    /// Moves the clock forward by `span`, and rouses whoever waits on it.
    pub fn advance(&self, span: Duration) {
        self.set(self.now().saturating_add(span));
    }

    /// Sets the clock, forward or back, and rouses whoever waits on it.
    pub fn set(&self, now: Instant) {
        let wakers = {
            let mut manual = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            manual.now = now;
            std::mem::take(&mut manual.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    fn on_jump(&self, waker: &Waker) {
        let mut manual = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !manual.wakers.iter().any(|known| known.will_wake(waker)) {
            manual.wakers.push(waker.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_moves_forward() {
        let first = BootClock.now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(BootClock.now() > first);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_boot_clock_is_the_kernels_uptime() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let now = BootClock.now().as_nanos() as f64 / 1e9;
        assert!(now >= uptime - 0.02, "{now} {uptime}");
    }

    /// In a time namespace `CLOCK_BOOTTIME` is set ahead, and `CLOCK_MONOTONIC` stays: as after a
    /// suspend of that length.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_boot_clock_counts_what_the_monotonic_one_misses() {
        use std::process::Command;

        let unshare = |arguments: &[&str]| {
            let mut command = Command::new("unshare");
            command.args(arguments).args(["--time", "--boottime", "1000000"]);
            command
        };
        let may = |arguments: &&[&str]| {
            unshare(arguments).arg("true").output().is_ok_and(|output| output.status.success())
        };
        let as_root: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];
        let Some(arguments) = as_root.into_iter().find(may) else {
            println!("left out: this system allows no time namespace");
            return;
        };
        let output = unshare(arguments)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "clock::tests::the_boot_clock_is_the_kernels_uptime"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}

//! One kernel under several names, one name for several kernels, and clocks that are shifted.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{BlockingClaimer, ClaimAnswer};
use tenure_runtime::{CancelToken, ManualClock};
use tenure_sqlite::SqliteClaimer;

use crate::processes::{Process, listen, say};
use crate::support::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_lease_under_another_boot_id_is_held_while_the_clock_goes_on() {
    let bench = Bench::new();
    let host = bench.open();
    let container = bench.options().boot_id("a container's").open(&bench.path).unwrap();
    let first = granted(host.claim(&unit(0), LEASE));
    bench.clock.advance(MILLI);
    assert_eq!(denied(container.claim(&unit(1), LEASE)), ("mysql/0".to_owned(), LEASE - MILLI));
    assert_eq!(leader_of(&container, "mysql"), leader_of(&host, "mysql"));
    // A renewal is heeded as well.
    granted(host.claim(&unit(0), LEASE));
    bench.clock.advance(LEASE - MILLI);
    assert_eq!(denied(container.claim(&unit(1), LEASE)), ("mysql/0".to_owned(), MILLI));
    bench.clock.advance(MILLI);
    let second = granted(container.claim(&unit(1), LEASE));
    assert!(second > first);
    assert_eq!(denied(host.claim(&unit(0), LEASE)), ("mysql/1".to_owned(), LEASE));
    container.release(&unit(1)).unwrap();
    assert!(granted(host.claim(&unit(0), LEASE)) > second);
}

#[test]
fn a_reboot_costs_one_lease_at_most_whatever_the_clock_shows_after_it() {
    for boot_id in ["this boot", "next boot", ""] {
        let bench = Bench::new();
        let before = bench.options().boot_id(boot_id.replace("next", "this"));
        let before = before.open(&bench.path).unwrap();
        let term = granted(before.claim(&unit(0), LEASE));
        // Long ago, just now, and at the latest: what was written then is over by itself.
        for uptime in [Duration::ZERO, Duration::from_secs(999), Duration::from_secs(1_000) + LEASE]
        {
            let clock = Arc::new(ManualClock::new());
            clock.advance(uptime);
            let options = bench.options().clock(clock).boot_id(boot_id);
            let after = options.open(&bench.path).unwrap();
            assert_eq!(leader_of(&after, "mysql"), None, "{boot_id:?} {uptime:?}");
            after.released(&service("mysql"), &CancelToken::new()).unwrap();
        }
        // The clock is there again before a lease is over that was never released.
        let clock = Arc::new(ManualClock::new());
        clock.advance(Duration::from_secs(1_001));
        let options = bench.options().clock(clock.clone()).boot_id(boot_id);
        let after = options.open(&bench.path).unwrap();
        let (_, wait) = denied(after.claim(&unit(1), LEASE));
        assert!(wait <= LEASE, "{wait:?}");
        clock.advance(wait);
        after.released(&service("mysql"), &CancelToken::new()).unwrap();
        assert!(granted(after.claim(&unit(1), LEASE)) > term);
    }
}

#[test]
fn a_lease_of_the_future_does_not_last_for_the_uptime_of_the_boot_before() {
    let bench = Bench::new();
    bench.clock.advance(30 * DAY);
    let before = bench.open();
    let term = granted(before.claim(&unit(0), LEASE));
    let clock = Arc::new(ManualClock::new());
    let after = bench.options().clock(clock).open(&bench.path).unwrap();
    assert_eq!(leader_of(&after, "mysql"), None);
    after.released(&service("mysql"), &CancelToken::new()).unwrap();
    let next = granted(after.claim(&unit(1), LEASE));
    assert!(next.number() > term.number() + 1_000_000, "terms may be lost: {next}");
    assert_eq!(leader_of(&after, "mysql").unwrap().2, LEASE);
}

/// Claims once, and holds what it got until it is told to end.
pub(crate) fn claim_once(path: &Path) {
    let claimer = match SqliteClaimer::open(path) {
        Ok(claimer) => claimer,
        Err(error) => return say(error),
    };
    say(match claimer.claim(&unit(7), LEASE).unwrap() {
        ClaimAnswer::Granted { .. } => "granted".to_owned(),
        ClaimAnswer::Denied { leader, .. } => format!("{} leads", leader.unwrap()),
    });
    listen();
}

/// This binary, run by `unshare` with `options` and then by `wrapper`. `None` where the system
/// allows no such namespace, which CI is not to hide.
fn in_namespace(options: &[&str], wrapper: &[&str]) -> Option<Command> {
    let with = |more: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(more).args(options).arg("--").args(wrapper);
        command
    };
    let works = |more: &[&str]| {
        let mut command = with(more);
        command.arg("true").stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = [&[][..], &["--user", "--map-root-user"]].into_iter().find(|more| works(more));
    let Some(more) = found else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no namespaces: {options:?}");
        eprintln!("left out: the system allows no namespace for {options:?}");
        return None;
    };
    let mut command = with(more);
    command.arg(std::env::current_exe().unwrap());
    Some(command)
}

/// Who leads is one, in whichever order a process in a namespace and one outside it claim.
#[track_caller]
fn one_leads(mut namespace: impl FnMut() -> Option<Command>) {
    let bench = Bench::new();
    let claimer = SqliteClaimer::open(&bench.path).unwrap();
    granted(claimer.claim(&unit(0), LEASE));
    let Some(mut command) = namespace() else { return };
    let mut inside = Process::spawn("claim", &bench.path, &mut command).unwrap();
    assert_eq!(inside.hear().as_deref(), Some("mysql/0 leads"));
    inside.ends();
    claimer.release(&unit(0)).unwrap();
    let mut inside = Process::spawn("claim", &bench.path, &mut namespace().unwrap()).unwrap();
    assert_eq!(inside.hear().as_deref(), Some("granted"));
    let (leader, wait) = denied(claimer.claim(&unit(0), LEASE));
    assert_eq!(leader, "mysql/7");
    assert!(wait <= LEASE + MILLI, "{wait:?}");
    assert!(leader_of(&claimer, "mysql").unwrap().2 <= LEASE + MILLI);
    inside.ends();
}

/// As systemd-nspawn and LXC do it.
#[test]
#[cfg(target_os = "linux")]
fn a_container_with_a_boot_id_of_its_own_is_on_the_same_boot() {
    let id = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&id, "00000000-0000-4000-8000-000000000000\n").unwrap();
    let mount = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";
    let wrapper = ["sh", "-c", mount, id.path().to_str().unwrap()];
    one_leads(|| in_namespace(&["--mount"], &wrapper));
}

#[test]
#[cfg(target_os = "linux")]
fn a_time_namespace_whose_boot_clock_is_a_day_ahead_is_on_the_same_clock() {
    let ahead = DAY.as_secs().to_string();
    one_leads(|| in_namespace(&["--time", "--boottime", &ahead], &[]));
}

#[test]
#[cfg(target_os = "linux")]
fn a_system_that_shows_no_boot_id_is_told_which_file_is_missing() {
    let bench = Bench::new();
    let hide = "mount -t tmpfs none /proc && exec \"$@\"";
    let Some(mut command) = in_namespace(&["--mount"], &["sh", "-c", hide, "sh"]) else { return };
    let said = Process::spawn("claim", &bench.path, &mut command).unwrap().ends();
    let expected = "cannot read the clock of this boot: cannot read \
                    /proc/sys/kernel/random/boot_id: No such file or directory (os error 2): mount \
                    the proc file system at /proc, as in \"mount -t proc proc /proc\"";
    assert_eq!(said, [expected]);
    assert_eq!(bench.files(), [""; 0]);
}

/// Its clock may be shifted, by nobody knows how much.
#[test]
#[cfg(target_os = "linux")]
fn a_process_that_cannot_see_its_time_namespace_opens_no_store() {
    let bench = Bench::new();
    let hide = "mount -t tmpfs none /proc && cd /proc && mkdir -p sys/kernel/random && \
                echo an-id >sys/kernel/random/boot_id && exec \"$@\"";
    let options = ["--mount", "--time", "--boottime", "1000"];
    let Some(mut command) = in_namespace(&options, &["sh", "-c", hide, "sh"]) else { return };
    let said = Process::spawn("claim", &bench.path, &mut command).unwrap().ends();
    let expected = "cannot read the clock of this boot: cannot read /proc/self/ns/mnt: ";
    assert!(said.len() == 1 && said[0].starts_with(expected), "{said:?}");
    assert_eq!(bench.files(), [""; 0]);
}

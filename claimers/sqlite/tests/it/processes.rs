//! Several processes on one file. Each is this test binary again, in a role of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use tenure_core::{BlockingClaimer, Candidate, ClaimAnswer};
use tenure_runtime::{BootClock, CancelToken, Clock, fresh_nonce};
use tenure_sqlite::{OpenError, SqliteClaimer};

use crate::support::*;

const ROLE: &str = "TENURE_TEST_ROLE";
const STORE: &str = "TENURE_TEST_STORE";
/// What a role says starts with this: the test harness says things too.
const MARK: &str = "@ ";
/// The id that Debian and most others give to nobody.
const NOBODY: u32 = 65_534;

/// Not a test: where a child process starts.
#[test]
#[ignore = "other tests run it in a process of its own"]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let path = PathBuf::from(std::env::var_os(STORE).unwrap());
    match role.as_str() {
        "hammer" => hammer(&path),
        "leaks" => crate::waiting::leaks(),
        "unprivileged" => unprivileged(&path),
        "wait" => wait(&path),
        other => panic!("no role {other:?}"),
    }
}

fn say(text: impl std::fmt::Display) {
    println!("\n{MARK}{text}");
}

/// A child process. It ends with the value.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(role: &str, store: &Path) -> Process {
        Process::spawn(role, store, &std::env::current_exe().unwrap(), None).unwrap()
    }

    fn spawn(role: &str, store: &Path, exe: &Path, user: Option<u32>) -> std::io::Result<Process> {
        let mut command = Command::new(exe);
        command.args(["--exact", "processes::role", "--ignored", "--nocapture"]);
        command.env(ROLE, role).env(STORE, store);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(user) = user {
            command.uid(user).gid(user).current_dir("/");
        }
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Ok(Process { input: child.stdin.take(), child, lines })
    }

    /// What it says next; `None` when it has ended.
    fn hear(&mut self) -> Option<String> {
        self.lines.by_ref().find_map(|line| Some(line.unwrap().strip_prefix(MARK)?.to_owned()))
    }

    fn tell(&mut self) {
        self.input.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Waits until it has ended, successfully.
    #[track_caller]
    fn ends(mut self) -> Vec<String> {
        drop(self.input.take());
        let said = std::iter::from_fn(|| self.hear()).collect();
        assert!(self.child.wait().unwrap().success());
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a line of input.
fn listen() -> bool {
    std::io::stdin().read_line(&mut String::new()).unwrap() > 0
}

fn candidate() -> Candidate {
    let unit = format!("mysql/{}", std::process::id()).parse().unwrap();
    Candidate { service: service("mysql"), unit, nonce: fresh_nonce() }
}

const HAMMER_LEASE: Duration = Duration::from_millis(200);

/// Claims, holds for a moment, and releases or forgets; says each term with when it was led.
fn hammer(path: &Path) {
    let claimer = SqliteClaimer::open(path).unwrap();
    let start = std::time::Instant::now();
    let mut turn = 0_u32;
    while start.elapsed() < Duration::from_secs(2) {
        let candidate = candidate();
        let asked = BootClock.now();
        match claimer.claim(&candidate, HAMMER_LEASE) {
            Ok(ClaimAnswer::Granted { term }) => {
                let granted = BootClock.now();
                std::thread::yield_now();
                // Who was held up for longer than the lease no longer believes.
                let believed_until = BootClock.now().min(asked.saturating_add(HAMMER_LEASE));
                say(format!("{term} {} {}", granted.as_nanos(), believed_until.as_nanos()));
                turn += 1;
                // One in fifty crashes, as it were.
                if !turn.is_multiple_of(50) {
                    claimer.release(&candidate).unwrap();
                }
            }
            Ok(ClaimAnswer::Denied { .. }) => {
                claimer.released(&candidate.service, &CancelToken::new()).unwrap();
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn processes_that_hammer_one_store_never_lead_at_once_and_no_term_comes_twice() {
    let bench = Bench::new();
    // Also the making of the store is contended.
    let mut processes: Vec<_> = (0..4).map(|_| Process::start("hammer", &bench.path)).collect();
    let mut killed = processes.pop().unwrap();
    let mut said = vec![killed.hear().unwrap()];
    killed.child.kill().unwrap();
    said.extend(std::iter::from_fn(|| killed.hear()));
    said.extend(processes.into_iter().flat_map(Process::ends));

    let mut terms = BTreeMap::new();
    for line in &said {
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let [term, from, until] = numbers[..] else { panic!("{line}") };
        assert_eq!(terms.insert(term, (from, until)), None, "term {term} came twice");
    }
    assert!(terms.len() > 20, "{terms:?}");
    let holdings: Vec<_> = terms.into_iter().collect();
    for pair in holdings.windows(2) {
        let [(term, (_, until)), (next, (from, _))] = pair else { unreachable!() };
        assert!(until <= from, "terms {term} and {next} overlap: {pair:?}");
    }
}

/// Claims, waits for the release of another's lease, says when it was told, and releases its own.
fn wait(path: &Path) {
    let claimer = SqliteClaimer::open(path).unwrap();
    loop {
        say("waiting");
        claimer.released(&service("mysql"), &CancelToken::new()).unwrap();
        say(BootClock.now().as_nanos());
        if !listen() {
            return;
        }
    }
}

/// Nanoseconds from before the release to after the wait in another process.
fn wake_ups(rounds: usize) -> Vec<u64> {
    let bench = Bench::new();
    let claimer = SqliteClaimer::open(&bench.path).unwrap();
    let candidate = candidate();
    granted(claimer.claim(&candidate, Duration::from_secs(600)));
    let mut waiter = Process::start("wait", &bench.path);
    let mut latencies: Vec<u64> = (0..rounds)
        .map(|_| {
            assert_eq!(waiter.hear().as_deref(), Some("waiting"));
            std::thread::sleep(Duration::from_millis(100));
            let released = BootClock.now().as_nanos();
            claimer.release(&candidate).unwrap();
            let told: u64 = waiter.hear().unwrap().parse().unwrap();
            granted(claimer.claim(&candidate, Duration::from_secs(600)));
            waiter.tell();
            told - released
        })
        .collect();
    latencies.sort_unstable();
    latencies
}

/// A wait that nothing rouses ends with its heartbeat, after a second.
#[test]
fn a_release_rouses_those_who_wait_in_another_process() {
    let latencies = wake_ups(20);
    let median = Duration::from_nanos(latencies[10]);
    assert!(median < Duration::from_millis(450), "{latencies:?}");
}

#[test]
#[ignore = "a measurement: run it alone, with --release and --nocapture"]
fn measure_wake_ups_across_processes() {
    let latencies = wake_ups(200);
    let us = |part: usize| latencies[latencies.len() * part / 1_000] as f64 / 1e3;
    println!("release to wake-up in us: median {}, 99% {}, max {}", us(500), us(990), us(999));
}

#[test]
#[ignore = "a measurement: run it alone, with --release and --nocapture"]
fn measure_claims() {
    let bench = Bench::new();
    let claimer = SqliteClaimer::open(&bench.path).unwrap();
    let (mine, other) = (unit(0), unit(1));
    let measure = |what: &str, work: &dyn Fn()| {
        const ROUNDS: u32 = 5_000;
        let start = std::time::Instant::now();
        (0..ROUNDS).for_each(|_| work());
        println!("{what}: {:.1} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
    };
    measure("claim and release", &|| {
        granted(claimer.claim(&mine, LEASE));
        claimer.release(&mine).unwrap();
    });
    granted(claimer.claim(&mine, LEASE));
    measure("renewal", &|| {
        granted(claimer.claim(&mine, LEASE));
    });
    measure("denial", &|| {
        denied(claimer.claim(&other, LEASE));
    });
    measure("leader", &|| {
        leader_of(&claimer, "mysql").unwrap();
    });
}

#[test]
fn a_wait_that_ends_leaves_no_thread_and_no_descriptor() {
    Process::start("leaks", Path::new("")).ends();
}

/// Says what becomes of opening the store in each way, and of the leader in it.
fn unprivileged(path: &Path) {
    say(match SqliteClaimer::open(path) {
        Ok(_) => "opened".to_owned(),
        Err(error @ (OpenError::ReadOnly { .. } | OpenError::Io { .. })) => error.to_string(),
        Err(error) => format!("{error:?}"),
    });
    let look = SqliteClaimer::open_to_look(path);
    say(match look.as_ref().map(|look| look.leader(&service("mysql")).unwrap()) {
        Ok(Some(leader)) => format!("{} leads", leader.unit),
        Ok(None) => "nobody leads".to_owned(),
        Err(error) => error.to_string(),
    });
}

/// Opens the store as a user for whom the permission bits count: they do not stop root, which is
/// what the tests may be run as.
fn as_nobody(bench: &Bench) -> [String; 2] {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let user = is_root.then_some(NOBODY);
    let exe = std::env::current_exe().unwrap();
    let process = Process::spawn("unprivileged", &bench.path, &exe, user).or_else(|_| {
        // Where nobody may not go, it is given a copy.
        let place = tempfile::tempdir().unwrap().keep();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        let copy = place.join("it");
        fs::copy(&exe, &copy).unwrap();
        let process = Process::spawn("unprivileged", &bench.path, &copy, user);
        fs::remove_dir_all(&place).unwrap();
        process
    });
    process.unwrap().ends().try_into().unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn who_may_only_read_looks_and_cannot_claim_and_leaves_nothing_behind() {
    let bench = Bench::new();
    let claimer = SqliteClaimer::open(&bench.path).unwrap();
    granted(claimer.claim(&unit(0), Duration::from_secs(600)));
    set_mode(bench.directory.path(), 0o755);
    set_mode(&bench.path, 0o444);

    // While somebody has it open.
    let read_only = format!("store {:?} is read-only", bench.path);
    assert_eq!(as_nobody(&bench), [read_only.clone(), "mysql/0 leads".to_owned()]);
    assert_eq!(bench.files(), ["leases.db", "leases.db-shm", "leases.db-wal"]);

    // When nobody has: whether or not the directory could be written to.
    drop(claimer);
    for mode in [0o555, 0o777] {
        set_mode(bench.directory.path(), mode);
        assert_eq!(as_nobody(&bench), [read_only.clone(), "mysql/0 leads".to_owned()]);
        assert_eq!(bench.files(), ["leases.db"]);
    }
    set_mode(&bench.path, 0o666);
    set_mode(bench.directory.path(), 0o555);
    let [open, look] = as_nobody(&bench);
    assert_eq!(
        open,
        format!("cannot open store {:?}: Permission denied (os error 13)", bench.path)
    );
    assert_eq!(look, "mysql/0 leads");
    assert_eq!(bench.files(), ["leases.db"]);
    set_mode(bench.directory.path(), 0o755);
}

#[test]
fn who_may_not_even_read_is_told_so() {
    let bench = Bench::new();
    let denied = format!("cannot open store {:?}: Permission denied (os error 13)", bench.path);
    set_mode(bench.directory.path(), 0o555);
    let missing = format!("store {:?} does not exist", bench.path);
    assert_eq!(as_nobody(&bench), [denied.clone(), missing]);
    set_mode(bench.directory.path(), 0o777);
    assert_eq!(bench.files(), [""; 0]);
    drop(SqliteClaimer::open(&bench.path).unwrap());
    set_mode(&bench.path, 0o000);
    assert_eq!(as_nobody(&bench), [denied.clone(), denied.clone()]);
    set_mode(bench.directory.path(), 0o000);
    assert_eq!(as_nobody(&bench), [denied.clone(), denied]);
    set_mode(bench.directory.path(), 0o755);
    assert_eq!(bench.files(), ["leases.db"]);
}

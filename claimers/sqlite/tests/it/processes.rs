//! Several processes on one file. Each is this test binary again, in a role of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use tenure_core::{BlockingClaimer, Candidate, ClaimAnswer};
use tenure_runtime::{BootClock, CancelToken, Clock, fresh_nonce};
use tenure_sqlite::{Access, OpenError, SqliteClaimer, SqliteOptions};

use crate::support::*;

const ROLE: &str = "TENURE_TEST_ROLE";
const STORE: &str = "TENURE_TEST_STORE";
/// What a role says starts with this: the test harness says things too.
const MARK: &str = "@ ";

/// Where a child process starts, in its role. A process without one tests this.
const ENTRY: &str = "processes::threads_that_hammer_one_store_never_lead_at_once";

#[test]
fn threads_that_hammer_one_store_never_lead_at_once() {
    if let Ok(role) = std::env::var(ROLE) {
        return play(&role, Path::new(&std::env::var_os(STORE).unwrap()));
    }
    let bench = Bench::new();
    let said = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| hammer(&bench.path, |holding| said.lock().unwrap().push(holding)));
        }
    });
    assert_eq!(check(said.into_inner().unwrap()), 3 * TURNS);
}

fn play(role: &str, path: &Path) {
    match role {
        "claim" => crate::boots::claim_once(path),
        "hammer" => hammer(path, |[term, from, until]| say(format!("{term} {from} {until}"))),
        "leaks" => {
            crate::waiting::leaks();
            say("nothing is left");
        }
        "make" => open_again_and_again(path, |path| patient().open(path)),
        "open" => open_again_and_again(path, open_when_made),
        "unprivileged" => crate::users::unprivileged(path),
        "wait" => wait(path),
        other => panic!("no role {other:?}"),
    }
}

pub(crate) fn say(text: impl std::fmt::Display) {
    println!("\n{MARK}{text}");
}

/// A child process. It ends with the value.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn start(role: &str, store: &Path) -> Process {
        let exe = std::env::current_exe().unwrap();
        Process::spawn(role, store, &mut Command::new(exe)).unwrap()
    }

    /// Starts a process in `role`, where `command` is this binary, or what runs it.
    pub(crate) fn spawn(
        role: &str,
        store: &Path,
        command: &mut Command,
    ) -> std::io::Result<Process> {
        command.args(["--exact", ENTRY, "--nocapture"]);
        command.env(ROLE, role).env(STORE, store);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines() {
                if let Some(text) = line.unwrap().strip_prefix(MARK) {
                    let _ = sender.send(text.to_owned());
                }
            }
        });
        Ok(Process { input: child.stdin.take(), child, lines })
    }

    /// What it says next; `None` when it has ended.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(text) => Some(text),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the process says nothing and goes on"),
        }
    }

    pub(crate) fn tell(&mut self) {
        self.input.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Waits until it has ended, successfully.
    #[track_caller]
    pub(crate) fn ends(mut self) -> Vec<String> {
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
pub(crate) fn listen() -> bool {
    std::io::stdin().read_line(&mut String::new()).unwrap() > 0
}

fn candidate() -> Candidate {
    let unit = format!("mysql/{}", std::process::id()).parse().unwrap();
    Candidate { service: service("mysql"), unit, nonce: fresh_nonce() }
}

const HAMMER_LEASE: Duration = Duration::from_millis(200);

/// How often one who hammers leads.
const TURNS: usize = 150;

/// A term, and from when to when it was led in.
type Holding = [u64; 3];

/// Claims, holds for a moment, and releases or forgets, again and again; says when it led.
fn hammer(path: &Path, say: impl Fn(Holding)) {
    let claimer = SqliteClaimer::open(path).unwrap();
    let mut turn = 0;
    while turn < TURNS {
        let candidate = candidate();
        let asked = BootClock.now();
        match claimer.claim(&candidate, HAMMER_LEASE) {
            Ok(ClaimAnswer::Granted { term }) => {
                let granted = BootClock.now();
                std::thread::yield_now();
                // Who was held up for longer than the lease no longer believes.
                let believed_until = BootClock.now().min(asked.saturating_add(HAMMER_LEASE));
                say([term.number(), granted.as_nanos(), believed_until.as_nanos()]);
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

/// Checks that no two led at once, nor in the same term; says how often somebody did.
#[track_caller]
fn check(mut holdings: Vec<Holding>) -> usize {
    holdings.sort_unstable();
    for pair in holdings.windows(2) {
        let [[term, _, until], [next, from, _]] = pair else { unreachable!("windows of two") };
        assert!(term < next, "a term came twice: {pair:?}");
        assert!(until <= from, "two led at once: {pair:?}");
    }
    holdings.len()
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
    let numbers = |line: &String| {
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        Holding::try_from(numbers).unwrap()
    };
    assert!(check(said.iter().map(numbers).collect()) > 3 * TURNS);
}

/// Opens one new store after the other: each time that it is told to.
fn open_again_and_again(
    directory: &Path,
    open: impl Fn(&Path) -> Result<SqliteClaimer, OpenError>,
) {
    for round in 0.. {
        say("ready");
        if !listen() {
            return;
        }
        let opened = open(&directory.join(format!("{round}.db")));
        say(opened.as_ref().map_or_else(ToString::to_string, |_| "opened".to_owned()));
        // It stays open until all have it: who opens it meets a log.
        if !listen() {
            return;
        }
    }
}

/// The disk may be so busy that eight who write to one file take longer than usual.
fn patient() -> SqliteOptions {
    SqliteOptions::new().busy_timeout(PATIENCE)
}

fn open_when_made(path: &Path) -> Result<SqliteClaimer, OpenError> {
    loop {
        match patient().access(Access::Existing).open(path) {
            Err(OpenError::Missing { .. }) => {}
            // An empty file is none yet.
            Err(OpenError::NotAStore { .. }) if was_empty(path) => {}
            opened => return opened,
        }
    }
}

/// Every third file is there already, and is empty.
fn was_empty(path: &Path) -> bool {
    let round: usize = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    round % 3 == 2
}

#[test]
fn eight_processes_that_open_a_new_store_at_once_all_open_it() {
    const ROUNDS: usize = 50;
    let bench = Bench::new();
    let directory = bench.directory.path();
    // Half of them look for it as often as they can until the others have made it.
    let roles = ["make", "open"].into_iter().cycle().take(8);
    let mut processes: Vec<_> = roles.map(|role| Process::start(role, directory)).collect();
    for round in 0..ROUNDS {
        for process in &mut processes {
            assert_eq!(process.hear().as_deref(), Some("ready"));
        }
        let path = directory.join(format!("{round}.db"));
        if was_empty(&path) {
            fs::write(path, "").unwrap();
        }
        processes.iter_mut().for_each(Process::tell);
        for process in &mut processes {
            assert_eq!(process.hear().as_deref(), Some("opened"), "round {round}");
        }
        processes.iter_mut().for_each(Process::tell);
    }
    for process in &mut processes {
        assert_eq!(process.hear().as_deref(), Some("ready"));
    }
    processes.into_iter().for_each(|process| drop(process.ends()));
    // Of some that close at once neither may be the last, and then the log stays: opened once
    // more, it goes.
    for round in 0..ROUNDS {
        drop(SqliteClaimer::open(directory.join(format!("{round}.db"))).unwrap());
    }
    assert_eq!(bench.files().len(), ROUNDS, "no draft is left: {:?}", bench.files());
}

/// Waits for the release of another's lease, again and again.
fn wait(path: &Path) {
    let claimer = SqliteOptions::new().heartbeat(AGES).open(path).unwrap();
    loop {
        say("waiting");
        claimer.released(&service("mysql"), &CancelToken::new()).unwrap();
        say("told");
        if !listen() {
            return;
        }
    }
}

#[test]
fn a_release_rouses_those_who_wait_in_another_process() {
    let bench = Bench::new();
    let claimer = SqliteClaimer::open(&bench.path).unwrap();
    let candidate = candidate();
    granted(claimer.claim(&candidate, LEASE));
    let mut waiter = Process::start("wait", &bench.path);
    // Who has just begun to wait may look more than once without being roused.
    for _ in 0..3 {
        assert_eq!(waiter.hear().as_deref(), Some("waiting"));
        std::thread::sleep(Duration::from_millis(200));
        claimer.release(&candidate).unwrap();
        assert_eq!(waiter.hear().as_deref(), Some("told"));
        granted(claimer.claim(&candidate, LEASE));
        waiter.tell();
    }
}

#[test]
fn a_wait_that_ends_leaves_no_thread_and_no_descriptor() {
    assert_eq!(Process::start("leaks", Path::new("")).ends(), ["nothing is left"]);
}

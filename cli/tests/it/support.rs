//! A directory, a store in it, and processes that end with the test, however that ends.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use tempfile::TempDir;

/// Longer than anything takes that a test waits for, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// The signals that a test sends. Who starts the tests with `nohup`, or in the background of a
/// script, has some of them ignored, and a process inherits that; what is handled it does not.
fn hear_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = ignored.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2] {
            if ignored >> (signal - 1) & 1 == 1 {
                signal_hook::flag::register(signal, Arc::default()).unwrap();
            }
        }
    });
}

/// A shell function by which a command logs what it does: its unit, the boot clock, and that.
pub(crate) const NOTE: &str =
    "note() { read -r up _ < /proc/uptime; echo \"$TENURE_UNIT $up $1\" >> $LOG; }\n";

/// A directory for one test.
pub(crate) struct Bench {
    directory: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        hear_signals();
        let directory = tempfile::tempdir().unwrap();
        for name in ["runtime", "scratch", "state", "work"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        Bench { directory }
    }

    /// A path where the commands work.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("work").join(name)
    }

    /// Where temporary files go.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.directory.path().join("scratch")
    }

    /// Where session files go.
    pub(crate) fn sessions(&self) -> PathBuf {
        self.directory.path().join("state/sessions")
    }

    /// What a login has for its own.
    pub(crate) fn runtime(&self) -> PathBuf {
        self.directory.path().join("runtime")
    }

    /// The names of all that is where the commands work.
    pub(crate) fn files(&self) -> Vec<String> {
        names_in(&self.path(""))
    }

    /// `tenure` with these arguments. The store is `leases.db`.
    pub(crate) fn tenure(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        command
            .args(arguments)
            .current_dir(self.path(""))
            .env("TMPDIR", self.scratch())
            .env("TENURE_SESSIONS", self.sessions())
            .env("XDG_RUNTIME_DIR", self.runtime())
            .env_remove("TENURE_LOG")
            .env_remove("TENURE_STORE")
            .stdin(Stdio::null());
        command
    }

    /// `tenure run` of a shell script, by which `$LOG` is to be written to.
    pub(crate) fn run(&self, options: &[&str], script: &str) -> Process {
        let mut arguments = vec!["run", "--store=sqlite:leases.db", "--service=mysql"];
        arguments.extend(options);
        arguments.extend(["--", "sh", "-c", script]);
        Process::start(self.tenure(&arguments).env("LOG", self.path("log")))
    }

    /// As [`run`](Bench::run) for `unit`, but that `by` executes it: a program and its arguments.
    /// The script may [`NOTE`] what it does.
    pub(crate) fn run_by(
        &self,
        by: &[&str],
        unit: &str,
        options: &[&str],
        script: &str,
    ) -> Process {
        let unit = format!("--unit={unit}");
        let script = format!("{NOTE}{script}");
        let mut arguments = vec!["run", "--store=sqlite:leases.db", "--service=mysql", &unit];
        arguments.extend(options);
        arguments.extend(["--", "sh", "-c", &script]);
        let own = env!("CARGO_BIN_EXE_tenure");
        let (program, first) = by.split_first().unwrap_or((&"env", &[]));
        let mut command = Command::new(program);
        command.args(first).arg(own).args(arguments).current_dir(self.path(""));
        command.env_remove("TENURE_LOG").env_remove("TENURE_STORE").env("LOG", self.path("log"));
        Process::start(command.stdin(Stdio::null()))
    }

    /// Of all that was noted by the commands of several units, nothing of one is after the first of
    /// the next: no two ran at once.
    #[track_caller]
    pub(crate) fn assert_one_at_a_time(&self, units: &[&str]) {
        let log = self.log();
        let mut found: Vec<&str> = Vec::new();
        let mut last = 0.0;
        for line in &log {
            let mut words = line.split(' ');
            let (unit, at) = (words.next().unwrap(), words.next().unwrap());
            if found.last() != Some(&unit) {
                found.push(unit);
            }
            let at: f64 = at.parse().unwrap();
            // Two that append at once may swap places, but not by much.
            assert!(at >= last - 1.0, "{log:?}");
            last = at;
        }
        assert_eq!(found, units, "{log:?}");
    }

    /// `tenure` with these arguments, to its end.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Answer {
        Process::start(&mut self.tenure(arguments)).ends()
    }

    /// The lines that the scripts have written so far.
    pub(crate) fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Waits until `line` is in the log.
    #[track_caller]
    pub(crate) fn until_logged(&self, line: &str) {
        until(&format!("{line:?} in the log"), || self.log().iter().any(|found| found == line));
    }

    pub(crate) fn meddler(&self) -> rusqlite::Connection {
        let meddler = rusqlite::Connection::open(self.path("leases.db")).unwrap();
        meddler.busy_timeout(PATIENCE).unwrap();
        meddler
    }
}

pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Answer {
        assert_eq!(self.status.code(), Some(code), "{self:#?}");
        self
    }
}

/// A process of `tenure`. To drop it kills it, and the watchdog then kills what it ran.
pub(crate) struct Process {
    child: Child,
    pub(crate) input: Option<ChildStdin>,
    stdout: File,
    stderr: File,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Process {
        // Not pipes: nobody reads them while the process runs.
        let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        let mut child = command.spawn().unwrap();
        Process { input: child.stdin.take(), child, stdout, stderr }
    }

    /// Whose standard error is not for the test to read.
    pub(crate) fn start_with(command: &mut Command, stderr: Stdio) -> Process {
        let (stdout, unused) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let mut child = command.stdout(stdout.try_clone().unwrap()).stderr(stderr).spawn().unwrap();
        Process { input: child.stdin.take(), child, stdout, stderr: unused }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        contents(&self.stdout)
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        contents(&self.stderr)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn ends(mut self) -> Answer {
        let mut status = None;
        until("the process to end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let (stdout, stderr) = (contents(&self.stdout), contents(&self.stderr));
        Answer { status: status.unwrap(), stdout, stderr }
    }

    /// Kills it with a signal that it cannot handle.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// From the start, though the process goes on writing at the end.
fn contents(file: &File) -> String {
    use std::os::unix::fs::FileExt;

    let len = file.metadata().unwrap().len();
    let mut bytes = vec![0; usize::try_from(len).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The children of `parent`: number and command line.
pub(crate) fn children_of(parent: u32) -> Vec<(Pid, String)> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let parse = |entry: fs::DirEntry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let ppid: u32 = fields.split(' ').nth(1)?.parse().ok()?;
        let mut line = Vec::new();
        File::open(entry.path().join("cmdline")).ok()?.read_to_end(&mut line).ok()?;
        (ppid == parent).then(|| (pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    };
    processes.filter_map(parse).collect()
}

/// Whether there is a process of that number which has not ended.
pub(crate) fn is_alive(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid()))
        .is_ok_and(|stat| !stat.contains(") Z "))
}

/// A process that was stopped. To drop it kills it: it would not end by itself.
pub(crate) struct Frozen(Pid);

impl Frozen {
    pub(crate) fn new(pid: Pid) -> Frozen {
        rustix::process::kill_process(pid, Signal::STOP).unwrap();
        Frozen(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.0, Signal::KILL);
    }
}

/// Whether one of the notes in `log` says `what`.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) fn is_noted(bench: &Bench, what: &str) -> bool {
    bench.log().iter().any(|line| line.split(' ').nth(2) == Some(what))
}

/// Writes to the standard input of a process, and closes it.
pub(crate) fn feed(process: &mut Process, text: &str) {
    process.input.take().unwrap().write_all(text.as_bytes()).unwrap();
}

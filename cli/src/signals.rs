//! Signals, as messages to whoever waits for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender};
use nix::sys::signal::{SigSet, Signal as NixSignal};
use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
};
use tenure_std::Tracker;

use crate::failure::Failure;
use crate::group;

/// Undoes what a caller can leave behind that is meant for nobody. To be called before any thread
/// is started.
///
/// A signal that is blocked would reach neither tenure nor its children. SIGCHLD, if it is ignored,
/// has the kernel forget children when they end, so that nobody can wait for them, and their
/// numbers go to others. Other signals that are ignored are meant to be, as by `nohup`.
pub(crate) fn reset() -> Result<(), Failure> {
    SigSet::all()
        .thread_unblock()
        .map_err(|error| Failure::system("cannot unblock signals", &error))?;
    // What is handled is not ignored; and is at its default in what is executed.
    signal_hook::flag::register(SIGCHLD, Arc::default())
        .map_err(|error| Failure::system("cannot listen to signals", &error))?;
    Ok(())
}

/// Keeps the terminal from stopping this process for writing to it, or for taking it back, from
/// its background: who is stopped cannot renew. To be called before other threads are started.
pub(crate) fn block_terminal_stops() -> Result<(), Failure> {
    let mut set = SigSet::empty();
    set.add(NixSignal::SIGTTOU);
    set.thread_block().map_err(|error| Failure::system("cannot block signals", &error))
}

/// As long as this process runs, waits for the children that come to it: to process 1.
///
/// For a command that starts no process itself.
pub(crate) fn reap_orphans() -> Result<(), Failure> {
    hear(&[SIGCHLD], |_| group::reap_all())?;
    // Those that ended before.
    group::reap_all();
    Ok(())
}

/// What is forwarded to a command. Not the signals that a terminal stops its processes with:
/// tenure would have to stop too, and cannot keep its lease then.
const FORWARDED: [i32; 9] =
    [SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];

/// What ends a process that does not say otherwise, and is sent to say that it should end.
pub(crate) const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Whether `signal` asks a process to end: one that is stopped hears it when it goes on.
pub(crate) fn is_ending(signal: i32) -> bool {
    ENDING.contains(&signal)
}

/// Whether `signal` ends a process that has no use for it.
pub(crate) fn is_fatal(signal: i32) -> bool {
    !matches!(signal, SIGCHLD | SIGCONT | SIGWINCH)
}

/// Starts to send on the signals in `wanted`, but for those that this process was started to
/// ignore, as under `nohup` and in the background of a script.
pub(crate) fn listen(wanted: &[i32]) -> Result<Receiver<i32>, Failure> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    hear(wanted, move |signal| {
        let _ = sender.send(signal);
    })?;
    Ok(receiver)
}

/// Has `wanted` do nothing, where ignoring them would be inherited by what is run.
pub(crate) fn disregard(wanted: &[i32]) -> Result<(), Failure> {
    hear(wanted, |_| {})
}

fn hear(wanted: &[i32], mut tell: impl FnMut(i32) + Send + 'static) -> Result<(), Failure> {
    let ignored = ignored();
    let heard: Vec<i32> =
        wanted.iter().copied().filter(|signal| ignored >> (signal - 1) & 1 == 0).collect();
    let mut signals = signal_hook::iterator::Signals::new(heard)
        .map_err(|error| Failure::system("cannot listen to signals", &error))?;
    thread::Builder::new()
        .name("tenure-signals".to_owned())
        .spawn(move || signals.forever().for_each(&mut tell))
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    Ok(())
}

/// The set of signals that are ignored, the lowest bit for signal 1. Empty where nothing says so.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// The signals of `tenure run`: those who run a command get them; while nobody does, one that
/// ends a process ends the tracker.
#[derive(Debug)]
pub(crate) struct Signals {
    inbox: Receiver<i32>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    outbox: Sender<i32>,
    /// Who waits to lead.
    waiting: Option<Tracker>,
    /// Whether a command runs, so that others here wait for processes.
    is_running: bool,
    /// The first signal that ended a wait.
    ended_by: Option<i32>,
}

impl Signals {
    pub(crate) fn start() -> Result<Signals, Failure> {
        let (outbox, inbox) = crossbeam_channel::unbounded();
        let shared = Arc::new(Mutex::new(Shared {
            outbox,
            waiting: None,
            is_running: false,
            ended_by: None,
        }));
        let wanted: Vec<i32> = FORWARDED.into_iter().chain([SIGCHLD]).collect();
        let heard = shared.clone();
        hear(&wanted, move |signal| lock(&heard).take(signal))?;
        // Those that ended before.
        group::reap_all();
        Ok(Signals { inbox, shared })
    }

    /// From here on a signal ends the wait of `tracker`; one that came before does so now.
    pub(crate) fn wait_with(&self, tracker: &Tracker) {
        let mut shared = lock(&self.shared);
        shared.waiting = Some(tracker.clone());
        while let Ok(signal) = self.inbox.try_recv() {
            shared.take(signal);
        }
    }

    /// From here on signals are for the one who runs the command.
    pub(crate) fn run(&self) -> &Receiver<i32> {
        let mut shared = lock(&self.shared);
        shared.waiting = None;
        shared.is_running = true;
        &self.inbox
    }

    /// The command has ended, and nobody waits for a process any more.
    pub(crate) fn rest(&self) {
        let mut shared = lock(&self.shared);
        shared.is_running = false;
        group::reap_all();
    }

    /// The signal that ended a wait.
    pub(crate) fn ended_by(&self) -> Option<i32> {
        lock(&self.shared).ended_by
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // The thread that listens stays, and would keep the tracker.
        lock(&self.shared).waiting = None;
    }
}

impl Shared {
    fn take(&mut self, signal: i32) {
        match &self.waiting {
            _ if signal == SIGCHLD && !self.is_running => group::reap_all(),
            None => {
                let _ = self.outbox.send(signal);
            }
            Some(tracker) if is_fatal(signal) => {
                self.ended_by.get_or_insert(signal);
                tracker.kill();
            }
            Some(_) => {}
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

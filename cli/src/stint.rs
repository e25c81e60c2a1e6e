//! One run of the command, from the start of its process to the end of the last one in its group.

use std::time::Duration;

use crossbeam_channel::{Receiver, select};
use rustix::io::Errno;
use rustix::process::Signal;
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGINT, SIGTERM, SIGTTIN, SIGTTOU};
use tenure_core::{Demotion, Instant};
use tenure_std::{BootClock, Clock, Guard, Tracker};

use crate::child::{Child, Exit};
use crate::failure::{Failure, complain};
use crate::group::{self, Starter};
use crate::plan::{Deadlines, Plan};
use crate::signals;
use crate::terminal::Terminal;
use crate::watchdog::{self, Watchdog};

/// Whoever is alive this long after KILL cannot be killed, or not now.
const SURVIVES: Duration = Duration::from_secs(1);

/// What all stints share.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) starter: Starter,
    /// Whether orphans come to this process, see [`group::adopt_orphans`].
    pub(crate) is_adopting: bool,
}

/// How a stint ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit: Exit,
    /// Why the command was ended, if that was for the loss of its leadership.
    pub(crate) loss: Option<Loss>,
    /// Whether something of it was alive after that leadership had ended.
    pub(crate) has_outlived: bool,
    /// Whether it was ended because tenure was asked to.
    pub(crate) is_stopped: bool,
}

/// Why the command may not go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Loss {
    /// The unit does not lead.
    Lease(Demotion),
    /// It does, and nobody would end the command if it did not.
    Watchdog(watchdog::Failed),
}

/// Runs the command, and returns when all of its group is gone. To be called by the first thread.
pub(crate) fn run(
    plan: &Plan,
    crew: &Crew,
    tracker: &Tracker,
    guard: &mut Guard,
    signals: &Receiver<i32>,
) -> Result<Outcome, Failure> {
    let term = guard.term();
    let names = [
        ("TENURE_SERVICE", tracker.service_name().to_string()),
        ("TENURE_UNIT", tracker.unit_name().to_string()),
        ("TENURE_TERM", term.to_string()),
    ];
    let mut terminal = plan.is_foreground.then(Terminal::of_foreground).flatten();
    let had_orphans = group::has_any_orphans();
    let child = Child::start(&crew.starter, &plan.program, &names, terminal.is_some())?;
    let until = plan.deadlines(guard.valid_until()).watchdog_at;
    let watchdog = match Watchdog::start(&crew.starter, child.group(), until) {
        Ok(watchdog) => watchdog,
        Err(failure) => {
            // It is not the command yet, and can be killed.
            let _ = group::signal(child.group(), Signal::KILL);
            child.reap();
            return Err(failure);
        }
    };
    tracing::info!(pid = child.group().as_raw_pid(), term = term.number(), "command starts");
    if let Some(terminal) = &mut terminal {
        terminal.lend(child.group());
    }
    let mut stint = Stint {
        plan,
        guard,
        child,
        watchdog,
        terminal,
        is_adopting: crew.is_adopting,
        had_orphans,
        kill_at: Instant::MAX,
        killed_at: None,
        exit: None,
        loss: None,
        gone_at: Instant::MAX,
        is_stopped: false,
        has_outlived: false,
        said: Said::default(),
    };
    stint.child.go_on();
    stint.go(tracker, signals);
    Ok(stint.end())
}

struct Stint<'a> {
    plan: &'a Plan,
    guard: &'a mut Guard,
    child: Child,
    watchdog: Watchdog,
    terminal: Option<Terminal>,
    /// Whether the system says what is left of the group.
    is_adopting: bool,
    /// Whether there were orphans before the command was.
    had_orphans: bool,
    /// When to kill the group: never, as long as nothing has ended.
    kill_at: Instant,
    /// When it was killed first.
    killed_at: Option<Instant>,
    exit: Option<Exit>,
    loss: Option<Loss>,
    /// From when on nothing of it may be alive, once leadership is lost.
    gone_at: Instant,
    is_stopped: bool,
    has_outlived: bool,
    said: Said,
}

/// What was said, as once is enough.
#[derive(Debug, Default)]
struct Said {
    is_refused: bool,
    has_survived: bool,
}

impl Stint<'_> {
    /// Until the command has ended, and its group has or was killed.
    fn go(&mut self, tracker: &Tracker, signals: &Receiver<i32>) {
        let mut minion = tracker.wait_minion();
        let lost = minion.ready();
        loop {
            self.look_at_lease();
            self.look_at_stop();
            if self.has_gone() {
                return;
            }
            let now = BootClock.now();
            self.look_at_survivors(now);
            if self.kill_at <= now {
                self.killed_at.get_or_insert(now);
                self.signal(Signal::KILL);
            }
            let wait = self.wait(now);
            if self.loss.is_some() {
                // The ticket is answered for good, and would not let anybody wait.
                if let Ok(signal) = signals.recv_timeout(wait) {
                    self.forward(signal);
                }
                continue;
            }
            select! {
                recv(signals) -> signal => {
                    if let Ok(signal) = signal {
                        self.forward(signal);
                    }
                }
                recv(lost) -> _ => {}
                default(wait) => {}
            }
        }
    }

    /// How long until the next look at the latest. SIGCHLD tells of the end of all that is ours.
    fn wait(&self, now: Instant) -> Duration {
        match self.killed_at {
            Some(at) if now.saturating_duration_since(at) < SURVIVES => group::LOOK,
            Some(_) => self.plan.tick,
            None => self.plan.tick.min(self.kill_at.saturating_duration_since(now)),
        }
    }

    /// Lets the group live as long as the lease, or ends it in time.
    fn look_at_lease(&mut self) {
        if self.loss.is_some() {
            return;
        }
        let valid_until = self.guard.valid_until();
        let now = BootClock.now();
        let (loss, deadlines) = if self.guard.is_lost() || !self.guard.holds() {
            // The clock may know it before the tracker does.
            let loss = self.guard.loss().unwrap_or(Demotion::NotRenewed);
            (Loss::Lease(loss), self.plan.deadlines_after(loss, valid_until, now))
        } else if let Some(failed) = self.watchdog.failed(now) {
            (Loss::Watchdog(failed), self.plan.deadlines(valid_until))
        } else {
            self.watchdog.extend(self.plan.deadlines(valid_until).watchdog_at);
            return;
        };
        tracing::warn!(term = self.guard.term().number(), ?loss, "leadership lost: ending command");
        let Deadlines { kill_at, watchdog_at, gone_at } = deadlines;
        self.loss = Some(loss);
        self.gone_at = gone_at;
        self.watchdog.extend(watchdog_at);
        self.end_by(kill_at);
    }

    /// Says that the command was stopped, which does not end its leadership.
    fn look_at_stop(&mut self) {
        let Some(number) = self.child.stopped_by() else { return };
        let pid = self.child.group().as_raw_pid();
        let name = signal_hook::low_level::signal_name(number).unwrap_or("a signal");
        let hint = match number {
            SIGTTIN | SIGTTOU if !self.plan.is_foreground => {
                " (--foreground gives it the terminal)"
            }
            _ => "",
        };
        let own = std::process::id();
        complain(&format!(
            "the command (process {pid}) was stopped by {name}{hint}; it keeps the leadership: \
             `kill -CONT {own}` lets it go on, `kill {own}` ends it"
        ));
        if let Some(terminal) = &mut self.terminal {
            // Or no key would reach anybody who runs.
            terminal.take_back();
        }
    }

    /// Says what should be dead by now, and is not.
    ///
    /// Called at each look at which the group has not gone; also when tenure was frozen for long.
    fn look_at_survivors(&mut self, now: Instant) {
        let group = self.child.group().as_raw_pid();
        let is_over = match self.loss {
            Some(Loss::Lease(_)) => self.gone_at <= now,
            // Its lease is renewed, as long as that goes well.
            None | Some(Loss::Watchdog(_)) => !self.guard.holds(),
        };
        if is_over && !self.has_outlived {
            self.has_outlived = true;
            complain(&format!(
                "the command (process group {group}) is still alive, and its leadership has ended: \
                 another leader's may run beside it"
            ));
        }
        let has_survived =
            self.killed_at.is_some_and(|at| now.saturating_duration_since(at) >= SURVIVES);
        if has_survived && !self.said.has_survived {
            self.said.has_survived = true;
            let so = match self.loss {
                None => "its lease is kept as long",
                Some(_) => "no other is started here as long",
            };
            complain(&format!(
                "the command (process group {group}) was sent KILL, and is still alive: {so}"
            ));
        }
    }

    /// Whether the command has ended, and with it all of its group that is known of.
    fn has_gone(&mut self) -> bool {
        let is_first_look = self.exit.is_none();
        if is_first_look {
            self.exit = self.child.exit();
        }
        if self.exit.is_none() {
            return false;
        }
        if is_first_look && let Some(terminal) = &mut self.terminal {
            terminal.take_back();
        }
        if !self.is_adopting {
            // The system does not say whether anything is left.
            self.signal(Signal::KILL);
            return true;
        }
        if !group::has_orphans(self.child.group()) {
            return true;
        }
        if is_first_look {
            // What the command leaves behind would run on without the lease.
            self.end_by(BootClock.now().saturating_add(self.plan.grace));
        }
        false
    }

    /// Asks the group to end, and has it killed at `kill_at`, or when it was to be killed before.
    fn end_by(&mut self, kill_at: Instant) {
        self.kill_at = self.kill_at.min(kill_at);
        self.signal(Signal::TERM);
        // Who is stopped does not hear it.
        self.signal(Signal::CONT);
    }

    fn forward(&mut self, signal: i32) {
        if signal == SIGCHLD {
            group::has_any_orphans();
            return;
        }
        if signal == SIGCONT
            && let Some(terminal) = &mut self.terminal
        {
            terminal.lend(self.child.group());
        }
        if let Some(named) = Signal::from_named_raw(signal) {
            self.signal(named);
        }
        if signals::is_ending(signal) {
            self.signal(Signal::CONT);
        }
        if matches!(signal, SIGINT | SIGTERM) && !self.is_stopped {
            self.is_stopped = true;
            let kill_at = BootClock.now().saturating_add(self.plan.grace);
            self.kill_at = self.kill_at.min(kill_at);
        }
    }

    /// Sends `signal` to the group, and says so if it cannot.
    fn signal(&mut self, signal: Signal) {
        let sent = group::signal(self.child.group(), signal);
        // The answer for the group is that of any one in it.
        let leader = match rustix::process::test_kill_process(self.child.group()) {
            Err(Errno::PERM) if self.exit.is_none() => Err(Errno::PERM),
            Ok(()) | Err(_) => Ok(()),
        };
        if let Err(error) = sent.and(leader)
            && signal != Signal::CONT
            && !self.said.is_refused
        {
            self.said.is_refused = true;
            let pid = self.child.group().as_raw_pid();
            complain(&format!(
                "cannot signal the command (process {pid}): {error}: it may run as \
                 another user, and has to end by itself"
            ));
        }
    }

    /// Gives the numbers of the processes back, now that they are gone.
    fn end(mut self) -> Outcome {
        let group = self.child.group();
        self.watchdog.end();
        self.child.reap();
        // What has its parent elsewhere was not seen until here. It has no more time, as the number
        // of the group is its own only as long as something is in it.
        while !group::is_gone(group) {
            let now = BootClock.now();
            self.killed_at.get_or_insert(now);
            let _ = group::signal(group, Signal::KILL);
            // What they had started comes to this process.
            group::has_orphans(group);
            std::thread::sleep(group::LOOK);
            self.look_at_survivors(now);
        }
        if self.has_outlived {
            self.loss.get_or_insert(Loss::Lease(Demotion::NotRenewed));
        }
        if !self.had_orphans && group::has_any_orphans() {
            complain(
                "something that the command started has left its process group, and runs on \
                 without leadership",
            );
        }
        let exit = self.exit.unwrap_or(Exit::Code(0));
        tracing::info!(?exit, "command ended");
        Outcome {
            exit,
            loss: self.loss,
            has_outlived: self.has_outlived,
            is_stopped: self.is_stopped,
        }
    }
}

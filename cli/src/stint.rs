//! One run of the command, from the start of its process to the end of the last one in its group.

use std::time::Duration;

use crossbeam_channel::{Receiver, select};
use rustix::process::Signal;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use tenure_core::{Demotion, Instant};
use tenure_std::{BootClock, Clock, Guard, Tracker};

use crate::child::{Child, Exit, Program};
use crate::failure::Failure;
use crate::group;
use crate::watchdog::Watchdog;

/// What a stint needs to know.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) program: Program,
    /// How long the group has after TERM or INT, or after the end of the command.
    pub(crate) grace: Duration,
    /// How long before the end of the lease the group is killed: for the kernel to do so.
    pub(crate) kill_lead: Duration,
    /// How often to see whether the lease was renewed.
    pub(crate) tick: Duration,
}

/// How a stint ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit: Exit,
    /// Why the command was ended, if that was for the loss of its leadership.
    pub(crate) loss: Option<Loss>,
    /// Whether it was ended because tenure was asked to.
    pub(crate) is_stopped: bool,
}

/// Why the command may not go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Loss {
    /// The unit does not lead.
    Lease(Demotion),
    /// It does, and nobody would end the command if it did not.
    Watchdog,
}

/// Runs the command, and returns when all of its group is gone.
pub(crate) fn run(
    plan: &Plan,
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
    let child = Child::start(&plan.program, &names)?;
    let half_lead = plan.kill_lead / 2;
    let until = guard.valid_until().saturating_sub(half_lead);
    let watchdog = match Watchdog::start(child.group(), until) {
        Ok(watchdog) => watchdog,
        Err(failure) => {
            group::signal(child.group(), Signal::KILL);
            child.reap();
            return Err(failure);
        }
    };
    tracing::info!(pid = child.group().as_raw_pid(), term = term.number(), "command starts");
    let mut stint = Stint {
        plan,
        guard,
        child,
        watchdog,
        kill_at: Instant::MAX,
        exit: None,
        loss: None,
        is_stopped: false,
        is_unseen: false,
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
    /// When to kill the group: never, as long as nothing has ended.
    kill_at: Instant,
    exit: Option<Exit>,
    loss: Option<Loss>,
    is_stopped: bool,
    /// Whether the system does not say which processes are in the group.
    is_unseen: bool,
}

impl Stint<'_> {
    /// Until the command has ended, and its group has or was killed.
    fn go(&mut self, tracker: &Tracker, signals: &Receiver<i32>) {
        let mut minion = tracker.wait_minion();
        let lost = minion.ready();
        loop {
            self.look_at_lease();
            if self.has_gone() {
                return;
            }
            let now = BootClock.now();
            if self.kill_at <= now {
                group::signal(self.child.group(), Signal::KILL);
            }
            let mut wait = self.plan.tick;
            if self.exit.is_some() || self.kill_at <= now {
                // The rest of the group says nothing when it ends.
                wait = group::LOOK;
            } else {
                wait = wait.min(self.kill_at.saturating_duration_since(now));
            }
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

    /// Lets the group live as long as the lease, or ends it in time.
    fn look_at_lease(&mut self) {
        if self.loss.is_some() {
            return;
        }
        let valid_until = self.guard.valid_until();
        let loss = if self.guard.is_lost() || !self.guard.holds() {
            // The clock may know it before the tracker does.
            Loss::Lease(self.guard.loss().unwrap_or(Demotion::NotRenewed))
        } else if self.watchdog.has_died() {
            Loss::Watchdog
        } else {
            self.watchdog.extend(valid_until.saturating_sub(self.plan.kill_lead / 2));
            return;
        };
        tracing::warn!(term = self.guard.term().number(), ?loss, "leadership lost: ending command");
        self.loss = Some(loss);
        self.end_by(valid_until.saturating_sub(self.plan.kill_lead));
    }

    /// Whether the command has ended, and with it all of its group.
    fn has_gone(&mut self) -> bool {
        let is_first_look = self.exit.is_none();
        if is_first_look {
            self.exit = self.child.exit();
        }
        if self.exit.is_none() {
            return false;
        }
        match group::is_alive(self.child.group()) {
            Some(false) => true,
            Some(true) => {
                if is_first_look {
                    // What the command leaves behind would run on without the lease.
                    self.end_by(BootClock.now().saturating_add(self.plan.grace));
                }
                false
            }
            None => {
                // Nobody can say whether anything is left, or when it has ended.
                group::signal(self.child.group(), Signal::KILL);
                self.is_unseen = true;
                true
            }
        }
    }

    /// Asks the group to end, and has it killed at `kill_at`, or when it was to be killed before.
    fn end_by(&mut self, kill_at: Instant) {
        self.kill_at = self.kill_at.min(kill_at);
        group::signal(self.child.group(), Signal::TERM);
        // Who is stopped does not hear it.
        group::signal(self.child.group(), Signal::CONT);
    }

    fn forward(&mut self, signal: i32) {
        if signal == SIGCHLD {
            group::reap_orphans(&[self.child.group(), self.watchdog.pid()]);
            return;
        }
        if let Some(signal) = Signal::from_named_raw(signal) {
            group::signal(self.child.group(), signal);
        }
        if matches!(signal, SIGINT | SIGTERM) && !self.is_stopped {
            self.is_stopped = true;
            let kill_at = BootClock.now().saturating_add(self.plan.grace);
            self.kill_at = self.kill_at.min(kill_at);
        }
    }

    /// Gives the numbers of the processes back, now that they are gone.
    fn end(mut self) -> Outcome {
        let group = self.child.group();
        self.watchdog.end();
        self.child.reap();
        if self.is_unseen {
            group::wait_until_free(group);
        }
        let exit = self.exit.unwrap_or(Exit::Code(0));
        tracing::info!(?exit, "command ended");
        Outcome { exit, loss: self.loss, is_stopped: self.is_stopped }
    }
}

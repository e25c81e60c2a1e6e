//! `tenure run`: a command that runs while its unit leads.
//!
//! | when | what |
//! | --- | --- |
//! | the unit leads | CMD starts |
//! | TERM or INT comes | the group gets it; KILL after `--grace`; renewals go on |
//! | CMD ends | what is left of its group gets TERM; KILL after `--grace` |
//! | `step_down_at`, `guarantee / 2` before `valid_until` | the group gets TERM |
//! | [`KILL_LEAD_PART`] of the guarantee before `valid_until` | the group gets KILL |
//! | half as long before `valid_until` | the watchdog kills the group, if it still has to |
//! | all of the group is gone | the lease is released |

use std::time::Duration;

use tenure_core::{Demotion, NameError, UnitName};
use tenure_std::{Tracker, WorkError};

use crate::args::{OnLoss, RunOptions};
use crate::child::Program;
use crate::failure::{self, Failure, chain};
use crate::signals::Signals;
use crate::stint::{self, Loss, Outcome, Plan};

/// The group is killed this part of the guarantee before the lease ends: enough for a timer that is
/// late on a busy machine, and for the kernel to end the processes.
const KILL_LEAD_PART: u32 = 10;
/// More than this is of no more use.
const KILL_LEAD_MAX: Duration = Duration::from_secs(1);

/// The command.
pub(crate) fn run(options: &RunOptions) -> Result<u8, Failure> {
    let service = options.place.service(options.unit.as_ref())?;
    let unit = match &options.unit {
        Some(unit) => unit.clone(),
        None => default_unit()?,
    };
    let plan = plan(options, Program::find(&options.command)?);
    let signals = Signals::start()?;
    let url = options.place.store()?;
    let config = options.clocks.config(options.guarantee, &url)?;
    let store = url.open_to_contend(config.claim_timeout())?;
    let closed = store.closed();
    let (tracker, driver) = Tracker::new(store, service, unit, config);
    driver.spawn().map_err(|error| Failure::system("cannot start a thread", &error))?;
    let result = contend(options.on_loss, &plan, &tracker, &signals);
    // Whatever the result: the group is gone, and the lease free for the next.
    let stopped = tracker.stop();
    drop((tracker, signals));
    closed.wait();
    let code = result?;
    if let Err(error) = stopped {
        tracing::warn!(error = chain(&error), "the lease was not released");
    }
    Ok(code)
}

fn plan(options: &RunOptions, program: Program) -> Plan {
    let guarantee = options.guarantee;
    Plan {
        program,
        grace: options.grace,
        kill_lead: (guarantee / KILL_LEAD_PART).min(KILL_LEAD_MAX),
        tick: (guarantee / 20).clamp(Duration::from_millis(1), Duration::from_millis(250)),
    }
}

/// Leads and runs the command, as often as it has to.
fn contend(
    on_loss: OnLoss,
    plan: &Plan,
    tracker: &Tracker,
    signals: &Signals,
) -> Result<u8, Failure> {
    loop {
        signals.wait_with(tracker);
        let led = tracker.while_leader(|guard| stint::run(plan, tracker, guard, signals.run()));
        let outcome = match led {
            Ok(outcome) => outcome?,
            Err(error) => return end_of_wait(tracker, signals, &error),
        };
        match (outcome.loss, on_loss) {
            (None, _) => return Ok(outcome.exit.code()),
            // Also by a signal that came just before the command began.
            (Some(_), _) if outcome.is_stopped || signals.ended_by().is_some() => {
                return Ok(outcome.exit.code());
            }
            (Some(loss), OnLoss::Stop) => return Err(lost(loss, &outcome, tracker)),
            (Some(_), OnLoss::Restart) => {}
        }
    }
}

/// The wait to lead has ended: by a signal, or because of the store.
fn end_of_wait(tracker: &Tracker, signals: &Signals, error: &WorkError) -> Result<u8, Failure> {
    if let Some(signal) = signals.ended_by() {
        return Ok(failure::SIGNAL.saturating_add(u8::try_from(signal).unwrap_or(0)));
    }
    match tracker.wait() {
        Ok(()) => Err(Failure::store(error)),
        Err(error) => Err(Failure::store(&error)),
    }
}

fn lost(loss: Loss, outcome: &Outcome, tracker: &Tracker) -> Failure {
    let why = match loss {
        Loss::Lease(reason) => {
            let error = match reason {
                Demotion::NotRenewed | Demotion::StoreFailed => tracker.last_error(),
                Demotion::Denied | Demotion::Interrupted | Demotion::Resigned => None,
            };
            let error = error.map(|error| format!(" (the store's last error: {})", chain(&*error)));
            format!("{}{}", WorkError::Lost(reason), error.unwrap_or_default())
        }
        Loss::Watchdog => "leadership cannot be relied on: the watchdog died".to_owned(),
    };
    let code = outcome.exit.code();
    Failure::new(failure::LOST, format_args!("{why}; the command was stopped, its code was {code}"))
}

/// `HOST:PID`: told apart from others on this host and elsewhere, also by people.
fn default_unit() -> Result<UnitName, Failure> {
    let system = rustix::system::uname();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let host: String = system.nodename().to_string_lossy().chars().take(64).map(allowed).collect();
    format!("{host}:{}", std::process::id()).parse().map_err(|error: NameError| {
        Failure::new(failure::USAGE, format_args!("--unit is missing: {error}"))
    })
}

//! `tenure run`: a command that runs while its unit leads.
//!
//! | when | what |
//! | --- | --- |
//! | the unit leads | CMD starts |
//! | TERM or INT comes | the group gets it; KILL after `--grace`; renewals go on |
//! | CMD ends | what is left of its group gets TERM; KILL after `--grace` |
//! | `step_down_at`, `guarantee / 2` before `valid_until` | the group gets TERM |
//! | a tenth of the guarantee (1 s at most) before `valid_until` | the group gets KILL |
//! | half as long before `valid_until` | the watchdog kills the group, if it still has to |
//! | the store names another | TERM; KILL a twentieth of the guarantee (500 ms at most) later |
//! | the watchdog dies, is stopped or silent | as when the lease is not renewed |
//! | all of the group is gone | the lease is released |
//! | something of it cannot be killed | said; renewals go on, and nothing is released or begun |
//!
//! The numbers are in `plan`.

use tenure_core::{Demotion, NameError, UnitName};
use tenure_std::{Tracker, WorkError};

use crate::args::{OnLoss, RunOptions};
use crate::failure::{self, Failure, chain};
use crate::group::{self, Starter};
use crate::plan::Plan;
use crate::signals::{self, Signals};
use crate::stint::{self, Crew, Loss, Outcome};

/// The command.
pub(crate) fn run(options: &RunOptions) -> Result<u8, Failure> {
    let service = options.place.service(options.unit.as_ref())?;
    let unit = match &options.unit {
        Some(unit) => unit.clone(),
        None => default_unit()?,
    };
    let plan = Plan::new(options)?;
    signals::block_terminal_stops()?;
    let crew = Crew { is_adopting: group::adopt_orphans(), starter: Starter::new()? };
    let signals = Signals::start()?;
    let url = options.place.store()?;
    let config = options.clocks.config(options.guarantee, &url)?;
    let store = url.open_to_contend(config.claim_timeout())?;
    let closed = store.closed();
    let (tracker, driver) = Tracker::new(store, service, unit, config);
    driver.spawn().map_err(|error| Failure::system("cannot start a thread", &error))?;
    let result = contend(options.on_loss, &plan, &crew, &tracker, &signals);
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

/// Leads and runs the command, as often as it has to.
fn contend(
    on_loss: OnLoss,
    plan: &Plan,
    crew: &Crew,
    tracker: &Tracker,
    signals: &Signals,
) -> Result<u8, Failure> {
    loop {
        signals.wait_with(tracker);
        let led = tracker.while_leader(|guard| {
            let outcome = stint::run(plan, crew, tracker, guard, signals.run());
            signals.rest();
            outcome
        });
        let outcome = match led {
            Ok(outcome) => outcome?,
            Err(error) => return end_of_wait(tracker, signals, &error),
        };
        match (outcome.loss, on_loss) {
            (None, _) => return Ok(outcome.exit.code()),
            (Some(loss), OnLoss::Stop) if outcome.has_outlived => {
                return Err(lost(loss, &outcome, tracker));
            }
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
        Loss::Watchdog(failed) => {
            format!("leadership cannot be relied on: the watchdog {}", failed.verb())
        }
    };
    let code = outcome.exit.code();
    if outcome.has_outlived {
        return Failure::new(
            failure::OUTLIVED,
            format_args!(
                "{why}; the command could not be ended in time and ran on without leadership, \
                 its code was {code}"
            ),
        );
    }
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

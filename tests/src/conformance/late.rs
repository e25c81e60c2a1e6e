//! Clauses 2 and 6, for calls that were made in time and reach the store after others.

use std::thread;
use std::time::{Duration, Instant};

use tenure_core::{Candidate, ClaimAnswer, ClaimerError, ServiceName};

use super::Clause;
use super::client::Client;
use super::ground::{
    Ground, HoldUp, LONG, Premise, Stop, answered, bid, broken, denied, ensure, granted, left_out,
};

/// Has the request of `call` held up by which it takes effect, and does `meanwhile` before it is
/// let go.
fn overtaken<T: Send>(
    ground: &Ground,
    call: impl FnOnce() -> Result<T, ClaimerError> + Send,
    meanwhile: impl FnOnce() -> Result<(), Stop>,
) -> Result<Result<T, ClaimerError>, Stop> {
    let Some(HoldUp { hold, is_holding }) = &ground.hold_up else {
        return left_out("no way to hold up a request was given (`holding_up`)");
    };
    thread::scope(|scope| {
        hold(true);
        let call = scope.spawn(call);
        let began = Instant::now();
        while !is_holding() && !call.is_finished() && began.elapsed() < ground.patience {
            thread::sleep(Duration::from_millis(1));
        }
        let done = if is_holding() { meanwhile() } else { Err(Stop::TooSlow) };
        hold(false);
        let answer = call.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done.map(|()| answer)
    })
}

/// `holder` gives `service` up by another client, and somebody else takes it.
fn hands_over(client: &dyn Client, holder: &Candidate, next: &Candidate) -> Result<(), Stop> {
    answered("a release is answered", client.release(holder))?;
    granted("a released service is granted", client.claim(next, LONG)).map(drop)
}

/// `holder` still holds its service, and a third is denied.
fn still_holds(
    client: &dyn Client,
    service: &ServiceName,
    holder: &Candidate,
    expected: &str,
) -> Result<(), Stop> {
    let leader = answered(expected, client.leader(service))?;
    let is_held = leader.as_ref().is_some_and(|leader| leader.unit == holder.unit);
    ensure(is_held, expected, leader)?;
    denied(expected, client.claim(&bid(service, "unit/2"), LONG))
}

pub(super) fn a_release_frees_nobody_elses(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    ground.denies_others(&*theirs)?;
    let service = ground.service();
    let (holder, next) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
    granted("a free service is granted", ours.claim(&holder, LONG))?;
    let release = overtaken(
        ground,
        || ours.release(&holder),
        || hands_over(&*theirs, &holder, &next).premise(Clause::Release),
    )?;
    let expected = "a release that arrives late does not free who came next";
    if let Err(ClaimerError::Fatal(_)) = release {
        return broken(expected, release);
    }
    still_holds(&*theirs, &service, &next, expected)
}

pub(super) fn a_renewal_takes_nothing_from_the_next(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    ground.denies_others(&*theirs)?;
    let service = ground.service();
    let (holder, next) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
    granted("a free service is granted", ours.claim(&holder, LONG))?;
    let renewal = overtaken(
        ground,
        || ours.claim(&holder, LONG),
        || hands_over(&*theirs, &holder, &next).premise(Clause::Release),
    )?;
    let expected = "a renewal that arrives late takes nothing from who came next";
    match renewal {
        Ok(ClaimAnswer::Denied { .. }) | Err(ClaimerError::Unknown(_)) => {}
        Ok(ClaimAnswer::Granted { .. }) | Err(_) => return broken(expected, renewal),
    }
    still_holds(&*theirs, &service, &next, expected)
}

pub(super) fn a_renewal_shortens_no_later_one(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let holder = bid(&service, "unit/0");
    // Long beside what all of this takes, and short beside what comes after it.
    let short = LONG / 60;
    let term = granted("a free service is granted", ours.claim(&holder, short))?;
    // It is given up, say, and the next one overtakes it.
    let late = overtaken(
        ground,
        || ours.claim(&holder, short),
        || granted("its holder renews", theirs.claim(&holder, LONG)).map(drop),
    )?;
    let expected = "a renewal that arrives late does not shorten a later one";
    match late {
        Ok(ClaimAnswer::Granted { term: same }) => ensure(same == term, expected, same)?,
        Err(ClaimerError::Unknown(_)) => {}
        Ok(ClaimAnswer::Denied { .. }) | Err(_) => return broken(expected, late),
    }
    let leader = answered(expected, theirs.leader(&service))?;
    let lasts = leader.as_ref().is_some_and(|leader| leader.remaining > LONG / 2);
    ensure(lasts, expected, leader)
}

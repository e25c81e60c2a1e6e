//! Clause 1: a grant lasts at least its lease from the call, by the store's clock.

use std::time::Duration;

use tenure_core::{ClaimAnswer, ClaimerError, Leader};

use super::ground::{
    Ground, LONG, OpenSkewed, Premise, Stop, again, answered, bid, broken, denied, ensure, granted,
    left_out,
};
use super::{Clause, Skew};

pub(super) fn lasts_its_lease(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    ground.denies_others(&*theirs)?;
    // A store that counts in whole milliseconds must round in the holder's favour.
    for offset_ns in [0, 333_333, 999_999] {
        let service = ground.service();
        let (holder, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
        ground.pass(Duration::from_nanos(offset_ns));
        let called = ground.now();
        granted("a free service is granted", ours.claim(&holder, ground.short))?;
        lasts_until(ground, called, |lease| theirs.claim(&other, lease))?;
    }
    Ok(())
}

pub(super) fn lasts_from_its_renewal(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    ground.denies_others(&*theirs)?;
    let service = ground.service();
    let (holder, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
    let claimed = ground.now();
    granted("a free service is granted", ours.claim(&holder, ground.short))?;
    ground.pass(ground.short / 2);
    let called = ground.now();
    granted("a renewal is granted", ours.claim(&holder, ground.short))
        .premise(Clause::Exclusion)?;
    ground.in_time(claimed, ground.short)?;
    lasts_until(ground, called, |lease| theirs.claim(&other, lease))
}

/// Another's claims are refused until a short lease from `called` is over.
fn lasts_until(
    ground: &Ground,
    called: Duration,
    claim: impl Fn(Duration) -> Result<ClaimAnswer, ClaimerError>,
) -> Result<(), Stop> {
    let end = called + ground.short;
    let expected = "nobody else is granted before the lease is over, counted from the call";
    loop {
        let now = ground.now();
        if now >= end {
            return Ok(());
        }
        let left = end - now;
        // By halves towards the end, so that a lease that is only just too short is seen as well.
        let step = if left < Duration::from_micros(500) {
            left.saturating_sub(Duration::from_nanos(1)).max(Duration::from_nanos(1))
        } else {
            left / 2
        };
        ground.pass(step);
        let answer = claim(ground.short);
        let elapsed = ground.now() - called;
        match answer {
            Ok(ClaimAnswer::Denied { .. }) => {}
            Ok(ClaimAnswer::Granted { .. }) if elapsed >= ground.at_least(ground.short) => {
                return Ok(());
            }
            Ok(ClaimAnswer::Granted { .. }) | Err(_) => {
                return broken(
                    expected,
                    format!("{answer:?} after {elapsed:?} of {:?}", ground.short),
                );
            }
        }
    }
}

pub(super) fn is_given_away_once_lapsed(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    granted("a free service is granted", ours.claim(&bid(&service, "unit/0"), ground.short))?;
    ground.take_over_after_lease(&*theirs, &bid(&service, "unit/1"), LONG)?;
    Ok(())
}

pub(super) fn heeds_no_client_clock(ground: &Ground) -> Result<(), Stop> {
    let Some(OpenSkewed(open_skewed)) = &ground.open_skewed else {
        return left_out("no client with a wrong clock was given (`wrong_clock`)");
    };
    let right = ground.open();
    ground.denies_others(&*right)?;
    for skew in [Skew::Ahead, Skew::Behind] {
        let wrong = open_skewed(skew);
        let service = ground.service();
        let (holder, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
        granted("a free service is granted", wrong.claim(&holder, LONG))?;
        let expected = format!("a client whose clock is {skew:?} holds its whole lease");
        denied(&expected, right.claim(&other, LONG))?;

        let service = ground.service();
        let (holder, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
        granted("a free service is granted", right.claim(&holder, LONG))?;
        let expected = format!("a client whose clock is {skew:?} takes no lease that still lasts");
        denied(&expected, wrong.claim(&other, LONG))?;
    }
    Ok(())
}

pub(super) fn outlives_its_clients(ground: &Ground) -> Result<(), Stop> {
    let service = ground.service();
    let (holder, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
    let ours = ground.open();
    ground.denies_others(&*ours)?;
    granted("a free service is granted", ours.claim(&holder, LONG))?;
    drop(ours);
    let expected = "a lease lasts when the client that claimed it is gone";
    let theirs = ground.open();
    denied(expected, theirs.claim(&other, LONG))?;
    denied(expected, theirs.claim(&again(&holder), LONG)).premise(Clause::Exclusion)
}

pub(super) fn outlives_a_restart(ground: &Ground) -> Result<(), Stop> {
    let Some(restart) = &ground.restart else {
        return left_out("no way to restart the store was given (`restarting`)");
    };
    let service = ground.service();
    let (holder, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
    let before = ground.open();
    ground.denies_others(&*before)?;
    granted("a free service is granted", before.claim(&holder, LONG))?;
    drop(before);
    restart();
    let after = ground.open();
    denied("a lease outlives a restart of the store", after.claim(&other, LONG))
}

pub(super) fn never_overflows(ground: &Ground) -> Result<(), Stop> {
    let client = ground.open();
    ground.denies_others(&*client)?;
    let service = ground.service();
    let (holder, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
    match client.claim(&holder, Duration::MAX) {
        // Refusing what it cannot represent is right as well.
        Err(_) => Ok(()),
        answer => {
            granted("the longest lease is granted or refused", answer)?;
            ground.pass(ground.short);
            denied("the longest lease lasts", client.claim(&other, ground.short))
        }
    }
}

pub(super) fn names_the_leader(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let holder = bid(&service, "unit/0");
    let nobody = "nobody leads a free service";
    let leader = answered(nobody, theirs.leader(&service))?;
    ensure(leader.is_none(), nobody, leader)?;

    let called = ground.now();
    let term = granted("a free service is granted", ours.claim(&holder, LONG))?;
    ground.pass(ground.short);
    let leader = answered("the leader is named", theirs.leader(&service))?;
    let least = LONG.saturating_sub((ground.now() - called).mul_f64(1.1) + ground.granularity);
    let most = LONG + ground.granularity;
    let right = |leader: &Leader| {
        leader.unit == holder.unit
            && leader.term == term
            && (least..=most).contains(&leader.remaining)
    };
    let expected = format!("{} leads in term {term}, for {least:?} to {most:?}", holder.unit);
    ensure(leader.as_ref().is_some_and(right), &expected, &leader)?;

    let lapsed = ground.service();
    granted("a free service is granted", ours.claim(&bid(&lapsed, "unit/0"), ground.short))?;
    // Whether it lapsed is told by a claim, which takes its place; so this asks after a second one.
    ground.take_over_after_lease(&*theirs, &bid(&lapsed, "unit/1"), ground.short)?;
    ground.pass(ground.short * 2 + ground.granularity);
    let leader = answered("nobody leads once the lease has lapsed", theirs.leader(&lapsed))?;
    ensure(leader.is_none(), "nobody leads once the lease has lapsed", leader)
}

pub(super) fn denies_for_no_longer(ground: &Ground) -> Result<(), Stop> {
    let client = ground.open();
    let service = ground.service();
    let holder = bid(&service, "unit/0");
    granted("a free service is granted", client.claim(&holder, LONG))?;
    let answer = client.claim(&bid(&service, "unit/1"), LONG);
    let plausible = match &answer {
        Ok(ClaimAnswer::Denied { leader, retry_after }) => {
            leader.as_ref().is_none_or(|leader| *leader == holder.unit)
                && retry_after.is_none_or(|span| span <= LONG + ground.granularity)
        }
        Ok(ClaimAnswer::Granted { .. }) | Err(_) => {
            return denied("nobody else is granted", answer).premise(Clause::Exclusion);
        }
    };
    ensure(plausible, "a denial that names the holder, and no more than its lease", answer)
}

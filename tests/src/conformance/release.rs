//! Clause 6: `release` frees only the caller's own (unit, nonce); it is idempotent.

use tenure_core::Candidate;

use super::Clause;
use super::ground::{Ground, LONG, Premise, Stop, again, answered, bid, denied, ensure, granted};

pub(super) fn frees_its_own(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let holder = bid(&service, "unit/0");
    granted("a free service is granted", ours.claim(&holder, LONG))?;
    answered("a release is answered", ours.release(&holder))?;
    let leader = answered("nobody leads after a release", theirs.leader(&service))?;
    ensure(leader.is_none(), "nobody leads after a release", leader)?;
    let next = theirs.claim(&bid(&service, "unit/1"), LONG);
    granted("another is granted at once after a release", next).map(drop)
}

pub(super) fn frees_nobody_elses(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let (holder, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
    granted("a free service is granted", ours.claim(&holder, LONG))?;
    let elsewhere = ground.service();
    let strangers = [
        ("another unit", other.clone()),
        ("the same unit under another nonce", again(&holder)),
        (
            "another unit under the same nonce",
            Candidate { unit: other.unit.clone(), ..holder.clone() },
        ),
        ("the same unit and nonce elsewhere", Candidate { service: elsewhere, ..holder.clone() }),
    ];
    for (who, stranger) in &strangers {
        let claim = || theirs.claim(&other, LONG);
        denied("nobody else is granted", claim()).premise(Clause::Exclusion)?;
        let expected = format!("a release by {who} does nothing, successfully");
        answered(&expected, theirs.release(stranger))?;
        answered(&expected, ours.release(stranger))?;
        let leader = answered(&expected, theirs.leader(&service))?;
        let held = leader.as_ref().is_some_and(|leader| leader.unit == holder.unit);
        ensure(held, &expected, leader)?;
        denied(&expected, claim())?;
    }
    Ok(())
}

pub(super) fn may_be_repeated(ground: &Ground) -> Result<(), Stop> {
    let client = ground.open();
    let service = ground.service();
    let holder = bid(&service, "unit/0");
    answered("who never claimed may release", client.release(&holder))?;
    granted("a free service is granted", client.claim(&holder, LONG))?;
    for _ in 0..3 {
        answered("a release may be repeated", client.release(&holder))?;
    }
    granted("a released service is granted", client.claim(&again(&holder), LONG)).map(drop)
}

pub(super) fn may_come_too_late(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let first = bid(&service, "unit/0");
    granted("a free service is granted", ours.claim(&first, LONG))?;
    answered("a release is answered", ours.release(&first))?;
    // The same unit's next claim; then its first release comes once more, from the network.
    let second = again(&first);
    granted("a released service is granted", ours.claim(&second, LONG))?;
    denied("nobody else is granted", theirs.claim(&bid(&service, "unit/1"), LONG))
        .premise(Clause::Exclusion)?;
    answered("a late release does nothing, successfully", ours.release(&first))?;
    let expected = "a late release does not free a later claim";
    denied(expected, theirs.claim(&bid(&service, "unit/1"), LONG))?;

    let lapsed = ground.service();
    let late = bid(&lapsed, "unit/0");
    granted("a free service is granted", ours.claim(&late, ground.short))?;
    ground.take_over_after_lease(&*theirs, &bid(&lapsed, "unit/1"), LONG).premise(Clause::Lease)?;
    answered("a late release does nothing, successfully", ours.release(&late))?;
    let expected = "a release after the lease lapsed does not free who came next";
    denied(expected, ours.claim(&again(&late), LONG))
}

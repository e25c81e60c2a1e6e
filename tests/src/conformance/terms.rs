//! Clause 3: the term rises whenever the holder changes, and never falls.

use tenure_core::{Candidate, ClaimerError, Term};

use super::Clause;
use super::client::Client;
use super::contest::contests;
use super::ground::{
    Exhaust, Ground, LONG, Premise, Stop, again, answered, bid, broken, ensure, granted, left_out,
};

pub(super) fn rise_after_a_release(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let mut holder = bid(&service, "unit/0");
    let mut term = granted("a free service is granted", ours.claim(&holder, LONG))?;
    let successors =
        [bid(&service, "unit/1"), again(&holder), again(&holder), bid(&service, "unit/1")];
    for next in successors {
        ground.release(&*ours, &holder)?;
        let rose = granted("a released service is granted", theirs.claim(&next, LONG))
            .premise(Clause::Release)?;
        ensure(rose > term, &above(term, &holder, &next), rose)?;
        (holder, term) = (next, rose);
    }
    Ok(())
}

pub(super) fn rise_after_an_expiry(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let mut holder = bid(&service, "unit/0");
    let mut term = granted("a free service is granted", ours.claim(&holder, ground.short))?;
    for next in [bid(&service, "unit/1"), again(&holder), again(&holder)] {
        let rose =
            ground.take_over_after_lease(&*theirs, &next, ground.short).premise(Clause::Lease)?;
        ensure(rose > term, &above(term, &holder, &next), rose)?;
        (holder, term) = (next, rose);
    }
    Ok(())
}

fn above(term: Term, holder: &Candidate, next: &Candidate) -> String {
    format!(
        "a term above {term} when ({}, {}) follows ({}, {})",
        next.unit, next.nonce, holder.unit, holder.nonce
    )
}

pub(super) fn fall_for_no_returning_holder(ground: &Ground) -> Result<(), Stop> {
    let client = ground.open();
    let service = ground.service();
    let holder = bid(&service, "unit/0");
    let term = granted("a free service is granted", client.claim(&holder, ground.short))?;
    let lapsed =
        ground.take_over_after_lease(&*client, &holder, ground.short).premise(Clause::Lease)?;
    ensure(lapsed >= term, &format!("at least {term} for who lapsed and came back"), lapsed)?;
    ground.release(&*client, &holder)?;
    let back = granted("a released service is granted", client.claim(&holder, LONG))
        .premise(Clause::Release)?;
    ensure(back >= lapsed, &format!("at least {lapsed} for who released and came back"), back)?;

    // In between was somebody else: now the holder has changed twice.
    ground.release(&*client, &holder)?;
    let between =
        granted("a released service is granted", client.claim(&again(&holder), ground.short))
            .premise(Clause::Release)?;
    ensure(between > back, &format!("a term above {back} for another holder"), between)?;
    let late = ground.take_over_after_lease(&*client, &holder, LONG).premise(Clause::Lease)?;
    ensure(late > between, &format!("a term above {between} for another holder"), late)
}

pub(super) fn are_those_the_leader_has(ground: &Ground) -> Result<(), Stop> {
    let client = ground.open();
    let service = ground.service();
    let term = granted("a free service is granted", client.claim(&bid(&service, "unit/0"), LONG))?;
    let leader = answered("the leader is named", client.leader(&service))?;
    let same = leader.as_ref().is_some_and(|leader| leader.term == term);
    ensure(same, &format!("the leader's term is {term}, as it was granted"), leader)
}

pub(super) fn rise_under_contention(ground: &Ground) -> Result<(), Stop> {
    let mut last: Option<(Candidate, Term)> = None;
    for contest in contests(ground)? {
        let one = contest.winners().count() <= 1;
        ensure(one, "of those who claim at once, one is granted", &contest)
            .premise(Clause::Atomicity)?;
        let Some((winner, term)) = contest.winners().next() else { continue };
        if let Some((holder, highest)) = &last {
            let rose = if holder == winner { term >= *highest } else { term > *highest };
            let expected = format!("a term above {highest}, or the same for the same holder");
            ensure(rose, &expected, &contest)?;
        }
        last = Some((winner.clone(), term));
    }
    Ok(())
}

pub(super) fn outlive_a_restart(ground: &Ground) -> Result<(), Stop> {
    let Some(restart) = &ground.restart else {
        return left_out("no way to restart the store was given (`restarting`)");
    };
    let service = ground.service();
    let before = ground.open();
    let first = bid(&service, "unit/0");
    granted("a free service is granted", before.claim(&first, LONG))?;
    ground.release(&*before, &first)?;
    let second = bid(&service, "unit/1");
    let term = granted("a released service is granted", before.claim(&second, LONG))
        .premise(Clause::Release)?;
    ground.release(&*before, &second)?;
    drop(before);
    restart();
    let rose = granted("a released service is granted", ground.open().claim(&again(&first), LONG))
        .premise(Clause::Release)?;
    ensure(rose > term, &format!("a term above {term} after a restart of the store"), rose)
}

pub(super) fn end_fatally(ground: &Ground) -> Result<(), Stop> {
    let Some(Exhaust(exhaust)) = &ground.exhaust_terms else {
        return left_out(
            "no way to put a service's terms at their end was given (`exhausting_terms`)",
        );
    };
    let service = ground.service();
    exhaust(&service);
    let client = ground.open();
    // Twice: a counter that wraps may well refuse once.
    ends_fatally(&*client, &bid(&service, "unit/0"))?;
    ends_fatally(&*client, &bid(&service, "unit/1"))
}

fn ends_fatally(client: &dyn Client, candidate: &Candidate) -> Result<(), Stop> {
    match client.claim(candidate, LONG) {
        Err(ClaimerError::Fatal(_)) => Ok(()),
        answer => broken("a fatal error where no term is left", answer),
    }
}

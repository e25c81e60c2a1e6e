//! Clause 2: while a grant lasts no other (unit, nonce) is granted. The same one renews; a renewal
//! never shortens, and keeps its term.

use tenure_core::{Candidate, ServiceName, UnitName};

use super::Clause;
use super::ground::{
    Ground, LONG, Premise, Stop, again, answered, bid, broken, denied, ensure, granted, name,
};

pub(super) fn denies_everybody_else(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let holder = bid(&service, "unit/0");
    let term = granted("a free service is granted", ours.claim(&holder, LONG))?;
    let other = bid(&service, "unit/1");
    let rivals = [
        ("another unit is denied", other.clone()),
        ("the same unit under another nonce is denied", again(&holder)),
        (
            "another unit under the same nonce is denied",
            Candidate { unit: other.unit, ..holder.clone() },
        ),
    ];
    for (expected, rival) in &rivals {
        denied(expected, theirs.claim(rival, LONG))?;
        denied(expected, ours.claim(rival, LONG))?;
    }
    let expected = "the holder still holds it, after others were denied";
    let leader = answered(expected, theirs.leader(&service))?;
    let still =
        leader.as_ref().is_some_and(|leader| leader.unit == holder.unit && leader.term == term);
    ensure(still, expected, leader)
}

pub(super) fn renews_and_keeps_the_term(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let holder = bid(&service, "unit/0");
    let term = granted("a free service is granted", ours.claim(&holder, LONG))?;
    for client in [&ours, &theirs, &ours] {
        let renewed = granted("its holder renews", client.claim(&holder, LONG))?;
        ensure(renewed == term, &format!("a renewal keeps term {term}"), renewed)?;
    }
    Ok(())
}

pub(super) fn a_renewal_never_shortens(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let (holder, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
    granted("a free service is granted", ours.claim(&holder, LONG))?;
    granted("its holder renews", ours.claim(&holder, ground.short))?;
    ground.pass(ground.short * 2 + ground.granularity);
    let expected = "a renewal by less than what is left leaves what is left";
    denied(expected, theirs.claim(&other, LONG))
}

pub(super) fn tells_units_apart_exactly(ground: &Ground) -> Result<(), Stop> {
    let client = ground.open();
    let longest = "u".repeat(UnitName::MAX_LEN - 1);
    let names = [
        ["web/1", "web/10"],
        ["web/10", "web/1"],
        ["web/1", "Web/1"],
        ["a_b", "axb"],
        ["a.b", "axb"],
        ["a:b", "a"],
        [&format!("{longest}1"), &format!("{longest}2")],
    ];
    for [holder, rival] in names {
        let service = ground.service();
        let holder = bid(&service, holder);
        let rival = Candidate { nonce: holder.nonce, ..bid(&service, rival) };
        granted("a free service is granted", client.claim(&holder, LONG))?;
        let expected = format!("{} is not {}", rival.unit, holder.unit);
        denied(&expected, client.claim(&rival, LONG))?;
        granted("its holder renews", client.claim(&holder, LONG))?;
    }
    Ok(())
}

pub(super) fn tells_services_apart_exactly(ground: &Ground) -> Result<(), Stop> {
    let client = ground.open();
    let stem = ground.service();
    let longest = format!("{stem}{}", "s".repeat(ServiceName::MAX_LEN - stem.as_str().len() - 1));
    let names = [
        [format!("{stem}-db"), format!("{stem}-db2")],
        [format!("{stem}-web2"), format!("{stem}-web")],
        [format!("{stem}-q"), format!("{stem}-Q")],
        [format!("{stem}-a_b"), format!("{stem}-axb")],
        [format!("{stem}-a.b"), format!("{stem}-ayb")],
        [format!("{longest}1"), format!("{longest}2")],
    ];
    for [held, free] in &names {
        let expected = format!("{free} is free while {held} is held");
        let holder = bid(&name(held), "unit/0");
        granted("a free service is granted", client.claim(&holder, LONG))?;
        let leader = answered(&expected, client.leader(&name(free)))?;
        ensure(leader.is_none(), &expected, leader)?;
        let elsewhere = bid(&name(free), "unit/1");
        granted(&expected, client.claim(&elsewhere, LONG))?;
        granted(&format!("{held} is renewed"), client.claim(&holder, LONG))?;
        denied(&format!("{free} is held"), client.claim(&bid(&name(free), "unit/2"), LONG))?;
    }
    Ok(())
}

pub(super) fn one_holder_may_hold_several(ground: &Ground) -> Result<(), Stop> {
    let client = ground.open();
    let (first, second) = (ground.service(), ground.service());
    let here = bid(&first, "unit/0");
    let there = Candidate { service: second, ..here.clone() };
    granted("a free service is granted", client.claim(&here, LONG))?;
    granted("its holder may hold another", client.claim(&there, LONG))?;
    answered("a release is answered", client.release(&there)).premise(Clause::Release)?;
    let leader = answered("the first is still held", client.leader(&first))?;
    match leader {
        Some(leader) if leader.unit == here.unit => Ok(()),
        Some(_) | None => broken::<()>("the first is still held", leader).premise(Clause::Release),
    }
}

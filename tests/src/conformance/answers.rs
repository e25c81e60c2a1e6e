//! Clause 5: an answer that was lost is Unknown: never Denied, and never Granted by reading back.

use std::thread;
use std::time::{Duration, Instant};

use tenure_core::{Candidate, ClaimAnswer, Leader};

use super::Clause;
use super::client::Client;
use super::ground::{
    Ground, LONG, Premise, Stop, Switch, again, answered, bid, denied, ensure, granted, left_out,
    unknown,
};

impl Switch {
    /// Makes a call while the fault is on.
    pub(super) fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        let _off = Off(self);
        (self.0)(true);
        call()
    }
}

/// Ends the fault, also after a panic: the other checks have not asked for it.
struct Off<'a>(&'a Switch);

impl Drop for Off<'_> {
    fn drop(&mut self) {
        (self.0.0)(false);
    }
}

pub(super) fn says_unknown_when_lost(ground: &Ground) -> Result<(), Stop> {
    let Some(lose) = &ground.lose_answers else {
        return left_out("no way to lose the store's answers was given (`losing_answers`)");
    };
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let (holder, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));

    // Denied, if the answer had come.
    granted("a free service is granted", theirs.claim(&holder, LONG))?;
    let lost = lose.during(|| ours.claim(&other, LONG));
    unknown("a denial that was lost is unknown", lost)?;
    heals(ground, &*ours, &holder)?;

    // Granted: now the store names us, and we do not know it.
    let lost = lose.during(|| ours.claim(&holder, LONG));
    unknown("a renewal whose answer was lost is unknown", lost)?;
    heals(ground, &*ours, &holder)?;
    let fresh = bid(&ground.service(), "unit/0");
    let lost = lose.during(|| ours.claim(&fresh, LONG));
    unknown("a grant that was lost is unknown", lost)?;
    heals(ground, &*ours, &fresh)?;

    let lost = lose.during(|| ours.leader(&service));
    unknown("who leads is unknown if the answer was lost", lost)?;
    let lost = lose.during(|| ours.release(&fresh));
    unknown("whether a release worked is unknown if the answer was lost", lost)?;
    heals(ground, &*ours, &fresh)
}

pub(super) fn says_unknown_when_away(ground: &Ground) -> Result<(), Stop> {
    let Some(away) = &ground.make_unavailable else {
        return left_out("no way to make the store unavailable was given (`unavailable`)");
    };
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let (holder, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
    granted("a free service is granted", theirs.claim(&holder, LONG))?;
    denied("nobody else is granted", ours.claim(&other, LONG)).premise(Clause::Exclusion)?;

    let claims = [
        ("another's claim is unknown while the store is away", other),
        ("a renewal is unknown while the store is away", holder.clone()),
        (
            "a claim to a free service is unknown while the store is away",
            again(&bid(&ground.service(), "unit/0")),
        ),
    ];
    for (expected, candidate) in &claims {
        unknown(expected, away.during(|| ours.claim(candidate, LONG)))?;
    }
    // A store that can still be read may tell the truth.
    let leader = away.during(|| ours.leader(&service));
    let right =
        |leader: &Option<Leader>| leader.as_ref().is_some_and(|leader| leader.unit == holder.unit);
    if !matches!(&leader, Ok(leader) if right(leader)) {
        unknown("who leads is unknown while the store is away", leader)?;
    }
    let release = away.during(|| ours.release(&holder));
    if release.is_ok() {
        let leader = answered("the leader is looked up", theirs.leader(&service))?;
        ensure(leader.is_none(), "a release that could not be made is unknown", leader)?;
    } else {
        unknown("a release is unknown while the store is away", release)?;
    }
    heals(ground, &*ours, &holder)
}

/// The client that met the fault goes on when it is over.
fn heals(ground: &Ground, client: &dyn Client, candidate: &Candidate) -> Result<(), Stop> {
    let began = Instant::now();
    loop {
        let answer = client.claim(candidate, LONG);
        let granted_now = matches!(answer, Ok(ClaimAnswer::Granted { .. }));
        if granted_now || began.elapsed() > ground.patience {
            let expected = "the same client is granted its own lease once the fault is over";
            return granted(expected, answer).map(drop);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

//! Clause 4: one claim is one atomic operation on the store. It retries nothing inside.

use tenure_core::ClaimerError;

use super::Clause;
use super::contest::contests;
use super::ground::{Ground, LONG, Premise, Stop, bid, denied, ensure, granted, left_out, unknown};

pub(super) fn grants_one_of_many(ground: &Ground) -> Result<(), Stop> {
    for contest in contests(ground)? {
        let winners = contest.winners().count();
        // An answer may well be lost in the crowd; then it may be the winner's.
        let lost = |answer: &Result<_, _>| matches!(answer, Err(ClaimerError::Unknown(_)));
        let excused = contest.answers.iter().any(|(_, answer)| lost(answer));
        let expected = "of those who claim a free service at once, one is granted";
        ensure(winners == 1 || (winners == 0 && excused), expected, &contest)?;
        let fatal = |answer: &Result<_, _>| matches!(answer, Err(ClaimerError::Fatal(_)));
        let died = contest.answers.iter().any(|(_, answer)| fatal(answer));
        ensure(!died, "nobody is refused for ever because others claim as well", &contest)?;
    }
    Ok(())
}

pub(super) fn asks_once(ground: &Ground) -> Result<(), Stop> {
    let Some(requests) = &ground.requests else {
        return left_out("no count of the store's requests was given (`counting_requests`)");
    };
    let client = ground.open();
    let service = ground.service();
    let (holder, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
    // What a client does once, such as to connect, is no retry.
    granted("a free service is granted", client.claim(&holder, LONG))?;

    let before = requests();
    granted("its holder renews", client.claim(&holder, LONG)).premise(Clause::Exclusion)?;
    once(before, requests(), "a renewal")?;

    let before = requests();
    denied("nobody else is granted", client.claim(&other, LONG)).premise(Clause::Exclusion)?;
    once(before, requests(), "a claim that is denied")?;

    if let Some(lose_answers) = &ground.lose_answers {
        let before = requests();
        let lost = lose_answers.during(|| client.claim(&holder, LONG));
        unknown("a lost answer is unknown", lost).premise(Clause::LostAnswers)?;
        once(before, requests(), "a claim whose answer is lost")?;
    }
    Ok(())
}

fn once(before: usize, after: usize, what: &str) -> Result<(), Stop> {
    let came = format!("{} requests", after.saturating_sub(before));
    ensure(after == before + 1, &format!("{what} is one request to the store"), came)
}

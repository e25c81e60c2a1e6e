//! Clause 8: cancelling any call leaks nothing: no thread, task, connection, or lease beyond its
//! time.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tenure_core::ClaimAnswer;

use super::Clause;
use super::ground::{
    Counter, Ground, LONG, Premise, Stop, answered, bid, broken, ensure, granted, left_out,
};
use super::watch::Watch;

/// Calls that each round of a check cancels.
const CALLS: usize = 32;
/// How many of them wait at once.
const CALLS_AT_ONCE: usize = 16;
/// Rounds: what grows in all of them is a leak. Others in this process have threads and files too.
const ROUNDS: usize = 3;
/// How long what a call has left behind may take to go away.
const GRACE: Duration = Duration::from_millis(500);
/// Where Linux lists a process's threads and open files.
const LISTS: [(&str, &str); 2] = [("threads", "/proc/self/task"), ("files", "/proc/self/fd")];

/// One check at a time counts what belongs to the whole process.
static COUNTING: Mutex<()> = Mutex::new(());

pub(super) fn cancelled_waits_end(ground: &Ground) -> Result<(), Stop> {
    let client = ground.open();
    let service = ground.service();
    granted("a free service is granted", client.claim(&bid(&service, "unit/0"), LONG))?;
    let watch = Watch::start(ground, &client, &service);
    watch.cancel();
    ends(ground, watch)?;
    // Cancelled before it began.
    let watch = Watch::begin(&client, &service);
    watch.cancel();
    ends(ground, watch)
}

pub(super) fn cancelled_waits_leave_nothing(ground: &Ground) -> Result<(), Stop> {
    let client = ground.open();
    let service = ground.service();
    granted("a free service is granted", client.claim(&bid(&service, "unit/0"), LONG))?;
    leaves_nothing(ground, "cancelled waits", || {
        for _ in 0..CALLS / CALLS_AT_ONCE {
            let watches: Vec<_> =
                (0..CALLS_AT_ONCE).map(|_| Watch::begin(&client, &service)).collect();
            ground.settle();
            watches.iter().for_each(Watch::cancel);
            watches.into_iter().try_for_each(|watch| ends(ground, watch))?;
        }
        Ok(())
    })
}

pub(super) fn dropped_claims_leave_nothing(ground: &Ground) -> Result<(), Stop> {
    let client = ground.open();
    let service = ground.service();
    if !client.drop_claim(&bid(&service, "unit/0"), ground.short, 1) {
        return left_out("a blocking claim cannot be cancelled");
    }
    leaves_nothing(ground, "dropped claims", || {
        for call in 0..CALLS {
            client.drop_claim(&bid(&service, "unit/1"), ground.short, call % 3);
        }
        Ok(())
    })
}

pub(super) fn clients_leave_nothing(ground: &Ground) -> Result<(), Stop> {
    leaves_nothing(ground, "clients that waited and are gone", || {
        let mut watches = Vec::new();
        for _ in 0..CALLS {
            let client = ground.open();
            let service = ground.service();
            let holder = bid(&service, "unit/0");
            granted("a free service is granted", client.claim(&holder, LONG))?;
            let watch = Watch::begin(&client, &service);
            ground.release(&*client, &holder)?;
            watch.cancel();
            watches.push(watch);
        }
        watches.into_iter().try_for_each(|watch| ends(ground, watch))
    })
}

pub(super) fn a_dropped_claim_holds_no_longer(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    for polls in 0..4 {
        let service = ground.service();
        let (dropped, other) = (bid(&service, "unit/0"), bid(&service, "unit/1"));
        if !ours.drop_claim(&dropped, ground.short, polls) {
            return left_out("a blocking claim cannot be cancelled");
        }
        let expected =
            format!("either nobody or {} leads after its claim was dropped", dropped.unit);
        let leader = answered(&expected, theirs.leader(&service))?;
        let right = leader.as_ref().is_none_or(|leader| leader.unit == dropped.unit);
        ensure(right, &expected, leader)?;
        let expected = "a dropped claim holds for its lease at most";
        match theirs.claim(&other, LONG) {
            Ok(ClaimAnswer::Granted { .. }) => {}
            Ok(ClaimAnswer::Denied { .. }) => {
                ground.pass_lease();
                match ground.take_over(&*theirs, &other, LONG) {
                    Err(Stop::Broken { came, .. }) => return broken(expected, came),
                    taken => taken?,
                };
            }
            answer @ Err(_) => return broken(expected, answer),
        }
    }
    Ok(())
}

pub(super) fn an_abandoned_lease_lapses(ground: &Ground) -> Result<(), Stop> {
    let service = ground.service();
    let ours = ground.open();
    granted("a free service is granted", ours.claim(&bid(&service, "unit/0"), ground.short))?;
    drop(ours);
    ground
        .take_over_after_lease(&*ground.open(), &bid(&service, "unit/1"), LONG)
        .premise(Clause::Lease)
        .map(drop)
}

fn ends(ground: &Ground, watch: Watch) -> Result<(), Stop> {
    let ended = watch.ends_within(ground.patience);
    let came = format!("it still waits after {:?}", ground.patience);
    ensure(ended, "a cancelled wait ends soon", came)
}

/// Counts what the process and the store have, before and after `calls`.
fn leaves_nothing(
    ground: &Ground,
    what: &str,
    calls: impl Fn() -> Result<(), Stop>,
) -> Result<(), Stop> {
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    // What is made once and kept is no leak: a connection, a reactor's thread.
    calls()?;
    let lists = LISTS.map(|(name, path)| Counter {
        name: name.to_owned(),
        count: Box::new(move || list_len(path).unwrap_or(0)),
    });
    for round in 1..=ROUNDS {
        let kept = counts(&ground.counters);
        let listed = counts(&lists);
        calls()?;
        // The owner's counters have nothing but the store in them.
        if let Some((counter, count)) = grown(&ground.counters, &kept, 0) {
            return broken(&format!("no {} left behind by {what}", counter.name), count);
        }
        // Others in this process begin and end things meanwhile: half the calls' number is theirs.
        match grown(&lists, &listed, CALLS / 2) {
            None => break,
            Some(_) if round < ROUNDS => {}
            Some((list, count)) => {
                let came = format!("more of them after each {CALLS}, {count} now");
                return broken(&format!("no {} left behind by {what}", list.name), came);
            }
        }
    }
    match LISTS.iter().find(|(_, path)| list_len(path).is_none()) {
        None => Ok(()),
        Some((name, _)) => left_out(&format!("this system does not list a process's {name}")),
    }
}

fn counts(counters: &[Counter]) -> Vec<usize> {
    counters.iter().map(|counter| (counter.count)()).collect()
}

/// A counter that stays higher than before by more than is `tolerated`, and what it counts.
fn grown<'a>(
    counters: &'a [Counter],
    before: &[usize],
    tolerated: usize,
) -> Option<(&'a Counter, usize)> {
    counters.iter().zip(before).find_map(|(counter, before)| {
        let most = before + tolerated;
        let count = settled(counter, most);
        (count > most).then_some((counter, count))
    })
}

/// The count, once it is as low as `wanted`, or has had its time to get there.
fn settled(counter: &Counter, wanted: usize) -> usize {
    let began = Instant::now();
    loop {
        let count = (counter.count)();
        if count <= wanted || began.elapsed() > GRACE {
            return count;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn list_len(path: &str) -> Option<usize> {
    Some(fs::read_dir(path).ok()?.count())
}

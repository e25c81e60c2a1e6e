//! Each runtime drives both of the claimers' traits, over real stores and in real time.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant as Deadline};

use tenure_core::{BlockingClaimer, Claimer, Config, Outcome, Standing, Term, TicketKind};
use tenure_memory::MemoryStore;
use tenure_smol::Unblock;
use tenure_sqlite::SqliteClaimer;
use tenure_std::BlockOn;
use tenure_testkit::scripted::{Call, Reply, Scripted};

use super::PATIENCE;
use super::rig::{Asked, Tracking};

/// Long beside what a busy machine may take for a claim: where nothing waits for its end.
pub(super) const LONG: Duration = Duration::from_secs(8);

pub(super) fn smol(claimer: impl Claimer, unit: &str) -> Box<dyn Tracking> {
    smol_for(LONG, claimer, unit)
}

pub(super) fn std(claimer: impl BlockingClaimer, unit: &str) -> Box<dyn Tracking> {
    std_for(LONG, claimer, unit)
}

pub(super) fn smol_for(
    guarantee: Duration,
    claimer: impl Claimer,
    unit: &str,
) -> Box<dyn Tracking> {
    smol_with(Config::new(guarantee).unwrap(), claimer, unit)
}

pub(super) fn smol_with(config: Config, claimer: impl Claimer, unit: &str) -> Box<dyn Tracking> {
    let (service, unit) = ("mysql".parse().unwrap(), unit.parse().unwrap());
    let (tracker, driver) = tenure_smol::Tracker::new(claimer, service, unit, config);
    smol::spawn(driver.run()).detach();
    Box::new(tracker)
}

pub(super) fn std_for(
    guarantee: Duration,
    claimer: impl BlockingClaimer,
    unit: &str,
) -> Box<dyn Tracking> {
    std_with(Config::new(guarantee).unwrap(), claimer, unit)
}

pub(super) fn std_with(
    config: Config,
    claimer: impl BlockingClaimer,
    unit: &str,
) -> Box<dyn Tracking> {
    let (service, unit) = ("mysql".parse().unwrap(), unit.parse().unwrap());
    let (tracker, driver) = tenure_std::Tracker::new(claimer, service, unit, config);
    driver.spawn().unwrap();
    Box::new(tracker)
}

#[track_caller]
pub(super) fn answer(mut ticket: Box<dyn Asked>) -> Outcome {
    let end = Deadline::now() + PATIENCE;
    loop {
        if let Some(outcome) = ticket.poll() {
            return outcome;
        }
        assert!(Deadline::now() < end, "no answer");
        thread::sleep(Duration::from_millis(1));
    }
}

#[track_caller]
pub(super) fn term_of(outcome: Outcome) -> Term {
    let Outcome::Leader { term, .. } = outcome else { panic!("{outcome:?}") };
    term
}

/// One leads, another waits, and has it when the first stops; so on to a third of the same name.
pub(super) fn hand_over(open: impl Fn(&str) -> Box<dyn Tracking>) {
    let first = open("mysql/0");
    let first_term = term_of(answer(first.request(TicketKind::WaitLeader)));
    let second = open("mysql/1");
    assert_eq!(answer(second.request(TicketKind::ClaimLeader)), Outcome::Minion);
    let (waits, lost) =
        (second.request(TicketKind::WaitLeader), first.request(TicketKind::WaitMinion));
    assert_eq!(term_of(answer(first.request(TicketKind::ClaimLeader))), first_term);
    first.kill();
    assert_eq!(answer(lost), Outcome::Minion);
    first.wait().unwrap();
    assert_eq!(first.standing(), Standing::Stopped);
    let second_term = term_of(answer(waits));
    assert!(second_term > first_term);
    let third = open("mysql/1");
    assert_eq!(answer(third.request(TicketKind::ClaimLeader)), Outcome::Minion);
    drop(second);
    assert!(term_of(answer(third.request(TicketKind::WaitLeader))) > second_term);
    assert!(third.last_error().is_none(), "{:?}", third.last_error());
}

#[test]
fn memory_on_smol() {
    let store = MemoryStore::new();
    hand_over(|unit| smol(store.clone(), unit));
}

#[test]
fn blocking_memory_on_smol() {
    let store = MemoryStore::new();
    hand_over(|unit| smol(Unblock::new(store.clone()), unit));
}

#[test]
fn memory_on_std() {
    let store = MemoryStore::new();
    hand_over(|unit| std(store.clone(), unit));
}

#[test]
fn async_memory_on_std() {
    let store = MemoryStore::new();
    hand_over(|unit| std(BlockOn::new(store.clone()), unit));
}

fn with_file(test: impl Fn(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    test(&directory.path().join("leases.db"));
}

#[test]
fn sqlite_on_smol() {
    with_file(|path| {
        hand_over(|unit| smol(Unblock::new(SqliteClaimer::open(path).unwrap()), unit))
    });
}

#[test]
fn sqlite_on_std() {
    with_file(|path| hand_over(|unit| std(SqliteClaimer::open(path).unwrap(), unit)));
}

#[test]
fn sqlite_made_async_on_std() {
    with_file(|path| {
        let open = || BlockOn::new(Unblock::new(SqliteClaimer::open(path).unwrap()));
        hand_over(|unit| std(open(), unit));
    });
}

#[test]
fn candidates_of_both_runtimes_share_a_file() {
    with_file(|path| {
        let open = || SqliteClaimer::open(path).unwrap();
        hand_over(|unit| match unit {
            "mysql/0" => smol(Unblock::new(open()), unit),
            _ => std(open(), unit),
        });
    });
}

const SHORT: Duration = Duration::from_millis(200);

#[track_caller]
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Deadline::now() + PATIENCE;
    while !holds() {
        assert!(Deadline::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_leader_renews_by_its_own_timer() {
    let store = MemoryStore::new();
    let on_smol = smol_for(SHORT, store.clone(), "mysql/0");
    let other = MemoryStore::new();
    let on_std = std_for(SHORT, other.clone(), "mysql/0");
    for tracker in [on_smol, on_std] {
        let mut latest = None;
        let mut renewals = 0;
        until("it has renewed five times", || {
            if let Standing::Leader { term, valid_until, .. } = tracker.standing() {
                assert_eq!(term, Term::new(1), "nobody else has led");
                renewals += usize::from(latest.is_some_and(|before| before < valid_until));
                latest = Some(valid_until);
            }
            renewals >= 5
        });
    }
}

#[test]
fn a_timer_is_set_anew_for_what_comes_sooner() {
    // Its first timer is set for 76 s.
    let long = Duration::from_secs(100);
    let on_smol = smol_for(long, MemoryStore::new(), "mysql/0");
    for tracker in [on_smol, std_for(long, MemoryStore::new(), "mysql/0")] {
        let first = term_of(answer(tracker.request(TicketKind::WaitLeader)));
        tracker.step_down(Duration::from_millis(10));
        assert!(term_of(answer(tracker.request(TicketKind::WaitLeader))) > first);
    }
}

#[test]
fn a_leader_that_cannot_renew_is_told_by_its_own_timer() {
    let script = || {
        let claimer = Scripted::new(Arc::default());
        claimer.always(Call::Claim, Reply::unknown("away"));
        claimer.next(Call::Claim, Reply::granted(1));
        claimer
    };
    for tracker in [smol_for(SHORT, script(), "mysql/0"), std_for(SHORT, script(), "mysql/0")] {
        let lost = tracker.request(TicketKind::WaitMinion);
        assert_eq!(answer(lost), Outcome::Minion);
        assert!(tracker.last_error().is_some(), "it has tried");
    }
}

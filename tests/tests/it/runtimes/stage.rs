//! The stage on which users test their services: each line does what it says, on both runtimes.

use std::thread;
use std::time::Duration;

use tenure_core::{Instant, Outcome, Standing, Term, TicketKind};
use tenure_testkit::scripted::{Call, Reply};
use tenure_testkit::stage::Stage;

use super::rig::{Asked, Tracking};
use super::{SECOND, config, millis};

/// Plays on each runtime, a few times: what follows from a line must not depend on who is faster.
fn on_both(play: impl Fn(&Stage, &dyn Tracking)) {
    let (service, unit) = (|| "mysql".parse().unwrap(), || "mysql/0".parse().unwrap());
    for _ in 0..5 {
        let (stage, tracker) = Stage::on_threads(service(), unit(), config()).unwrap();
        play(&stage, &tracker);
        let (stage, tracker) = Stage::on_smol(service(), unit(), config()).unwrap();
        play(&stage, &tracker);
    }
}

/// What a ticket says that is answered by now.
#[track_caller]
fn told(ticket: &mut Box<dyn Asked>) -> Outcome {
    assert!(ticket.is_ready(), "no answer");
    ticket.poll().unwrap()
}

fn ask(tracker: &dyn Tracking, kind: TicketKind) -> Box<dyn Asked> {
    tracker.request(kind)
}

fn claim(tracker: &dyn Tracking) -> Outcome {
    told(&mut ask(tracker, TicketKind::ClaimLeader))
}

fn term(outcome: Outcome) -> Option<u64> {
    match outcome {
        Outcome::Leader { term, .. } => Some(term.number()),
        Outcome::Minion | Outcome::Stopped => None,
    }
}

#[test]
fn nothing_is_decided_until_a_line_decides_it() {
    on_both(|stage, tracker| {
        assert_eq!(stage.store().out(Call::Claim).len(), 1);
        let mut ticket = ask(tracker, TicketKind::ClaimLeader);
        assert!(!ticket.is_ready(), "a claim is out");
        stage.grant();
        assert_eq!(term(told(&mut ticket)), Some(1));
    });
}

#[test]
fn who_is_granted_leads_and_goes_on_leading() {
    on_both(|stage, tracker| {
        let mut waits = ask(tracker, TicketKind::WaitLeader);
        let lost = ask(tracker, TicketKind::WaitMinion);
        stage.grant();
        assert_eq!(term(told(&mut waits)), Some(1));
        for second in 1..=60 {
            stage.pass(SECOND);
            assert_eq!(stage.now(), Instant::ORIGIN.saturating_add(SECOND * second));
            assert_eq!(term(claim(tracker)), Some(1), "after {second} s");
        }
        assert!(!lost.is_ready());
        let renewals = stage.store().begun(Call::Claim) - 1;
        assert_eq!(renewals, 6, "one every 9.5 s");
    });
}

#[test]
fn leadership_is_lost_on_command_and_comes_back_with_a_higher_term() {
    on_both(|stage, tracker| {
        stage.grant();
        let mut lost = ask(tracker, TicketKind::WaitMinion);
        stage.lose_leadership();
        assert_eq!(tracker.standing(), Standing::Minion);
        assert_eq!(told(&mut lost), Outcome::Minion);
        assert_eq!(claim(tracker), Outcome::Minion);
        assert!(stage.now() <= Instant::ORIGIN.saturating_add(10 * SECOND), "not by waiting");
        stage.pass(60 * SECOND);
        assert_eq!(tracker.standing(), Standing::Minion, "somebody else keeps it");
        let mut again = ask(tracker, TicketKind::WaitLeader);
        stage.grant();
        assert_eq!(term(told(&mut again)), Some(3), "2 was somebody else's");
    });
}

#[test]
fn who_is_denied_waits_and_is_told() {
    on_both(|stage, tracker| {
        stage.deny();
        assert_eq!(claim(tracker), Outcome::Minion);
        assert_eq!(stage.store().out(Call::Released).len(), 1);
        let mut waits = ask(tracker, TicketKind::WaitLeader);
        assert!(!waits.is_ready());
        stage.grant();
        assert_eq!(term(told(&mut waits)), Some(2));
    });
}

#[test]
fn a_pause_longer_than_the_lease_is_told_first_of_all() {
    on_both(|stage, tracker| {
        stage.grant();
        stage.pause(millis(14_999));
        assert!(stage.leads(), "it woke in time, and renews");
        let mut lost = ask(tracker, TicketKind::WaitMinion);
        assert!(!lost.is_ready());
        stage.deny();
        stage.pause(40 * SECOND);
        assert_eq!(told(&mut lost), Outcome::Minion);
        assert_eq!(tracker.standing(), Standing::Minion);
        stage.grant();
        let mut lost = ask(tracker, TicketKind::WaitMinion);
        stage.pause(40 * SECOND);
        assert_eq!(told(&mut lost), Outcome::Minion, "it was a minion when it woke");
        assert!(stage.leads(), "and was granted anew");
    });
}

#[test]
fn a_reply_that_is_lost_gives_no_leadership_and_takes_none() {
    on_both(|stage, tracker| {
        let mut ticket = ask(tracker, TicketKind::ClaimLeader);
        stage.lose_reply();
        assert_eq!(told(&mut ticket), Outcome::Minion, "though the store has granted");
        stage.pass(SECOND);
        assert_eq!(term(claim(tracker)), Some(1), "the same holder has the same term");
        let lost = ask(tracker, TicketKind::WaitMinion);
        stage.lose_reply();
        stage.pass(60 * SECOND);
        assert!(!lost.is_ready() && stage.leads());
        let error = format!("{:?}", tracker.last_error().unwrap());
        assert!(error.contains("the reply is lost"), "{error}");
    });
}

#[test]
fn a_store_that_is_away_ends_leadership_in_time_and_gives_it_back() {
    on_both(|stage, tracker| {
        stage.grant();
        let mut lost = ask(tracker, TicketKind::WaitMinion);
        stage.store_goes();
        stage.pass(millis(14_999));
        assert!(stage.leads() && !lost.is_ready());
        stage.pass(millis(1));
        assert_eq!(told(&mut lost), Outcome::Minion);
        assert_eq!(tracker.standing(), Standing::Minion);
        stage.pass(60 * SECOND);
        stage.store_returns();
        assert!(!stage.leads(), "it backs off");
        stage.pass(3 * SECOND);
        assert_eq!(term(claim(tracker)), Some(1));
    });
}

#[test]
fn what_the_service_does_is_settled_too() {
    on_both(|stage, tracker| {
        stage.grant();
        tracker.step_down(5 * SECOND);
        stage.settle();
        assert_eq!(claim(tracker), Outcome::Minion);
        stage.pass(millis(4_999));
        assert!(!stage.leads());
        stage.pass(millis(1));
        assert_eq!(term(claim(tracker)), Some(2), "a new tenure");
        tracker.kill();
        stage.settle();
        stage.pass(SECOND);
        assert_eq!(claim(tracker), Outcome::Stopped);
        tracker.wait().unwrap();
        // The lines go on, though nobody listens.
        stage.deny();
        stage.lose_leadership();
        stage.pause(SECOND);
        stage.grant();
        assert_eq!(tracker.standing(), Standing::Stopped);
    });
}

#[test]
fn what_no_line_says_the_script_does() {
    on_both(|stage, tracker| {
        stage.grant();
        stage.store().next(Call::Claim, Reply::fatal("no such service"));
        stage.pass(10 * SECOND);
        assert_eq!(tracker.standing(), Standing::Stopped);
        assert!(tracker.wait().unwrap_err().to_string().contains("never"));
    });
}

/// Also as a minion: the cool-off counts from the release, which is made at once.
#[test]
fn a_minion_that_steps_down_waits_for_its_cool_off_and_no_longer() {
    on_both(|stage, tracker| {
        stage.deny();
        tracker.step_down(5 * SECOND);
        stage.settle();
        assert_eq!(stage.store().begun(Call::Release), 1);
        stage.grant();
        stage.pass(millis(4_999));
        assert!(!stage.leads());
        stage.pass(millis(1));
        assert!(stage.leads());
    });
}

/// A guard holds back the release: the lease is renewed while the service winds down.
#[test]
fn a_service_under_a_guard_is_played_through() {
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (stage, tracker) = Stage::on_threads(service, unit, config()).unwrap();
    stage.grant();
    let (begins, has_begun) = crossbeam_channel::bounded(0);
    let working = {
        let tracker = tracker.clone();
        thread::spawn(move || {
            tracker.while_leader(|guard| {
                begins.send(()).unwrap();
                guard.wait_lost();
                (guard.term(), guard.holds())
            })
        })
    };
    has_begun.recv().unwrap();
    stage.pass(60 * SECOND);
    stage.lose_leadership();
    assert_eq!(working.join().unwrap().unwrap(), (Term::new(1), false));
}

#[test]
fn other_configs_have_their_own_pace() {
    for (guarantee, lead) in [(millis(100), 5), (3_600 * SECOND, 180_000), (SECOND, 0)] {
        let config = tenure_core::Config::builder(guarantee).renew_lead(millis(lead));
        let config = config.build().unwrap();
        let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
        let (stage, tracker) = Stage::on_smol(service, unit, config).unwrap();
        stage.grant();
        let lost = tracker.wait_minion();
        stage.pass(20 * guarantee);
        assert!(stage.leads() && !lost.is_ready(), "{guarantee:?}");
        stage.pause(Duration::MAX);
        assert!(lost.is_ready() && !stage.leads(), "at the end of time");
    }
}

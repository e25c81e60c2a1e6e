//! Claimers that panic, hang, or answer nonsense, and clocks that jump.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{ClaimerError, Config, Instant, Outcome, Standing, TicketKind};
use tenure_runtime::TrackerError;
use tenure_testkit::scripted::{Call, Reply};

use super::rig::{Rig, Runtime, on_each, yes};
use super::{SECOND, config, millis};

/// What the last error says, with its causes.
fn last_error(rig: &Rig) -> String {
    tell(&rig.tracker().last_error().expect("an error"))
}

fn tell(error: &Arc<ClaimerError>) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[test]
fn a_claim_that_panics_is_unknown_and_says_why() {
    on_each(|rig| {
        let mut ticket = rig.ask(TicketKind::ClaimLeader);
        rig.finish(Call::Claim, Reply::panic("out of cheese"));
        assert_eq!(rig.answer(&mut ticket), Outcome::Minion);
        assert!(last_error(rig).contains("claim: out of cheese"), "{}", last_error(rig));
        rig.advance(SECOND);
        rig.begun(Call::Claim, 2);
        rig.lead(1);
        assert!(last_error(rig).contains("out of cheese"), "it is kept");
    });
}

#[test]
fn a_leader_whose_claims_panic_believes_to_its_end_and_no_longer() {
    on_each(|rig| {
        rig.lead(1);
        let before = rig.tracker().standing();
        let mut lost = rig.ask(TicketKind::WaitMinion);
        rig.claimer.always(Call::Claim, Reply::panic("again"));
        rig.advance(millis(9_500));
        rig.until("it renews", |rig| rig.claimer.begun(Call::Claim) > 1);
        rig.until("it is told", |rig| rig.tracker().last_error().is_some());
        assert_eq!(rig.tracker().standing(), before);
        rig.manual().set(Instant::from_nanos(14_999_999_999));
        assert_eq!(rig.tracker().standing(), before);
        rig.manual().set(Instant::from_nanos(15_000_000_000));
        assert_eq!(rig.tracker().standing(), Standing::Minion);
        assert_eq!(rig.answer(&mut lost), Outcome::Minion);
    });
}

/// After a back-off, each time after a longer one; and nothing is claimed meanwhile, for a watch
/// that breaks has seen no release.
#[test]
fn a_watch_that_panics_or_fails_is_begun_again() {
    on_each(|rig| {
        rig.finish(Call::Claim, Reply::denied());
        let mut longest = config().retry_min();
        for round in 1..=8 {
            let why = format!("deaf for the {round}. time");
            rig.begun(Call::Released, round);
            let reply = if round % 2 == 0 { Reply::panic(&why) } else { Reply::unknown(&why) };
            rig.finish(Call::Released, reply);
            rig.until("it is told", |rig| rig.tracker().last_error().is_some());
            rig.until("of this one", |rig| last_error(rig).contains(&why));
            rig.advance(longest / 2 - millis(1));
            rig.settle();
            assert_eq!(rig.claimer.begun(Call::Released), round, "it waits first");
            rig.advance(longest / 2 + millis(1));
            rig.begun(Call::Released, round + 1);
            longest = (longest * 2).min(config().retry_max());
        }
        assert_eq!(rig.claimer.begun(Call::Claim), 1, "nothing is to be seen");
        rig.finish(Call::Released, Reply::Done);
        rig.lead(1);
        assert_eq!(rig.claimer.begun(Call::Claim), 2, "one claim, and no recheck");
    });
}

#[test]
fn a_release_that_panics_or_fails_is_over() {
    on_each(|rig| {
        for (term, reply) in [(1, Reply::panic("stuck")), (2, Reply::unknown("stuck"))] {
            rig.lead(term);
            rig.tracker().step_down(Duration::ZERO);
            rig.finish(Call::Release, reply);
            rig.advance(SECOND);
            rig.until("it claims again", |rig| rig.claimer.out(Call::Claim).len() == 1);
            assert!(last_error(rig).contains("stuck"));
        }
    });
}

#[test]
fn a_claim_that_hangs_is_given_up_and_its_late_grant_is_not_believed() {
    on_each(|rig| {
        rig.begun(Call::Claim, 1);
        let mut ticket = rig.ask(TicketKind::ClaimLeader);
        rig.advance(millis(2_499));
        assert!(!ticket.is_ready());
        rig.advance(millis(1));
        assert_eq!(rig.answer(&mut ticket), Outcome::Minion, "within claim_timeout");
        rig.advance(SECOND);
        if rig.runtime.claims_hang_on() {
            rig.settle();
            rig.begun(Call::Claim, 1);
            rig.claimer.finish_one(Call::Claim, Reply::granted(1));
        }
        rig.begun(Call::Claim, 2);
        rig.settle();
        assert_eq!(rig.tracker().standing(), Standing::Minion, "that was another attempt's");
        rig.claimer.finish_one(Call::Claim, Reply::granted(2));
        rig.until("it leads", |rig| rig.leads());
    });
}

#[test]
fn a_leader_whose_renewal_hangs_answers_within_the_bound() {
    on_each(|rig| {
        rig.lead(1);
        rig.advance(10 * SECOND);
        rig.begun(Call::Claim, 2);
        let mut ticket = rig.ask(TicketKind::ClaimLeader);
        assert!(!ticket.is_ready(), "it is not fresh any more");
        rig.advance(config().claim_timeout());
        assert_eq!(rig.answer(&mut ticket), Outcome::Minion);
        assert!(rig.leads(), "on its old deadlines");
        rig.advance(3 * SECOND);
        assert_eq!(rig.tracker().standing(), Standing::Minion);
    });
}

#[test]
fn a_watch_that_returns_at_once_always_makes_no_hot_loop() {
    on_each(|rig| {
        rig.claimer.always(Call::Claim, Reply::denied());
        rig.claimer.always(Call::Released, Reply::Done);
        // A claim that had begun before is out still.
        rig.until("it watches", |rig| {
            let out = rig.claimer.out(Call::Claim);
            out.into_iter().for_each(|number| rig.claimer.finish(number, Reply::denied()));
            rig.claimer.begun(Call::Released) > 0
        });
        rig.settle();
        let rounds = 40;
        for round in 1..=rounds {
            rig.advance(config().min_interval());
            rig.until("it claims in its time", |rig| {
                rig.claimer.begun(Call::Released) > round && rig.claimer.begun(Call::Claim) > round
            });
        }
        rig.settle();
        assert!(rig.claimer.begun(Call::Claim) <= rounds + 2);
        assert!(rig.claimer.begun(Call::Released) <= rounds + 2);
        assert!(rig.clock.reads() < 100 * rounds, "{} reads", rig.clock.reads());
    });
}

#[test]
fn a_watch_that_never_returns_is_checked_on() {
    on_each(|rig| {
        rig.finish(Call::Claim, Reply::denied());
        rig.begun(Call::Released, 1);
        rig.advance(config().recheck());
        // It is the watch that tells when the lease is over: nobody claims a moment before that.
        rig.finish(Call::Claim, Reply::Denied { retry_after: Some(millis(1)) });
        rig.advance(config().recheck() - millis(1));
        assert_eq!(rig.claimer.begun(Call::Claim), 2);
        rig.advance(millis(1));
        rig.begun(Call::Claim, 3);
        assert_eq!(rig.claimer.begun(Call::Released), 1, "one watch at a time");
        rig.lead(1);
        rig.until("the watch is given up", |rig| rig.claimer.out(Call::Released).is_empty());
    });
}

#[test]
fn a_store_that_will_never_say_yes_ends_the_tracker_with_its_reason() {
    on_each(|rig| {
        let mut tickets = [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion]
            .map(|kind| rig.ask(kind));
        rig.finish(Call::Claim, Reply::fatal("no such database"));
        tickets.iter_mut().for_each(|ticket| assert_eq!(rig.answer(ticket), Outcome::Stopped));
        rig.until("the driver has ended", |rig| rig.driver_ended());
        let end = rig.tracker().wait();
        let Err(TrackerError::Fatal(error)) = end else { panic!("{end:?}") };
        assert!(tell(&error).contains("no such database"));
        assert_eq!(rig.tracker().standing(), Standing::Stopped);
        rig.until("the driver has ended", |rig| rig.driver_ended());
        assert_eq!(rig.claimer.begun(Call::Release), 0);
    });
}

#[test]
fn a_store_whose_terms_fall_or_repeat_ends_the_tracker() {
    on_each(|rig| {
        rig.lead(5);
        rig.advance(millis(9_500));
        rig.finish(Call::Claim, Reply::granted(4));
        rig.until("the driver has ended", |rig| rig.driver_ended());
        let end = rig.tracker().wait();
        assert!(matches!(end, Err(TrackerError::TermFell { .. })), "{end:?}");
        assert_eq!(rig.tracker().standing(), Standing::Stopped);
    });
    on_each(|rig| {
        rig.lead(5);
        rig.advance(millis(9_500));
        rig.finish(Call::Claim, Reply::denied());
        rig.finish(Call::Released, Reply::Done);
        rig.advance(SECOND);
        rig.finish(Call::Claim, Reply::granted(5));
        rig.until("the driver has ended", |rig| rig.driver_ended());
        let end = rig.tracker().wait();
        assert!(matches!(end, Err(TrackerError::TermRepeated { .. })), "{end:?}");
    });
}

#[test]
fn the_first_answer_after_a_pause_is_not_yes() {
    on_each(|rig| {
        rig.lead(1);
        let mut lost = rig.ask(TicketKind::WaitMinion);
        // The driver has no chance to run, as after SIGSTOP.
        rig.manual().advance(40 * SECOND);
        assert_eq!(rig.tracker().standing(), Standing::Minion);
        let mut ticket = rig.ask(TicketKind::ClaimLeader);
        assert_ne!(ticket.poll(), Some(yes(1, Instant::ORIGIN)));
        rig.finish(Call::Claim, Reply::unknown("away"));
        assert_eq!(rig.answer(&mut ticket), Outcome::Minion);
        assert_eq!(rig.answer(&mut lost), Outcome::Minion);
    });
}

#[test]
fn a_blocked_executor_does_not_prolong_the_belief() {
    let mut rig = Rig::new(Runtime::Smol);
    rig.lead(1);
    let reads = |rig: &Rig| (rig.claimer.begun(Call::Claim), rig.clock.registrations());
    let before = reads(&rig);
    for (at, leads) in [(9_999, true), (14_999, true), (15_000, false), (99_999, false)] {
        rig.manual().set(Instant::ORIGIN.saturating_add(millis(at)));
        assert_eq!(rig.leads(), leads, "at {at} ms");
    }
    assert_eq!(reads(&rig), before, "the driver has never run");
}

#[test]
fn a_clock_that_runs_backwards_makes_no_answer_younger() {
    on_each(|rig| {
        rig.lead(1);
        rig.advance(12 * SECOND);
        rig.begun(Call::Claim, 2);
        rig.manual().set(Instant::from_nanos(1));
        rig.settle();
        let mut ticket = rig.ask(TicketKind::ClaimLeader);
        assert_eq!(ticket.poll(), None, "on {:?}: 12 s have been seen", rig.runtime);
        rig.claimer.finish_one(Call::Claim, Reply::granted(1));
        let renewed = yes(1, Instant::ORIGIN.saturating_add(12 * SECOND));
        assert_eq!(rig.answer(&mut ticket), renewed);
    });
}

#[test]
fn a_clock_at_the_end_of_time_makes_no_hot_loop() {
    on_each(|rig| {
        rig.lead(1);
        rig.manual().set(Instant::MAX);
        rig.settle();
        assert_eq!(rig.tracker().standing(), Standing::Minion);
        let before = rig.clock.reads();
        super::rig::moment();
        assert!(rig.clock.reads() < before + 100, "it spins");
    });
}

#[test]
fn a_stuck_claimer_delays_nobody_else() {
    for runtime in Runtime::ALL {
        let (mut stuck, mut other) = (Rig::new(runtime), Rig::new(runtime));
        stuck.begun(Call::Claim, 1);
        other.lead(1);
        other.advance(millis(9_500));
        other.finish(Call::Claim, Reply::granted(1));
        other.until("it renews", |rig| {
            let standing = rig.tracker().standing();
            matches!(standing, Standing::Leader { valid_until, .. }
                if valid_until > Instant::ORIGIN.saturating_add(20 * SECOND))
        });
        assert_eq!(stuck.claimer.out(Call::Claim), [0]);
    }
}

#[test]
fn many_who_see_one_release_claim_once_each() {
    for runtime in [Runtime::Smol, Runtime::Std] {
        let config = || Config::builder(10 * SECOND).jitter_seed(7).build().unwrap();
        let mut rigs: Vec<Rig> = (0..20).map(|_| Rig::with(runtime, config())).collect();
        for rig in &mut rigs {
            rig.finish(Call::Claim, Reply::denied());
            rig.advance(SECOND);
            rig.finish(Call::Released, Reply::Done);
            rig.begun(Call::Claim, 2);
            rig.settle();
            rig.begun(Call::Claim, 2);
        }
    }
}

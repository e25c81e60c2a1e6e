//! How trackers end, and step down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, ClaimerError, Judge, Leader, Outcome,
    ServiceName, Standing, Term, TicketKind,
};
use tenure_runtime::{ManualClock, TrackerError};
use tenure_testkit::scripted::{Call, Fate, Reply, Scripted};

use super::clock::Watched;
use super::rig::{Rig, on_each};
use super::{SECOND, config, millis};

const KINDS: [TicketKind; 3] =
    [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion];

/// All that waits is told that it has ended, as does all that comes later.
fn all_is_stopped(rig: &mut Rig, mut tickets: Vec<Box<dyn super::rig::Asked>>) {
    for ticket in &mut tickets {
        assert_eq!(rig.answer(ticket), Outcome::Stopped);
    }
    for kind in KINDS {
        assert_eq!(rig.ask(kind).poll(), Some(Outcome::Stopped));
    }
    assert_eq!(rig.tracker().standing(), Standing::Stopped);
}

#[test]
fn a_driver_that_is_dropped_ends_the_tracker_wherever_it_was() {
    type Lead = fn(&mut Rig);
    let places: [Lead; 6] = [
        |rig| rig.begun(Call::Claim, 1),
        |rig| rig.lead(1),
        |rig| {
            rig.finish(Call::Claim, Reply::denied());
            rig.begun(Call::Released, 1);
        },
        |rig| {
            rig.lead(1);
            rig.advance(9 * SECOND + millis(500));
            rig.begun(Call::Claim, 2);
        },
        |rig| {
            rig.lead(1);
            rig.tracker().step_down(SECOND);
            rig.begun(Call::Release, 1);
        },
        |rig| {
            rig.tracker().step_down(100 * SECOND);
            rig.finish(Call::Release, Reply::Done);
        },
    ];
    for lead in places {
        on_each(|rig| {
            lead(rig);
            let tickets = KINDS.map(|kind| rig.ask(kind));
            let waiting = tickets.into_iter().filter(|ticket| !ticket.is_ready()).collect();
            rig.drop_driver();
            all_is_stopped(rig, waiting);
            assert!(matches!(rig.tracker().wait(), Err(TrackerError::DriverDropped)));
            rig.tracker().kill();
            assert!(matches!(rig.tracker().wait(), Err(TrackerError::DriverDropped)));
        });
    }
}

#[test]
fn a_driver_that_never_ran_ends_the_tracker_too() {
    let clock = Arc::new(ManualClock::new());
    let names = || ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let claimer = Scripted::new(clock.clone());
    let (service, unit) = names();
    let (tracker, driver) =
        tenure_std::Tracker::with_clock(claimer.clone(), service, unit, config(), clock.clone());
    let ticket = tracker.wait_minion();
    drop(driver);
    assert_eq!(ticket.wait(), Outcome::Stopped);
    assert!(matches!(tracker.stop(), Err(TrackerError::DriverDropped)));
    let (service, unit) = names();
    let (tracker, driver) =
        tenure_smol::Tracker::with_clock(claimer.clone(), service, unit, config(), clock);
    let ticket = tracker.wait_minion();
    drop(driver.run());
    assert_eq!(smol::block_on(ticket), Outcome::Stopped);
    assert!(matches!(smol::block_on(tracker.stop()), Err(TrackerError::DriverDropped)));
    assert!(claimer.records().is_empty());
}

#[test]
fn a_tracker_that_is_killed_releases_and_ends_however_often_it_is_told() {
    on_each(|rig| {
        rig.lead(1);
        let lost = rig.ask(TicketKind::WaitMinion);
        rig.tracker().kill();
        rig.tracker().kill();
        assert!(lost.is_ready());
        rig.begun(Call::Release, 1);
        rig.tracker().kill();
        let waiting: Vec<_> =
            [TicketKind::WaitLeader].into_iter().map(|kind| rig.ask(kind)).collect();
        rig.finish(Call::Release, Reply::Done);
        rig.until("the driver has ended", |rig| rig.driver_ended());
        all_is_stopped(rig, waiting);
        assert!(rig.tracker().wait().is_ok());
        rig.tracker().kill();
        assert!(rig.tracker().wait().is_ok());
        assert_eq!(rig.claimer.begun(Call::Release), 1);
    });
}

#[test]
fn the_last_handle_that_is_dropped_stops_the_tracker_and_releases() {
    on_each(|rig| {
        rig.lead(1);
        let another = rig.tracker().another();
        let mut lost = rig.ask(TicketKind::WaitMinion);
        rig.tracker = None;
        rig.settle();
        assert!(!lost.is_ready(), "there is another handle");
        drop(another);
        assert_eq!(rig.answer(&mut lost), Outcome::Minion);
        rig.finish(Call::Release, Reply::Done);
        rig.until("the driver has ended", |rig| rig.driver_ended());
        let records = rig.claimer.records();
        assert_eq!(records[0].candidate, records[1].candidate, "what was claimed is released");
    });
}

#[test]
fn tickets_outlive_the_last_handle() {
    on_each(|rig| {
        rig.finish(Call::Claim, Reply::denied());
        let mut ticket = rig.ask(TicketKind::WaitLeader);
        rig.tracker = None;
        assert_eq!(rig.answer(&mut ticket), Outcome::Stopped);
        rig.until("the watch is given up", |rig| rig.claimer.out(Call::Released).is_empty());
    });
}

#[test]
fn all_who_wait_for_the_end_are_told() {
    on_each(|rig| {
        rig.lead(1);
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let tracker = rig.tracker().another();
                thread::spawn(move || tracker.wait().is_ok())
            })
            .collect();
        rig.tracker().kill();
        rig.finish(Call::Release, Reply::Done);
        rig.until("the driver has ended", |rig| rig.driver_ended());
        waiting.into_iter().for_each(|thread| assert!(thread.join().unwrap()));
    });
}

#[test]
fn a_claim_that_is_out_at_the_stop_is_released_and_its_grant_is_not_believed() {
    on_each(|rig| {
        rig.begun(Call::Claim, 1);
        rig.tracker().kill();
        rig.begun(Call::Release, 1);
        let records = rig.claimer.records();
        assert_eq!(records[0].candidate, records[1].candidate, "it may have been granted");
        if rig.runtime.claims_hang_on() {
            rig.claimer.finish_one(Call::Claim, Reply::granted(1));
        } else {
            assert_eq!(records[0].fate, Fate::Cancelled);
        }
        rig.settle();
        assert!(!rig.leads());
        assert_eq!(rig.ask(TicketKind::ClaimLeader).poll(), Some(Outcome::Minion));
        assert_eq!(rig.ask(TicketKind::WaitLeader).poll(), Some(Outcome::Stopped));
        rig.finish(Call::Release, Reply::Done);
        rig.until("the driver has ended", |rig| rig.driver_ended());
        assert!(rig.tracker().wait().is_ok());
    });
}

#[test]
fn a_release_that_hangs_holds_the_end_up_for_claim_timeout_only() {
    on_each(|rig| {
        rig.lead(1);
        rig.tracker().kill();
        rig.begun(Call::Release, 1);
        rig.advance(config().claim_timeout() - millis(1));
        assert_eq!(rig.tracker().standing(), Standing::Minion);
        rig.advance(millis(1));
        rig.until("the driver has ended", |rig| rig.driver_ended());
        assert!(rig.tracker().wait().is_ok());
    });
}

#[test]
fn who_steps_down_says_yes_no_more_and_comes_back_as_another_holder() {
    on_each(|rig| {
        rig.lead(1);
        rig.tracker().step_down(5 * SECOND);
        // At once, whether or not the driver has run.
        assert_eq!(rig.ask(TicketKind::ClaimLeader).poll(), Some(Outcome::Minion));
        assert_eq!(rig.tracker().standing(), Standing::Minion);
        let mut leads = rig.ask(TicketKind::WaitLeader);
        rig.finish(Call::Release, Reply::Done);
        rig.advance(5 * SECOND - millis(1));
        assert_eq!(rig.claimer.begun(Call::Claim), 1, "it cools off");
        rig.advance(millis(1));
        rig.lead(2);
        assert!(matches!(rig.answer(&mut leads), Outcome::Leader { .. }));
        let records = rig.claimer.records();
        let [first, release, second] = [0, 1, 2].map(|number| records[number].candidate.clone());
        assert_eq!(first, release);
        assert_ne!(first, second, "a late release must not free the new lease");
    });
}

#[test]
fn stepping_down_for_ever_can_still_be_stopped() {
    on_each(|rig| {
        rig.lead(1);
        rig.tracker().step_down(Duration::MAX);
        rig.finish(Call::Release, Reply::Done);
        rig.advance(1_000_000 * SECOND);
        assert_eq!(rig.tracker().standing(), Standing::Minion);
        rig.tracker().kill();
        assert!(rig.tracker().wait().is_ok());
        assert_eq!(rig.claimer.begun(Call::Release), 1, "there was nothing more to release");
    });
}

/// Grants, but lets the second claim wait for a word, and tells of each call.
struct Tells {
    calls: crossbeam_channel::Sender<&'static str>,
    word: crossbeam_channel::Receiver<()>,
    claims: AtomicUsize,
}

impl BlockingClaimer for Tells {
    fn claim(&self, _: &Candidate, _: Duration) -> Result<ClaimAnswer, ClaimerError> {
        let is_second = self.claims.fetch_add(1, Ordering::SeqCst) == 1;
        let _ = self.calls.send("claim");
        if is_second {
            self.word.recv().map_err(ClaimerError::unknown)?;
        }
        Ok(ClaimAnswer::Granted { term: Term::new(1) })
    }

    fn released(&self, _: &ServiceName, _: &dyn Cancel) -> Result<(), ClaimerError> {
        Ok(())
    }

    fn release(&self, _: &Candidate) -> Result<(), ClaimerError> {
        let _ = self.calls.send("release");
        Ok(())
    }

    fn leader(&self, _: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        Ok(None)
    }

    fn judge(&self) -> Judge {
        Judge::Server
    }
}

/// The thread of the call that ends last would find the order to release.
#[test]
fn a_driver_that_panics_leaves_no_call_to_be_made_after_it() {
    let (calls, told) = crossbeam_channel::unbounded();
    let (speak, word) = crossbeam_channel::bounded(1);
    let claimer = Tells { calls, word, claims: AtomicUsize::new(0) };
    let clock = Arc::new(Watched::default());
    let names = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) =
        tenure_std::Tracker::with_clock(claimer, names.0, names.1, config(), clock.clone());
    let driver = driver.spawn().unwrap();
    assert!(matches!(tracker.wait_leader().wait(), Outcome::Leader { .. }));
    clock.manual().advance(config().guarantee());
    assert_eq!([told.recv(), told.recv()], [Ok("claim"); 2]);
    clock.fail_the_driver();
    assert!(driver.join().is_err());
    assert!(matches!(tracker.wait(), Err(TrackerError::DriverDropped)));
    drop(tracker);
    speak.send(()).unwrap();
    // Until nobody holds the claimer.
    assert_eq!(told.iter().collect::<Vec<_>>(), Vec::<&str>::new());
}

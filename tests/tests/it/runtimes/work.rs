//! `while_leader`: work that runs only while its unit leads, and that the release waits for.

use tenure_core::{Demotion, Instant, Outcome, Standing, TicketKind};
use tenure_runtime::WorkError;
use tenure_testkit::scripted::{Call, Reply};

use super::rig::{Finish, Rig, Runtime, Working, on_each};
use super::{SECOND, config, millis};

/// Work that runs, in term 1 from the origin of time.
fn working(rig: &mut Rig) -> Box<dyn Working> {
    let mut work = rig.tracker().work();
    assert!(!work.runs(), "it does not lead yet");
    rig.lead(1);
    rig.until("it works", |_| work.runs());
    work
}

#[track_caller]
fn ends(rig: &mut Rig, work: &mut Box<dyn Working>) -> Option<Result<u32, WorkError>> {
    let mut result = None;
    rig.until("the work has ended", |_| {
        result = work.result();
        result.is_some()
    });
    result.unwrap()
}

/// It is told to end for this reason: on std it looks, returns 7, and gives that.
#[track_caller]
fn ends_because_of(rig: &mut Rig, work: &mut Box<dyn Working>, reason: Demotion) {
    rig.until("it is told", |_| work.is_told());
    work.finish(Finish::Return(7));
    let expected = match rig.runtime.is_smol() {
        true => Err(WorkError::Lost(reason)),
        false => Ok(7),
    };
    assert_eq!(ends(rig, work), Some(expected), "on {:?}", rig.runtime);
}

#[test]
fn work_gives_its_result_and_the_unit_leads_on() {
    on_each(|rig| {
        let mut work = working(rig);
        let valid_until = Instant::ORIGIN.saturating_add(config().valid_for());
        assert_eq!(work.guard(), Some((true, valid_until)));
        assert!(!work.is_told());
        work.finish(Finish::Return(3));
        assert_eq!(ends(rig, &mut work), Some(Ok(3)));
        rig.settle();
        assert!(rig.leads());
        assert_eq!(rig.claimer.begun(Call::Release), 0);
        assert!(!work.runs());
    });
}

#[test]
fn work_that_never_could_run_is_told_that_the_tracker_stopped() {
    on_each(|rig| {
        rig.finish(Call::Claim, Reply::denied());
        let mut work = rig.tracker().work();
        assert!(!work.runs());
        rig.tracker().kill();
        assert_eq!(ends(rig, &mut work), Some(Err(WorkError::Stopped)));
        let mut late = rig.tracker().work();
        assert_eq!(ends(rig, &mut late), Some(Err(WorkError::Stopped)));
    });
}

#[test]
fn work_is_told_when_the_lease_could_not_be_renewed() {
    on_each(|rig| {
        let mut work = working(rig);
        rig.claimer.always(Call::Claim, Reply::unknown("away"));
        rig.advance(15 * SECOND - millis(1));
        assert!(!work.is_told());
        assert!(work.guard().unwrap().0);
        rig.manual().advance(millis(1));
        if !rig.runtime.is_smol() {
            assert!(!work.guard().unwrap().0, "whether or not the driver has run");
        }
        ends_because_of(rig, &mut work, Demotion::NotRenewed);
        rig.settle();
        assert_eq!(rig.claimer.begun(Call::Release), 0, "it stays a candidate");
    });
}

#[test]
fn work_is_told_when_the_store_names_another() {
    on_each(|rig| {
        let mut work = working(rig);
        rig.advance(millis(9_500));
        rig.finish(Call::Claim, Reply::denied());
        ends_because_of(rig, &mut work, Demotion::Denied);
    });
}

#[test]
fn work_is_told_when_another_led_in_between() {
    on_each(|rig| {
        let mut work = working(rig);
        rig.advance(millis(9_500));
        rig.finish(Call::Claim, Reply::granted(2));
        rig.until("it leads again", |rig| {
            matches!(rig.tracker().standing(), Standing::Leader { term, .. } if term.number() == 2)
        });
        if !rig.runtime.is_smol() {
            assert!(!work.guard().unwrap().0, "its own term is over");
        }
        ends_because_of(rig, &mut work, Demotion::Interrupted);
    });
}

#[test]
fn the_release_waits_for_the_work_and_the_lease_is_renewed_for_it() {
    on_each(|rig| {
        let mut work = working(rig);
        rig.tracker().step_down(SECOND);
        rig.settle();
        assert_eq!(rig.claimer.begun(Call::Release), 0);
        assert!(rig.leads(), "as long as the work may go on");
        assert_eq!(rig.ask(TicketKind::ClaimLeader).poll(), Some(Outcome::Minion));
        rig.advance(millis(9_500));
        rig.finish(Call::Claim, Reply::granted(1));
        if !rig.runtime.is_smol() {
            let renewed = Instant::ORIGIN.saturating_add(millis(29_500));
            assert_eq!(work.guard(), Some((true, renewed)));
        }
        rig.settle();
        assert_eq!(rig.claimer.begun(Call::Release), 0);
        ends_because_of(rig, &mut work, Demotion::Resigned);
        rig.finish(Call::Release, Reply::Done);
        assert_eq!(rig.tracker().standing(), Standing::Minion);
    });
}

#[test]
fn work_that_never_ends_is_waited_for_until_the_lease_is_over() {
    on_each(|rig| {
        let mut work = working(rig);
        rig.claimer.always(Call::Claim, Reply::unknown("away"));
        rig.tracker().kill();
        rig.advance(15 * SECOND);
        rig.settle();
        assert_eq!(rig.tracker().standing(), Standing::Minion, "belief ends first");
        rig.advance(5 * SECOND - millis(1));
        assert_eq!(rig.claimer.begun(Call::Release), 0);
        rig.advance(millis(1));
        rig.finish(Call::Release, Reply::Done);
        rig.until("the driver has ended", |rig| rig.driver_ended());
        work.finish(Finish::Return(7));
        assert!(ends(rig, &mut work).is_some());
        assert_eq!(rig.claimer.begun(Call::Release), 1);
    });
}

#[test]
fn the_release_waits_for_all_work() {
    on_each(|rig| {
        let mut works = [working(rig), rig.tracker().work(), rig.tracker().work()];
        rig.until("all work", |_| works.iter_mut().all(|work| work.runs()));
        rig.tracker().kill();
        for work in &mut works {
            rig.settle();
            assert_eq!(rig.claimer.begun(Call::Release), 0);
            ends_because_of(rig, work, Demotion::Resigned);
        }
        rig.begun(Call::Release, 1);
    });
}

#[test]
fn work_that_panics_leaves_no_guard_behind() {
    on_each(|rig| {
        let mut work = working(rig);
        work.finish(Finish::Panic);
        assert_eq!(ends(rig, &mut work), None);
        assert!(rig.leads());
        rig.tracker().step_down(SECOND);
        rig.finish(Call::Release, Reply::Done);
    });
}

#[test]
fn work_that_panics_while_the_unit_resigns_lets_it_go() {
    on_each(|rig| {
        if rig.runtime.is_smol() {
            // There it is dropped, and has no time to panic.
            return;
        }
        let mut work = working(rig);
        rig.tracker().kill();
        rig.until("it is told", |_| work.is_told());
        work.finish(Finish::Panic);
        assert_eq!(ends(rig, &mut work), None);
        rig.finish(Call::Release, Reply::Done);
    });
}

#[test]
fn work_that_is_done_at_the_loss_is_lost() {
    let mut rig = Rig::new(Runtime::Smol);
    let mut work = working(&mut rig);
    rig.manual().advance(15 * SECOND);
    rig.settle();
    work.finish(Finish::Return(7));
    let lost = Err(WorkError::Lost(Demotion::NotRenewed));
    assert_eq!(ends(&mut rig, &mut work), Some(lost), "it may have been done too late");
}

#[test]
fn who_drops_the_work_goes_on_leading() {
    let mut rig = Rig::new(Runtime::Smol);
    let work = working(&mut rig);
    drop(work);
    rig.settle();
    assert!(rig.leads());
    rig.tracker().step_down(SECOND);
    rig.finish(Call::Release, Reply::Done);
}

#[test]
fn work_begins_anew_in_the_next_tenure() {
    on_each(|rig| {
        let mut work = working(rig);
        rig.tracker().step_down(SECOND);
        ends_because_of(rig, &mut work, Demotion::Resigned);
        let mut next = rig.tracker().work();
        rig.finish(Call::Release, Reply::Done);
        assert!(!next.runs());
        rig.advance(SECOND);
        rig.lead(2);
        rig.until("it works", |_| next.runs());
        next.finish(Finish::Return(9));
        assert_eq!(ends(rig, &mut next), Some(Ok(9)));
    });
}

#[test]
fn work_outlives_a_driver_that_is_dropped_no_longer_than_it_looks() {
    on_each(|rig| {
        let mut work = working(rig);
        rig.drop_driver();
        if !rig.runtime.is_smol() {
            assert!(!work.guard().unwrap().0);
        }
        rig.until("it is told", |_| work.is_told());
        work.finish(Finish::Return(7));
        assert!(ends(rig, &mut work).is_some());
    });
}

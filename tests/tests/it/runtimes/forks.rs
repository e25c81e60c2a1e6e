//! A process that forks after it has made a tracker: the child does not lead.

use fork::Fork;
use tenure_core::{Outcome, Standing};
use tenure_memory::MemoryStore;
use tenure_runtime::TrackerError;

use super::config;

/// What the child of a fork finds, as the bits of its exit status; 0 if all is as it should be.
fn in_a_child(look: impl FnOnce() -> i32) -> i32 {
    match fork::fork().unwrap() {
        Fork::Child => std::process::exit(look()),
        Fork::Parent(child) => fork::waitpid(child).unwrap() >> 8,
    }
}

#[test]
fn the_child_of_a_fork_does_not_lead_on_threads() {
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) = tenure_std::Tracker::new(MemoryStore::new(), service, unit, config());
    let running = driver.spawn().unwrap();
    assert!(matches!(tracker.wait_leader().wait(), Outcome::Leader { .. }));
    let done = tracker.while_leader(|guard| {
        let mut early = tracker.wait_leader();
        let mut parked = tracker.wait_minion();
        let seen = in_a_child(|| {
            if tracker.standing() != Standing::Stopped {
                // The rest would wait for ever.
                return 1;
            }
            i32::from(guard.holds() || !guard.is_lost()) << 1
                | i32::from(tracker.claim_leader().wait() != Outcome::Stopped) << 2
                | i32::from(early.wait_timeout(std::time::Duration::ZERO) != Some(Outcome::Stopped))
                    << 3
                | i32::from(
                    parked.wait_timeout(std::time::Duration::ZERO) != Some(Outcome::Stopped),
                ) << 4
                | i32::from(!matches!(tracker.wait(), Err(TrackerError::Forked))) << 5
                | i32::from(tracker.while_leader(|_| ()).is_ok()) << 6
        });
        assert_eq!(seen, 0, "what the child was told, by bits: {seen:#09b}");
        assert!(guard.holds() && !guard.is_lost(), "the parent leads on");
    });
    assert_eq!(done, Ok(()));
    tracker.stop().unwrap();
    running.join().unwrap();
}

#[test]
fn the_child_of_a_fork_does_not_lead_on_smol() {
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) = tenure_smol::Tracker::new(MemoryStore::new(), service, unit, config());
    let mut driver = super::rig::ByHand::new(driver.run());
    driver.drive();
    assert!(matches!(tracker.standing(), Standing::Leader { .. }));
    let seen = in_a_child(|| {
        if tracker.standing() != Standing::Stopped {
            return 1;
        }
        driver.drive();
        i32::from(smol::block_on(tracker.claim_leader()) != Outcome::Stopped) << 1
            | i32::from(!matches!(smol::block_on(tracker.wait()), Err(TrackerError::Forked))) << 2
    });
    assert_eq!(seen, 0, "what the child was told, by bits: {seen:#05b}");
    assert!(matches!(tracker.standing(), Standing::Leader { .. }), "the parent leads on");
}

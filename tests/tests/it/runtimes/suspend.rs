//! A machine that was suspended: the clock has moved, and what drivers sleep by has not.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use smol::{Timer, future};
use tenure_core::{Config, Instant, Outcome};
use tenure_memory::MemoryStore;
use tenure_runtime::{Clock, ManualClock};

use super::{PATIENCE, SECOND, millis};

/// A clock that stands still, and moves without a word.
#[derive(Debug, Default)]
struct Silent(ManualClock);

impl Clock for Silent {
    fn now(&self) -> Instant {
        self.0.now()
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

/// How long a driver is given to fall asleep: one that has not makes no difference.
const SETTLE: Duration = Duration::from_millis(50);

/// A leader renews after most of an hour, and a claim may take a hundredth of a second.
fn config() -> Config {
    Config::builder(HOUR).claim_timeout(millis(10)).min_interval(SECOND).build().unwrap()
}

#[test]
fn whoever_led_before_a_suspend_is_told_of_its_end_soon_after() {
    let names = || ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());

    let clock = Arc::new(Silent::default());
    let (service, unit) = names();
    let store = MemoryStore::new();
    let (tracker, driver) =
        tenure_smol::Tracker::with_clock(store, service, unit, config(), clock.clone());
    let running = smol::spawn(driver.run());
    let told = async {
        assert!(matches!(tracker.wait_leader().await, Outcome::Leader { .. }));
        let lost = tracker.wait_minion();
        Timer::after(SETTLE).await;
        clock.0.advance(2 * HOUR);
        Some(lost.await)
    };
    let too_late = async {
        Timer::after(PATIENCE).await;
        None
    };
    assert_eq!(smol::block_on(future::or(told, too_late)), Some(Outcome::Minion));
    drop(tracker);
    smol::block_on(running);

    let clock = Arc::new(Silent::default());
    let (service, unit) = names();
    let store = MemoryStore::new();
    let (tracker, driver) =
        tenure_std::Tracker::with_clock(store, service, unit, config(), clock.clone());
    let running = driver.spawn().unwrap();
    assert!(matches!(tracker.wait_leader().wait(), Outcome::Leader { .. }));
    let mut lost = tracker.wait_minion();
    thread::sleep(SETTLE);
    clock.0.advance(2 * HOUR);
    assert_eq!(lost.wait_timeout(PATIENCE), Some(Outcome::Minion));
    drop(tracker);
    running.join().unwrap();
}

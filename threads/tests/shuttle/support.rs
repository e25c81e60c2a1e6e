//! Drawn schedules, a tracker to run under them, and what must hold at its end.

use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::thread::JoinHandle;
use shuttle::{Config as Settings, Runner};
use tenure_core::{Config, Outcome, Standing, UnitName};
use tenure_runtime::{Clock, ManualClock};
use tenure_std::{Ticket, Tracker};

use crate::store::Store;

/// How long a yes holds.
pub(crate) const GUARANTEE: Duration = Duration::from_secs(10);

/// Runs `body` under so many schedules of each of two schedulers: one that draws who goes on at
/// each step, and one that draws priorities and a few points at which they change.
///
/// `SHUTTLE_RANDOM_SEED` chooses other schedules than usual. One that fails is printed;
/// `TENURE_SCHEDULE` in the environment, with what was printed, runs that one alone.
pub(crate) fn under_schedules(number: usize, body: fn()) {
    const SEED: u64 = 4;
    if let Ok(schedule) = std::env::var("TENURE_SCHEDULE") {
        run(ReplayScheduler::new_from_encoded(schedule.trim()), body);
        return;
    }
    run(RandomScheduler::new_from_seed(SEED, number), body);
    for changes in [2, 4] {
        run(PctScheduler::new_from_seed(SEED, changes, number / 2), body);
    }
}

fn run(scheduler: impl Scheduler + 'static, body: fn()) {
    let mut settings = Settings::new();
    settings.stack_size = 1 << 18;
    settings.silence_warnings = true;
    Runner::new(scheduler, settings).run(body);
}

/// A tracker with its driver on a thread of its own.
pub(crate) struct Running {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) driver: JoinHandle<()>,
    pub(crate) store: Store,
    pub(crate) tracker: Tracker,
}

impl Running {
    pub(crate) fn start(unit: &str, store: &Store, clock: &Arc<ManualClock>) -> Running {
        let config = Config::builder(GUARANTEE).jitter_seed(7).build().unwrap();
        let (service, unit) = ("mysql".parse().unwrap(), unit.parse::<UnitName>().unwrap());
        let (tracker, driver) =
            Tracker::with_clock(store.clone(), service, unit, config, clock.clone());
        let driver = driver.spawn().unwrap();
        Running { clock: clock.clone(), driver, store: store.clone(), tracker }
    }

    /// One alone, on a store of its own.
    pub(crate) fn alone() -> Running {
        let clock = Arc::new(ManualClock::new());
        Running::start("mysql/0", &Store::new(), &clock)
    }

    /// Asks the tracker to end, and sees it off. The store's threads are waited for by shuttle: one
    /// that stays is a deadlock to it.
    pub(crate) fn end(self) {
        let Running { driver, store, tracker, .. } = self;
        tracker.kill();
        // What hangs may end now: only the threads that wait for it are of interest here.
        store.open();
        tracker.wait().expect("it was asked to");
        driver.join().expect("the driver does not panic");
        assert_eq!(tracker.standing(), Standing::Stopped);
        let asked = [tracker.claim_leader(), tracker.wait_leader(), tracker.wait_minion()];
        asked.into_iter().for_each(|ticket| assert_eq!(ticket.wait(), Outcome::Stopped));
        tracker.wait().expect("it can be asked again");
    }

    /// Waits for an answer, and checks that a yes holds: for the guarantee at least, from before it
    /// was asked for on, in a term that the store has granted to this unit.
    pub(crate) fn answer(&self, ask: impl FnOnce(&Tracker) -> Ticket) -> Outcome {
        let before = self.clock.now();
        let outcome = ask(&self.tracker).wait();
        self.check(before, outcome);
        outcome
    }

    pub(crate) fn check(&self, asked: tenure_core::Instant, outcome: Outcome) {
        if let Outcome::Leader { term, valid_until } = outcome {
            assert!(asked.saturating_add(GUARANTEE) <= valid_until, "{asked:?} {outcome:?}");
            self.store.check_grant(self.tracker.unit_name(), term, valid_until);
        }
    }
}

/// Whether it is a yes.
pub(crate) fn is_yes(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Leader { .. })
}

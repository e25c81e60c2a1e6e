//! The fast path waits for nobody: not for the lock of its tracker, and not for its driver.

use std::sync::{Arc, Condvar, Mutex};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use tenure_core::{Instant, TicketKind};
use tenure_memory::MemoryStore;
use tenure_runtime::Clock;

use super::rig::{ByHand, Tracking};
use super::{PATIENCE, config};

/// A clock that stands still, and does not answer the thread named `held` until it is let go.
///
/// A tracker reads the clock behind its lock when it hands an event to its machine: whoever is held
/// here holds that.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_inside: bool,
    is_open: bool,
}

impl Gate {
    fn wait_for(&self, mut holds: impl FnMut(&State) -> bool) {
        let state = self.state.lock().unwrap();
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| !holds(state));
        assert!(!waited.unwrap().1.timed_out());
    }

    fn open(&self) {
        self.state.lock().unwrap().is_open = true;
        self.changed.notify_all();
    }
}

impl Clock for Gate {
    fn now(&self) -> Instant {
        if thread::current().name() == Some("held") {
            self.state.lock().unwrap().is_inside = true;
            self.changed.notify_all();
            self.wait_for(|state| state.is_open);
        }
        Instant::from_nanos(1)
    }

    fn on_jump(&self, _: &Waker) {}
}

fn the_lock_is_not_needed(tracker: &dyn Tracking, gate: &Arc<Gate>) {
    let holder = tracker.another();
    let held = thread::Builder::new().name("held".to_owned());
    let held = held.spawn(move || drop(holder.request(TicketKind::WaitMinion))).unwrap();
    gate.wait_for(|state| state.is_inside);
    let locker = tracker.another();
    let locks = thread::spawn(move || drop(locker.last_error()));
    let asker = tracker.another();
    let asks = thread::spawn(move || {
        for kind in [TicketKind::ClaimLeader, TicketKind::WaitLeader] {
            let mut ticket = asker.request(kind);
            assert!(ticket.is_ready() && ticket.poll().is_some());
        }
        asker.standing()
    });
    let mut waited = Duration::ZERO;
    while !asks.is_finished() && waited < PATIENCE {
        thread::sleep(Duration::from_millis(1));
        waited += Duration::from_millis(1);
    }
    let (answered, locked) = (asks.is_finished(), locks.is_finished());
    gate.open();
    let standing = asks.join().unwrap();
    assert!(matches!(standing, tenure_core::Standing::Leader { .. }));
    [held, locks].into_iter().for_each(|thread| thread.join().unwrap());
    assert!(answered && !locked, "the lock was held, and nobody but who needs it waited");
}

#[test]
fn a_fresh_leader_is_told_so_while_another_thread_holds_the_lock() {
    let names = || ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let gate = Arc::new(Gate::default());
    let (service, unit) = names();
    let (tracker, driver) =
        tenure_smol::Tracker::with_clock(MemoryStore::new(), service, unit, config(), gate.clone());
    let mut driver = ByHand::new(driver.run());
    driver.drive();
    the_lock_is_not_needed(&tracker, &gate);

    let gate = Arc::new(Gate::default());
    let (service, unit) = names();
    let (tracker, driver) =
        tenure_std::Tracker::with_clock(MemoryStore::new(), service, unit, config(), gate.clone());
    let running = driver.spawn().unwrap();
    assert!(matches!(tracker.wait_leader().wait(), tenure_core::Outcome::Leader { .. }));
    the_lock_is_not_needed(&tracker, &gate);
    drop(tracker);
    running.join().unwrap();
}

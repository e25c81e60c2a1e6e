use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;
use tenure_core::{Demotion, Then};
use tenure_runtime::{Hub, Order};

use crate::support::{leader, model, wait, work};

/// How many guards there are. Not loom's: what is counted is ordered by the hub's own lock, or it
/// is a fault.
#[derive(Default)]
struct Held(AtomicUsize);

/// Carries out the hub's orders until the tracker has ended, and gives the number of releases: none
/// may be ordered while a guard is held.
fn drive(hub: &Hub, held: &Held) -> usize {
    let mut releases = 0;
    work(hub, |work| {
        if let Order::Begin(release) = &work.orders.release {
            assert_eq!(held.0.load(Ordering::SeqCst), 0, "released under a guard");
            releases += 1;
            hub.release_finished(release.tenure, Ok(()));
        }
        work.deadline.is_none()
    });
    releases
}

#[test]
fn the_release_waits_for_the_last_guard_and_comes_once() {
    model(None, || {
        let (hub, held) = (leader(), Arc::new(Held::default()));
        let guard = hub.guard().expect("it leads");
        let lost = guard.watch().clone();
        held.0.fetch_add(1, Ordering::SeqCst);
        let worker = {
            let held = held.clone();
            thread::spawn(move || {
                held.0.fetch_sub(1, Ordering::SeqCst);
                drop(guard);
            })
        };
        hub.resign(Then::Stop);
        assert_eq!(drive(&hub, &held), 1);
        worker.join().unwrap();
        assert!(lost.loss().is_some());
        assert!(!hub.has_tickets());
    });
}

#[test]
fn of_two_guards_the_last_one_lets_the_lease_go() {
    model(Some(3), || {
        let (hub, held) = (leader(), Arc::new(Held::default()));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let guard = hub.guard().expect("it leads");
                held.0.fetch_add(1, Ordering::SeqCst);
                let held = held.clone();
                thread::spawn(move || {
                    held.0.fetch_sub(1, Ordering::SeqCst);
                    drop(guard);
                })
            })
            .collect();
        hub.resign(Then::Stop);
        assert_eq!(drive(&hub, &held), 1);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert!(!hub.has_tickets());
    });
}

#[test]
fn a_guard_that_is_asked_for_while_the_tracker_stops_holds_back_the_release_or_is_not_given() {
    model(None, || {
        let (hub, held) = (leader(), Arc::new(Held::default()));
        let worker = {
            let (hub, held) = (hub.clone(), held.clone());
            thread::spawn(move || {
                // Before the guard is there, so that it is never counted too late; whoever gets
                // none has held nothing back.
                if let Some(guard) = hub.guard() {
                    held.0.fetch_add(1, Ordering::SeqCst);
                    let mut slot = None;
                    let loss = wait(|waker| guard.watch().poll(&mut slot, waker));
                    assert_eq!(loss.reason, Demotion::Resigned, "it has to end its work");
                    held.0.fetch_sub(1, Ordering::SeqCst);
                    drop(guard);
                }
            })
        };
        hub.resign(Then::Stop);
        assert_eq!(drive(&hub, &held), 1);
        worker.join().unwrap();
        assert_eq!(held.0.load(Ordering::SeqCst), 0);
        assert!(!hub.has_tickets());
    });
}

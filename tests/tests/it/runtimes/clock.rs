use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;
use std::thread;

use tenure_core::Instant;
use tenure_runtime::{Clock, ManualClock};

/// A manual clock that notes how far the threads of a tracker are.
///
/// The driver registers for jumps after it has followed its orders, and a thread that made a call
/// reads the time when it hands in the result: so whoever moves the clock can tell when all that
/// follows from that has been done.
#[derive(Debug, Default)]
pub(super) struct Watched {
    manual: Arc<ManualClock>,
    registrations: AtomicUsize,
    reports: AtomicUsize,
    reads: AtomicUsize,
    fails_the_driver: AtomicBool,
}

impl Watched {
    pub(super) fn manual(&self) -> &Arc<ManualClock> {
        &self.manual
    }

    /// Rouses the driver without moving.
    pub(super) fn nudge(&self) {
        self.manual.set(self.manual.now());
    }

    /// How often a driver has registered for jumps.
    pub(super) fn registrations(&self) -> usize {
        self.registrations.load(Ordering::SeqCst)
    }

    /// How many results of calls have been handed in by the threads of `tenure-std`.
    pub(super) fn reports(&self) -> usize {
        self.reports.load(Ordering::SeqCst)
    }

    /// How often the time was read.
    pub(super) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Ends the driver's thread with a panic: the only way to drop a driver that runs.
    pub(super) fn fail_the_driver(&self) {
        self.fails_the_driver.store(true, Ordering::SeqCst);
        self.nudge();
    }
}

impl Clock for Watched {
    fn now(&self) -> Instant {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if thread::current().name().is_some_and(|name| name.starts_with("tenure-")) {
            self.reports.fetch_add(1, Ordering::SeqCst);
        }
        self.manual.now()
    }

    fn on_jump(&self, waker: &Waker) {
        self.manual.on_jump(waker);
        self.registrations.fetch_add(1, Ordering::SeqCst);
        let on_the_driver = thread::current().name() == Some("tenure");
        if on_the_driver && self.fails_the_driver.load(Ordering::SeqCst) {
            resume_unwind(Box::new("the driver is dropped"));
        }
    }
}

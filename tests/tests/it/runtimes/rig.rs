//! One door for both runtimes, so that one test body serves both.

mod noted;
mod smol_side;
mod std_side;

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant as Deadline};

use tenure_core::{ClaimerError, Config, Instant, Outcome, Standing, TicketKind};
use tenure_runtime::{Clock, ManualClock, TrackerError, WorkError};
use tenure_testkit::scripted::{Call, Reply, Scripted};

use super::clock::Watched;
use super::{PATIENCE, config, millis};
use noted::Noted;
pub(crate) use smol_side::ByHand;
pub(super) use smol_side::Woken;

/// A runtime, and which of the claimer's traits it drives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Runtime {
    /// The driver is polled by hand, on the thread of the test.
    Smol,
    /// As above, with the calls on the pool of the `blocking` crate.
    SmolUnblock,
    Std,
    StdBlockOn,
}

impl Runtime {
    pub(super) const ALL: [Runtime; 4] =
        [Runtime::Smol, Runtime::SmolUnblock, Runtime::Std, Runtime::StdBlockOn];

    pub(super) fn is_smol(self) -> bool {
        matches!(self, Runtime::Smol | Runtime::SmolUnblock)
    }

    /// Whether a claim that is given up goes on all the same, and the next one waits behind it.
    pub(super) fn claims_hang_on(self) -> bool {
        self != Runtime::Smol
    }
}

/// A tracker.
pub(super) trait Tracking: Send {
    fn request(&self, kind: TicketKind) -> Box<dyn Asked>;
    fn another(&self) -> Box<dyn Tracking>;
    fn standing(&self) -> Standing;
    fn step_down(&self, cool_off: Duration);
    fn kill(&self);
    /// Blocks.
    fn wait(&self) -> Result<(), TrackerError>;
    fn last_error(&self) -> Option<Arc<ClaimerError>>;
    /// Starts work that ends as it is told.
    fn work(&self) -> Box<dyn Working>;
}

/// A ticket.
pub(super) trait Asked: Send {
    fn is_ready(&self) -> bool;
    /// Looks once.
    fn poll(&mut self) -> Option<Outcome>;
    /// `ready()`, and whether its channel is closed.
    fn ready(&mut self) -> Box<dyn Fn() -> bool>;
}

/// Work under a guard.
pub(super) trait Working {
    /// Whether it has begun, and has not ended.
    fn runs(&mut self) -> bool;
    /// What its guard holds and until when, while it runs.
    fn guard(&mut self) -> Option<(bool, Instant)>;
    /// Whether it was told to end: on smol it has ended then.
    fn is_told(&mut self) -> bool;
    fn finish(&self, how: Finish);
    /// What `while_leader` gave, once it has: `None` in it if it panicked.
    fn result(&mut self) -> Option<Option<Result<u32, WorkError>>>;
}

/// How work ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Finish {
    Panic,
    Return(u32),
}

/// What makes a tracker go.
pub(super) enum Driving {
    ByHand(ByHand),
    Thread(thread::JoinHandle<()>),
    Gone,
}

/// A tracker over a claimer and a clock, with its driver.
pub(super) struct Rig {
    pub(super) runtime: Runtime,
    pub(super) clock: Arc<Watched>,
    pub(super) claimer: Scripted,
    noted: Noted,
    pub(super) tracker: Option<Box<dyn Tracking>>,
    pub(super) driving: Driving,
}

impl fmt::Debug for Rig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Rig");
        debug.field("runtime", &self.runtime).field("now", &self.clock.manual().now());
        debug.field("claimer", &self.claimer).finish_non_exhaustive()
    }
}

/// Runs a test on each runtime over each of the claimer's traits.
pub(super) fn on_each(test: impl Fn(&mut Rig)) {
    for runtime in Runtime::ALL {
        test(&mut Rig::new(runtime));
    }
}

impl Rig {
    pub(super) fn new(runtime: Runtime) -> Rig {
        Rig::with(runtime, config())
    }

    pub(super) fn with(runtime: Runtime, config: Config) -> Rig {
        let clock = Arc::new(Watched::default());
        let claimer = Scripted::new(clock.manual().clone());
        let noted = Noted::default();
        let (tracker, driving) = match runtime {
            Runtime::Smol => smol_side::start(claimer.clone(), config, clock.clone()),
            Runtime::SmolUnblock => {
                let unblock = tenure_smol::Unblock::new(claimer.clone());
                smol_side::start(noted.over(unblock), config, clock.clone())
            }
            Runtime::Std => std_side::start(claimer.clone(), config, clock.clone()),
            Runtime::StdBlockOn => {
                std_side::start(tenure_std::BlockOn::new(claimer.clone()), config, clock.clone())
            }
        };
        Rig { runtime, clock, claimer, noted, tracker: Some(tracker), driving }
    }

    pub(super) fn manual(&self) -> &ManualClock {
        self.clock.manual()
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.manual().now()
    }

    pub(super) fn tracker(&self) -> &dyn Tracking {
        &**self.tracker.as_ref().expect("a handle")
    }

    pub(super) fn ask(&self, kind: TicketKind) -> Box<dyn Asked> {
        self.tracker().request(kind)
    }

    /// Waits for `holds`. Where nothing runs but the test, it has to hold at once.
    #[track_caller]
    pub(super) fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Rig) -> bool) {
        let end = Deadline::now() + PATIENCE;
        loop {
            self.drive();
            if holds(self) {
                return;
            }
            let hopeless = self.runtime == Runtime::Smol || Deadline::now() > end;
            assert!(!hopeless, "never: {what}\n{self:#?}");
            thread::sleep(Duration::from_micros(100));
        }
    }

    /// Polls a driver that is polled by hand, as long as it is woken.
    pub(super) fn drive(&mut self) {
        if let Driving::ByHand(driver) = &mut self.driving {
            driver.drive();
        }
    }

    /// Waits until all has been done that follows from what was done.
    #[track_caller]
    pub(super) fn settle(&mut self) {
        self.drive();
        if self.runtime == Runtime::Smol {
            return;
        }
        self.until("all results are handed in", |rig| {
            let calls = [Call::Claim, Call::Released, Call::Release];
            let over = calls.map(|call| rig.claimer.over(call));
            match &rig.driving {
                Driving::ByHand(_) => {
                    calls.iter().zip(over).all(|(call, count)| rig.noted.ended(*call) >= count)
                }
                Driving::Thread(_) => rig.clock.reports() >= over.iter().sum(),
                Driving::Gone => true,
            }
        });
        self.pass_through_the_driver();
    }

    /// Waits until the driver has looked at the clock as it is now, and has followed the orders
    /// that come of it.
    ///
    /// The first registration may be of a look that began before, and after the second one the
    /// timer may be handed in.
    #[track_caller]
    pub(super) fn pass_through_the_driver(&mut self) {
        let Driving::Thread(thread) = &self.driving else { return self.drive() };
        if thread.is_finished() {
            return;
        }
        for _ in 0..3 {
            let before = self.clock.registrations();
            self.clock.nudge();
            self.until("the driver looks", |rig| {
                let Driving::Thread(thread) = &rig.driving else { return true };
                rig.clock.registrations() > before || thread.is_finished()
            });
        }
    }

    pub(super) fn advance(&mut self, span: Duration) {
        self.manual().advance(span);
        self.pass_through_the_driver();
    }

    /// Waits for the `count`th call of this kind.
    #[track_caller]
    pub(super) fn begun(&mut self, call: Call, count: usize) {
        self.until(&format!("{count} {call:?}"), |rig| rig.claimer.begun(call) >= count);
        assert_eq!(self.claimer.begun(call), count, "{call:?}\n{self:#?}");
    }

    /// Ends the one call of this kind that is out, as soon as it is.
    #[track_caller]
    pub(super) fn finish(&mut self, call: Call, reply: Reply) {
        self.until(&format!("a {call:?}"), |rig| rig.claimer.out(call).len() == 1);
        self.claimer.finish_one(call, reply);
        self.settle();
    }

    /// Leads in `term`.
    #[track_caller]
    pub(super) fn lead(&mut self, term: u64) {
        self.finish(Call::Claim, Reply::granted(term));
        self.until("it leads", |rig| rig.leads());
    }

    pub(super) fn leads(&self) -> bool {
        matches!(self.tracker().standing(), Standing::Leader { .. })
    }

    #[track_caller]
    pub(super) fn answer(&mut self, ticket: &mut Box<dyn Asked>) -> Outcome {
        self.until("an answer", |_| ticket.is_ready());
        ticket.poll().expect("it is ready")
    }

    /// Drops the driver, also one that runs.
    pub(super) fn drop_driver(&mut self) {
        match std::mem::replace(&mut self.driving, Driving::Gone) {
            Driving::ByHand(driver) => drop(driver),
            Driving::Thread(thread) => {
                self.clock.fail_the_driver();
                // It may have ended by itself.
                drop(thread.join());
            }
            Driving::Gone => {}
        }
    }

    /// Whether the driver has ended by itself.
    pub(super) fn driver_ended(&self) -> bool {
        match &self.driving {
            Driving::ByHand(driver) => driver.is_done(),
            Driving::Thread(thread) => thread.is_finished(),
            Driving::Gone => true,
        }
    }
}

/// No thread stays behind.
impl Drop for Rig {
    fn drop(&mut self) {
        self.tracker = None;
        self.claimer.close();
        self.drop_driver();
    }
}

/// The outcome of a grant in `term` of a claim that was sent at `sent`.
pub(super) fn yes(term: u64, sent: Instant) -> Outcome {
    let valid_until = sent.saturating_add(config().valid_for());
    Outcome::Leader { term: tenure_core::Term::new(term), valid_until }
}

/// Hands the CPU to others for a moment, where a test waits for something that does not come.
pub(super) fn moment() {
    thread::sleep(millis(5));
}

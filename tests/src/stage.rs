//! A stage on which a service of your own meets all that a leader can meet, one line each.
//!
//! A [`Stage`] is a real tracker, of `tenure-std` or of `tenure-smol`, on a clock that the test
//! moves and over a store that does as the test says. When a line returns, all that follows from it
//! has happened: the tracker's standing and its tickets are as they will be, and no test sleeps.
//!
//! | line | what happens |
//! | --- | --- |
//! | [`grant`](Stage::grant) | the store grants: the unit leads, and goes on leading |
//! | [`deny`](Stage::deny) | somebody else takes the lease, and keeps it |
//! | [`lose_leadership`](Stage::lose_leadership) | ... and the leader hears of it now |
//! | [`lose_reply`](Stage::lose_reply) | the store grants, and the tracker never hears of it |
//! | [`store_goes`](Stage::store_goes) | the store cannot be reached |
//! | [`store_returns`](Stage::store_returns) | it can be again |
//! | [`pass`](Stage::pass) | time passes |
//! | [`pause`](Stage::pause) | this process stands still, or its machine sleeps, and wakes later |
//!
//! ```
//! # #[cfg(feature = "std")] {
//! use std::time::Duration;
//! use tenure_core::Config;
//! use tenure_std::Tracker;
//! use tenure_testkit::stage::Stage;
//!
//! /// The service under test: it pays out what only a leader may pay out.
//! struct Paymaster {
//!     tracker: Tracker,
//!     paid: u32,
//! }
//!
//! impl Paymaster {
//!     fn work(&mut self) {
//!         let paid = self.tracker.while_leader(|guard| u32::from(guard.holds()));
//!         self.paid += paid.unwrap_or(0);
//!     }
//! }
//!
//! let config = Config::new(Duration::from_secs(10))?;
//! let (stage, tracker) = Stage::on_threads("mysql".parse()?, "mysql/0".parse()?, config)?;
//! let mut paymaster = Paymaster { tracker: tracker.clone(), paid: 0 };
//!
//! stage.grant();
//! paymaster.work();
//! assert_eq!(paymaster.paid, 1);
//!
//! let lost = tracker.wait_minion();
//! stage.store_goes();
//! stage.pass(Duration::from_secs(12));
//! assert!(!lost.is_ready(), "its lease runs on");
//! stage.pause(Duration::from_secs(40));
//! assert!(lost.is_ready(), "it can no longer rely on leading");
//! assert!(!stage.leads());
//!
//! stage.store_returns();
//! stage.pass(Duration::from_secs(5));
//! paymaster.work();
//! assert_eq!(paymaster.paid, 2);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! On smol it is the same; the service's own tasks run wherever they please:
//!
//! ```
//! # #[cfg(feature = "smol")] {
//! use std::time::Duration;
//! use tenure_core::{Config, Outcome};
//! use tenure_runtime::WorkError;
//! use tenure_testkit::stage::Stage;
//!
//! let config = Config::new(Duration::from_secs(10))?;
//! let (stage, tracker) = Stage::on_smol("mysql".parse()?, "mysql/0".parse()?, config)?;
//! let (begun, has_begun) = smol::channel::bounded(1);
//! let service = smol::spawn({
//!     let tracker = tracker.clone();
//!     // It never ends by itself: losing the leadership drops it.
//!     let work = async move |_guard| {
//!         begun.send(()).await.ok();
//!         std::future::pending::<()>().await
//!     };
//!     async move { tracker.while_leader(work).await }
//! });
//! stage.grant();
//! // Its executor may take its time: a leadership that is over is none to begin in.
//! smol::block_on(has_begun.recv())?;
//! stage.lose_reply();
//! stage.pass(Duration::from_secs(30));
//! assert!(stage.leads(), "one renewal failed, and the next did not");
//! stage.lose_leadership();
//! assert!(matches!(smol::block_on(service), Err(WorkError::Lost(_))));
//! assert_eq!(smol::block_on(tracker.claim_leader()), Outcome::Minion);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clock;
mod mind;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tenure_core::{Config, Instant, ServiceName, Standing, UnitName};
use tenure_runtime::{Calls, Clock, ManualClock};

use crate::scripted::{Call, Fate, Progress, Record, Reply, Scripted};
use clock::StageClock;
use mind::{Mind, Mood};

/// A tracker, its clock and its store, in the hands of a test.
///
/// The first claim is out from the start, and hangs until a line decides about it. The stage keeps
/// a handle of the tracker, which so ends when it is told to, or with the stage, and not with your
/// last handle.
pub struct Stage {
    config: Config,
    clock: Arc<ManualClock>,
    store: Scripted,
    mind: Arc<Mutex<Mind>>,
    look: Box<dyn Fn() -> Look + Send + Sync>,
    /// Whether calls block threads of their own, which the driver does not wait for.
    has_threads: bool,
}

/// What can be seen of a tracker.
struct Look {
    standing: Standing,
    calls: Calls,
}

/// Ends with its driver, however that ends.
struct Driving(Progress);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.driver_ends();
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Stage");
        debug.field("now", &self.clock.now()).field("standing", &(self.look)().standing);
        debug.field("mind", &*self.mind()).field("store", &self.store).finish_non_exhaustive()
    }
}

impl Stage {
    /// A stage with a tracker of `tenure-std`, whose driver runs on a thread of its own.
    ///
    /// # Errors
    ///
    /// If the operating system has no thread to give.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_testkit::stage::Stage;
    /// let config = Config::new(Duration::from_secs(10))?;
    /// let (stage, tracker) = Stage::on_threads("mysql".parse()?, "mysql/0".parse()?, config)?;
    /// stage.deny();
    /// assert_eq!(tracker.claim_leader().wait(), Outcome::Minion);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn on_threads(
        service: ServiceName,
        unit: UnitName,
        config: Config,
    ) -> io::Result<(Stage, tenure_std::Tracker)> {
        let (clock, store) = props();
        let (tracker, driver) = tenure_std::Tracker::with_clock(
            store.clone(),
            service,
            unit,
            config.clone(),
            clock.clone(),
        );
        let watched = tracker.clone();
        let look = move || Look { standing: watched.standing(), calls: watched.calls() };
        let stage = Stage::new(config, &clock, store, Box::new(look), true);
        stage.drive(|| driver.run())?;
        Ok((stage, tracker))
    }

    /// A stage with a tracker of `tenure-smol`, whose driver runs on a thread of its own, so that
    /// the test may block.
    ///
    /// # Errors
    ///
    /// If the operating system has no thread to give.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_testkit::stage::Stage;
    /// let config = Config::new(Duration::from_secs(10))?;
    /// let (stage, tracker) = Stage::on_smol("mysql".parse()?, "mysql/0".parse()?, config)?;
    /// stage.deny();
    /// assert_eq!(smol::block_on(tracker.claim_leader()), Outcome::Minion);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "smol")]
    pub fn on_smol(
        service: ServiceName,
        unit: UnitName,
        config: Config,
    ) -> io::Result<(Stage, tenure_smol::Tracker)> {
        let (clock, store) = props();
        let (tracker, driver) = tenure_smol::Tracker::with_clock(
            store.clone(),
            service,
            unit,
            config.clone(),
            clock.clone(),
        );
        let watched = tracker.clone();
        let look = move || Look { standing: watched.standing(), calls: watched.calls() };
        let stage = Stage::new(config, &clock, store, Box::new(look), false);
        stage.drive(|| futures_lite::future::block_on(driver.run()))?;
        Ok((stage, tracker))
    }

    fn new(
        config: Config,
        clock: &StageClock,
        store: Scripted,
        look: Box<dyn Fn() -> Look + Send + Sync>,
        has_threads: bool,
    ) -> Stage {
        let mind = Arc::new(Mutex::new(Mind::default()));
        for call in [Call::Claim, Call::Leader, Call::Release, Call::Released] {
            let mind = mind.clone();
            store.decide(call, move |record| lock(&mind).decide(record));
        }
        Stage { config, clock: clock.manual.clone(), store, mind, look, has_threads }
    }

    fn drive(&self, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let driving = Driving(self.store.progress().clone());
        let thread = thread::Builder::new().name("tenure-stage".to_owned());
        thread.spawn(move || {
            let _driving = driving;
            run();
        })?;
        self.settle();
        Ok(())
    }
}

fn props() -> (Arc<StageClock>, Scripted) {
    let manual = Arc::new(ManualClock::new());
    let store = Scripted::new(manual.clone());
    (Arc::new(StageClock { manual, progress: store.progress().clone() }), store)
}

/// What happens, one line each.
impl Stage {
    /// The store grants: the claim that is out, and all that come. The unit leads, and goes on
    /// leading while [time passes](Stage::pass).
    ///
    /// A minion that waits for the lease is told that it is free; time moves on to when it may
    /// claim again, if it has to. One that backs off after a failure claims when its time has come.
    pub fn grant(&self) {
        self.mind().mood = Mood::Grants;
        if !self.store.out(Call::Released).is_empty() {
            let last = self.claims().last().map_or(Instant::ORIGIN, |claim| claim.began);
            let soonest = last.saturating_add(self.config.min_interval());
            self.clock.set(self.clock.now().max(soonest));
        }
        self.finish_what_is_out();
    }

    /// Somebody else takes the lease, and keeps it: the claim that is out is denied, and all that
    /// come. A leader hears of it when it renews.
    pub fn deny(&self) {
        self.mind().give_away();
        self.finish_what_is_out();
    }

    /// Somebody else takes the lease, and time moves on until the leader has heard of it.
    pub fn lose_leadership(&self) {
        self.deny();
        while self.leads() {
            self.advance(self.step());
        }
    }

    /// The store grants the claim that is out, or else the next one, and the reply is lost: the
    /// tracker does not know whether it was granted.
    pub fn lose_reply(&self) {
        self.mind().lost_replies += 1;
        if !self.store.out(Call::Claim).is_empty() {
            self.mind().mood = Mood::Grants;
            self.finish_what_is_out();
        }
    }

    /// The store cannot be reached: the calls that are out fail, and all that come.
    pub fn store_goes(&self) {
        self.mind().is_away = true;
        self.finish_what_is_out();
    }

    /// The store can be reached again, and does as it did before.
    pub fn store_returns(&self) {
        self.mind().is_away = false;
        self.settle();
    }

    /// Time passes, and everything happens when it is due: a leader renews.
    pub fn pass(&self, span: Duration) {
        let end = self.clock.now().saturating_add(span);
        while self.clock.now() < end {
            let left = end.saturating_duration_since(self.clock.now());
            self.advance(self.step().min(left));
        }
    }

    /// This process stands still for so long, or its machine sleeps: time passes, and nothing
    /// happens before all of it is over.
    pub fn pause(&self, span: Duration) {
        self.advance(span);
    }

    /// Waits until all has happened that follows from what your service did.
    ///
    /// # Panics
    ///
    /// If that never comes: a call of the tracker neither ends nor hangs in the store.
    pub fn settle(&self) {
        let progress = self.store.progress();
        loop {
            let seen = self.counts();
            if self.has_threads {
                progress.wait_for_results(seen.1);
            }
            // The first look may have begun before, and after the second one the timer may be due.
            for _ in 0..3 {
                progress.wait_for_a_look(|| self.clock.set(self.clock.now()));
            }
            let steps = progress.steps();
            if progress.driver_has_ended() {
                return;
            }
            if self.counts() != seen {
                continue;
            }
            if !self.is_about_to_call() {
                return;
            }
            // A thread is about to make the call, or to leave one that was given up.
            progress.wait_beyond(steps, "the tracker calls the store");
        }
    }

    /// Whether the unit leads.
    pub fn leads(&self) -> bool {
        matches!((self.look)().standing, Standing::Leader { .. })
    }

    /// What the clock says.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The store: which calls were made of it, and a way to say more than the lines here can.
    pub fn store(&self) -> &Scripted {
        &self.store
    }
}

impl Stage {
    fn mind(&self) -> MutexGuard<'_, Mind> {
        lock(&self.mind)
    }

    fn claims(&self) -> Vec<Record> {
        let mut records = self.store.records();
        records.retain(|record| record.call == Call::Claim);
        records
    }

    /// Short enough for a leader to renew before its tickets have to wait.
    fn step(&self) -> Duration {
        let least = (self.config.guarantee() / 200).max(Duration::from_nanos(1));
        (self.config.renew_lead() / 2).max(least)
    }

    fn advance(&self, span: Duration) {
        self.clock.advance(span);
        self.settle();
    }

    fn finish_what_is_out(&self) {
        for record in self.store.records().iter().filter(|record| record.fate == Fate::Out) {
            let reply: Option<Reply> = self.mind().decide(record);
            if let Some(reply) = reply {
                self.store.finish(record.number, reply);
            }
        }
        self.settle();
    }

    /// How many calls have begun, and how many are over whose result is handed in.
    fn counts(&self) -> (usize, usize) {
        let calls = [Call::Claim, Call::Release, Call::Released];
        let over = calls.map(|call| self.store.over(call)).iter().sum();
        (self.store.records().len(), over)
    }

    /// Whether the tracker has ordered a call that has not begun, or given one up that has not
    /// ended.
    fn is_about_to_call(&self) -> bool {
        let Calls { claim, watch, release } = (self.look)().calls;
        let ordered = [(claim, Call::Claim), (watch, Call::Released), (release, Call::Release)];
        let is_late = |(is_out, call)| is_out && self.store.out(call).is_empty();
        ordered.into_iter().any(is_late) || self.store.is_giving_up(watch)
    }
}

/// No thread stays behind.
impl Drop for Stage {
    fn drop(&mut self) {
        self.store.close();
    }
}

fn lock(mind: &Mutex<Mind>) -> MutexGuard<'_, Mind> {
    mind.lock().unwrap_or_else(PoisonError::into_inner)
}

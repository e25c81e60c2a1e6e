//! Whether a claimer keeps the eight promises of the claimers' contract.
//!
//! A store's own test is a constructor and one call. The constructor is called many times, and
//! each call gives another client of the *same* store, as another process would have it:
//!
//! ```
//! use std::sync::Arc;
//! use tenure_memory::MemoryStore;
//! use tenure_runtime::ManualClock;
//! use tenure_testkit::conformance;
//!
//! let clock = Arc::new(ManualClock::new());
//! let store = MemoryStore::with_clock(clock.clone());
//! let client = store.clone();
//! conformance::asynchronous(move || client.clone())
//!     .advancing(move |span| clock.advance(span))
//!     .counting("waiters", move || store.waiting())
//!     .check();
//! ```
//!
//! Without options it runs in real time, with [short leases](Conformance::shortest_lease). Some of
//! what the contract promises can only be seen with the help of the store's owner: how to lose an
//! answer, say. Those are the other options of [`Conformance`]; where one is missing, the
//! [`Report`] says what was left out because of that.
//!
//! The checks run one after the other on the calling thread, and start threads of their own for
//! what must happen at once. A claimer that hangs in anything but `released` hangs the suite.

mod answers;
mod atomicity;
mod client;
mod contest;
mod exclusion;
mod ground;
mod late;
mod leaks;
mod lease;
mod release;
mod report;
mod run;
mod terms;
mod waiting;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tenure_core::{BlockingClaimer, Claimer, ServiceName};

use client::{Asynchronous, Blocking, Client};
use ground::{Counter, Exhaust, Ground, HoldUp, OpenSkewed, Switch, Time};
pub use report::{Clause, Finding, Report, Verdict};

/// Prepares the suite for a claimer that blocks.
///
/// `open` gives another client of one and the same store each time.
pub fn blocking<C: BlockingClaimer>(open: impl Fn() -> C + 'static) -> Conformance<C> {
    Conformance::new("blocking", |client| Arc::new(Blocking(client)), open)
}

/// Prepares the suite for an asynchronous claimer.
///
/// `open` gives another client of one and the same store each time. The suite needs no executor,
/// and brings none: it blocks on each future by itself.
pub fn asynchronous<C: Claimer>(open: impl Fn() -> C + 'static) -> Conformance<C> {
    Conformance::new("asynchronous", |client| Arc::new(Asynchronous(client)), open)
}

/// The suite, before it runs: what it knows about the store, and what its owner can do to it.
#[must_use = "nothing is checked until `check` or `report` is called"]
pub struct Conformance<C> {
    kind: &'static str,
    wrap: fn(C) -> Arc<dyn Client>,
    ground: Ground,
}

/// How the clock of a client is wrong, by an hour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Skew {
    /// It shows a time that is yet to come.
    Ahead,
    /// It shows a time long past.
    Behind,
}

impl<C: 'static> Conformance<C> {
    fn new(
        kind: &'static str,
        wrap: fn(C) -> Arc<dyn Client>,
        open: impl Fn() -> C + 'static,
    ) -> Conformance<C> {
        Conformance { kind, wrap, ground: Ground::new(Box::new(move || wrap(open()))) }
    }

    /// The length of the leases whose end is waited for. Starts at 200 ms.
    ///
    /// In real time it must be long against what a call takes. Where it proves too short, a check
    /// is made again with a lease twice as long, some times over, and then left out.
    pub fn shortest_lease(mut self, lease: Duration) -> Conformance<C> {
        self.ground.short = lease;
        self
    }

    /// How much longer than asked for a lease may last because of how the store counts. Starts at
    /// zero; a store that counts whole seconds sets a second.
    pub fn granularity(mut self, granularity: Duration) -> Conformance<C> {
        self.ground.granularity = granularity;
        self
    }

    /// How time passes, for a store whose clock stands still unless `advance` moves it.
    ///
    /// Everything is then exact, and needs little real time. Without this option, time is real.
    pub fn advancing(mut self, advance: impl Fn(Duration) + 'static) -> Conformance<C> {
        self.ground.time =
            Time::Advance { advance: Box::new(advance), passed_ns: AtomicU64::new(0) };
        self
    }

    /// How long, in real time, a wait may take that should be over. Starts at 10 seconds: only a
    /// guard against hanging, and no measure of speed.
    pub fn patience(mut self, patience: Duration) -> Conformance<C> {
        self.ground.patience = patience;
        self
    }

    /// How many claim at once where that matters. Starts at 4.
    ///
    /// # Panics
    ///
    /// If there are fewer than two.
    pub fn contenders(mut self, contenders: usize) -> Conformance<C> {
        assert!(contenders >= 2, "{contenders} cannot contend");
        self.ground.contenders = contenders;
        self
    }

    /// How often in one check `released` may return although the service is held. Starts at zero.
    ///
    /// The contract lets it: whoever waits claims, and is told. But it costs a claim.
    pub fn early_returns_max(mut self, count: usize) -> Conformance<C> {
        self.ground.early_returns_max = count;
        self
    }

    /// Why this store cannot notify, and has to be polled by whoever waits.
    pub fn must_poll(mut self, reason: &str) -> Conformance<C> {
        self.ground.must_poll = Some(reason.to_owned());
        self
    }

    /// How to have the store's answers lost, on (`true`) and off again: requests reach it, and
    /// take effect, but no answer comes back to any client.
    pub fn losing_answers(mut self, lose: impl Fn(bool) + 'static) -> Conformance<C> {
        self.ground.lose_answers = Some(Switch(Box::new(lose)));
        self
    }

    /// How to hold up the request by which the next call takes effect, on its way to the store
    /// (`true`), and to let it go (`false`); and whether one is held. What other clients ask
    /// overtakes it.
    pub fn holding_up(
        mut self,
        hold: impl Fn(bool) + 'static,
        is_holding: impl Fn() -> bool + 'static,
    ) -> Conformance<C> {
        self.ground.hold_up =
            Some(HoldUp { hold: Box::new(hold), is_holding: Box::new(is_holding) });
        self
    }

    /// How to make the store unavailable, on (`true`) and off again, so that no claim can take
    /// effect: stopped, cut off, locked by somebody else.
    pub fn unavailable(mut self, make: impl Fn(bool) + 'static) -> Conformance<C> {
        self.ground.make_unavailable = Some(Switch(Box::new(make)));
        self
    }

    /// How to restart the store. Clients from before need not work afterwards.
    pub fn restarting(mut self, restart: impl Fn() + 'static) -> Conformance<C> {
        self.ground.restart = Some(Box::new(restart));
        self
    }

    /// How to bring the terms of a service, which nobody has claimed yet, to their end.
    pub fn exhausting_terms(mut self, exhaust: impl Fn(&ServiceName) + 'static) -> Conformance<C> {
        self.ground.exhaust_terms = Some(Exhaust(Box::new(exhaust)));
        self
    }

    /// How to get a client whose own clock is wrong.
    pub fn wrong_clock(mut self, open: impl Fn(Skew) -> C + 'static) -> Conformance<C> {
        let wrap = self.wrap;
        self.ground.open_skewed = Some(OpenSkewed(Box::new(move |skew| wrap(open(skew)))));
        self
    }

    /// How many requests have reached the store so far, from all clients and of every kind; those
    /// whose answer was lost count as well.
    pub fn counting_requests(mut self, count: impl Fn() -> usize + 'static) -> Conformance<C> {
        self.ground.requests = Some(Box::new(count));
        self
    }

    /// Something else that a leak would raise: connections at the server, say, or waiters. It must
    /// come back to where it was. Can be given several times.
    ///
    /// Threads and open files are counted anyway, where the system lists them.
    pub fn counting(mut self, name: &str, count: impl Fn() -> usize + 'static) -> Conformance<C> {
        self.ground.counters.push(Counter { name: name.to_owned(), count: Box::new(count) });
        self
    }

    /// Runs the suite, and says what came out.
    ///
    /// # Blocking
    ///
    /// In real time it takes some 40 times the [shortest lease](Conformance::shortest_lease).
    #[must_use = "a report says whether the claimer is right"]
    pub fn report(self) -> Report {
        let Conformance { kind, wrap: _, ground } = self;
        run::run(kind, ground)
    }

    /// Runs the suite, prints the report, and returns it if no check failed.
    ///
    /// # Blocking
    ///
    /// As [`report`](Conformance::report).
    ///
    /// # Panics
    ///
    /// If a check failed, with the report as the message.
    #[track_caller]
    pub fn check(self) -> Report {
        let report = self.report();
        assert!(report.passed(), "the claimer breaks its contract\n{report}");
        println!("{report}");
        report
    }
}

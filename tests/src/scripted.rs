//! A claimer whose every answer is for the test to decide.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use futures_lite::future;
//! use tenure_core::{Candidate, ClaimAnswer, Claimer, Term};
//! use tenure_runtime::{ManualClock, fresh_nonce};
//! use tenure_testkit::scripted::{Call, Reply, Scripted};
//!
//! let claimer = Scripted::new(Arc::new(ManualClock::new()));
//! let bid = Candidate {
//!     service: "mysql".parse()?,
//!     unit: "mysql/0".parse()?,
//!     nonce: fresh_nonce(),
//! };
//! let mut call = Box::pin(Claimer::claim(&claimer, &bid, Duration::from_secs(20)));
//! assert!(future::block_on(future::poll_once(&mut call)).is_none(), "it is out until told");
//! claimer.finish_one(Call::Claim, Reply::granted(1));
//! let granted = ClaimAnswer::Granted { term: Term::new(1) };
//! assert_eq!(future::block_on(call).unwrap(), granted);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod asynchronous;
mod blocking;
#[cfg_attr(
    not(any(feature = "smol", feature = "std")),
    expect(dead_code, reason = "only a stage waits")
)]
mod progress;
mod reply;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use tenure_core::{Candidate, Instant};
use tenure_runtime::{Clock, ManualClock};

pub(crate) use progress::Progress;
pub use reply::Reply;

/// A store without a mind of its own, through both of the claimers' traits. All clones are one.
///
/// A call ends as the test has said before it began ([`next`](Scripted::next),
/// [`always`](Scripted::always)); without that it hangs until the test ends it
/// ([`finish`](Scripted::finish)), which may be never, or when nobody waits for it any more. It
/// starts no thread and never sleeps.
#[derive(Clone)]
pub struct Scripted(Arc<Shared>);

/// The calls of a claimer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Call {
    /// `claim`.
    Claim,
    /// `leader`.
    Leader,
    /// `release`.
    Release,
    /// `released`.
    Released,
}

/// One call that was made.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its number: calls of all kinds are numbered from 0, as they begin.
    pub number: usize,
    /// Which one it is.
    pub call: Call,
    /// What the clock said when it began.
    pub began: Instant,
    /// For whom, where the call says.
    pub candidate: Option<Candidate>,
    /// For how long, where the call says.
    pub lease: Option<Duration>,
    /// How it ended.
    pub fate: Fate,
}

/// What has become of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It was given up: its future was dropped, or its cancel handle was heeded.
    Cancelled,
    /// It ended with this.
    Ended(Reply),
    /// It is out.
    Out,
}

struct Shared {
    clock: Arc<ManualClock>,
    state: Mutex<State>,
    changed: Condvar,
    progress: Progress,
}

#[derive(Default)]
struct State {
    records: Vec<Record>,
    wakers: BTreeMap<usize, Waker>,
    /// The blocking calls that were told that they are cancelled.
    roused: BTreeSet<usize>,
    scripts: BTreeMap<Call, Script>,
    ignores_cancel: bool,
}

#[derive(Default)]
struct Script {
    next: VecDeque<Reply>,
    always: Option<Reply>,
    decide: Option<Decide>,
}

/// How a call that begins is to end at once, if it is.
type Decide = Box<dyn FnMut(&Record) -> Option<Reply> + Send>;

impl fmt::Debug for Scripted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Scripted").field("records", &self.lock().records).finish()
    }
}

impl Scripted {
    /// A claimer on which every call hangs. It notes when they began by `clock`.
    pub fn new(clock: Arc<ManualClock>) -> Scripted {
        let (state, changed, progress) = Default::default();
        Scripted(Arc::new(Shared { clock, state, changed, progress }))
    }

    #[cfg_attr(
        not(any(feature = "smol", feature = "std")),
        expect(dead_code, reason = "only a stage waits")
    )]
    pub(crate) fn progress(&self) -> &Progress {
        &self.0.progress
    }

    /// Whether a watch is out that is about to be given up: it was cancelled, or none is wanted.
    #[cfg_attr(
        not(any(feature = "smol", feature = "std")),
        expect(dead_code, reason = "only a stage waits")
    )]
    pub(crate) fn is_giving_up(&self, watch_is_wanted: bool) -> bool {
        let state = self.lock();
        let is_told = |record: &Record| !watch_is_wanted || state.roused.contains(&record.number);
        let is_out = |record: &&Record| record.call == Call::Released && record.fate == Fate::Out;
        !state.ignores_cancel && state.records.iter().filter(is_out).any(is_told)
    }

    /// The next `call` to begin ends at once, with `reply`. Those that are said so far queue up.
    pub fn next(&self, call: Call, reply: Reply) {
        reply.check(call);
        self.lock().scripts.entry(call).or_default().next.push_back(reply);
    }

    /// Every `call` that begins from now on ends at once with `reply`, unless
    /// [`next`](Scripted::next) says otherwise.
    pub fn always(&self, call: Call, reply: Reply) {
        reply.check(call);
        self.lock().scripts.entry(call).or_default().always = Some(reply);
    }

    /// Every `call` that begins from now on ends as `decide` has it, or hangs if it has nothing.
    /// [`next`](Scripted::next) and [`always`](Scripted::always) come before it. `decide` must not
    /// use the claimer.
    pub fn decide(
        &self,
        call: Call,
        mut decide: impl FnMut(&Record) -> Option<Reply> + Send + 'static,
    ) {
        let decide = move |record: &Record| decide(record).inspect(|reply| reply.check(call));
        self.lock().scripts.entry(call).or_default().decide = Some(Box::new(decide));
    }

    /// Every `call` that begins from now on hangs.
    pub fn hang(&self, call: Call) {
        self.lock().scripts.remove(&call);
    }

    /// Blocking calls of `released` do not return when they are cancelled.
    pub fn ignore_cancel(&self) {
        self.lock().ignores_cancel = true;
    }

    /// Ends the call with this number. One that has ended, or was given up, stays as it is.
    pub fn finish(&self, number: usize, reply: Reply) {
        let waker = {
            let mut state = self.lock();
            let Some(record) = state.records.get_mut(number) else { panic!("no call {number}") };
            reply.check(record.call);
            if record.fate != Fate::Out {
                return;
            }
            record.fate = Fate::Ended(reply);
            state.wakers.remove(&number)
        };
        self.0.changed.notify_all();
        self.0.progress.step();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the one call of this kind that is out.
    ///
    /// # Panics
    ///
    /// If there is none, or more than one.
    pub fn finish_one(&self, call: Call, reply: Reply) {
        match self.out(call)[..] {
            [number] => self.finish(number, reply),
            ref out => panic!("{call:?}s that are out: {out:?}"),
        }
    }

    /// Ends all calls that are out, as [`Reply::Unknown`], and those that will begin, so that no
    /// thread stays.
    pub fn close(&self) {
        let gone = || Reply::unknown("closed");
        let calls = [Call::Claim, Call::Leader, Call::Release, Call::Released];
        calls.into_iter().for_each(|call| self.always(call, gone()));
        let out = calls.into_iter().flat_map(|call| self.out(call));
        out.collect::<Vec<_>>().into_iter().for_each(|number| self.finish(number, gone()));
    }

    /// All calls that have begun, in order.
    pub fn records(&self) -> Vec<Record> {
        self.lock().records.clone()
    }

    /// How many calls of this kind have begun.
    pub fn begun(&self, call: Call) -> usize {
        self.lock().records.iter().filter(|record| record.call == call).count()
    }

    /// The numbers of the calls of this kind that are out.
    pub fn out(&self, call: Call) -> Vec<usize> {
        let state = self.lock();
        let out = |record: &&Record| record.call == call && record.fate == Fate::Out;
        state.records.iter().filter(out).map(|record| record.number).collect()
    }

    /// How many calls of this kind have ended, or been given up.
    pub fn over(&self, call: Call) -> usize {
        let over = |record: &&Record| record.call == call && record.fate != Fate::Out;
        self.lock().records.iter().filter(over).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins, and may end at once.
    fn begin(&self, call: Call, candidate: Option<&Candidate>, lease: Option<Duration>) -> usize {
        let (began, candidate) = (self.0.clock.now(), candidate.cloned());
        let mut state = self.lock();
        let number = state.records.len();
        let mut record = Record { number, call, began, candidate, lease, fate: Fate::Out };
        let script = state.scripts.entry(call).or_default();
        let said = script.next.pop_front().or_else(|| script.always.clone());
        let reply = said.or_else(|| script.decide.as_mut().and_then(|decide| decide(&record)));
        record.fate = reply.map_or(Fate::Out, Fate::Ended);
        state.records.push(record);
        drop(state);
        self.0.progress.step();
        number
    }
}

impl State {
    /// How a call is to return, if it is.
    fn reply(&self, number: usize) -> Option<Reply> {
        match &self.records[number].fate {
            Fate::Cancelled => Some(Reply::unknown("cancelled")),
            Fate::Ended(reply) => Some(reply.clone()),
            Fate::Out => None,
        }
    }

    /// Nobody waits for a call any more.
    fn give_up(&mut self, number: usize) {
        let record = &mut self.records[number];
        if record.fate == Fate::Out {
            record.fate = Fate::Cancelled;
        }
    }
}

/// What rouses a blocking call that is cancelled.
struct Rouse {
    shared: Arc<Shared>,
    number: usize,
}

impl Wake for Rouse {
    fn wake(self: Arc<Self>) {
        // Behind the lock, so that whoever has looked and found nothing is waiting by now.
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.roused.insert(self.number);
        drop(state);
        self.shared.changed.notify_all();
    }
}

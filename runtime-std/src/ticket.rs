use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use tenure_core::{Cancel, Outcome};
use tenure_runtime::CancelToken;

use crate::park;
use crate::sync::{Mutex, MutexGuard};

/// One question to a [`Tracker`](crate::Tracker), to be waited on for its answer.
///
/// It is answered exactly once, also when the tracker ends. An answer [`Leader`](Outcome::Leader)
/// holds for the guarantee at least, counted from when it is first taken from the ticket, however
/// late that is: a yes that has come and would not hold for that long any more is not handed out,
/// and the tracker is asked anew. What was taken stays.
///
/// Dropping a ticket frees its place at once and changes nothing else.
#[derive(Debug)]
#[must_use = "a ticket that is dropped is not answered"]
pub struct Ticket {
    inner: tenure_runtime::Ticket,
    /// The channel of `ready`: one, however often that is called.
    ready: Option<(Arc<Announce>, Receiver<Infallible>)>,
}

impl Ticket {
    #[inline]
    pub(crate) fn new(inner: tenure_runtime::Ticket) -> Ticket {
        Ticket { inner, ready: None }
    }

    /// Whether the answer is there, so that waiting for it would not block.
    ///
    /// Once it is, it always is. But a yes does not keep: if it is taken when it does not hold any
    /// more, it is [`Minion`](Outcome::Minion), also of
    /// [`wait_leader`](crate::Tracker::wait_leader). Ask anew then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::Tracker;
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// let ticket = tracker.wait_leader();
    /// assert!(!ticket.is_ready(), "nothing has been claimed yet");
    /// drop(driver);
    /// assert!(ticket.is_ready(), "it never will be");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_ready(&self) -> bool {
        self.inner.is_ready()
    }

    /// A channel that is closed when the answer is there, and on which nothing is ever sent: to be
    /// selected on beside others. It is also closed when the ticket is dropped.
    ///
    /// Once it is closed, [`wait`](Ticket::wait) never blocks. If the answer was a yes and was not
    /// taken while it held, it is [`Minion`](Outcome::Minion), also of
    /// [`wait_leader`](crate::Tracker::wait_leader): ask anew.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::Tracker;
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// let (_sender, requests) = crossbeam_channel::unbounded::<u32>();
    /// let mut ticket = tracker.wait_leader();
    /// crossbeam_channel::select! {
    ///     recv(ticket.ready()) -> _ => assert!(matches!(ticket.wait(), Outcome::Leader { .. })),
    ///     recv(requests) -> request => panic!("nobody asked for {request:?}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ready(&mut self) -> Receiver<Infallible> {
        if let Some((_, receiver)) = &self.ready {
            return receiver.clone();
        }
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let announce = Arc::new(Announce::default());
        announce.lock().channel = Some(sender);
        if self.inner.announce(&announce.clone().into()) {
            announce.close();
        }
        self.ready = Some((announce, receiver.clone()));
        receiver
    }

    /// Waits for the answer.
    ///
    /// # Blocking
    ///
    /// Until it is there. A [`claim_leader`](crate::Tracker::claim_leader) is answered when the
    /// attempt that is out ends, or the next one if the tracker is backing off; the others may
    /// take for ever.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::Tracker;
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// assert!(matches!(tracker.wait_leader().wait(), Outcome::Leader { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn wait(mut self) -> Outcome {
        // A leader's answer is there at once, and then there is no waker to fetch.
        match self.inner.poll(None) {
            Some(outcome) => outcome,
            None => self.wait_parked(),
        }
    }

    fn wait_parked(mut self) -> Outcome {
        park::block_on(|waker| self.poll(waker))
    }

    /// Waits for the answer, or until `cancel` is cancelled.
    pub(crate) fn wait_until(mut self, cancel: &CancelToken) -> Option<Outcome> {
        park::block_on(|waker| {
            if cancel.is_cancelled() {
                return Some(None);
            }
            cancel.on_cancel(waker.clone());
            self.poll(waker).map(Some)
        })
    }

    /// Waits for the answer, but for `timeout` at most.
    ///
    /// # Blocking
    ///
    /// As [`wait`](Ticket::wait), up to the timeout. `None` if that was not long enough: the ticket
    /// is as it was.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::Tracker;
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// tracker.wait_leader().wait();
    /// let mut lost = tracker.wait_minion();
    /// assert_eq!(lost.wait_timeout(Duration::from_millis(10)), None, "it leads on");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Outcome> {
        let deadline = Instant::now().checked_add(timeout);
        park::block_on_until(deadline, |waker| self.poll(waker))
    }

    /// Waits for the answer, but not past `deadline`.
    ///
    /// # Blocking
    ///
    /// As [`wait_timeout`](Ticket::wait_timeout).
    ///
    /// ```
    /// # use std::time::{Duration, Instant};
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::Tracker;
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// let mut ticket = tracker.wait_leader();
    /// let soon = Instant::now() + Duration::from_secs(5);
    /// assert!(matches!(ticket.wait_deadline(soon), Some(Outcome::Leader { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_deadline(&mut self, deadline: Instant) -> Option<Outcome> {
        park::block_on_until(Some(deadline), |waker| self.poll(waker))
    }

    fn poll(&mut self, waker: &Waker) -> Option<Outcome> {
        match &self.ready {
            None => self.inner.poll(Some(waker)),
            Some((announce, _)) => {
                announce.lock().thread = Some(waker.clone());
                self.inner.poll(Some(&announce.clone().into()))
            }
        }
    }
}

impl Drop for Ticket {
    #[inline]
    fn drop(&mut self) {
        if let Some((announce, _)) = &self.ready {
            announce.close();
        }
    }
}

/// Closes the channel of [`Ticket::ready`], and wakes the thread that waits on the ticket as well.
#[derive(Debug, Default)]
struct Announce(Mutex<Listeners>);

#[derive(Debug, Default)]
struct Listeners {
    channel: Option<Sender<Infallible>>,
    thread: Option<Waker>,
}

impl Announce {
    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().channel = None;
    }
}

impl Wake for Announce {
    fn wake(self: Arc<Self>) {
        let listeners = std::mem::take(&mut *self.lock());
        drop(listeners.channel);
        if let Some(thread) = listeners.thread {
            thread.wake();
        }
    }
}

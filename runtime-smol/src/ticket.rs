use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use async_channel::{Receiver, Sender};
use tenure_core::Outcome;

/// One question to a [`Tracker`](crate::Tracker), and the future of its answer.
///
/// It is answered exactly once, also when the tracker ends. An answer [`Leader`](Outcome::Leader)
/// holds for the guarantee at least, counted from when it is first taken from the ticket, however
/// late that is: a yes that has come and would not hold for that long any more is not handed out,
/// and the tracker is asked anew. What was taken stays.
///
/// # Cancel safety
///
/// Dropping a ticket frees its place at once and changes nothing else.
#[derive(Debug)]
#[must_use = "a ticket that is dropped is not answered"]
pub struct Ticket {
    inner: tenure_runtime::Ticket,
    /// The channel of `ready`: one, however often that is called. Boxed, as a receiver must not be
    /// moved once it is pinned, and a ticket may.
    ready: Option<Box<Channel>>,
}

#[derive(Debug)]
struct Channel {
    sender: Sender<Infallible>,
    receiver: Receiver<Infallible>,
}

impl Ticket {
    #[inline]
    pub(crate) fn new(inner: tenure_runtime::Ticket) -> Ticket {
        Ticket { inner, ready: None }
    }

    /// Whether the answer is there, so that awaiting it would not wait.
    ///
    /// Once it is, it always is. But a yes does not keep: if it is taken when it does not hold any
    /// more, it is [`Minion`](Outcome::Minion), also of
    /// [`wait_leader`](crate::Tracker::wait_leader). Ask anew then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::Tracker;
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
    /// Once it is closed, awaiting the ticket never waits. If the answer was a yes and was not
    /// taken while it held, it is [`Minion`](Outcome::Minion), also of
    /// [`wait_leader`](crate::Tracker::wait_leader): ask anew.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::Tracker;
    /// # smol::block_on(async {
    /// use futures_lite::future;
    ///
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # let running = smol::spawn(driver.run());
    /// let (_sender, requests) = async_channel::unbounded::<u32>();
    /// let mut ticket = tracker.wait_leader();
    /// let ready = ticket.ready();
    /// let leads = async { ready.recv().await.is_err() };
    /// let asked = async { requests.recv().await.is_err() };
    /// assert!(future::or(leads, asked).await);
    /// assert!(matches!(ticket.await, Outcome::Leader { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn ready(&mut self) -> Receiver<Infallible> {
        if let Some(channel) = &self.ready {
            return channel.receiver.clone();
        }
        let (sender, receiver) = async_channel::bounded(1);
        let announce = Arc::new(Announce { sender: sender.clone(), task: None });
        if self.inner.announce(&announce.into()) {
            sender.close();
        }
        self.ready = Some(Box::new(Channel { sender, receiver: receiver.clone() }));
        receiver
    }
}

impl Future for Ticket {
    type Output = Outcome;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let answer = match &self.ready {
            None => self.inner.poll(Some(context.waker())),
            Some(channel) => {
                let announce = announce(&channel.sender, context.waker());
                self.inner.poll(Some(&announce))
            }
        };
        match answer {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

impl Drop for Ticket {
    #[inline]
    fn drop(&mut self) {
        if let Some(channel) = &self.ready {
            channel.sender.close();
        }
    }
}

fn announce(sender: &Sender<Infallible>, task: &Waker) -> Waker {
    Arc::new(Announce { sender: sender.clone(), task: Some(task.clone()) }).into()
}

/// Closes the channel of [`Ticket::ready`], and wakes the task that awaits the ticket as well.
struct Announce {
    sender: Sender<Infallible>,
    task: Option<Waker>,
}

impl Wake for Announce {
    fn wake(self: Arc<Self>) {
        self.sender.close();
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }
}

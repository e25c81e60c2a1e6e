use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_io::Timer;

/// There was no answer within the time limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimedOut {
    /// The limit.
    pub limit: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no answer within {:?}", self.limit)
    }
}

impl Error for TimedOut {}

impl From<TimedOut> for io::Error {
    fn from(error: TimedOut) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, error)
    }
}

/// Waits for `future`, and drops it when `limit` is over.
///
/// The limit is counted by a clock that stands still while the machine is suspended. It is looked
/// at before `future` is polled each time: a future that never waits cannot outlast it, if it lets
/// go of the thread now and then, as whatever reads from a [`Stream`](crate::Stream) does.
///
/// # Errors
///
/// [`TimedOut`] if the limit was over first.
pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, TimedOut> {
    before(Timer::after(limit), future).await.ok_or(TimedOut { limit })
}

/// Waits for `future`, and drops it when `end` is over, which is looked at first each time. `None`
/// then, unless `future` has come to its end too: it is polled once more.
pub async fn before<T, E>(
    end: impl Future<Output = E>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let (mut end, mut future) = (pin!(end), pin!(future));
    let mut is_over = false;
    poll_fn(|context| {
        is_over = is_over || end.as_mut().poll(context).is_ready();
        match future.as_mut().poll(context) {
            // Also an answer that has come by now, and what a limit inside of this one has to say.
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if is_over => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

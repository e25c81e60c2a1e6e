use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use async_io::Timer;
use futures_lite::future;

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
/// The limit is counted by a clock that stands still while the machine is suspended.
///
/// # Errors
///
/// [`TimedOut`] if the limit was over first.
pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, TimedOut> {
    let done = async { Ok(future.await) };
    let late = async {
        Timer::after(limit).await;
        Err(TimedOut { limit })
    };
    future::or(done, late).await
}

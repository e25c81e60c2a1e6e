use std::error::Error;
use std::fmt;
use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_io::Async;
use futures_lite::{AsyncRead, AsyncWrite};

/// How many bytes a server may send over one connection before its reader gives up.
///
/// A server that sends without end would otherwise cost as much memory as there is. All clones are
/// one; a [`Stream`](crate::Stream) counts what comes, below TLS, and fails with [`TooMuch`] once
/// the budget is used up. It starts with [`Budget::DEFAULT`] bytes for what is said until the first
/// request.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    limit: u64,
    used: u64,
    /// When the budget was last renewed, if it is renewed as time passes.
    renewed: Option<Instant>,
    /// How much has been read since the reader last waited.
    unbroken: u64,
}

/// How often the budget of a wait is renewed.
const PERIOD: Duration = Duration::from_secs(1);

/// A reader that always finds something to read still lets others run after this many bytes.
const UNBROKEN_MAX: u64 = 64 * 1024;

/// The server has sent more than a budget allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooMuch {
    /// The budget, in bytes.
    pub limit: u64,
    /// How long it was for, if not for one answer.
    pub period: Option<Duration>,
}

impl Budget {
    /// How many bytes an answer may have, unless [`limited_to`](Budget::limited_to) another number.
    pub const DEFAULT: u64 = 1024 * 1024;

    pub(crate) fn new() -> Budget {
        let (limit, used, renewed, unbroken) = (Budget::DEFAULT, 0, None, 0);
        Budget(Arc::new(Mutex::new(State { limit, used, renewed, unbroken })))
    }

    /// Allows `bytes` from now on.
    pub fn limited_to(&self, bytes: u64) {
        self.lock().limit = bytes;
    }

    /// Begins anew, for one answer. To be called before each request.
    pub fn renew(&self) {
        let mut state = self.lock();
        (state.used, state.renewed, state.unbroken) = (0, None, 0);
    }

    /// Begins anew, and from now on again each second: for a wait, during which a server may well
    /// send more than one answer's worth, but not all at once.
    pub fn renew_each_second(&self) {
        let mut state = self.lock();
        (state.used, state.renewed, state.unbroken) = (0, Some(Instant::now()), 0);
    }

    /// How much may be read now: one byte more than the server may send, so that it shows if it
    /// sends that. `None` if the reader has to let others run first.
    fn next_len(&self) -> Option<u64> {
        let mut state = self.lock();
        if state.unbroken >= UNBROKEN_MAX {
            state.unbroken = 0;
            return None;
        }
        Some(state.limit.saturating_sub(state.used).saturating_add(1).min(UNBROKEN_MAX))
    }

    fn count(&self, len: usize) -> Result<(), TooMuch> {
        let mut state = self.lock();
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        state.used = state.used.saturating_add(len);
        state.unbroken = state.unbroken.saturating_add(len);
        if state.used <= state.limit {
            return Ok(());
        }
        match state.renewed {
            Some(renewed) if renewed.elapsed() >= PERIOD => {
                (state.used, state.renewed) = (len, Some(Instant::now()));
                Ok(())
            }
            renewed => Err(TooMuch { limit: state.limit, period: renewed.map(|_| PERIOD) }),
        }
    }

    fn has_waited(&self) {
        self.lock().unbroken = 0;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TooMuch {
    /// The one that is behind `error`, if that is why it failed.
    pub fn behind(error: &(dyn Error + 'static)) -> Option<TooMuch> {
        // What is inside of an `io::Error` is not among its sources, but its own source is.
        let inner = |error: &'_ io::Error| error.get_ref()?.downcast_ref::<TooMuch>().copied();
        error
            .downcast_ref::<TooMuch>()
            .copied()
            .or_else(|| error.downcast_ref::<io::Error>().and_then(inner))
            .or_else(|| TooMuch::behind(error.source()?))
    }
}

impl fmt::Display for TooMuch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooMuch { limit, period } = self;
        match period {
            None => write!(
                formatter,
                "the server sent more than the {limit} bytes that an answer may have"
            ),
            Some(period) => write!(
                formatter,
                "the server sent more than the {limit} bytes that it may send in {period:?} to \
                 one that waits"
            ),
        }
    }
}

impl Error for TooMuch {}

/// A TCP stream that keeps to a budget.
#[derive(Debug)]
pub(crate) struct Metered {
    stream: Async<TcpStream>,
    budget: Budget,
}

impl Metered {
    pub(crate) fn new(stream: Async<TcpStream>) -> Metered {
        Metered { stream, budget: Budget::new() }
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some(len) = self.budget.next_len() else {
            // Otherwise the reader would never look at a timer again.
            context.waker().wake_by_ref();
            return Poll::Pending;
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(buffer.len());
        let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer[..len]);
        if read.is_pending() {
            self.budget.has_waited();
        }
        let len = ready!(read)?;
        self.budget.count(len).map_err(io::Error::other)?;
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_io::{Async, Timer};

use crate::{Endpoint, address};

/// How long an address has to itself before the next one is tried beside it: what RFC 8305,
/// section 5, recommends.
const HEAD_START: Duration = Duration::from_millis(250);

type Connecting = Pin<Box<dyn Future<Output = io::Result<Async<TcpStream>>> + Send>>;

/// Connects to the first of `addresses`, which are the endpoint's, that answers.
pub(crate) async fn race(
    endpoint: &Endpoint,
    addresses: Vec<SocketAddr>,
) -> io::Result<Async<TcpStream>> {
    let waiting = addresses.into_iter();
    let mut race = Race { endpoint, waiting, running: Vec::new(), failures: Vec::new() };
    let mut head_start = Timer::after(HEAD_START);
    race.begin_next();
    poll_fn(|context| {
        loop {
            let failed = race.failures.len();
            if let Some(stream) = race.winner(context) {
                return Poll::Ready(Ok(stream));
            }
            let is_over = Pin::new(&mut head_start).poll(context).is_ready();
            // Where one has failed the next one need not wait.
            if !is_over && race.failures.len() == failed && !race.running.is_empty() {
                return Poll::Pending;
            }
            head_start.set_after(HEAD_START);
            if !race.begin_next() {
                if race.running.is_empty() {
                    return Poll::Ready(Err(race.failure()));
                }
                // The timer is of no use any more, and is not polled before one has answered.
                return Poll::Pending;
            }
        }
    })
    .await
}

struct Race<'a> {
    endpoint: &'a Endpoint,
    waiting: std::vec::IntoIter<SocketAddr>,
    running: Vec<(SocketAddr, Connecting)>,
    failures: Vec<(SocketAddr, io::Error)>,
}

impl Race<'_> {
    /// Begins with one more address, if there is one.
    fn begin_next(&mut self) -> bool {
        let Some(address) = self.waiting.next() else { return false };
        self.running.push((address, Box::pin(Async::<TcpStream>::connect(address))));
        true
    }

    /// The connection that was made, if there is one. What has failed runs no more.
    fn winner(&mut self, context: &mut Context<'_>) -> Option<Async<TcpStream>> {
        let mut place = 0;
        while let Some((address, connecting)) = self.running.get_mut(place) {
            let address = *address;
            match connecting.as_mut().poll(context) {
                Poll::Pending => place += 1,
                Poll::Ready(Ok(stream)) => {
                    address::has_connected(self.endpoint, address);
                    // The others were slower, which is no fault.
                    self.running.clear();
                    return Some(stream);
                }
                Poll::Ready(Err(error)) => {
                    drop(self.running.remove(place));
                    address::has_failed(self.endpoint, address);
                    self.failures.push((address, error));
                }
            }
        }
        None
    }

    /// Why none of them would do.
    fn failure(&mut self) -> io::Error {
        let mut failures = std::mem::take(&mut self.failures);
        match (failures.pop(), failures.is_empty()) {
            (None, _) => io::Error::new(io::ErrorKind::NotFound, "the host has no address"),
            (Some((_, failure)), true) => failure,
            (Some(last), false) => {
                let kind = last.1.kind();
                failures.push(last);
                let texts = failures.iter().map(|(address, error)| format!("{address}: {error}"));
                io::Error::new(kind, texts.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What has not answered by the time that nobody waits any more comes last the next time.
impl Drop for Race<'_> {
    fn drop(&mut self) {
        for (address, _) in &self.running {
            address::has_failed(self.endpoint, *address);
        }
    }
}

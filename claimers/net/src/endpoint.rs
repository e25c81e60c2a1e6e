use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::{TimedOut, address, within};

/// Where a server listens.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Endpoint {
    /// A name or an address; one of IPv6 without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoint { host, port } = self;
        if host.contains(':') {
            write!(formatter, "[{host}]:{port}")
        } else {
            write!(formatter, "{host}:{port}")
        }
    }
}

/// The servers of a store, one of which is enough.
#[derive(Debug)]
pub struct Endpoints {
    endpoints: Vec<Endpoint>,
    /// Where the next attempt begins: with the one that did last, unless that was skipped.
    preferred: AtomicUsize,
    /// Which one was tried last, of those that may be skipped.
    current: AtomicUsize,
}

/// Why no endpoint would do: what came of each, in the order in which they were tried.
#[derive(Debug)]
pub struct Attempts<E>(pub Vec<(Endpoint, Attempt<E>)>);

/// What came of trying one endpoint.
#[derive(Debug)]
pub enum Attempt<E> {
    /// It failed.
    Failed(E),
    /// It took too long.
    TimedOut(TimedOut),
}

impl Endpoints {
    /// These endpoints, to be tried in this order at first.
    pub fn new(endpoints: Vec<Endpoint>) -> Endpoints {
        Endpoints { endpoints, preferred: AtomicUsize::new(0), current: AtomicUsize::new(0) }
    }

    /// All of them.
    pub fn all(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Tries them in turn, beginning with the one that did last, until `open` succeeds.
    ///
    /// Each gets an equal share of what is left of `limit`, so that one which swallows everything
    /// does not use it up.
    ///
    /// # Errors
    ///
    /// What came of each, if none succeeded.
    ///
    /// # Cancel safety
    ///
    /// What `open` had begun is dropped. The next call begins with the endpoint after the one that
    /// was being tried: a caller's own limit may be shorter than one share of this one.
    pub async fn first<'a, C, E, F>(
        &'a self,
        limit: Duration,
        mut open: impl FnMut(&'a Endpoint) -> F,
    ) -> Result<C, Attempts<E>>
    where
        F: Future<Output = Result<C, E>>,
    {
        let began = Instant::now();
        let count = self.endpoints.len();
        let preferred = self.preferred.load(Ordering::Relaxed);
        let mut attempts = Vec::new();
        for (tried, place) in (preferred..preferred + count).enumerate() {
            let Some(endpoint) = self.endpoints.get(place % count) else { break };
            let untried = u32::try_from(count - tried).unwrap_or(u32::MAX);
            let share = limit.saturating_sub(began.elapsed()) / untried;
            let mut trial = Trial { endpoints: self, place: place % count, is_over: false };
            let attempt = within(share, open(endpoint)).await;
            trial.is_over = true;
            let attempt = match attempt {
                Ok(Ok(connection)) => {
                    self.begin_with(place);
                    return Ok(connection);
                }
                Ok(Err(error)) => Attempt::Failed(error),
                Err(late) => Attempt::TimedOut(late),
            };
            // It may have another address that will do.
            address::is_of_no_use(endpoint);
            attempts.push((endpoint.clone(), attempt));
        }
        self.current.store(preferred, Ordering::Relaxed);
        Err(Attempts(attempts))
    }

    /// Has the next attempt begin with another endpoint than the last, and with another address if
    /// that has several: this one answers, but will not do.
    pub fn skip(&self) {
        let current = self.current.load(Ordering::Relaxed);
        // It may have been skipped already.
        if self.preferred.load(Ordering::Relaxed) == current {
            self.give_up(current);
        }
    }

    fn begin_with(&self, place: usize) {
        let place = place % self.endpoints.len().max(1);
        self.current.store(place, Ordering::Relaxed);
        self.preferred.store(place, Ordering::Relaxed);
    }

    /// Has the next attempt begin with the one after `place`.
    fn give_up(&self, place: usize) {
        self.begin_with(place + 1);
        self.current.store(place, Ordering::Relaxed);
        if let Some(endpoint) = self.endpoints.get(place) {
            address::is_of_no_use(endpoint);
        }
    }
}

/// The trial of one endpoint, which is given up unless it is waited for to the end.
struct Trial<'a> {
    endpoints: &'a Endpoints,
    place: usize,
    is_over: bool,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.endpoints.give_up(self.place);
        }
    }
}

impl<E> Attempts<E> {
    /// Whether every endpoint failed with an error of which `is_so` holds, and there was one.
    pub fn all(&self, is_so: impl Fn(&E) -> bool) -> bool {
        let is_so = |attempt: &Attempt<E>| match attempt {
            Attempt::Failed(error) => is_so(error),
            Attempt::TimedOut(_) => false,
        };
        !self.0.is_empty() && self.0.iter().all(|(_, attempt)| is_so(attempt))
    }
}

impl<E: fmt::Display> fmt::Display for Attempts<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (endpoint, attempt)) in self.0.iter().enumerate() {
            if place > 0 {
                formatter.write_str("; ")?;
            }
            match attempt {
                Attempt::Failed(error) => write!(formatter, "{endpoint}: {error}")?,
                Attempt::TimedOut(late) => write!(formatter, "{endpoint}: {late}")?,
            }
        }
        Ok(())
    }
}

impl<E: Error> Error for Attempts<E> {}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future;
    use std::sync::Mutex;

    fn endpoints() -> Endpoints {
        let endpoint = |host: &str| Endpoint { host: host.to_owned(), port: 1 };
        Endpoints::new(["a", "b", "c"].map(endpoint).to_vec())
    }

    /// Which were tried, when only `good` would do.
    fn tried(endpoints: &Endpoints, good: &str) -> (Vec<String>, Option<String>) {
        let tried = Mutex::new(Vec::new());
        let open = |endpoint: &Endpoint| {
            tried.lock().unwrap().push(endpoint.host.clone());
            let host = endpoint.host.clone();
            let result = if host == good { Ok(host) } else { Err("no") };
            async { result }
        };
        let found = future::block_on(endpoints.first(Duration::from_secs(9), open)).ok();
        (tried.into_inner().unwrap(), found)
    }

    #[test]
    fn the_one_that_did_last_is_tried_first() {
        let endpoints = endpoints();
        let hosts = |hosts: &[&str]| hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(tried(&endpoints, "b"), (hosts(&["a", "b"]), Some("b".to_owned())));
        assert_eq!(tried(&endpoints, "b").0, hosts(&["b"]));
        assert_eq!(tried(&endpoints, "a").0, hosts(&["b", "c", "a"]));
        assert_eq!(tried(&endpoints, "none"), (hosts(&["a", "b", "c"]), None));
        endpoints.skip();
        assert_eq!(tried(&endpoints, "c").0, hosts(&["b", "c"]));
    }

    #[test]
    fn one_that_never_answers_leaves_time_for_the_others() {
        let endpoints = endpoints();
        let open = |endpoint: &Endpoint| {
            let hangs = endpoint.host == "a";
            async move {
                if hangs {
                    future::pending::<()>().await;
                }
                Ok::<_, &str>(())
            }
        };
        future::block_on(endpoints.first(Duration::from_millis(90), open)).unwrap();
    }

    #[test]
    fn one_that_a_caller_gave_up_on_is_not_the_first_the_next_time() {
        let endpoints = endpoints();
        let hangs = |_: &Endpoint| future::pending::<Result<(), &str>>();
        let give_up = || {
            let mut first = Box::pin(endpoints.first(Duration::from_secs(3600), hangs));
            assert!(future::block_on(future::poll_once(&mut first)).is_none());
        };
        give_up();
        // Who skips what was given up already passes over no other.
        endpoints.skip();
        assert_eq!(tried(&endpoints, "b").0, ["b"]);
        give_up();
        give_up();
        assert_eq!(tried(&endpoints, "a").0, ["a"]);
    }

    #[test]
    fn what_came_of_each_is_said() {
        let endpoints = endpoints();
        let open = |_: &Endpoint| async { Err::<(), _>(fmt::Error) };
        let error = future::block_on(endpoints.first(Duration::from_secs(9), open)).unwrap_err();
        let failed = fmt::Error.to_string();
        assert_eq!(error.to_string(), format!("a:1: {failed}; b:1: {failed}; c:1: {failed}"));
        let six = Endpoint { host: "::1".to_owned(), port: 2 };
        assert_eq!(six.to_string(), "[::1]:2");
    }
}

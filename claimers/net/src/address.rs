use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use blocking::{Task, unblock};

use crate::Endpoint;

/// What is known of the addresses of each endpoint. It is of the network, not of a store, so all
/// the stores of a process share it.
static HISTORIES: LazyLock<Mutex<HashMap<Endpoint, History>>> = LazyLock::new(Mutex::default);

#[derive(Debug, Default)]
struct History {
    /// What came of each address that was tried: above zero if it worked, below if it did not, and
    /// further from zero the later that was.
    ranks: HashMap<SocketAddr, i64>,
    /// The distance from zero that was given last.
    tried: i64,
    /// Where the latest connection leads.
    connected: Option<SocketAddr>,
    /// Lookups that nobody waits for any more, and that have not ended.
    lookups: Vec<Lookup>,
}

type Lookup = Task<io::Result<Vec<SocketAddr>>>;

/// The addresses of an endpoint, as the resolver sorts them.
///
/// # Cancel safety
///
/// The resolver cannot be stopped: the next call for this endpoint goes on with the lookup that
/// was given up, so a resolver that hangs has no more threads than there were calls at once.
pub(crate) async fn resolve(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    let Endpoint { host, port } = endpoint.clone();
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    Resumed::new(endpoint, || unblock(move || Ok((host, port).to_socket_addrs()?.collect()))).await
}

/// The order in which `addresses` are to be tried: first what worked last, last what failed last.
/// Among those of which nothing is known, the two families take turns.
pub(crate) fn sorted(endpoint: &Endpoint, addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = interleaved(addresses);
    let mut histories = histories();
    let history = histories.entry(endpoint.clone()).or_default();
    // Names get other addresses over time.
    history.ranks.retain(|address, _| addresses.contains(address));
    let rank = |address: &SocketAddr| history.ranks.get(address).copied().unwrap_or(0);
    addresses.sort_by_key(|address| -rank(address));
    addresses
}

/// Keeps in mind that `address` took a connection.
pub(crate) fn has_connected(endpoint: &Endpoint, address: SocketAddr) {
    let mut histories = histories();
    let history = histories.entry(endpoint.clone()).or_default();
    history.connected = Some(address);
    history.tried += 1;
    history.ranks.insert(address, history.tried);
}

/// Keeps in mind that `address` did not take a connection, or not soon enough.
pub(crate) fn has_failed(endpoint: &Endpoint, address: SocketAddr) {
    let mut histories = histories();
    let history = histories.entry(endpoint.clone()).or_default();
    history.tried += 1;
    history.ranks.insert(address, -history.tried);
}

/// Keeps in mind that the address that took the latest connection is of no use all the same.
pub(crate) fn is_of_no_use(endpoint: &Endpoint) {
    let connected = histories().get(endpoint).and_then(|history| history.connected);
    if let Some(address) = connected {
        has_failed(endpoint, address);
    }
}

fn histories() -> MutexGuard<'static, HashMap<Endpoint, History>> {
    HISTORIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same addresses, with the two families in turn (RFC 8305, section 4).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first_family = addresses.first().map(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| Some(address.is_ipv4()) == is_first_family);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut sorted = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return sorted;
        }
        sorted.extend(pair.into_iter().flatten());
    }
}

/// A lookup that is left to the next one if it is dropped.
struct Resumed<'a> {
    endpoint: &'a Endpoint,
    lookup: Option<Lookup>,
}

impl Resumed<'_> {
    fn new(endpoint: &Endpoint, begin: impl FnOnce() -> Lookup) -> Resumed<'_> {
        let mut histories = histories();
        let history = histories.entry(endpoint.clone()).or_default();
        // What comes of this attempt is no fault of the address of an earlier one.
        history.connected = None;
        // What has ended since may be old.
        history.lookups.retain(|lookup| !lookup.is_finished());
        let lookup = history.lookups.pop();
        drop(histories);
        Resumed { endpoint, lookup: Some(lookup.unwrap_or_else(begin)) }
    }
}

impl Future for Resumed<'_> {
    type Output = io::Result<Vec<SocketAddr>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(lookup) = &mut self.lookup else { return Poll::Pending };
        let poll = Pin::new(lookup).poll(context);
        if poll.is_ready() {
            self.lookup = None;
        }
        poll
    }
}

impl Drop for Resumed<'_> {
    fn drop(&mut self) {
        if let Some(lookup) = self.lookup.take() {
            let mut histories = histories();
            histories.entry(self.endpoint.clone()).or_default().lookups.push(lookup);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future;
    use std::sync::mpsc;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint { host: host.to_owned(), port: 1 }
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 1)).collect()
    }

    #[test]
    fn families_take_turns() {
        let mixed = interleaved(addresses(&["::1", "::2", "::3", "10.0.0.1", "10.0.0.2"]));
        assert_eq!(mixed, addresses(&["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"]));
        let mixed = interleaved(addresses(&["10.0.0.1", "10.0.0.2", "::1"]));
        assert_eq!(mixed, addresses(&["10.0.0.1", "::1", "10.0.0.2"]));
        assert_eq!(interleaved(Vec::new()), []);
    }

    #[test]
    fn what_worked_last_comes_first_and_what_failed_last_comes_last() {
        let name = endpoint("sorted");
        let all = addresses(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let order = |places: [usize; 3]| places.map(|place| all[place]).to_vec();
        let sorted = || sorted(&name, all.clone());
        assert_eq!(sorted(), all);
        has_failed(&name, all[0]);
        assert_eq!(sorted(), order([1, 2, 0]));
        has_connected(&name, all[2]);
        assert_eq!(sorted(), order([2, 1, 0]));
        has_connected(&name, all[1]);
        assert_eq!(sorted(), order([1, 2, 0]));
        // It took a connection, and then nothing came of that.
        has_connected(&name, all[1]);
        is_of_no_use(&name);
        assert_eq!(sorted(), order([2, 0, 1]));
        // Of another endpoint nothing is known.
        assert_eq!(super::sorted(&endpoint("other"), all.clone()), all);
    }

    #[test]
    fn a_lookup_that_was_given_up_is_gone_on_with_by_the_next_call() {
        let name = endpoint("resumed");
        let (answer, question) = mpsc::channel::<()>();
        let found = addresses(&["10.0.0.1"]);
        let lookup = || {
            let found = found.clone();
            unblock(move || {
                question.recv().unwrap();
                Ok(found)
            })
        };
        let mut first = Resumed::new(&name, lookup);
        assert!(future::block_on(future::poll_once(&mut first)).is_none());
        drop(first);
        let again = || -> Lookup { unreachable!("there is one that has not ended") };
        drop(Resumed::new(&name, again));
        let third = Resumed::new(&name, again);
        answer.send(()).unwrap();
        assert_eq!(future::block_on(third).unwrap(), found);
        // It has ended, so the next call asks anew.
        let other = addresses(&["10.0.0.2"]);
        let expected = other.clone();
        let fourth = Resumed::new(&name, || unblock(move || Ok(other)));
        assert_eq!(future::block_on(fourth).unwrap(), expected);
    }
}

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tenure_testkit::server::{Link, Proxy};

use crate::schedule::{Blow, Fault};

/// The ways between candidates and the servers of their store: for each candidate its own.
#[derive(Debug)]
pub(super) struct Ways {
    /// By candidate, and by server.
    proxies: Vec<Vec<Proxy>>,
    lease: Duration,
}

impl Ways {
    pub(super) fn new(
        candidates: usize,
        servers: &[SocketAddr],
        lease: Duration,
    ) -> io::Result<Ways> {
        let to_all = |_| servers.iter().map(|&server| Proxy::new(server)).collect();
        let proxies = (0..candidates).map(to_all).collect::<io::Result<_>>()?;
        Ok(Ways { proxies, lease })
    }

    /// Where the candidate in `place` finds the servers: as the hosts of a URL.
    pub(super) fn hosts(&self, place: usize) -> String {
        let proxies = &self.proxies[place % self.proxies.len()];
        let addresses: Vec<String> =
            proxies.iter().map(|proxy| proxy.address().to_string()).collect();
        addresses.join(",")
    }

    /// Whether that was something for it to do.
    pub(super) fn begin(&mut self, blow: &Blow, leader: usize) -> bool {
        let late = Link::Late(self.lease / [40, 12, 5, 2][blow.way % 4]);
        let (requests, answers) = match blow.fault {
            Fault::LeaderBlackHole | Fault::AllBlackHole => (Link::Stalled, Link::Stalled),
            Fault::LeaderAnswersLost | Fault::AllAnswersLost => (Link::Passing, Link::Lost),
            Fault::LeaderRequestsLost => (Link::Lost, Link::Passing),
            Fault::LeaderSlow | Fault::AllSlow => (late, late),
            Fault::LeaderCut | Fault::AllCut | Fault::AllRefused => (Link::Passing, Link::Passing),
            _ => return false,
        };
        let is_of_leader = matches!(
            blow.fault,
            Fault::LeaderBlackHole
                | Fault::LeaderAnswersLost
                | Fault::LeaderRequestsLost
                | Fault::LeaderSlow
                | Fault::LeaderCut
        );
        let is_cut = matches!(blow.fault, Fault::LeaderCut | Fault::AllCut | Fault::AllRefused);
        for (place, proxies) in self.proxies.iter().enumerate() {
            for proxy in proxies.iter().filter(|_| !is_of_leader || place == leader) {
                proxy.requests(requests);
                proxy.answers(answers);
                proxy.refuse(blow.fault == Fault::AllRefused);
                if is_cut {
                    proxy.cut();
                }
            }
        }
        true
    }

    /// Clears them all.
    pub(super) fn clear(&self) {
        for proxy in self.proxies.iter().flatten() {
            proxy.requests(Link::Passing);
            proxy.answers(Link::Passing);
            proxy.refuse(false);
        }
    }
}

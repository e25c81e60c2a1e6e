use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tenure_testkit::server::{Link, Proxy};

use crate::room::Room;
use crate::schedule::{Blow, Fault};

/// The ways between candidates and the servers of their store: for each candidate its own.
#[derive(Debug)]
pub(super) struct Ways {
    /// By candidate, and by server.
    proxies: Vec<Vec<Proxy>>,
    lease: Duration,
    /// What the store answers if it never stops talking.
    flood: Flood,
    /// The name that the servers go by, if they have one.
    name: Option<&'static str>,
}

/// The beginning of an answer, and what goes on without end: that a reader of the store's protocol
/// has to read on.
pub(super) type Flood = (&'static [u8], &'static [u8]);

/// The text of a notice, and notices are what a server may send at any time.
pub(super) const POSTGRES_FLOOD: Flood = (b"", b"N\0\0\0\x1fSNOTICE\0C00000\0Mand so on\0\0");
/// A text of half a gigabyte.
pub(super) const REDIS_FLOOD: Flood = (b"$536870912\r\n", b"and so on ");
/// A body in pieces.
pub(super) const ETCD_FLOOD: Flood = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"10\r\n                \r\n",
);

impl Ways {
    pub(super) fn new(
        candidates: usize,
        servers: &[SocketAddr],
        lease: Duration,
        flood: Flood,
        room: &Room,
    ) -> io::Result<Ways> {
        let name = room.name_of_store().ok();
        // Where the store has a name of two addresses, nobody else is in the network.
        let proxy = if name.is_some() { Proxy::everywhere } else { Proxy::new };
        let to_all = |_| servers.iter().map(|&server| proxy(server)).collect();
        let proxies = (0..candidates).map(to_all).collect::<io::Result<_>>()?;
        Ok(Ways { proxies, lease, flood, name })
    }

    /// Where the candidate in `place` finds the servers: as the hosts of a URL.
    pub(super) fn hosts(&self, place: usize) -> String {
        let proxies = &self.proxies[place % self.proxies.len()];
        let host = |proxy: &Proxy| match self.name {
            Some(name) => format!("{name}:{}", proxy.address().port()),
            None => proxy.address().to_string(),
        };
        let hosts: Vec<String> = proxies.iter().map(host).collect();
        hosts.join(",")
    }

    /// Whether that was something for it to do.
    ///
    /// # Errors
    ///
    /// What stopped it.
    pub(super) fn begin(
        &mut self,
        blow: &Blow,
        leader: usize,
        room: &Room,
    ) -> Result<bool, Box<dyn Error>> {
        let late = Link::Late(self.lease / [40, 12, 5, 2][blow.way % 4]);
        let (requests, answers) = match blow.fault {
            Fault::LeaderBlackHole | Fault::AllBlackHole => (Link::Stalled, Link::Stalled),
            Fault::LeaderAnswersLost | Fault::AllAnswersLost => (Link::Passing, Link::Lost),
            Fault::LeaderRequestsLost => (Link::Lost, Link::Passing),
            Fault::LeaderSlow | Fault::AllSlow => (late, late),
            Fault::LeaderCut | Fault::AllCut | Fault::AllRefused | Fault::WatchesCut => {
                (Link::Passing, Link::Passing)
            }
            Fault::ServerTalks => (Link::Passing, Link::Flood(self.flood.0, self.flood.1)),
            Fault::AddressDead => {
                room.swallow_address(true)?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        let is_of_leader = matches!(
            blow.fault,
            Fault::LeaderBlackHole
                | Fault::LeaderAnswersLost
                | Fault::LeaderRequestsLost
                | Fault::LeaderSlow
                | Fault::LeaderCut
        );
        let is_cut = matches!(
            blow.fault,
            Fault::LeaderCut | Fault::AllCut | Fault::AllRefused | Fault::WatchesCut
        );
        let is_hit = |place| match blow.fault {
            // Who does not lead has no other connection that is in use.
            Fault::WatchesCut => place != leader,
            _ => !is_of_leader || place == leader,
        };
        for (place, proxies) in self.proxies.iter().enumerate() {
            for proxy in proxies.iter().filter(|_| is_hit(place)) {
                proxy.requests(requests);
                proxy.answers(answers);
                proxy.refuse(blow.fault == Fault::AllRefused);
                if is_cut {
                    proxy.cut();
                }
            }
        }
        Ok(true)
    }

    /// Clears them all.
    ///
    /// # Errors
    ///
    /// What stopped it.
    pub(super) fn clear(&self, room: &Room) -> Result<(), Box<dyn Error>> {
        room.swallow_address(false)?;
        for proxy in self.proxies.iter().flatten() {
            proxy.requests(Link::Passing);
            proxy.answers(Link::Passing);
            proxy.refuse(false);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_is_as_long_as_it_says() {
        let (_, notice) = POSTGRES_FLOOD;
        let length = u32::from_be_bytes(notice[1..5].try_into().unwrap());
        assert_eq!(length as usize, notice.len() - 1);
    }
}

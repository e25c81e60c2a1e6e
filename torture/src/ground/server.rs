use std::error::Error;
use std::thread;
use std::time::Duration;

use tenure_testkit::server::{Server, ServerError};

use super::clock::ServerClock;
use super::ways::{POSTGRES_FLOOD, REDIS_FLOOD, Ways};
use super::{Ground, Lateness, unknown};
use crate::arguments::Control;
use crate::rack::Settings;
use crate::room::{self, Room};
use crate::schedule::{Blow, Fault};

/// How often a server is started that does not start.
const TRIES: usize = 50;

/// A store of one server.
#[derive(Debug)]
pub(super) struct OneServer {
    name: &'static str,
    /// What stands before the hosts in its URL, and after them.
    url: [&'static str; 2],
    server: Server,
    ways: Ways,
    room: Room,
    lateness: Lateness,
    /// The server's, if it can be set; why it cannot, if not.
    clock: Result<ServerClock, String>,
}

impl OneServer {
    pub(super) fn postgres(settings: &Settings, room: Room) -> Result<OneServer, Box<dyn Error>> {
        let url = ["postgres://postgres@", "/postgres"];
        let lateness = Lateness::default();
        OneServer::new("postgres", url, Server::postgres(&[]), settings, room, lateness)
    }

    pub(super) fn redis(settings: &Settings, room: Room) -> Result<OneServer, Box<dyn Error>> {
        let name = "redis, which syncs each command";
        let lateness = Lateness::default();
        OneServer::new(name, ["redis://", ""], Server::redis(&[]), settings, room, lateness)
    }

    pub(super) fn forgetful_redis(
        settings: &Settings,
        room: Room,
    ) -> Result<OneServer, Box<dyn Error>> {
        let (name, after) = match settings.control {
            Some(Control::NoHoldOff) => {
                ("redis, which forgets all, without a hold-off", "?hold_off=unsafely-never")
            }
            _ => ("redis, which forgets all", ""),
        };
        // Since when it runs, it says in whole seconds.
        let after_outage = 2 * settings.guarantee + Duration::from_secs(1);
        let lateness = Lateness { after_outage, ..Lateness::default() };
        let server = Server::forgetful_redis(&[]);
        OneServer::new(name, ["redis://", after], server, settings, room, lateness)
    }

    fn new(
        name: &'static str,
        url: [&'static str; 2],
        server: Result<Server, ServerError>,
        settings: &Settings,
        room: Room,
        lateness: Lateness,
    ) -> Result<OneServer, Box<dyn Error>> {
        let server = server?;
        let lease = 2 * settings.guarantee;
        let flood = if name == "postgres" { POSTGRES_FLOOD } else { REDIS_FLOOD };
        let ways = Ways::new(settings.candidates, &[server.address()], lease, flood, &room)?;
        let clock = Err("libfaketime does not work with this server".to_owned());
        Ok(OneServer { name, url, server, ways, room, lateness, clock })
    }

    pub(super) fn valkey(
        settings: &Settings,
        room: Room,
        slack: Duration,
    ) -> Result<OneServer, Box<dyn Error>> {
        let name = "valkey, which syncs each command";
        // A lease lasts longer by as much as the clock is set back while it lasts.
        let always = settings.guarantee;
        let lateness = Lateness { always, ..Lateness::default() };
        let server = Server::valkey(&[]);
        let mut ground = OneServer::new(name, ["redis://", ""], server, settings, room, lateness)?;
        ground.clock = ServerClock::new(&mut ground.server, settings.guarantee, slack)?;
        Ok(ground)
    }

    /// The server may have ended because of what was done to it.
    ///
    /// It cannot start on a full disk, and nobody could see that it has.
    fn revive(&mut self) -> Result<(), Box<dyn Error>> {
        self.room.free_disk()?;
        self.room.pass_packets()?;
        if self.server.id().is_some_and(room::is_running) {
            return Ok(());
        }
        // What is left of the one that ended may still hold something that this one needs.
        for _ in 1..TRIES {
            match self.server.restart() {
                Err(ServerError::NotReady { .. }) => thread::sleep(Duration::from_millis(100)),
                result => return Ok(result?),
            }
        }
        Ok(self.server.restart()?)
    }

    fn drop_packets(&self) -> Result<(), Box<dyn Error>> {
        let port = self.server.address().port().to_string();
        for end in ["--dport", "--sport"] {
            room::run("iptables", &["-A", "INPUT", "-p", "tcp", end, &port, "-j", "DROP"])?;
        }
        Ok(())
    }
}

impl Ground for OneServer {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn url(&self, place: usize) -> String {
        let [before, after] = self.url;
        format!("{before}{}{after}", self.ways.hosts(place))
    }

    fn faults(&self) -> Vec<(Fault, Result<(), String>)> {
        let of_server = [Fault::ServerKill, Fault::ServerFreeze, Fault::ServerFreezeBriefly];
        let all = Fault::OF_WAYS.into_iter().chain(of_server);
        let mut faults: Vec<_> = all
            .map(|fault| match fault {
                Fault::AddressDead => (fault, self.room.name_of_store().map(drop)),
                Fault::PacketsDropped => (fault, self.room.drops_packets()),
                _ => (fault, Ok(())),
            })
            .collect();
        faults.push((Fault::DiskFull, self.room.is_apart()));
        for fault in [Fault::ClockBack, Fault::ClockForward] {
            faults.push((fault, self.clock.as_ref().map(|_| ()).map_err(String::clone)));
        }
        faults
    }

    fn begin(&mut self, blow: &Blow, leader: usize) -> Result<(), Box<dyn Error>> {
        if self.ways.begin(blow, leader, &self.room)? {
            return Ok(());
        }
        match blow.fault {
            Fault::ServerKill => {
                self.room.pass_packets()?;
                self.server.kill();
            }
            Fault::ServerFreeze | Fault::ServerFreezeBriefly => self.server.freeze(),
            Fault::PacketsDropped => self.drop_packets()?,
            Fault::DiskFull => self.room.fill_disk()?,
            fault @ (Fault::ClockBack | Fault::ClockForward) => match &mut self.clock {
                // It is kept in a file, on the server's disk.
                Ok(_) if self.room.free_disk().is_err() => return Err("the disk stays full".into()),
                Ok(clock) => clock.set(fault == Fault::ClockForward, blow.way)?,
                Err(_) => return Err(unknown(fault)),
            },
            other => return Err(unknown(other)),
        }
        Ok(())
    }

    fn end(&mut self, fault: Fault) -> Result<(), Box<dyn Error>> {
        match fault {
            Fault::ServerKill => self.revive(),
            Fault::ServerFreeze | Fault::ServerFreezeBriefly => {
                self.server.thaw();
                Ok(())
            }
            Fault::PacketsDropped => self.room.pass_packets(),
            Fault::DiskFull => self.revive(),
            _ => self.ways.clear(&self.room),
        }
    }

    fn lateness(&self) -> Lateness {
        self.lateness
    }
}

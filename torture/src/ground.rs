//! What the candidates stand on: a store, and what can be done to it.

mod clock;
mod etcd;
mod server;
mod sqlite;
mod ways;

use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use crate::arguments::{Control, Store};
use crate::rack::Settings;
use crate::room::Room;
use crate::schedule::{Blow, Fault};

/// A store on the rack.
pub(crate) trait Ground: Debug {
    /// What it is.
    fn name(&self) -> String;

    /// Where the candidate in `place` finds it.
    fn url(&self, place: usize) -> String;

    /// What can be done to it, and why not if it cannot be done here.
    fn faults(&self) -> Vec<(Fault, Result<(), String>)>;

    /// Does it, to the candidate in `leader` if to one.
    ///
    /// # Errors
    ///
    /// What stopped it.
    fn begin(&mut self, blow: &Blow, leader: usize) -> Result<(), Box<dyn Error>>;

    /// Undoes it.
    ///
    /// # Errors
    ///
    /// What stopped it.
    fn end(&mut self, fault: Fault) -> Result<(), Box<dyn Error>>;

    /// By how much its leases may end too late.
    fn lateness(&self) -> Lateness {
        Lateness::default()
    }
}

/// By how much the leases of a store may end too late.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lateness {
    /// At any time.
    pub(crate) always: Duration,
    /// After the store was away.
    pub(crate) after_outage: Duration,
}

impl Store {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Store::Etcd => "etcd",
            Store::ForgetfulRedis => "forgetful-redis",
            Store::Postgres => "postgres",
            Store::Redis => "redis",
            Store::Sqlite => "sqlite",
            Store::Valkey => "valkey",
        }
    }

    /// How large a disk its rack needs.
    pub(crate) fn disk_mb(self) -> u32 {
        match self {
            Store::Etcd => 1_500,
            Store::Postgres => 500,
            Store::ForgetfulRedis | Store::Redis | Store::Valkey => 200,
            // Mostly for the logs of the candidates.
            Store::Sqlite => 64,
        }
    }

    /// A guarantee as short as it bears on a machine with much else to do.
    pub(crate) fn guarantee(self) -> Duration {
        match self {
            // Its leases last whole seconds.
            Store::Etcd => Duration::from_millis(500),
            Store::ForgetfulRedis
            | Store::Postgres
            | Store::Redis
            | Store::Sqlite
            | Store::Valkey => Duration::from_millis(400),
        }
    }

    /// By how much its clock may be set forward during a lease.
    pub(crate) fn slack(self, guarantee: Duration) -> Duration {
        match self {
            Store::Valkey => guarantee / 5,
            Store::Etcd
            | Store::ForgetfulRedis
            | Store::Postgres
            | Store::Redis
            | Store::Sqlite => Duration::ZERO,
        }
    }

    pub(crate) fn ground(
        self,
        settings: &Settings,
        room: Room,
    ) -> Result<Box<dyn Ground>, Box<dyn Error>> {
        let forgets = settings.control == Some(Control::NoHoldOff);
        if forgets && self != Store::ForgetfulRedis {
            return Err("only --store forgetful-redis has a hold-off to do without".into());
        }
        Ok(match self {
            Store::Etcd => Box::new(etcd::Cluster::new(settings, room)?),
            Store::ForgetfulRedis => Box::new(server::OneServer::forgetful_redis(settings, room)?),
            Store::Postgres => Box::new(server::OneServer::postgres(settings, room)?),
            Store::Redis => Box::new(server::OneServer::redis(settings, room)?),
            Store::Sqlite => Box::new(sqlite::Sqlite::new(room)?),
            Store::Valkey => {
                let slack = self.slack(settings.guarantee);
                Box::new(server::OneServer::valkey(settings, room, slack)?)
            }
        })
    }
}

/// A fault that this ground never said it has.
fn unknown(fault: Fault) -> Box<dyn Error> {
    format!("this store cannot do {}", fault.name()).into()
}

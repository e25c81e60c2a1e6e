//! What the candidates stand on: a store, and what can be done to it.

mod sqlite;

use std::error::Error;
use std::time::Duration;

use crate::arguments::Store;
use crate::room::Room;
use crate::schedule::{Blow, Fault};

/// A store on the rack.
pub(crate) trait Ground: std::fmt::Debug {
    /// What it is, with its version if it tells.
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
    fn lateness(&self) -> Duration {
        Duration::ZERO
    }
}

impl Store {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Store::Sqlite => "sqlite",
        }
    }

    /// How large a disk its rack needs.
    pub(crate) fn disk_mb(self) -> u32 {
        match self {
            Store::Sqlite => 16,
        }
    }

    /// The shortest guarantee that it bears on a machine with much else to do.
    pub(crate) fn guarantee(self) -> Duration {
        match self {
            Store::Sqlite => Duration::from_millis(400),
        }
    }

    pub(crate) fn ground(self, room: Room) -> Result<Box<dyn Ground>, Box<dyn Error>> {
        Ok(match self {
            Store::Sqlite => Box::new(sqlite::Sqlite::new(room)?),
        })
    }
}

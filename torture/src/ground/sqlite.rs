use std::error::Error;

use tempfile::TempDir;

use super::{Ground, unknown};
use crate::room::Room;
use crate::schedule::{Blow, Fault};

/// A file.
#[derive(Debug)]
pub(super) struct Sqlite {
    directory: TempDir,
    room: Room,
}

impl Sqlite {
    pub(super) fn new(room: Room) -> Result<Sqlite, Box<dyn Error>> {
        let directory = tempfile::Builder::new().prefix("tenure-torture-").tempdir()?;
        Ok(Sqlite { directory, room })
    }
}

impl Ground for Sqlite {
    fn name(&self) -> String {
        "sqlite, in a file".to_owned()
    }

    fn url(&self, _place: usize) -> String {
        format!("sqlite:{}", self.directory.path().join("leases.db").display())
    }

    fn faults(&self) -> Vec<(Fault, Result<(), String>)> {
        let disk = self.room.is_apart();
        vec![(Fault::DiskFull, disk.clone()), (Fault::DiskReadOnly, disk)]
    }

    fn begin(&mut self, blow: &Blow, _leader: usize) -> Result<(), Box<dyn Error>> {
        match blow.fault {
            Fault::DiskFull => self.room.fill_disk(),
            Fault::DiskReadOnly => self.room.write_protect_disk(true),
            other => Err(unknown(other)),
        }
    }

    fn end(&mut self, fault: Fault) -> Result<(), Box<dyn Error>> {
        match fault {
            Fault::DiskFull => self.room.free_disk(),
            Fault::DiskReadOnly => self.room.write_protect_disk(false),
            _ => Ok(()),
        }
    }
}

//! Looks again and again, where the system cannot tell.

use std::sync::Arc;
use std::time::Duration;

use crate::bell::Bell;
use crate::database::{Database, Purpose};
use crate::file::Paths;
use crate::watch::{Bells, Started, Stop};

/// No interval is shorter: that would be a busy loop.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// A look waits for nobody.
const BUSY_TIMEOUT: Duration = Duration::ZERO;

pub(crate) fn start(paths: &Paths, interval: Duration) -> Started {
    let interval = interval.max(INTERVAL_MIN);
    let stop = Arc::new(Bell::default());
    let mut look = Look::new(paths.clone());
    // Who waits looks at the store after this. So what changes from now on must be seen.
    look.has_changed();
    let run = {
        let stop = stop.clone();
        move |bells: &Bells| {
            loop {
                stop.wait(interval);
                if bells.is_stopped() {
                    return;
                }
                if look.has_changed() {
                    bells.ring();
                }
            }
        }
    };
    (Box::new(stop), Box::new(run))
}

impl Stop for Arc<Bell> {
    fn rouse(&self) {
        self.ring();
    }
}

struct Look {
    paths: Paths,
    database: Option<Database>,
    version: Option<i64>,
}

impl Look {
    fn new(paths: Paths) -> Look {
        Look { paths, database: None, version: None }
    }

    /// Whether the store has changed since the last call. What cannot be looked at has changed:
    /// those who wait find out why.
    fn has_changed(&mut self) -> bool {
        let version = self.version();
        let changed = version.is_none() || version != self.version;
        self.version = version;
        changed
    }

    /// Counts the store's changes, as one connection sees them. `None` for a new connection.
    fn version(&mut self) -> Option<i64> {
        let (database, is_new) = match self.database.take() {
            Some(database) => (database, false),
            None => (Database::open(&self.paths, Purpose::Look, BUSY_TIMEOUT).ok()?, true),
        };
        let version = database.data_version().ok()?;
        database.files.check(&self.paths).ok()?;
        let is_kept = !database.is_snapshot;
        if is_new {
            self.version = None;
        }
        if is_kept {
            self.database = Some(database);
            Some(version)
        } else {
            None
        }
    }
}

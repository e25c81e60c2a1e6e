use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::database::Database;

/// A place for one connection, which one thread at a time can take.
///
/// A mutex around the connection would do, if one could stop waiting for it: a claim must end.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    place: Mutex<Place>,
    returned: Condvar,
}

#[derive(Debug, Default)]
enum Place {
    /// There is no connection: not yet, or no longer.
    #[default]
    Vacant,
    Present(Database),
    Taken,
}

/// The right to use the slot's connection, or to put one there. It goes back when this is dropped,
/// also by a panic.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    slot: &'a Slot,
    pub(crate) database: Option<Database>,
}

impl Slot {
    pub(crate) fn with(database: Option<Database>) -> Slot {
        let place = database.map_or(Place::Vacant, Place::Present);
        Slot { place: Mutex::new(place), returned: Condvar::new() }
    }

    /// Takes the connection; `None` if others had it until `deadline`.
    pub(crate) fn take(&self, deadline: Instant) -> Option<Taken<'_>> {
        let mut place = self.lock();
        loop {
            match std::mem::replace(&mut *place, Place::Taken) {
                Place::Vacant => return Some(Taken { slot: self, database: None }),
                Place::Present(database) => {
                    return Some(Taken { slot: self, database: Some(database) });
                }
                Place::Taken => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.returned.wait_timeout(place, left);
            (place, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A panic elsewhere leaves the place as it was: it is only ever replaced as a whole.
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.slot.lock() = self.database.take().map_or(Place::Vacant, Place::Present);
        self.slot.returned.notify_one();
    }
}

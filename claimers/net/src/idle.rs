use std::sync::{Mutex, MutexGuard, PoisonError};

/// The connections of a store that nobody uses just now.
///
/// A call takes one, or makes one if there is none, and gives it back when it has ended in order.
/// A call that failed or was cancelled drops its connection instead, so what was left unread on it
/// reaches nobody.
#[derive(Debug)]
pub struct Idle<C> {
    connections: Mutex<Vec<C>>,
    max: usize,
}

impl<C> Idle<C> {
    /// Keeps `max` connections at most.
    pub const fn new(max: usize) -> Idle<C> {
        Idle { connections: Mutex::new(Vec::new()), max }
    }

    /// The connection that was used last, if there is one.
    pub fn take(&self) -> Option<C> {
        self.lock().pop()
    }

    /// Keeps `connection` for a later call, or closes it if there are enough.
    pub fn put(&self, connection: C) {
        let mut connections = self.lock();
        if connections.len() < self.max {
            connections.push(connection);
        }
    }

    /// Closes them all: after one has failed, the others have probably lost the server too.
    pub fn clear(&self) {
        let closed = std::mem::take(&mut *self.lock());
        drop(closed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<C>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_comes_first_and_too_many_are_dropped() {
        let idle = Idle::new(2);
        for connection in [1, 2, 3] {
            idle.put(connection);
        }
        assert_eq!([idle.take(), idle.take(), idle.take()], [Some(2), Some(1), None]);
        idle.put(4);
        idle.clear();
        assert_eq!(idle.take(), None);
    }
}

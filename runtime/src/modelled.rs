//! What the tests in `threads/` cannot reach through the public door.

use tenure_core::{Belief, Instant};

use crate::published;

/// The belief of a tracker, where any thread can read it without a lock.
#[derive(Debug)]
pub struct Published(published::Published);

impl Published {
    /// Begins with this belief, as of `now`.
    pub fn new(belief: Belief, now: Instant) -> Published {
        Published(published::Published::new(belief, now))
    }

    /// Publishes the belief as of `now`. Only ever to be called by one thread at a time.
    pub fn publish(&self, belief: Belief, now: Instant) {
        self.0.publish(belief, now);
    }

    /// The belief, and what `clock` said while it was this.
    pub fn read(&self, clock: impl Fn() -> Instant) -> (Belief, Instant) {
        self.0.read(clock)
    }
}

use std::task::Waker;

use tenure_core::{Place, Slot, Wakers};

/// How a tracker or an engine has ended, and who waits for that: lives under the lock of its hub.
#[derive(Debug)]
pub(crate) struct End<E> {
    result: Option<Result<(), E>>,
    waiting: Place<()>,
}

impl<E: Clone> End<E> {
    pub(crate) fn new() -> End<E> {
        End { result: None, waiting: Place::new() }
    }

    pub(crate) fn has_come(&self) -> bool {
        self.result.is_some()
    }

    /// Says how it ended: the first to say so counts.
    pub(crate) fn set(&mut self, result: Result<(), E>) {
        self.result.get_or_insert(result);
    }

    /// Those who wait for the end, to be woken outside of the lock.
    pub(crate) fn tell(&mut self) -> Wakers {
        self.waiting.answer(())
    }

    /// How it ended, if it has; else parks the caller in `slot` and leaves `waker`. Besides, a
    /// waker to be dropped outside of the lock.
    pub(crate) fn poll(
        &mut self,
        slot: &mut Option<Slot>,
        waker: &Waker,
    ) -> (Option<Result<(), E>>, Option<Waker>) {
        match &self.result {
            Some(result) => (Some(result.clone()), None),
            None => {
                let slot = slot.get_or_insert_with(|| self.waiting.park());
                (None, self.waiting.set_waker(slot, waker))
            }
        }
    }

    /// Forgets one who waited, and gives back its waker, to be dropped outside of the lock.
    pub(crate) fn leave(&mut self, slot: &Slot) -> Option<Waker> {
        self.waiting.leave(slot)
    }
}

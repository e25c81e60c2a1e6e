use std::future::poll_fn;
use std::task::{Poll, Waker};

use tenure_core::Slot;

/// Waits for an end that `poll` tells of, and leaves the place that it was given, also when the
/// future is dropped.
pub(crate) async fn wait_for_end<T>(
    mut poll: impl FnMut(&mut Option<Slot>, &Waker) -> Option<T>,
    leave: impl Fn(&Slot),
) -> T {
    let mut waiting = Waiting { slot: None, leave };
    poll_fn(|context| match poll(&mut waiting.slot, context.waker()) {
        Some(end) => Poll::Ready(end),
        None => Poll::Pending,
    })
    .await
}

/// One who waits for the end, for as long as it does.
struct Waiting<L: Fn(&Slot)> {
    slot: Option<Slot>,
    leave: L,
}

impl<L: Fn(&Slot)> Drop for Waiting<L> {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            (self.leave)(slot);
        }
    }
}

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs what is not ours: a waker, a log's subscriber, the end of a call that was given up. If it
/// panics, that has been told by the panic hook, and is no reason to lose a leadership.
pub(crate) fn contain(call: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
        // To drop it could panic again.
        std::mem::forget(payload);
    }
}

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use crate::sync::thread::{self, Thread};
use crate::sync::thread_local;

thread_local! {
    static WAKER: Waker = Arc::new(Unpark(thread::current())).into();
}

/// A waker that unparks the current thread. The same one for each call on one thread.
pub(crate) fn waker() -> Waker {
    WAKER.with(Waker::clone)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks the thread until `poll` gives something. It leaves the waker where it is told of a
/// change, and is called again after each.
pub(crate) fn block_on<T>(mut poll: impl FnMut(&Waker) -> Option<T>) -> T {
    let waker = waker();
    loop {
        match poll(&waker) {
            Some(value) => return value,
            None => thread::park(),
        }
    }
}

/// As [`block_on`], but gives up at `deadline`. `None` stands for one that never comes.
pub(crate) fn block_on_until<T>(
    deadline: Option<Instant>,
    mut poll: impl FnMut(&Waker) -> Option<T>,
) -> Option<T> {
    let waker = waker();
    loop {
        if let Some(value) = poll(&waker) {
            return Some(value);
        }
        let Some(deadline) = deadline else {
            thread::park();
            continue;
        };
        match deadline.checked_duration_since(Instant::now()) {
            None | Some(Duration::ZERO) => return None,
            Some(wait) => thread::park_timeout(wait),
        }
    }
}

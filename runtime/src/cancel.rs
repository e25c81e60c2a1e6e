use std::sync::{Arc, PoisonError};
use std::task::Waker;

use tenure_core::Cancel;

use crate::sync::{Mutex, MutexGuard};

/// The cancel handle of a blocking call: cheap to clone, all clones are one.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Waiting(Waker),
    Cancelled,
}

impl CancelToken {
    /// A token that is not cancelled.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Cancels the call. Idempotent.
    pub fn cancel(&self) {
        let before = std::mem::replace(&mut *self.lock(), State::Cancelled);
        if let State::Waiting(waker) = before {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cancel for CancelToken {
    fn is_cancelled(&self) -> bool {
        matches!(*self.lock(), State::Cancelled)
    }

    fn on_cancel(&self, waker: Waker) {
        let mut state = self.lock();
        match *state {
            State::Idle | State::Waiting(_) => *state = State::Waiting(waker),
            State::Cancelled => {
                drop(state);
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_waker_is_called_once_whether_it_came_before_or_after() {
        let (before, after) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let token = CancelToken::new();
        token.on_cancel(before.clone().into());
        assert!(!token.is_cancelled());
        token.clone().cancel();
        token.cancel();
        token.on_cancel(after.clone().into());
        assert!(token.is_cancelled());
        assert_eq!((before.0.load(Ordering::SeqCst), after.0.load(Ordering::SeqCst)), (1, 1));
    }
}

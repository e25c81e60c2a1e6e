use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use smol::Timer;
use tenure_core::Instant;
use tenure_runtime::Clock;

/// A driver's one timer.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<(Instant, Timer)>);

impl Alarm {
    /// Whether `deadline` has come on `clock`. If not, the task of `context` is woken when it has,
    /// as far as that can be told, or when the clock jumps, and after `nap` at the latest.
    pub(crate) fn poll(
        &mut self,
        clock: &dyn Clock,
        deadline: Instant,
        nap: Duration,
        context: &mut Context<'_>,
    ) -> bool {
        // Before the clock is read, so that no jump is missed.
        clock.on_jump(context.waker());
        let mut least = Duration::ZERO;
        loop {
            let now = clock.now();
            if deadline == Instant::MAX {
                // It never comes, whatever the clock says.
                return false;
            }
            if deadline <= now {
                return true;
            }
            let (_, timer) = match &mut self.0 {
                Some(armed) if armed.0 == deadline => armed,
                unarmed => {
                    let wait = deadline.saturating_duration_since(now).min(nap);
                    unarmed.insert((deadline, Timer::after(wait.max(least))))
                }
            };
            match Pin::new(timer).poll(context) {
                Poll::Pending => return false,
                // It was a nap, or the timer's clock is ahead of ours: it waits once more.
                Poll::Ready(_) => {
                    self.0 = None;
                    least = ONCE_MORE;
                }
            }
        }
    }
}

/// What the timer waits once more at the least, so that one which is over as soon as it is set is
/// not set again and again.
const ONCE_MORE: Duration = Duration::from_millis(1);

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tenure_core::{ClaimerError, ServiceName};
use tenure_runtime::CancelToken;

use super::client::Client;
use super::ground::{Ground, Stop, broken};

/// A thread that waits in `released`, and waits again each time that it is told to.
///
/// Dropping it cancels the wait. It joins no thread: a claimer that does not heed its cancel handle
/// would hold up the whole suite.
pub(super) struct Watch {
    cancel: CancelToken,
    again: Option<SyncSender<()>>,
    returns: Receiver<Result<(), ClaimerError>>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Starts to wait, and gives the thread time to get there.
    pub(super) fn start(ground: &Ground, client: &Arc<dyn Client>, service: &ServiceName) -> Watch {
        let watch = Watch::begin(client, service);
        ground.settle();
        watch
    }

    /// Starts to wait.
    pub(super) fn begin(client: &Arc<dyn Client>, service: &ServiceName) -> Watch {
        let cancel = CancelToken::new();
        let (again, asked_again) = mpsc::sync_channel(1);
        let (send, returns) = mpsc::channel();
        let (client, service, token) = (client.clone(), service.clone(), cancel.clone());
        let thread = thread::spawn(move || {
            while send.send(client.released(&service, &token)).is_ok() {
                if asked_again.recv().is_err() {
                    break;
                }
            }
        });
        Watch { cancel, again: Some(again), returns, thread }
    }

    /// The next return, if one comes within `span` of real time.
    pub(super) fn next(&self, span: Duration) -> Option<Result<(), ClaimerError>> {
        self.returns.recv_timeout(span).ok()
    }

    /// Waits once more, after a return.
    pub(super) fn again(&self) {
        if let Some(again) = &self.again {
            // The thread is there: it ends when this sender is gone.
            let _ = again.send(());
        }
    }

    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Whether the cancelled wait, and with it its thread, ends within `span`.
    pub(super) fn ends_within(mut self, span: Duration) -> bool {
        self.again = None;
        let began = Instant::now();
        while !self.thread.is_finished() {
            if began.elapsed() > span {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Counts the returns of a wait that came while the service was held.
pub(super) struct EarlyReturns<'a> {
    ground: &'a Ground,
    count: usize,
}

impl<'a> EarlyReturns<'a> {
    pub(super) fn new(ground: &'a Ground) -> EarlyReturns<'a> {
        EarlyReturns { ground, count: 0 }
    }

    /// Takes in what has returned by now, and waits again.
    pub(super) fn take(&mut self, watch: &Watch, expected: &str) -> Result<(), Stop> {
        let settle = Duration::from_millis(1);
        while let Some(returned) = watch.next(settle) {
            self.add(expected, returned)?;
            watch.again();
        }
        Ok(())
    }

    /// One more.
    pub(super) fn add(
        &mut self,
        expected: &str,
        returned: Result<(), ClaimerError>,
    ) -> Result<(), Stop> {
        self.count += 1;
        if self.count > self.ground.early_returns_max {
            let came = format!("{returned:?}, return {} while the service was held", self.count);
            return broken(expected, came);
        }
        Ok(())
    }
}

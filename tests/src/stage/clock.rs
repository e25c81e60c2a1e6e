use std::sync::Arc;
use std::task::Waker;

use tenure_core::Instant;
use tenure_runtime::{Clock, ManualClock};

use crate::scripted::Progress;

/// A manual clock that tells how far those are who live by it.
#[derive(Debug)]
pub(super) struct StageClock {
    pub(super) manual: Arc<ManualClock>,
    pub(super) progress: Progress,
}

impl Clock for StageClock {
    fn now(&self) -> Instant {
        self.progress.reads();
        self.manual.now()
    }

    fn on_jump(&self, waker: &Waker) {
        self.manual.on_jump(waker);
        self.progress.looks();
    }
}

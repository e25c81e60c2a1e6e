//! Claimers and clocks that are wrong on purpose: a rack that does not notice is broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use smol::Timer;
use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, Claimer, ClaimerError, Instant, Judge, Leader,
    Nonce, ServiceName,
};
use tenure_runtime::{BootClock, Clock};

use crate::arguments::Control;

/// A claimer, bent or straight.
#[derive(Debug)]
pub(crate) struct Bent<C> {
    claimer: C,
    bend: Bend,
}

#[derive(Clone, Debug)]
pub(crate) enum Bend {
    /// The time that a renewal takes does not count.
    CountFromReply { clock: Arc<Lagging>, slowly: Duration, holds: Arc<AtomicBool> },
    /// All candidates have the same nonce.
    SharedNonce,
    /// None.
    Straight,
}

impl Bend {
    pub(crate) fn new(control: Option<Control>, guarantee: Duration) -> Bend {
        match control {
            Some(Control::CountFromReply) => Bend::CountFromReply {
                clock: Arc::default(),
                slowly: guarantee.mul_f64(0.45),
                holds: Arc::default(),
            },
            Some(Control::SharedNonce) => Bend::SharedNonce,
            Some(Control::NoHoldOff) | None => Bend::Straight,
        }
    }

    /// The clock that the tracker is to go by.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Bend::CountFromReply { clock, .. } => clock.clone(),
            Bend::SharedNonce | Bend::Straight => Arc::new(BootClock),
        }
    }

    /// The instant of that clock, on the boot clock.
    pub(crate) fn on_boot_clock(&self, at: Instant) -> Instant {
        match self {
            Bend::CountFromReply { clock, .. } => at.saturating_add(clock.lag()),
            Bend::SharedNonce | Bend::Straight => at,
        }
    }

    fn candidate(&self, candidate: &Candidate) -> Candidate {
        let mut candidate = candidate.clone();
        if let Bend::SharedNonce = self {
            candidate.nonce = Nonce::from_bytes([7; 16]);
        }
        candidate
    }

    /// How much longer than it has to a claim takes.
    fn delay(&self) -> Option<Duration> {
        match self {
            Bend::CountFromReply { slowly, holds, .. } => {
                holds.load(Ordering::Relaxed).then_some(*slowly)
            }
            Bend::SharedNonce | Bend::Straight => None,
        }
    }

    /// A claim that was handed out at `sent` has ended.
    fn claimed(&self, sent: Instant, answer: &Result<ClaimAnswer, ClaimerError>) {
        let Bend::CountFromReply { clock, holds, .. } = self else { return };
        let is_granted = matches!(answer, Ok(ClaimAnswer::Granted { .. }));
        holds.store(is_granted, Ordering::Relaxed);
        if is_granted {
            clock.forget(BootClock.now().saturating_duration_since(sent));
        }
    }
}

impl<C> Bent<C> {
    pub(crate) fn new(claimer: C, bend: Bend) -> Bent<C> {
        Bent { claimer, bend }
    }
}

impl<C: BlockingClaimer> BlockingClaimer for Bent<C> {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        let sent = BootClock.now();
        let delay = self.bend.delay();
        let answer = self.claimer.claim(&self.bend.candidate(candidate), lease);
        if let Some(delay) = delay {
            thread::sleep(delay);
        }
        self.bend.claimed(sent, &answer);
        answer
    }

    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        self.claimer.released(service, cancel)
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.claimer.release(&self.bend.candidate(candidate))
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        self.claimer.leader(service)
    }

    fn judge(&self) -> Judge {
        self.claimer.judge()
    }
}

impl<C: Claimer> Claimer for Bent<C> {
    async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        let sent = BootClock.now();
        let delay = self.bend.delay();
        let answer = self.claimer.claim(&self.bend.candidate(candidate), lease).await;
        if let Some(delay) = delay {
            Timer::after(delay).await;
        }
        self.bend.claimed(sent, &answer);
        answer
    }

    async fn released(&self, service: &ServiceName) -> Result<(), ClaimerError> {
        self.claimer.released(service).await
    }

    async fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.claimer.release(&self.bend.candidate(candidate)).await
    }

    async fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        self.claimer.leader(service).await
    }

    fn judge(&self) -> Judge {
        self.claimer.judge()
    }
}

/// A boot clock that has forgotten some time.
///
/// If it forgets the time that a claim took, then the tracker believes as if it had counted from
/// the reply.
#[derive(Debug, Default)]
pub(crate) struct Lagging {
    lag_ns: AtomicU64,
}

impl Lagging {
    fn lag(&self) -> Duration {
        Duration::from_nanos(self.lag_ns.load(Ordering::SeqCst))
    }

    fn forget(&self, span: Duration) {
        let span = u64::try_from(span.as_nanos()).unwrap_or(0);
        self.lag_ns.fetch_add(span, Ordering::SeqCst);
    }
}

impl Clock for Lagging {
    fn now(&self) -> Instant {
        BootClock.now().saturating_sub(self.lag())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_has_forgotten_is_late_by_as_much() {
        let bend = Bend::new(Some(Control::CountFromReply), Duration::from_millis(100));
        let Bend::CountFromReply { clock, .. } = &bend else { panic!("{bend:?}") };
        let before = clock.now();
        // No clock goes back beyond its origin: the boot of this machine, which may be minutes ago.
        clock.forget(before.saturating_duration_since(Instant::ORIGIN) / 2);
        assert!(clock.now() < before);
        let there = bend.on_boot_clock(clock.now());
        let here = BootClock.now();
        assert!(here.saturating_duration_since(there) < Duration::from_secs(60));
        assert!(there <= here);
    }
}

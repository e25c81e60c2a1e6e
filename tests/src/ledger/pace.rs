use std::ops::RangeInclusive;
use std::time::Duration;

use tenure_core::{ClaimOutcome, Config, Instant};

use super::expect::Ended;
use super::{Ledger, Watch, demand, demand_that, renew_at, step_down_at};

/// When the next claim is due, and the next watch.
impl Ledger {
    /// An attempt that has ended sets the time of the next, unless that is at once; a release that
    /// is observed makes it as soon as claims may follow.
    pub(super) fn check_pace(
        &self,
        ended: Option<Ended>,
        observed: bool,
        config: &Config,
    ) -> Result<(), String> {
        let contends = self.resigning.is_none() || self.held.is_some();
        if self.claim.is_some() || !contends {
            return Ok(());
        }
        let due = match ended {
            _ if observed => self.now..=self.now,
            Some(ended) => self.next_due(ended, config),
            None => return Ok(()),
        };
        let latest = self.held.map_or(Instant::MAX, |held| step_down_at(config, held));
        let earliest = self.last_sent.unwrap_or(self.now).saturating_add(config.min_interval());
        let limit = |at: Instant| at.max(earliest).min(latest);
        let (mut from, mut to) = (limit(*due.start()), limit(*due.end()));
        if let Some(watch) = &self.watch_due {
            // There is one timer, and the watch may be due before the claim.
            let limit = |at: &Instant| (*at).max(self.now);
            (from, to) = (from.min(limit(watch.start())), to.min(limit(watch.end())));
        }
        demand_that(self.armed.is_some_and(|armed| from <= armed && armed <= to), || {
            format!("the next claim is due at {:?}, not from {from:?} to {to:?}", self.armed)
        })
    }

    fn next_due(&self, ended: Ended, config: &Config) -> RangeInclusive<Instant> {
        let after = |span: Duration| self.now.saturating_add(span);
        match ended {
            Ended::Answered(ClaimOutcome::Denied { retry_after }) => {
                let recheck = config.recheck();
                let at = after(retry_after.map_or(recheck, |span| span.min(recheck)));
                at..=at
            }
            Ended::Answered(ClaimOutcome::Granted { .. }) => {
                let at = self.held.map_or(self.now, |held| renew_at(config, held));
                at..=at
            }
            Ended::Answered(ClaimOutcome::Fatal | ClaimOutcome::Unknown)
            | Ended::TimedOut
            | Ended::TooLate => self.back_off(self.failures, config),
        }
    }

    /// When a watch that has failed is begun again: after the back-off, and never as soon after it
    /// began as a claim may follow a claim. Only those that fail soon count as failures in a row.
    pub(super) fn expect_watch(
        &mut self,
        failed: Watch,
        config: &Config,
    ) -> RangeInclusive<Instant> {
        if failed.begun.saturating_add(config.lease()) <= self.now {
            self.watch_failures = 0;
        }
        self.watch_failures += 1;
        let due = self.back_off(self.watch_failures, config);
        let earliest = failed.begun.saturating_add(config.min_interval());
        (*due.start()).max(earliest)..=(*due.end()).max(earliest)
    }

    /// A minion hears of a release from its watch, from the one that is begun again before long, or
    /// by a claim that is. It never waits for the recheck alone.
    pub(super) fn check_watch(&self, config: &Config) -> Result<(), String> {
        let idles = self.resigning.is_none()
            && self.held.is_none()
            && self.finished.is_none()
            && self.claim.is_none();
        // At the end of time nothing begins any more.
        let soon = |until: Instant| {
            self.armed.is_some_and(|armed| armed <= until) || self.now == Instant::MAX
        };
        match (&self.watch, &self.watch_due) {
            (Some(_), due) => demand(due.is_none(), "B1: one watch at a time, out or due"),
            (None, Some(due)) => {
                demand(soon(*due.end()), "nobody looks at when the watch begins again")
            }
            (None, None) => {
                let pause = config.retry_max().max(config.min_interval());
                // At the end of time a grant is over before it is to be renewed.
                let hears = !idles
                    || soon(self.now.saturating_add(pause))
                    || self.work_until == Instant::MAX;
                demand(hears, "L3: a minion has no watch, and its claim is not due before long")
            }
        }
    }

    /// The first failure waits for the least span, each one after it for twice as long.
    fn back_off(&self, failures: u32, config: &Config) -> RangeInclusive<Instant> {
        let doublings = failures.saturating_sub(1).min(63);
        let span = config.retry_min().as_nanos() << doublings;
        let span = span.min(config.retry_max().as_nanos());
        let span = Duration::from_nanos(u64::try_from(span).unwrap_or(u64::MAX));
        // Half of an odd span is rounded down.
        let part = Duration::from_nanos((span.as_nanos() / 2) as u64);
        self.now.saturating_add(span - part)..=self.now.saturating_add(span)
    }
}

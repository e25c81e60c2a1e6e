//! When the processes of a command are ended, so that none is left when another may lead.

use std::time::Duration;

use tenure_core::{Demotion, Instant};

use crate::args::RunOptions;
use crate::child::Program;
use crate::failure::Failure;

/// The group is killed this part of the guarantee before the lease ends: enough for a timer that is
/// late on a busy machine, and for the kernel to end the processes.
const KILL_LEAD_PART: u32 = 10;
/// More than this is of no more use.
const KILL_LEAD_MAX: Duration = Duration::from_secs(1);

/// TERM has this part of the guarantee at least, before KILL comes: to close a file, not to finish
/// the work. Nothing longer, as another leads already when it is all that is left.
const TERM_LEAST_PART: u32 = 20;
/// See [`KILL_LEAD_MAX`].
const TERM_LEAST_MAX: Duration = Duration::from_millis(500);

/// What a run of the command needs to know.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) program: Program,
    /// How long the group has after TERM or INT, or after the end of the command.
    pub(crate) grace: Duration,
    /// Whether the command gets the terminal.
    pub(crate) is_foreground: bool,
    /// How often to see whether the lease was renewed.
    pub(crate) tick: Duration,
    /// How long before the end of the lease the group is killed: for the kernel to do so.
    kill_lead: Duration,
    /// How long the group has after TERM, if another leads already.
    term_least: Duration,
}

/// When the group is killed, if the lease ends at a given instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Deadlines {
    /// By tenure.
    pub(crate) kill_at: Instant,
    /// By the watchdog, if tenure has not.
    pub(crate) watchdog_at: Instant,
    /// What is alive then runs beside the next leader's, or may.
    pub(crate) gone_at: Instant,
}

impl Plan {
    pub(crate) fn new(options: &RunOptions) -> Result<Plan, Failure> {
        let program = Program::find(&options.command)?;
        if !options.allow_setuid {
            program.refuse_setuid()?;
        }
        Ok(Plan {
            program,
            grace: options.grace,
            is_foreground: options.foreground,
            tick: tick(options.guarantee),
            kill_lead: kill_lead(options.guarantee),
            term_least: term_least(options.guarantee),
        })
    }

    /// The deadlines of a lease that can be relied on until `valid_until`.
    pub(crate) fn deadlines(&self, valid_until: Instant) -> Deadlines {
        Deadlines::before(valid_until, self.kill_lead)
    }

    /// The deadlines after a loss that was noticed at `now`.
    ///
    /// Where the lease was not renewed nobody else can lead before `valid_until`. Where the store
    /// has named another, that one leads already.
    pub(crate) fn deadlines_after(
        &self,
        loss: Demotion,
        valid_until: Instant,
        now: Instant,
    ) -> Deadlines {
        let deadlines = self.deadlines(valid_until);
        match loss {
            Demotion::Denied | Demotion::Interrupted => {
                deadlines.earlier(now.saturating_add(self.term_least), self.kill_lead)
            }
            Demotion::NotRenewed | Demotion::Resigned | Demotion::StoreFailed => deadlines,
        }
    }
}

impl Deadlines {
    /// So that nothing is alive at `end`.
    fn before(end: Instant, lead: Duration) -> Deadlines {
        let (kill_at, watchdog_at) = (end.saturating_sub(lead), end.saturating_sub(lead / 2));
        Deadlines { kill_at, watchdog_at, gone_at: end }
    }

    /// As these, but that tenure kills at `kill_at` if that is earlier.
    fn earlier(self, kill_at: Instant, lead: Duration) -> Deadlines {
        let end = self.gone_at.min(kill_at.saturating_add(lead));
        Deadlines::before(end, lead)
    }
}

fn kill_lead(guarantee: Duration) -> Duration {
    (guarantee / KILL_LEAD_PART).min(KILL_LEAD_MAX)
}

fn term_least(guarantee: Duration) -> Duration {
    (guarantee / TERM_LEAST_PART).min(TERM_LEAST_MAX)
}

fn tick(guarantee: Duration) -> Duration {
    (guarantee / 20).clamp(Duration::from_millis(1), Duration::from_millis(250))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn plan(guarantee: Duration) -> Plan {
        Plan {
            program: Program::find(&["sh".into()]).unwrap(),
            grace: Duration::from_secs(5),
            is_foreground: false,
            tick: tick(guarantee),
            kill_lead: kill_lead(guarantee),
            term_least: term_least(guarantee),
        }
    }

    fn at_ms(ms: u64) -> Instant {
        Instant::from_nanos(ms * MS)
    }

    #[test]
    fn tenure_kills_before_the_watchdog_and_both_before_the_lease_ends() {
        let valid_until = at_ms(100_000);
        let expected = |kill_at, watchdog_at| Deadlines {
            kill_at: at_ms(kill_at),
            watchdog_at: at_ms(watchdog_at),
            gone_at: valid_until,
        };
        let second = plan(Duration::from_secs(1));
        assert_eq!(second.deadlines(valid_until), expected(99_900, 99_950));
        let ten = plan(Duration::from_secs(10));
        assert_eq!(ten.deadlines(valid_until), expected(99_000, 99_500));
        let minute = plan(Duration::from_secs(60));
        assert_eq!(minute.deadlines(valid_until), expected(99_000, 99_500));
    }

    #[test]
    fn who_was_not_renewed_has_until_the_lease_ends_and_who_was_denied_has_not() {
        let plan = plan(Duration::from_secs(10));
        let valid_until = at_ms(100_000);
        let now = at_ms(90_000);
        for loss in [Demotion::NotRenewed, Demotion::Resigned, Demotion::StoreFailed] {
            let deadlines = plan.deadlines_after(loss, valid_until, now);
            assert_eq!(deadlines, plan.deadlines(valid_until), "{loss:?}");
        }
        for loss in [Demotion::Denied, Demotion::Interrupted] {
            let deadlines = plan.deadlines_after(loss, valid_until, now);
            let expected = Deadlines {
                kill_at: at_ms(90_500),
                watchdog_at: at_ms(91_000),
                gone_at: at_ms(91_500),
            };
            assert_eq!(deadlines, expected, "{loss:?}");
            // Not later than it would have been.
            let late = plan.deadlines_after(loss, valid_until, at_ms(99_900));
            assert_eq!(late, plan.deadlines(valid_until), "{loss:?}");
        }
    }
}

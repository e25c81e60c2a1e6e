use core::fmt;
use core::time::Duration;

use crate::time::saturating_nanos;

/// How long a yes holds, and everything that follows from it.
///
/// Only [`guarantee`](Config::builder) has to be given: all else has a default that fits it. A
/// config that exists is one that works, for the builder refuses the others.
///
/// ```
/// use core::time::Duration;
/// use tenure_core::{Config, ConfigError};
///
/// let config = Config::new(Duration::from_secs(10))?;
/// assert_eq!(config.lease(), Duration::from_secs(20));
///
/// let patient = Config::builder(Duration::from_secs(10))
///     .claim_timeout(Duration::from_secs(4))
///     .build()?;
/// assert_eq!(patient.claim_timeout(), Duration::from_secs(4));
///
/// let refused = Config::new(Duration::ZERO);
/// assert_eq!(refused, Err(ConfigError::GuaranteeZero));
/// # Ok::<(), ConfigError>(())
/// ```
///
/// Counted from the moment that a claim was handed out, with `d` for the guarantee, the lease runs
/// like this by default:
///
/// ```text
/// 0        0.768 d   0.818 d           1.318 d         1.818 d    2 d
/// sent     renew_at  fresh_until       step_down_at    valid_until    lease, by the store's clock
///          asks      no ticket is      a leader that   nobody else
///          again     answered yes      could not renew can hold the
///                    any more          gives up        lease before
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Config {
    pub(crate) guarantee: u64,
    pub(crate) clock_ratio: ClockRatio,
    pub(crate) store_slack: u64,
    pub(crate) renew_lead: u64,
    pub(crate) claim_timeout: u64,
    pub(crate) step_down_margin: u64,
    pub(crate) retry_min: u64,
    pub(crate) retry_max: u64,
    pub(crate) jitter_seed: Option<u64>,
    pub(crate) min_interval: u64,
    pub(crate) recheck: u64,
    /// Spans from `sent` to the four deadlines of a grant.
    pub(crate) valid_for: u64,
    pub(crate) fresh_for: u64,
    pub(crate) renew_after: u64,
    pub(crate) step_down_after: u64,
}

impl Config {
    /// The config with this guarantee and all else at its default.
    ///
    /// # Errors
    ///
    /// As [`ConfigBuilder::build`]. Only a guarantee under 100 ns or over 292 years is refused.
    pub fn new(guarantee: Duration) -> Result<Config, ConfigError> {
        Config::builder(guarantee).build()
    }

    /// Starts a config with this guarantee: how long a yes holds at least, counted from the answer.
    ///
    /// It has to be long beside the time that a claim takes, as a claim may take a quarter of it;
    /// and it bounds the time without a leader after a crash, which is twice as long. 10 s is a
    /// place to start.
    pub fn builder(guarantee: Duration) -> ConfigBuilder {
        ConfigBuilder {
            guarantee,
            clock_ratio: ClockRatio::DEFAULT,
            store_slack: Duration::ZERO,
            renew_lead: None,
            claim_timeout: None,
            step_down_margin: None,
            retry_min: None,
            retry_max: None,
            jitter_seed: None,
            min_interval: None,
            recheck: None,
        }
    }

    /// How long a yes holds at least, counted from the answer.
    pub fn guarantee(&self) -> Duration {
        Duration::from_nanos(self.guarantee)
    }

    /// What a claim asks of the store: twice the guarantee.
    pub fn lease(&self) -> Duration {
        Duration::from_nanos(self.guarantee.saturating_mul(2))
    }

    /// See [`ConfigBuilder::clock_ratio`].
    pub fn clock_ratio(&self) -> ClockRatio {
        self.clock_ratio
    }

    /// See [`ConfigBuilder::store_slack`].
    pub fn store_slack(&self) -> Duration {
        Duration::from_nanos(self.store_slack)
    }

    /// See [`ConfigBuilder::renew_lead`].
    pub fn renew_lead(&self) -> Duration {
        Duration::from_nanos(self.renew_lead)
    }

    /// See [`ConfigBuilder::claim_timeout`].
    pub fn claim_timeout(&self) -> Duration {
        Duration::from_nanos(self.claim_timeout)
    }

    /// See [`ConfigBuilder::step_down_margin`].
    pub fn step_down_margin(&self) -> Duration {
        Duration::from_nanos(self.step_down_margin)
    }

    /// See [`ConfigBuilder::retry`]: the least span.
    pub fn retry_min(&self) -> Duration {
        Duration::from_nanos(self.retry_min)
    }

    /// See [`ConfigBuilder::retry`]: the greatest span.
    pub fn retry_max(&self) -> Duration {
        Duration::from_nanos(self.retry_max)
    }

    /// See [`ConfigBuilder::min_interval`].
    pub fn min_interval(&self) -> Duration {
        Duration::from_nanos(self.min_interval)
    }

    /// See [`ConfigBuilder::recheck`].
    pub fn recheck(&self) -> Duration {
        Duration::from_nanos(self.recheck)
    }

    /// How long a grant is believed, counted from the moment the claim was handed out:
    /// `(lease - store_slack) / clock_ratio`, rounded down.
    pub fn valid_for(&self) -> Duration {
        Duration::from_nanos(self.valid_for)
    }

    /// The same config with this seed, if none was chosen: the runtimes draw one for each tracker.
    #[must_use]
    pub fn or_jitter_seed(mut self, seed: u64) -> Config {
        self.jitter_seed.get_or_insert(seed);
        self
    }
}

/// Makes a [`Config`]: see [`Config::builder`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[must_use = "a builder does nothing until it is built"]
pub struct ConfigBuilder {
    guarantee: Duration,
    clock_ratio: ClockRatio,
    store_slack: Duration,
    renew_lead: Option<Duration>,
    claim_timeout: Option<Duration>,
    step_down_margin: Option<Duration>,
    retry_min: Option<Duration>,
    retry_max: Option<Duration>,
    jitter_seed: Option<u64>,
    min_interval: Option<Duration>,
    recheck: Option<Duration>,
}

impl ConfigBuilder {
    /// By how much the clocks of a holder and of the store may differ in rate. Default 1.1.
    ///
    /// Two holders cannot believe at once as long as the real ratio stays under this. 1.1 covers
    /// one host that slews its clock as fast as chrony does by default; 1.2 covers two that slew in
    /// opposite directions. A holder believes for that much less than the store grants.
    pub fn clock_ratio(mut self, clock_ratio: ClockRatio) -> ConfigBuilder {
        self.clock_ratio = clock_ratio;
        self
    }

    /// By how much the store's clock may be stepped forward during a lease. Default 0.
    ///
    /// For stores that judge by a wall clock, Postgres and Redis among them: there the default is
    /// safe only if that clock is never stepped forward. It shortens the belief by as much. A clock
    /// that is looked after is stepped by a second at most (a leap second, `chrony`'s `makestep 1`
    /// at its start; `ntpd` steps what is off by more than 0.128 s): the command `tenure` takes a
    /// quarter of the guarantee, up to one second, for these stores.
    pub fn store_slack(mut self, store_slack: Duration) -> ConfigBuilder {
        self.store_slack = store_slack;
        self
    }

    /// How long before its yes runs out a leader renews. Default a twentieth of the guarantee.
    ///
    /// Longer than a claim usually takes, or each renewal leaves a gap in which tickets wait.
    pub fn renew_lead(mut self, renew_lead: Duration) -> ConfigBuilder {
        self.renew_lead = Some(renew_lead);
        self
    }

    /// How long a claim, or a release, may take. Default a quarter of the guarantee.
    ///
    /// After that it is given up, with its outcome unknown, and tried again. Longer than the
    /// store's worst answer in good health.
    pub fn claim_timeout(mut self, claim_timeout: Duration) -> ConfigBuilder {
        self.claim_timeout = Some(claim_timeout);
        self
    }

    /// How long before the end of its lease a leader that could not renew gives up: the time that
    /// its users have to stop. Default half the guarantee, and at most the guarantee.
    pub fn step_down_margin(mut self, step_down_margin: Duration) -> ConfigBuilder {
        self.step_down_margin = Some(step_down_margin);
        self
    }

    /// The back-off after a claim whose outcome is unknown: `min` the first time, then twice as
    /// long each time up to `max`, each less a random part of up to a half. Default a fiftieth and
    /// a quarter of the guarantee: half a fiftieth is the default of
    /// [`min_interval`](ConfigBuilder::min_interval), which would lift anything shorter to one and
    /// the same moment.
    ///
    /// A watch that fails is begun again after the same back-off, counted on its own. One that had
    /// stood for a lease starts from `min`.
    pub fn retry(mut self, min: Duration, max: Duration) -> ConfigBuilder {
        (self.retry_min, self.retry_max) = (Some(min), Some(max));
        self
    }

    /// Where the random part of the back-off starts: the same seed gives the same actions.
    ///
    /// By default the runtimes draw one; a machine on its own starts at 0.
    pub fn jitter_seed(mut self, jitter_seed: u64) -> ConfigBuilder {
        self.jitter_seed = Some(jitter_seed);
        self
    }

    /// The least span between two claims, whatever tickets, watches and denials do, and between
    /// the beginnings of a watch that fails and of the next one. Default a hundredth of the
    /// guarantee.
    pub fn min_interval(mut self, min_interval: Duration) -> ConfigBuilder {
        self.min_interval = Some(min_interval);
        self
    }

    /// How long after a denial a minion claims again though its watch has stayed silent. Default
    /// one lease. A store that says when the lease may expire makes it sooner. It is for a watch
    /// that does not notice that it hears nothing any more: one that fails is begun again at the
    /// pace of [`retry`](ConfigBuilder::retry).
    pub fn recheck(mut self, recheck: Duration) -> ConfigBuilder {
        self.recheck = Some(recheck);
        self
    }

    /// The config.
    ///
    /// # Errors
    ///
    /// One [`ConfigError`] for each reason why a tracker could not work with it, the first that
    /// applies, with the values that do not fit.
    pub fn build(self) -> Result<Config, ConfigError> {
        let guarantee = exact(Setting::Guarantee, self.guarantee)?;
        if guarantee == 0 {
            return Err(ConfigError::GuaranteeZero);
        }
        let Some(lease) = guarantee.checked_mul(2) else {
            return Err(ConfigError::LeaseTooLong { guarantee: self.guarantee, max: LONGEST });
        };
        let or = |setting, value: Option<Duration>, default: u64| match value {
            Some(value) => exact(setting, value),
            None => Ok(default),
        };
        let config = Config {
            guarantee,
            clock_ratio: self.clock_ratio,
            store_slack: exact(Setting::StoreSlack, self.store_slack)?,
            renew_lead: or(Setting::RenewLead, self.renew_lead, guarantee / 20)?,
            claim_timeout: or(Setting::ClaimTimeout, self.claim_timeout, guarantee / 4)?,
            step_down_margin: or(Setting::StepDownMargin, self.step_down_margin, guarantee / 2)?,
            retry_min: or(Setting::RetryMin, self.retry_min, guarantee / 50)?,
            retry_max: or(Setting::RetryMax, self.retry_max, guarantee / 4)?,
            jitter_seed: self.jitter_seed,
            min_interval: or(Setting::MinInterval, self.min_interval, guarantee / 100)?,
            recheck: or(Setting::Recheck, self.recheck, lease)?,
            valid_for: 0,
            fresh_for: 0,
            renew_after: 0,
            step_down_after: 0,
        };
        config.with_deadlines(lease)?.with_bounded_rate()
    }
}

impl Config {
    /// Works out the deadlines of a grant, or says which of them cannot be.
    fn with_deadlines(mut self, lease: u64) -> Result<Config, ConfigError> {
        let span = Duration::from_nanos;
        if self.store_slack >= lease {
            return Err(ConfigError::StoreSlackTooLong {
                store_slack: span(self.store_slack),
                lease: span(lease),
            });
        }
        self.valid_for = self.clock_ratio.shorten(lease.saturating_sub(self.store_slack));
        if self.valid_for <= self.guarantee {
            return Err(ConfigError::NeverFresh {
                guarantee: span(self.guarantee),
                valid_for: span(self.valid_for),
            });
        }
        self.fresh_for = self.valid_for.saturating_sub(self.guarantee);
        if self.renew_lead >= self.fresh_for {
            return Err(ConfigError::RenewLeadTooLong {
                renew_lead: span(self.renew_lead),
                fresh_for: span(self.fresh_for),
            });
        }
        self.renew_after = self.fresh_for.saturating_sub(self.renew_lead);
        if self.claim_timeout > self.fresh_for {
            return Err(ConfigError::ClaimTimeoutTooLong {
                claim_timeout: span(self.claim_timeout),
                fresh_for: span(self.fresh_for),
            });
        }
        if self.step_down_margin > self.guarantee {
            return Err(ConfigError::StepDownMarginTooLong {
                step_down_margin: span(self.step_down_margin),
                guarantee: span(self.guarantee),
            });
        }
        self.step_down_after = self.valid_for.saturating_sub(self.step_down_margin);
        let renewal_window = self.step_down_after.saturating_sub(self.renew_after);
        if self.claim_timeout > renewal_window {
            return Err(ConfigError::RenewalTooLate {
                claim_timeout: span(self.claim_timeout),
                renewal_window: span(renewal_window),
            });
        }
        Ok(self)
    }

    /// Makes sure that the claims have a bounded rate.
    fn with_bounded_rate(self) -> Result<Config, ConfigError> {
        let span = Duration::from_nanos;
        let positive = [
            (Setting::ClaimTimeout, self.claim_timeout),
            (Setting::MinInterval, self.min_interval),
            (Setting::RetryMin, self.retry_min),
        ];
        for (setting, value) in positive {
            if value == 0 {
                return Err(ConfigError::Zero { setting });
            }
        }
        if self.min_interval > self.renew_after {
            return Err(ConfigError::MinIntervalTooLong {
                min_interval: span(self.min_interval),
                renew_after: span(self.renew_after),
            });
        }
        if self.retry_min > self.retry_max {
            return Err(ConfigError::RetryInverted {
                min: span(self.retry_min),
                max: span(self.retry_max),
            });
        }
        if self.recheck < self.min_interval {
            return Err(ConfigError::RecheckTooShort {
                recheck: span(self.recheck),
                min_interval: span(self.min_interval),
            });
        }
        Ok(self)
    }
}

/// By how much two clocks may differ in rate: at least 1, in millionths.
///
/// ```
/// use tenure_core::ClockRatio;
///
/// assert_eq!(ClockRatio::from_millionths(1_200_000)?.to_string(), "1.2");
/// assert!(ClockRatio::from_millionths(999_999).is_err());
/// # Ok::<(), tenure_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClockRatio(u32);

impl ClockRatio {
    /// 1.1: one host that slews its clock as fast as chrony does by default makes 1.09.
    pub const DEFAULT: ClockRatio = ClockRatio(1_100_000);
    /// 1: clocks that are the same, or so good that nothing has to be allowed for.
    pub const EXACT: ClockRatio = ClockRatio(MILLION);

    /// The ratio of `millionths` to a million.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ClockRatioBelowOne`] if that is less than 1.
    pub const fn from_millionths(millionths: u32) -> Result<ClockRatio, ConfigError> {
        if millionths < MILLION {
            Err(ConfigError::ClockRatioBelowOne { millionths, least: MILLION })
        } else {
            Ok(ClockRatio(millionths))
        }
    }

    /// The ratio in millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// `nanos` divided by the ratio, rounded down.
    fn shorten(self, nanos: u64) -> u64 {
        let product = u128::from(nanos).saturating_mul(u128::from(MILLION));
        let quotient = product.checked_div(u128::from(self.0)).unwrap_or(0);
        u64::try_from(quotient).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for ClockRatio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut part) = (self.0 / MILLION, self.0 % MILLION);
        write!(formatter, "{whole}")?;
        if part == 0 {
            return Ok(());
        }
        let mut width = 6;
        while part % 10 == 0 {
            part /= 10;
            width = usize::saturating_sub(width, 1);
        }
        write!(formatter, ".{part:0width$}")
    }
}

/// Which setting of a [`Config`] is meant.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Setting {
    /// [`ConfigBuilder::claim_timeout`].
    ClaimTimeout,
    /// [`Config::builder`]'s guarantee.
    Guarantee,
    /// [`ConfigBuilder::min_interval`].
    MinInterval,
    /// [`ConfigBuilder::recheck`].
    Recheck,
    /// [`ConfigBuilder::renew_lead`].
    RenewLead,
    /// The greatest span of [`ConfigBuilder::retry`].
    RetryMax,
    /// The least span of [`ConfigBuilder::retry`].
    RetryMin,
    /// [`ConfigBuilder::step_down_margin`].
    StepDownMargin,
    /// [`ConfigBuilder::store_slack`].
    StoreSlack,
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Setting::ClaimTimeout => "claim_timeout",
            Setting::Guarantee => "guarantee",
            Setting::MinInterval => "min_interval",
            Setting::Recheck => "recheck",
            Setting::RenewLead => "renew_lead",
            Setting::RetryMax => "retry max",
            Setting::RetryMin => "retry min",
            Setting::StepDownMargin => "step_down_margin",
            Setting::StoreSlack => "store_slack",
        })
    }
}

/// Why a [`Config`] was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A claim may take so long that its grant would be stale on arrival.
    ClaimTimeoutTooLong {
        /// How long a claim may take.
        claim_timeout: Duration,
        /// How long after its claim a grant allows a yes.
        fresh_for: Duration,
    },
    /// Clocks that differ by less than not at all.
    ClockRatioBelowOne {
        /// The ratio asked for, in millionths.
        millionths: u32,
        /// The least there is, in millionths.
        least: u32,
    },
    /// A yes that holds for no time.
    GuaranteeZero,
    /// The lease, twice the guarantee, cannot be represented.
    LeaseTooLong {
        /// The guarantee asked for.
        guarantee: Duration,
        /// The longest span that can be represented.
        max: Duration,
    },
    /// A leader would have to wait before it may renew.
    MinIntervalTooLong {
        /// The least span between two claims.
        min_interval: Duration,
        /// How long after its last claim a leader renews.
        renew_after: Duration,
    },
    /// A grant would never allow a yes: too much is taken off the lease.
    NeverFresh {
        /// How long a yes has to hold.
        guarantee: Duration,
        /// How long a grant is believed.
        valid_for: Duration,
    },
    /// A minion would claim again before it may.
    RecheckTooShort {
        /// How long after a denial a minion claims again.
        recheck: Duration,
        /// The least span between two claims.
        min_interval: Duration,
    },
    /// A leader would have to renew before it was granted.
    RenewLeadTooLong {
        /// How long before its yes runs out a leader renews.
        renew_lead: Duration,
        /// How long after its claim a grant allows a yes.
        fresh_for: Duration,
    },
    /// A renewal that takes as long as it may would come too late.
    RenewalTooLate {
        /// How long a claim may take.
        claim_timeout: Duration,
        /// The time from a leader's first renewal to its giving up.
        renewal_window: Duration,
    },
    /// A back-off that starts above its end.
    RetryInverted {
        /// The least span.
        min: Duration,
        /// The greatest span.
        max: Duration,
    },
    /// A leader would give up while it may still say yes.
    StepDownMarginTooLong {
        /// How long before the end of its lease a leader gives up.
        step_down_margin: Duration,
        /// How long a yes has to hold.
        guarantee: Duration,
    },
    /// The store's clock may be off by the whole lease.
    StoreSlackTooLong {
        /// By how much the store's clock may be stepped.
        store_slack: Duration,
        /// What a claim asks of the store.
        lease: Duration,
    },
    /// A span that cannot be represented.
    Unrepresentable {
        /// Which setting it is.
        setting: Setting,
        /// Its value.
        value: Duration,
        /// The longest span that can be represented.
        max: Duration,
    },
    /// A span that has to be longer than nothing. By default it is a part of the guarantee, which
    /// then is too short to have one.
    Zero {
        /// Which setting it is.
        setting: Setting,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::ClaimTimeoutTooLong { claim_timeout, fresh_for } => write!(
                formatter,
                "a claim may take {claim_timeout:?}, but its grant is stale after {fresh_for:?}"
            ),
            ConfigError::ClockRatioBelowOne { millionths, least } => write!(
                formatter,
                "a clock ratio of {millionths} millionths is less than 1, which is {least}"
            ),
            ConfigError::GuaranteeZero => {
                formatter.write_str("the guarantee has to be longer than zero")
            }
            ConfigError::LeaseTooLong { guarantee, max } => write!(
                formatter,
                "a lease of twice the guarantee of {guarantee:?} is longer than {max:?}"
            ),
            ConfigError::MinIntervalTooLong { min_interval, renew_after } => write!(
                formatter,
                "claims {min_interval:?} apart are too rare for a leader that renews after \
                 {renew_after:?}"
            ),
            ConfigError::NeverFresh { guarantee, valid_for } => write!(
                formatter,
                "a grant is believed for {valid_for:?}, too short to guarantee {guarantee:?}"
            ),
            ConfigError::RecheckTooShort { recheck, min_interval } => write!(
                formatter,
                "claiming again {recheck:?} after a denial is sooner than claims may follow, \
                 {min_interval:?}"
            ),
            ConfigError::RenewLeadTooLong { renew_lead, fresh_for } => write!(
                formatter,
                "a lead of {renew_lead:?} does not fit into the {fresh_for:?} that a grant is fresh"
            ),
            ConfigError::RenewalTooLate { claim_timeout, renewal_window } => write!(
                formatter,
                "a renewal may take {claim_timeout:?}, but a leader has only {renewal_window:?} \
                 from its first renewal to its giving up"
            ),
            ConfigError::RetryInverted { min, max } => {
                write!(formatter, "a back-off cannot grow from {min:?} to {max:?}")
            }
            ConfigError::StepDownMarginTooLong { step_down_margin, guarantee } => write!(
                formatter,
                "a margin of {step_down_margin:?} is longer than the guarantee of {guarantee:?}"
            ),
            ConfigError::StoreSlackTooLong { store_slack, lease } => write!(
                formatter,
                "a store whose clock may be off by {store_slack:?} makes a lease of {lease:?} void"
            ),
            ConfigError::Unrepresentable { setting, value, max } => {
                write!(formatter, "{setting} of {value:?} is longer than {max:?}")
            }
            ConfigError::Zero { setting } => {
                write!(formatter, "{setting} has to be longer than zero")
            }
        }
    }
}

impl core::error::Error for ConfigError {}

const MILLION: u32 = 1_000_000;
const LONGEST: Duration = Duration::from_nanos(u64::MAX);

/// `value` in nanoseconds.
fn exact(setting: Setting, value: Duration) -> Result<u64, ConfigError> {
    if value > LONGEST {
        return Err(ConfigError::Unrepresentable { setting, value, max: LONGEST });
    }
    Ok(saturating_nanos(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: Duration = Duration::from_nanos(1000);
    const NS: fn(u64) -> Duration = Duration::from_nanos;

    fn refusal(change: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> ConfigError {
        change(Config::builder(D)).build().unwrap_err()
    }

    #[test]
    fn the_defaults_are_parts_of_the_guarantee() {
        let config = Config::new(D).unwrap();
        let spans =
            [config.valid_for, config.fresh_for, config.renew_after, config.step_down_after];
        assert_eq!(spans, [1818, 818, 768, 1318]);
        let config = Config::builder(D).clock_ratio(ClockRatio::EXACT).renew_lead(NS(0)).build();
        let config = config.unwrap();
        let spans =
            [config.valid_for, config.fresh_for, config.renew_after, config.step_down_after];
        assert_eq!(spans, [2000, 1000, 1000, 1500], "renewed when the guarantee has elapsed");
    }

    #[test]
    fn each_refusal_names_both_values() {
        type Change = fn(ConfigBuilder) -> ConfigBuilder;
        let cases: [(Change, ConfigError); 13] = [
            (
                |b| b.claim_timeout(NS(819)),
                ConfigError::ClaimTimeoutTooLong { claim_timeout: NS(819), fresh_for: NS(818) },
            ),
            (
                |b| b.min_interval(NS(769)),
                ConfigError::MinIntervalTooLong { min_interval: NS(769), renew_after: NS(768) },
            ),
            (
                |b| b.clock_ratio(ClockRatio(2_000_000)),
                ConfigError::NeverFresh { guarantee: NS(1000), valid_for: NS(1000) },
            ),
            (
                |b| b.recheck(NS(9)),
                ConfigError::RecheckTooShort { recheck: NS(9), min_interval: NS(10) },
            ),
            (
                |b| b.renew_lead(NS(818)),
                ConfigError::RenewLeadTooLong { renew_lead: NS(818), fresh_for: NS(818) },
            ),
            (
                |b| b.claim_timeout(NS(551)),
                ConfigError::RenewalTooLate { claim_timeout: NS(551), renewal_window: NS(550) },
            ),
            (|b| b.retry(NS(3), NS(2)), ConfigError::RetryInverted { min: NS(3), max: NS(2) }),
            (
                |b| b.step_down_margin(NS(1001)),
                ConfigError::StepDownMarginTooLong { step_down_margin: NS(1001), guarantee: D },
            ),
            (
                |b| b.store_slack(NS(2000)),
                ConfigError::StoreSlackTooLong { store_slack: NS(2000), lease: NS(2000) },
            ),
            (
                |b| b.recheck(Duration::MAX),
                ConfigError::Unrepresentable {
                    setting: Setting::Recheck,
                    value: Duration::MAX,
                    max: LONGEST,
                },
            ),
            (|b| b.claim_timeout(NS(0)), ConfigError::Zero { setting: Setting::ClaimTimeout }),
            (|b| b.min_interval(NS(0)), ConfigError::Zero { setting: Setting::MinInterval }),
            (|b| b.retry(NS(0), NS(1)), ConfigError::Zero { setting: Setting::RetryMin }),
        ];
        for (change, expected) in cases {
            assert_eq!(refusal(change), expected);
        }
    }

    #[test]
    #[cfg(feature = "alloc")]
    fn a_refusal_is_shown_with_both_values() {
        use alloc::string::ToString;

        let shown = |change: fn(ConfigBuilder) -> ConfigBuilder| refusal(change).to_string();
        assert_eq!(
            shown(|b| b.claim_timeout(NS(819))),
            "a claim may take 819ns, but its grant is stale after 818ns"
        );
        assert_eq!(shown(|b| b.min_interval(NS(0))), "min_interval has to be longer than zero");
        assert_eq!(shown(|b| b.retry(NS(3), NS(2))), "a back-off cannot grow from 3ns to 2ns");
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        let builder = Config::builder(D);
        assert!(builder.clone().claim_timeout(NS(550)).build().is_ok());
        assert!(builder.clone().claim_timeout(NS(818)).step_down_margin(NS(0)).build().is_ok());
        assert!(builder.clone().min_interval(NS(768)).build().is_ok());
        assert!(builder.clone().renew_lead(NS(768)).min_interval(NS(50)).build().is_ok());
        assert!(builder.clone().recheck(NS(10)).build().is_ok());
        assert!(builder.clone().recheck(LONGEST).build().is_ok());
        assert!(builder.clone().retry(NS(1), NS(1)).build().is_ok());
        assert!(builder.clone().store_slack(NS(600)).build().is_ok());
        assert!(builder.claim_timeout(NS(50)).step_down_margin(D).build().is_ok());
    }

    #[test]
    fn a_guarantee_at_the_ends_of_time_is_refused_or_works() {
        assert_eq!(Config::new(NS(0)), Err(ConfigError::GuaranteeZero));
        assert_eq!(
            Config::new(NS(1)),
            Err(ConfigError::NeverFresh { guarantee: NS(1), valid_for: NS(1) })
        );
        assert_eq!(Config::new(NS(99)), Err(ConfigError::Zero { setting: Setting::MinInterval }));
        assert!(Config::new(NS(100)).is_ok());
        assert!(Config::new(NS(u64::MAX / 2)).is_ok());
        let guarantee = NS(u64::MAX / 2 + 1);
        assert_eq!(
            Config::new(guarantee),
            Err(ConfigError::LeaseTooLong { guarantee, max: LONGEST })
        );
        assert!(matches!(
            Config::new(Duration::MAX),
            Err(ConfigError::Unrepresentable { setting: Setting::Guarantee, .. })
        ));
    }

    #[test]
    fn a_ratio_of_one_is_the_least() {
        assert_eq!(ClockRatio::from_millionths(1_000_000), Ok(ClockRatio::EXACT));
        assert_eq!(ClockRatio::DEFAULT.millionths(), 1_100_000);
        let refused = ConfigError::ClockRatioBelowOne { millionths: 999_999, least: 1_000_000 };
        assert_eq!(ClockRatio::from_millionths(999_999), Err(refused));
    }

    #[test]
    fn a_seed_that_was_chosen_stays() {
        let chosen = Config::builder(D).jitter_seed(7).build().unwrap();
        assert_eq!(chosen.or_jitter_seed(8).jitter_seed, Some(7));
        assert_eq!(Config::new(D).unwrap().or_jitter_seed(8).jitter_seed, Some(8));
    }
}

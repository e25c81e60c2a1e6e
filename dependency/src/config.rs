use core::fmt;
use core::time::Duration;

/// How an [`Engine`](crate::Engine) waits between attempts.
///
/// ```
/// use core::time::Duration;
/// use tenure_dependency::{Config, ConfigError};
///
/// let config = Config::builder().error_delay(Duration::from_secs(1)).build()?;
/// assert_eq!(config.max_delay(), Duration::from_secs(120));
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Config {
    error_delay: Duration,
    bounce_delay: Duration,
    backoff_factor: Factor,
    reset_time: Duration,
    max_delay: Duration,
    jitter_seed: Option<u64>,
}

impl Default for Config {
    /// What a builder starts with.
    fn default() -> Config {
        Config {
            error_delay: Duration::from_secs(3),
            bounce_delay: Duration::from_millis(10),
            backoff_factor: Factor(1_200_000),
            reset_time: Duration::from_secs(60),
            max_delay: Duration::from_secs(120),
            jitter_seed: None,
        }
    }
}

impl Config {
    /// Starts with all at its default.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder(Config::default())
    }

    /// See [`ConfigBuilder::error_delay`].
    pub fn error_delay(&self) -> Duration {
        self.error_delay
    }

    /// See [`ConfigBuilder::bounce_delay`].
    pub fn bounce_delay(&self) -> Duration {
        self.bounce_delay
    }

    /// See [`ConfigBuilder::backoff_factor`].
    pub fn backoff_factor(&self) -> Factor {
        self.backoff_factor
    }

    /// See [`ConfigBuilder::reset_time`].
    pub fn reset_time(&self) -> Duration {
        self.reset_time
    }

    /// See [`ConfigBuilder::max_delay`].
    pub fn max_delay(&self) -> Duration {
        self.max_delay
    }

    /// Where the random part of the delays starts: 0, if nobody chose.
    pub(crate) fn jitter_seed(&self) -> u64 {
        self.jitter_seed.unwrap_or(0)
    }

    /// The same config with this seed, if none was chosen: the runtimes draw one for each engine.
    #[must_use]
    pub fn or_jitter_seed(mut self, seed: u64) -> Config {
        self.jitter_seed.get_or_insert(seed);
        self
    }
}

/// Makes a [`Config`]: see [`Config::builder`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[must_use = "a builder does nothing until it is built"]
pub struct ConfigBuilder(Config);

impl ConfigBuilder {
    /// How long after its first error a manifold is started again. Default 3 s.
    pub fn error_delay(mut self, error_delay: Duration) -> ConfigBuilder {
        self.0.error_delay = error_delay;
        self
    }

    /// How long after one of its inputs has changed a manifold is started again, so that several
    /// changes at once cost one start. Default 10 ms.
    pub fn bounce_delay(mut self, bounce_delay: Duration) -> ConfigBuilder {
        self.0.bounce_delay = bounce_delay;
        self
    }

    /// By how much the delay grows with each error in a row. Default 1.2.
    pub fn backoff_factor(mut self, backoff_factor: Factor) -> ConfigBuilder {
        self.0.backoff_factor = backoff_factor;
        self
    }

    /// How long a worker has to have run for its next error to count as the first. Default 1 min.
    pub fn reset_time(mut self, reset_time: Duration) -> ConfigBuilder {
        self.0.reset_time = reset_time;
        self
    }

    /// What no delay after an error is longer than. Default 2 min.
    pub fn max_delay(mut self, max_delay: Duration) -> ConfigBuilder {
        self.0.max_delay = max_delay;
        self
    }

    /// Where the random part of the delays starts: the same seed gives the same actions.
    ///
    /// By default the runtimes draw one; an engine on its own starts at 0.
    pub fn jitter_seed(mut self, jitter_seed: u64) -> ConfigBuilder {
        self.0.jitter_seed = Some(jitter_seed);
        self
    }

    /// The config.
    ///
    /// # Errors
    ///
    /// One [`ConfigError`] for each reason why an engine could not work with it.
    pub fn build(self) -> Result<Config, ConfigError> {
        let Config { error_delay, max_delay, .. } = self.0;
        if error_delay.is_zero() {
            return Err(ConfigError::ErrorDelayZero);
        }
        if error_delay > max_delay {
            return Err(ConfigError::MaxDelayTooShort { error_delay, max_delay });
        }
        Ok(self.0)
    }
}

/// A factor of at least 1, in millionths.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Factor(u32);

impl Factor {
    /// The factor of `millionths` to a million.
    ///
    /// # Errors
    ///
    /// [`ConfigError::FactorBelowOne`] if that is less than 1: delays are not to shrink.
    pub const fn from_millionths(millionths: u32) -> Result<Factor, ConfigError> {
        if millionths < 1_000_000 {
            Err(ConfigError::FactorBelowOne { millionths, least: 1_000_000 })
        } else {
            Ok(Factor(millionths))
        }
    }

    /// The factor in millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// `span` times the factor, but no more than `max`.
    pub(crate) fn grow(self, span: Duration, max: Duration) -> Duration {
        let nanos = span.as_nanos().saturating_mul(u128::from(self.0)) / 1_000_000;
        let nanos = nanos.min(max.as_nanos());
        u64::try_from(nanos).map_or(max, Duration::from_nanos)
    }
}

/// Why a [`Config`] was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A manifold that fails would be started again without end or pause.
    ErrorDelayZero,
    /// Delays would shrink.
    FactorBelowOne {
        /// The factor asked for, in millionths.
        millionths: u32,
        /// The least there is, in millionths.
        least: u32,
    },
    /// The longest delay is shorter than the first.
    MaxDelayTooShort {
        /// The first delay after an error.
        error_delay: Duration,
        /// What no delay is to be longer than.
        max_delay: Duration,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::ErrorDelayZero => {
                formatter.write_str("the error delay has to be longer than zero")
            }
            ConfigError::FactorBelowOne { millionths, least } => write!(
                formatter,
                "a back-off factor of {millionths} millionths is less than 1, which is {least}"
            ),
            ConfigError::MaxDelayTooShort { error_delay, max_delay } => write!(
                formatter,
                "a first delay of {error_delay:?} is longer than the longest, {max_delay:?}"
            ),
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const NS: fn(u64) -> Duration = Duration::from_nanos;

    #[test]
    fn the_defaults_can_be_built() {
        let config = Config::builder().build().unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.error_delay(), Duration::from_secs(3));
        assert_eq!(config.bounce_delay(), Duration::from_millis(10));
        assert_eq!(config.backoff_factor().millionths(), 1_200_000);
        assert_eq!(config.reset_time(), Duration::from_secs(60));
        assert_eq!(config.max_delay(), Duration::from_secs(120));
        assert_eq!(config.jitter_seed(), 0);
    }

    #[test]
    fn a_seed_is_for_a_config_that_has_none_and_changes_nothing_else() {
        let builder = || Config::builder().error_delay(NS(6));
        let chosen = builder().jitter_seed(7).build().unwrap();
        assert_eq!(chosen.clone().or_jitter_seed(8), chosen);
        assert_eq!(builder().build().unwrap().or_jitter_seed(7), chosen);
    }

    #[test]
    fn each_refusal_says_what_was_asked_for() {
        let refused = Config::builder().error_delay(Duration::ZERO).build().unwrap_err();
        assert_eq!(refused, ConfigError::ErrorDelayZero);
        assert_eq!(refused.to_string(), "the error delay has to be longer than zero");
        let (error_delay, max_delay) = (NS(6), NS(5));
        let builder = Config::builder().error_delay(error_delay).max_delay(max_delay);
        let refused = builder.build().unwrap_err();
        assert_eq!(refused, ConfigError::MaxDelayTooShort { error_delay, max_delay });
        assert_eq!(refused.to_string(), "a first delay of 6ns is longer than the longest, 5ns");
        let refused = Factor::from_millionths(999_999).unwrap_err();
        let wanted = ConfigError::FactorBelowOne { millionths: 999_999, least: 1_000_000 };
        assert_eq!(refused, wanted);
        assert_eq!(
            refused.to_string(),
            "a back-off factor of 999999 millionths is less than 1, which is 1000000"
        );
    }

    #[test]
    fn what_is_just_enough_can_be_built() {
        let builder = Config::builder().error_delay(NS(1)).max_delay(NS(1));
        let builder = builder.bounce_delay(NS(0)).reset_time(NS(0)).jitter_seed(u64::MAX);
        let one = Factor::from_millionths(1_000_000).unwrap();
        let config = builder.backoff_factor(one).build().unwrap();
        assert_eq!((config.max_delay(), config.backoff_factor()), (NS(1), one));
    }

    #[test]
    fn a_span_grows_up_to_the_longest() {
        let grow =
            |millionths, span, max| Factor::from_millionths(millionths).unwrap().grow(span, max);
        assert_eq!(grow(1_200_000, NS(3_000), NS(4_000)), NS(3_600));
        assert_eq!(grow(1_200_000, NS(3_600), NS(4_000)), NS(4_000));
        assert_eq!(grow(1_000_000, NS(7), NS(9)), NS(7));
        // Parts of a nanosecond are dropped.
        assert_eq!(grow(1_500_000, NS(3), NS(9)), NS(4));
        assert_eq!(grow(u32::MAX, NS(1_000_000), Duration::MAX), NS(4_294_967_295));
        assert_eq!(grow(u32::MAX, Duration::MAX, Duration::MAX), Duration::MAX);
        assert_eq!(grow(2_000_000, NS(u64::MAX), Duration::MAX), Duration::MAX);
    }
}

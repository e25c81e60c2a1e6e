use std::sync::Arc;

use tenure_dependency::Config;

use super::error::Failure;
use super::hub::{EngineHub, Policy};
use crate::nonce::fresh_seed;
use crate::{BootClock, Clock};

/// How an engine works: its delays, its clock, and what it makes of errors.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tenure_dependency::Config;
/// use tenure_runtime::ManualClock;
/// use tenure_runtime::dependency::EngineOptions;
///
/// let config = Config::builder().error_delay(Duration::from_secs(1)).build()?;
/// let options = EngineOptions::new()
///     .config(config)
///     .clock(Arc::new(ManualClock::new()))
///     .is_fatal(|failure| failure.error().is::<std::io::Error>());
/// # Ok::<(), tenure_dependency::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing by themselves"]
pub struct EngineOptions {
    clock: Arc<dyn Clock>,
    config: Config,
    policy: Policy,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions::new()
    }
}

impl EngineOptions {
    /// The defaults: those of [`Config`], the [`BootClock`], and no error is
    /// fatal.
    pub fn new() -> EngineOptions {
        EngineOptions {
            clock: Arc::new(BootClock),
            config: Config::default(),
            policy: Policy::default(),
        }
    }

    /// How long the engine waits between attempts. A config without a seed gets one of its own.
    pub fn config(self, config: Config) -> EngineOptions {
        EngineOptions { config, ..self }
    }

    /// Goes by `clock`: a [`ManualClock`](crate::ManualClock), to test what an engine runs.
    pub fn clock(self, clock: Arc<dyn Clock>) -> EngineOptions {
        EngineOptions { clock, ..self }
    }

    /// Ends the engine when a start or a worker fails with an error that `is_fatal` accepts, after
    /// the manifold's filter has had its say.
    pub fn is_fatal(mut self, is_fatal: fn(&Failure) -> bool) -> EngineOptions {
        self.policy.is_fatal = is_fatal;
        self
    }

    /// Where there are several fatal errors, the one is reported that no other is worse than:
    /// `is_worse` says whether its first argument is worse than its second. Of equals the first to
    /// come is reported.
    pub fn is_worse(mut self, is_worse: fn(&Failure, &Failure) -> bool) -> EngineOptions {
        self.policy.is_worse = is_worse;
        self
    }

    /// The hub of an engine that works so.
    ///
    /// # Panics
    ///
    /// If the operating system has no random bytes to give.
    pub fn into_hub<M>(self) -> Arc<EngineHub<M>> {
        let config = self.config.or_jitter_seed(fresh_seed());
        EngineHub::new(config, self.policy, self.clock)
    }
}

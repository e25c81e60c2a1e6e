use std::error::Error;
use std::fmt;
use std::time::Duration;

use tenure_core::{Config, ConfigError, NameError, ServiceName, UnitName, UnitTag};
use tenure_dependency::ManifoldName;

/// What a tracker's manifold needs to know.
///
/// ```
/// use std::time::Duration;
/// use tenure_runtime::dependency::ManifoldConfig;
///
/// let config = ManifoldConfig::new("agent", "api-caller", Duration::from_secs(30))?;
/// assert_eq!(config.inputs().map(|name| name.to_string()), ["agent", "api-caller"]);
/// # Ok::<(), tenure_runtime::dependency::ManifoldError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManifoldConfig {
    agent_name: ManifoldName,
    api_caller_name: ManifoldName,
    config: Config,
}

impl ManifoldConfig {
    /// A tracker for the unit that the agent named `agent_name` is, over the store that the API
    /// caller named `api_caller_name` reaches, whose yes holds for `leadership_guarantee`.
    ///
    /// # Errors
    ///
    /// As [`with_config`](ManifoldConfig::with_config), and for a guarantee of zero.
    pub fn new(
        agent_name: impl Into<ManifoldName>,
        api_caller_name: impl Into<ManifoldName>,
        leadership_guarantee: Duration,
    ) -> Result<ManifoldConfig, ManifoldError> {
        let config = Config::new(leadership_guarantee).map_err(ManifoldError::Config)?;
        ManifoldConfig::with_config(agent_name, api_caller_name, config)
    }

    /// As [`new`](ManifoldConfig::new), with all of the tracker's config.
    ///
    /// # Errors
    ///
    /// A [`ManifoldError`] if a name is empty, or if the two are one.
    pub fn with_config(
        agent_name: impl Into<ManifoldName>,
        api_caller_name: impl Into<ManifoldName>,
        config: Config,
    ) -> Result<ManifoldConfig, ManifoldError> {
        let (agent_name, api_caller_name) = (agent_name.into(), api_caller_name.into());
        if agent_name.as_str().is_empty() {
            return Err(ManifoldError::NameEmpty { which: "agent" });
        }
        if api_caller_name.as_str().is_empty() {
            return Err(ManifoldError::NameEmpty { which: "API caller" });
        }
        if agent_name == api_caller_name {
            return Err(ManifoldError::NamesEqual { name: agent_name });
        }
        Ok(ManifoldConfig { agent_name, api_caller_name, config })
    }

    /// What the tracker depends on: the agent and the API caller, in that order.
    pub fn inputs(&self) -> [ManifoldName; 2] {
        [self.agent_name.clone(), self.api_caller_name.clone()]
    }

    /// The name of the agent among the inputs.
    pub fn agent_name(&self) -> &str {
        self.agent_name.as_str()
    }

    /// The name of the API caller among the inputs.
    pub fn api_caller_name(&self) -> &str {
        self.api_caller_name.as_str()
    }

    /// The tracker's config.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Who a process is, as its tracker has to know it.
pub trait Agent: Send + Sync + 'static {
    /// What the agent is called: a unit's tag, like `unit-mysql-0`, or else it cannot lead.
    fn tag(&self) -> String;
}

/// The service that an agent's unit is one of, and the unit.
///
/// # Errors
///
/// [`NameError::NotAUnitTag`], which has the tag in it, if the agent is no unit.
pub fn candidate(agent: &dyn Agent) -> Result<(ServiceName, UnitName), NameError> {
    let tag = agent.tag();
    let unit = tag.parse::<UnitTag>()?.unit().clone();
    let service = unit.service().ok_or(NameError::NotAUnitTag { tag })?;
    Ok((service, unit))
}

/// Why a [`ManifoldConfig`] was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ManifoldError {
    /// The tracker could not work so: a guarantee of zero, say.
    Config(ConfigError),
    /// One of the names is empty.
    NameEmpty {
        /// Whose it is.
        which: &'static str,
    },
    /// The agent and the API caller have one name.
    NamesEqual {
        /// That name.
        name: ManifoldName,
    },
}

impl fmt::Display for ManifoldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManifoldError::Config(error) => error.fmt(formatter),
            ManifoldError::NameEmpty { which } => {
                write!(formatter, "the name of the {which} is empty")
            }
            ManifoldError::NamesEqual { name } => {
                write!(formatter, "agent and API caller are both named {name}")
            }
        }
    }
}

impl Error for ManifoldError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_tracker_can_work_with_is_refused() {
        let d = Duration::from_secs(1);
        let refused = |agent: &str, caller: &str, guarantee| {
            ManifoldConfig::new(agent, caller, guarantee).unwrap_err().to_string()
        };
        assert_eq!(refused("a", "b", Duration::ZERO), ConfigError::GuaranteeZero.to_string());
        assert_eq!(refused("", "b", d), "the name of the agent is empty");
        assert_eq!(refused("a", "", d), "the name of the API caller is empty");
        assert_eq!(refused("a", "a", d), "agent and API caller are both named a");
    }

    #[test]
    fn an_agent_that_is_no_unit_is_named() {
        struct Named(&'static str);
        impl Agent for Named {
            fn tag(&self) -> String {
                self.0.to_owned()
            }
        }
        let (service, unit) = candidate(&Named("unit-foo-bar-17")).unwrap();
        assert_eq!((service.as_str(), unit.as_str()), ("foo-bar", "foo-bar/17"));
        let refused = candidate(&Named("machine-0")).unwrap_err().to_string();
        assert_eq!(refused, "\"machine-0\" is not a unit tag: those are like unit-mysql-0");
    }
}

use alloc::vec::Vec;
use core::fmt;

use crate::ManifoldName;

/// Why a manifold was not installed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InstallError {
    /// It would depend on itself.
    Cycle {
        /// How: each depends on the next, and the last is the first.
        cycle: Vec<ManifoldName>,
    },
    /// The engine is ending, or has ended.
    Ending {
        /// What was to be installed.
        name: ManifoldName,
    },
    /// There is one of that name.
    NameTaken {
        /// The name.
        name: ManifoldName,
    },
}

impl fmt::Display for InstallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstallError::Cycle { cycle } => {
                formatter.write_str("a manifold cannot depend on itself: ")?;
                for (index, name) in cycle.iter().enumerate() {
                    let arrow = if index == 0 { "" } else { " -> " };
                    write!(formatter, "{arrow}{name}")?;
                }
                Ok(())
            }
            InstallError::Ending { name } => {
                write!(formatter, "manifold {name} comes too late: the engine is ending")
            }
            InstallError::NameTaken { name } => {
                write!(formatter, "there is a manifold named {name} already")
            }
        }
    }
}

impl core::error::Error for InstallError {}

use std::{fmt, io};

/// Why a step is not through.
#[derive(Debug)]
pub(crate) enum Shortfall {
    /// It found what must be mended.
    Failed(String),
    /// It could not run here: what is missing, and how to get it.
    LeftOut(String),
}

impl Shortfall {
    pub(crate) fn failed(reason: impl fmt::Display) -> Shortfall {
        Shortfall::Failed(reason.to_string())
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shortfall::Failed(reason) | Shortfall::LeftOut(reason) => formatter.write_str(reason),
        }
    }
}

impl From<io::Error> for Shortfall {
    fn from(error: io::Error) -> Shortfall {
        Shortfall::failed(error)
    }
}

/// One shortfall out of many: all reasons, or none if there were no failures.
pub(crate) fn all(what: &str, failures: &[String]) -> Result<(), Shortfall> {
    if failures.is_empty() {
        Ok(())
    } else {
        Err(Shortfall::Failed(format!("{what}: {}", failures.join(", "))))
    }
}

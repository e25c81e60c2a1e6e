use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tenure_dependency::ManifoldName;

/// How a start or a worker ended, where it did not end well or wants something else than to stay
/// down.
///
/// `?` makes one of any error: [`InputError::Missing`] becomes [`Missing`](WorkerError::Missing),
/// every other one [`Failed`](WorkerError::Failed).
#[derive(Clone, Debug)]
pub enum WorkerError {
    /// It wants to be started again at once, and its dependents with it.
    Bounce,
    /// It failed: it is started again after a while.
    Failed(Failure),
    /// It cannot do without this input: it is started again when one of its inputs changes.
    Missing(ManifoldName),
    /// It wants to be forgotten.
    Uninstall,
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for WorkerError {
    fn from(error: E) -> WorkerError {
        match error.into().downcast::<InputError>() {
            Ok(error) => match *error {
                InputError::Missing { input } => WorkerError::Missing(input),
                other => WorkerError::Failed(Failure(Arc::new(other))),
            },
            Err(error) => WorkerError::Failed(Failure(error.into())),
        }
    }
}

/// The error of a worker. Cheap to clone.
#[derive(Clone)]
pub struct Failure(Arc<dyn Error + Send + Sync>);

impl Failure {
    /// The failure for `error`.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure(error.into().into())
    }

    /// The error itself: to look for its source, or for what it is.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The error, and what it comes from.
impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(formatter, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// Why a start function did not get an input.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InputError {
    /// It does not run now.
    Missing {
        /// What was asked for.
        input: ManifoldName,
    },
    /// The manifold does not name it among its inputs.
    NotDeclared {
        /// What was asked for.
        input: String,
        /// Who asked.
        manifold: ManifoldName,
    },
    /// It has no output of that type.
    WrongType {
        /// What was asked for.
        input: ManifoldName,
        /// The type that was asked for.
        wanted: &'static str,
        /// The types that it has.
        found: Vec<&'static str>,
    },
}

impl fmt::Display for InputError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputError::Missing { input } => write!(formatter, "input {input} is not there"),
            InputError::NotDeclared { input, manifold } => {
                write!(formatter, "manifold {manifold} has no input named {input}")
            }
            InputError::WrongType { input, wanted, found } => {
                write!(formatter, "input {input} gives no {wanted}, but ")?;
                match found[..] {
                    [] => formatter.write_str("nothing"),
                    _ => formatter.write_str(&found.join(" and ")),
                }
            }
        }
    }
}

impl Error for InputError {}

/// Why an engine ended though nobody asked it to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EngineError {
    /// Whatever ran the driver dropped it before the engine had ended.
    DriverDropped,
    /// A worker's error was fatal: this one was the worst.
    Fatal(Failure),
}

impl fmt::Display for EngineError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::DriverDropped => {
                formatter.write_str("the engine's driver was dropped before it had ended")
            }
            EngineError::Fatal(failure) => write!(formatter, "a worker failed: {}", failure.0),
        }
    }
}

impl Error for EngineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            EngineError::DriverDropped => None,
            EngineError::Fatal(failure) => failure.0.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::ClaimerError;

    #[test]
    fn a_failure_is_shown_with_what_it_comes_from() {
        let failure = Failure::new(ClaimerError::unknown("a broken pipe"));
        assert_eq!(failure.to_string(), "the store's answer is not known: a broken pipe");
        assert_eq!(format!("{failure:?}"), "Unknown(\"a broken pipe\")");
    }

    #[test]
    fn an_engines_error_has_the_source_of_its_workers() {
        let fatal = EngineError::Fatal(Failure::new(ClaimerError::fatal("a bad password")));
        assert_eq!(fatal.to_string(), "a worker failed: the store will never grant this");
        assert_eq!(fatal.source().unwrap().to_string(), "a bad password");
        assert!(EngineError::DriverDropped.source().is_none());
    }
}

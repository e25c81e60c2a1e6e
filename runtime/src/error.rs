use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tenure_core::{ClaimerError, Demotion, FinishReason, Term};

/// Why a tracker ended though nobody asked it to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TrackerError {
    /// Whatever ran the driver dropped it before it had ended.
    DriverDropped,
    /// The store will never grant a claim. Its error says why.
    Fatal(Arc<ClaimerError>),
    /// This is the child of a `fork`, and the tracker is its parent's.
    Forked,
    /// The store is broken: it granted a term lower than one seen before.
    TermFell {
        /// The highest term seen.
        seen: Term,
        /// The one granted.
        granted: Term,
    },
    /// The store is broken: it granted a term twice, with another holder in between.
    TermRepeated {
        /// The one granted.
        term: Term,
    },
}

impl TrackerError {
    /// The way that a tracker ended, for whoever waits for its end.
    pub(crate) fn from_end(
        reason: FinishReason,
        last_error: Option<Arc<ClaimerError>>,
    ) -> Result<(), TrackerError> {
        match reason {
            FinishReason::Fatal => {
                Err(TrackerError::Fatal(last_error.unwrap_or_else(|| {
                    Arc::new(ClaimerError::fatal("the claimer gave no reason"))
                })))
            }
            FinishReason::Resigned => Ok(()),
            FinishReason::TermFell { seen, granted } => {
                Err(TrackerError::TermFell { seen, granted })
            }
            FinishReason::TermRepeated { term } => Err(TrackerError::TermRepeated { term }),
        }
    }
}

impl fmt::Display for TrackerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrackerError::DriverDropped => {
                formatter.write_str("the tracker's driver was dropped before it had ended")
            }
            TrackerError::Fatal(error) => error.fmt(formatter),
            TrackerError::Forked => formatter.write_str(
                "the process was forked after the tracker was made: make one in the child instead",
            ),
            TrackerError::TermFell { seen, granted } => {
                write!(formatter, "the store is broken: it granted term {granted} after {seen}")
            }
            TrackerError::TermRepeated { term } => write!(
                formatter,
                "the store is broken: it granted term {term} again after another holder"
            ),
        }
    }
}

impl Error for TrackerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TrackerError::Fatal(error) => error.source(),
            TrackerError::DriverDropped
            | TrackerError::Forked
            | TrackerError::TermFell { .. }
            | TrackerError::TermRepeated { .. } => None,
        }
    }
}

/// Why work that was to run while its unit leads did not run to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WorkError {
    /// The unit stopped leading.
    Lost(Demotion),
    /// The tracker stopped before the unit led.
    Stopped,
}

impl fmt::Display for WorkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            WorkError::Lost(Demotion::Denied) => {
                "leadership was lost: the store denied it to this unit"
            }
            WorkError::Lost(Demotion::Interrupted) => "leadership was lost: another led in between",
            WorkError::Lost(Demotion::NotRenewed) => {
                "leadership was lost: the lease could not be renewed in time"
            }
            WorkError::Lost(Demotion::Resigned) => "leadership was given up",
            WorkError::Lost(Demotion::StoreFailed) => "leadership was lost: the store failed",
            WorkError::Stopped => "the tracker stopped before its unit led",
        })
    }
}

impl Error for WorkError {}

/// A claimer panicked: an answer that is not known.
#[derive(Debug)]
pub struct ClaimerPanic {
    call: &'static str,
    message: String,
}

impl ClaimerPanic {
    /// The error for a `call` that panicked with `payload`.
    pub fn error(call: &'static str, payload: &(dyn Any + Send)) -> ClaimerError {
        let message = panic_message(payload);
        ClaimerError::unknown(ClaimerPanic { call, message })
    }
}

impl fmt::Display for ClaimerPanic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the claimer panicked in {}: {}", self.call, self.message)
    }
}

impl Error for ClaimerPanic {}

/// What a panic says.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

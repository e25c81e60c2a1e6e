use std::any::Any;
use std::error::Error;
use std::fmt;

use super::error::{Failure, WorkerError};
use crate::error::panic_message;

/// A start function, a worker or a filter panicked.
#[derive(Debug)]
pub struct WorkerPanic {
    what: &'static str,
    message: String,
}

impl WorkerPanic {
    /// The error for `what`, like "the worker", that panicked with `payload`.
    pub fn error(what: &'static str, payload: &(dyn Any + Send)) -> WorkerError {
        let message = panic_message(payload);
        WorkerError::Failed(Failure::new(WorkerPanic { what, message }))
    }
}

impl fmt::Display for WorkerPanic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} panicked: {}", self.what, self.message)
    }
}

impl Error for WorkerPanic {}

//! What the runtimes' dependency engines share: inputs and outputs, errors, and the hub around the
//! machine.

mod error;
mod hub;
mod inputs;
mod manifold;
mod options;
mod panic;

pub use error::{EngineError, Failure, InputError, WorkerError};
pub use hub::{EngineHub, EngineOrder, EngineWork, Policy};
pub use inputs::{Inputs, Outputs};
pub use manifold::{Agent, ManifoldConfig, ManifoldError, candidate};
pub use options::EngineOptions;
pub use panic::WorkerPanic;

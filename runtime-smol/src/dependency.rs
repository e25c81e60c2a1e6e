//! A dependency engine on smol: it runs a graph of named [manifolds](Manifold), each when its
//! inputs are there, and again when they change.
//!
//! A manifold has a start function, which gets its inputs and makes a worker: a future that runs
//! until it has something to report or is told to [`Stop`]. What the worker gives to others is its
//! output. When a worker comes or goes, those that depend on it are stopped and started anew, with
//! the inputs as they are then.
//!
//! All starts and workers of an engine are polled in the future of its driver,
//! [`EngineDriver::run`], and no thread is started. Work that blocks would hold up all the others:
//! it belongs into [`smol::unblock`].
//!
//! ```
//! use std::sync::Arc;
//! use tenure_smol::dependency::{Engine, EngineOptions, Manifold, Started};
//!
//! # smol::block_on(async {
//! let (engine, driver) = Engine::new(EngineOptions::new());
//! let running = smol::spawn(driver.run());
//!
//! engine.install("config", Manifold::without_inputs(|context| async move {
//!     let stop = context.stop();
//!     let worker = async move {
//!         stop.wait().await;
//!         Ok(())
//!     };
//!     Ok(Started::new(worker).output(Arc::<str>::from("tenure.example")))
//! }))?;
//!
//! let (sender, greetings) = async_channel::unbounded();
//! engine.install("greeter", Manifold::new(["config"], move |context| {
//!     let sender = sender.clone();
//!     async move {
//!         // Without its input it is not started, and tried again when the input is there.
//!         let host: Arc<str> = context.get("config")?;
//!         Ok(Started::new(async move { Ok(sender.send(format!("hello, {host}")).await?) }))
//!     }
//! }))?;
//!
//! assert_eq!(greetings.recv().await?, "hello, tenure.example");
//! engine.kill();
//! engine.wait().await?;
//! running.await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod driver;
mod engine;
mod recipe;
mod stop;

pub use driver::EngineDriver;
pub use engine::Engine;
pub use recipe::{Context, Manifold, Started};
pub use stop::Stop;

pub use tenure_dependency::{
    Config, ConfigBuilder, ConfigError, Factor, InstallError, ManifoldName, ManifoldReport,
    ManifoldState, Report,
};
pub use tenure_runtime::dependency::{
    Agent, EngineError, EngineOptions, Failure, InputError, ManifoldConfig, ManifoldError,
    WorkerError, WorkerPanic,
};

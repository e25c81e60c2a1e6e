use std::convert::Infallible;

use async_channel::{Receiver, Sender};

/// What tells a start or a worker to stop.
///
/// Cheap to clone; any number of tasks may wait for it. It is set for good, and also when the
/// worker that it is for has ended.
///
/// ```
/// use tenure_smol::dependency::{Engine, EngineOptions, Manifold, Started};
///
/// # smol::block_on(async {
/// let (engine, driver) = Engine::new(EngineOptions::new());
/// engine.install("obedient", Manifold::without_inputs(|context| async move {
///     let stop = context.stop();
///     Ok(Started::new(async move {
///         stop.wait().await;
///         Ok(())
///     }))
/// }))?;
/// engine.kill();
/// driver.run().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Stop(Receiver<Infallible>);

impl Stop {
    /// One that is set when its sender is closed or dropped.
    pub(super) fn new() -> (Sender<Infallible>, Stop) {
        let (sender, receiver) = async_channel::bounded(1);
        (sender, Stop(receiver))
    }

    /// Whether the worker is to stop.
    ///
    /// ```
    /// # use tenure_smol::dependency::{Engine, EngineOptions, Manifold, Started};
    /// # smol::block_on(async {
    /// # let (engine, driver) = Engine::new(EngineOptions::new());
    /// engine.install("counter", Manifold::without_inputs(|context| async move {
    ///     let stop = context.stop();
    ///     Ok(Started::new(async move {
    ///         let mut count = 0_u64;
    ///         while !stop.is_set() {
    ///             count += 1;
    ///             smol::future::yield_now().await;
    ///         }
    ///         Ok(())
    ///     }))
    /// }))?;
    /// # engine.kill();
    /// # driver.run().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn is_set(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits until the worker is to stop.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_smol::dependency::{Engine, EngineOptions, Manifold, Started};
    /// # smol::block_on(async {
    /// # let (engine, driver) = Engine::new(EngineOptions::new());
    /// use smol::future::FutureExt;
    ///
    /// engine.install("periodic", Manifold::without_inputs(|context| async move {
    ///     let stop = context.stop();
    ///     let work = async {
    ///         loop {
    ///             smol::Timer::after(Duration::from_secs(60)).await;
    ///         }
    ///     };
    ///     Ok(Started::new(async move {
    ///         stop.wait().or(work).await;
    ///         Ok(())
    ///     }))
    /// }))?;
    /// # engine.kill();
    /// # driver.run().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn wait(&self) {
        // Nothing is ever sent: the channel is closed, and that is all.
        let _closed = self.0.recv().await;
    }
}

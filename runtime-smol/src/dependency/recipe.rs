use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use smol::future::Boxed;
use tenure_dependency::ManifoldName;
use tenure_runtime::Clock;
use tenure_runtime::dependency::{InputError, Inputs, Outputs, WorkerError, WorkerPanic};

use super::Stop;

/// How to make a worker, and what it depends on: to be [installed](super::Engine::install).
///
/// ```
/// use tenure_smol::dependency::{Engine, EngineOptions, Manifold, Started, WorkerError};
///
/// # smol::block_on(async {
/// let (engine, driver) = Engine::new(EngineOptions::new());
/// let once = Manifold::without_inputs(|context| async move {
///     println!("{} has started", context.manifold());
///     Ok(Started::new(async { Err(WorkerError::Uninstall) }))
/// });
/// engine.install("once", once)?;
/// let running = smol::spawn(driver.run());
/// while !engine.report().manifolds.is_empty() {
///     smol::future::yield_now().await;
/// }
/// drop(engine);
/// running.await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "a manifold does nothing until it is installed"]
#[derive(Debug)]
pub struct Manifold {
    pub(super) inputs: Vec<ManifoldName>,
    pub(super) recipe: Recipe,
}

impl Manifold {
    /// A manifold that depends on `inputs`, whose workers `start` makes.
    ///
    /// `start` is called when the manifold is installed, whether its inputs are there or not, and
    /// again when they have changed, after an error, and so on. Where it cannot do without an
    /// input, [`Context::get`] and a `?` are the way to say so. It never runs twice at a time, nor
    /// while a worker of its own does. The engine's other workers wait while it is polled.
    ///
    /// A panic in `start`, in its future or in the worker is an error like any other, with the
    /// message in a [`WorkerPanic`].
    ///
    /// ```
    /// # use tenure_smol::dependency::{Manifold, Started};
    /// let manifold = Manifold::new(["agent", "store"], |context| async move {
    ///     let (name, port): (String, u16) = (context.get("agent")?, context.get("store")?);
    ///     let stop = context.stop();
    ///     let worker = async move {
    ///         println!("{name} talks to port {port}");
    ///         stop.wait().await;
    ///         Ok(())
    ///     };
    ///     Ok(Started::new(worker))
    /// });
    /// ```
    pub fn new<I, S, F>(inputs: I, start: S) -> Manifold
    where
        I: IntoIterator,
        I::Item: Into<ManifoldName>,
        S: Fn(Context) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Started, WorkerError>> + Send + 'static,
    {
        let start: Box<Start> = Box::new(move |context| Box::pin(start(context)));
        let inputs = inputs.into_iter().map(Into::into).collect();
        Manifold { inputs, recipe: Recipe { start, filter: None } }
    }

    /// A manifold that depends on nothing. Its start and its worker are as those of any
    /// [other](Manifold::new).
    ///
    /// ```
    /// # use tenure_smol::dependency::{Manifold, Started};
    /// let manifold = Manifold::without_inputs(|context| async move {
    ///     let stop = context.stop();
    ///     let worker = async move {
    ///         stop.wait().await;
    ///         Ok(())
    ///     };
    ///     Ok(Started::new(worker).output(5432_u16))
    /// });
    /// ```
    pub fn without_inputs<S, F>(start: S) -> Manifold
    where
        S: Fn(Context) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Started, WorkerError>> + Send + 'static,
    {
        Manifold::new(std::iter::empty::<ManifoldName>(), start)
    }

    /// Has `filter` make of each error of a start or of a worker what the engine is to see. The
    /// latest filter counts.
    ///
    /// ```
    /// # use tenure_smol::dependency::{Manifold, Started, WorkerError};
    /// # let manifold = Manifold::without_inputs(|_| async { Ok(Started::new(async { Ok(()) })) });
    /// // An end of input is a reason to start again at once.
    /// let manifold = manifold.filter(|error| match error {
    ///     WorkerError::Failed(failure) if failure.error().is::<std::io::Error>() => {
    ///         WorkerError::Bounce
    ///     }
    ///     other => other,
    /// });
    /// ```
    pub fn filter(
        mut self,
        filter: impl Fn(WorkerError) -> WorkerError + Send + Sync + 'static,
    ) -> Manifold {
        self.recipe.filter = Some(Box::new(filter));
        self
    }
}

type Start = dyn Fn(Context) -> Boxed<Result<Started, WorkerError>> + Send + Sync;
type Filter = dyn Fn(WorkerError) -> WorkerError + Send + Sync;

/// A manifold, as its driver keeps it.
pub(super) struct Recipe {
    start: Box<Start>,
    filter: Option<Box<Filter>>,
}

impl Recipe {
    pub(super) fn start(self: Arc<Recipe>, context: Context) -> Caught<Started> {
        // The start function itself is called when the future is first polled, and so caught.
        Caught::new("the start function", async move { (self.start)(context).await })
    }

    pub(super) fn filtered(&self, error: WorkerError) -> WorkerError {
        let Some(filter) = &self.filter else { return error };
        // What it may have left broken is its own to see.
        catch_unwind(AssertUnwindSafe(|| filter(error)))
            .unwrap_or_else(|payload| WorkerPanic::error("the filter", &*payload))
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recipe").finish_non_exhaustive()
    }
}

/// What a start function gets.
#[derive(Debug)]
pub struct Context {
    inputs: Inputs,
    stop: Stop,
    clock: Arc<dyn Clock>,
}

impl Context {
    pub(super) fn new(inputs: Inputs, stop: Stop, clock: Arc<dyn Clock>) -> Context {
        Context { inputs, stop, clock }
    }

    /// What the manifold is called.
    ///
    /// ```
    /// # use tenure_smol::dependency::{Manifold, Started};
    /// let manifold = Manifold::without_inputs(|context| async move {
    ///     println!("{} starts", context.manifold());
    ///     Ok(Started::new(async { Ok(()) }))
    /// });
    /// ```
    pub fn manifold(&self) -> &ManifoldName {
        self.inputs.manifold()
    }

    /// A clone of what the input `name` gives of type `T`, as it was when this start was ordered.
    ///
    /// # Errors
    ///
    /// An [`InputError`], if the input does not run, or gives nothing of that type, or is none of
    /// this manifold's. `?` makes the right [`WorkerError`] of it: a manifold whose input is
    /// missing is started again when the input is there.
    ///
    /// ```
    /// # use tenure_smol::dependency::{Engine, EngineOptions, Manifold, Started};
    /// # smol::block_on(async {
    /// # let (engine, driver) = Engine::new(EngineOptions::new());
    /// engine.install("wrong", Manifold::new(["agent"], |context| async move {
    ///     let name: String = context.get("agnet")?;
    ///     Ok(Started::new(async move {
    ///         println!("{name}");
    ///         Ok(())
    ///     }))
    /// }))?;
    /// let running = smol::spawn(driver.run());
    /// let error = loop {
    ///     let report = engine.report();
    ///     if let Some(error) = &report.manifold("wrong").unwrap().last_error {
    ///         break error.to_string();
    ///     }
    ///     smol::future::yield_now().await;
    /// };
    /// assert_eq!(error, "manifold wrong has no input named agnet");
    /// # engine.kill();
    /// # running.await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn get<T: Clone + Send + Sync + 'static>(&self, name: &str) -> Result<T, InputError> {
        self.inputs.get(name)
    }

    /// What tells this start, and the worker that comes of it, to stop.
    ///
    /// A start may be told to stop before it has ended: because an input changed, say. It may then
    /// end in any way; a worker that it makes all the same finds that it is to stop.
    ///
    /// ```
    /// # use tenure_smol::dependency::{Manifold, Started};
    /// let manifold = Manifold::without_inputs(|context| async move {
    ///     let stop = context.stop();
    ///     Ok(Started::new(async move {
    ///         stop.wait().await;
    ///         Ok(())
    ///     }))
    /// });
    /// ```
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// The engine's clock.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

/// What a start function makes: a worker, and what it gives to those that depend on it.
#[must_use = "a worker does nothing unless its start function returns it"]
#[derive(Debug)]
pub struct Started {
    pub(super) worker: Caught<()>,
    pub(super) outputs: Outputs,
}

impl Started {
    /// A worker without output.
    ///
    /// The worker ends when its future does: [`WorkerError`] says what that may mean. It is to end
    /// soon when it is told to [`Stop`]; nothing else ends it but the end of the driver, which
    /// drops it where it is.
    ///
    /// ```
    /// # use tenure_smol::dependency::Started;
    /// let started = Started::new(async {
    ///     let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
    ///     println!("listening on {}", listener.local_addr()?);
    ///     Ok(())
    /// });
    /// ```
    pub fn new(worker: impl Future<Output = Result<(), WorkerError>> + Send + 'static) -> Started {
        Started { worker: Caught::new("the worker", worker), outputs: Outputs::none() }
    }

    /// Gives `value` to those that depend on this manifold, which [get](Context::get) a clone of
    /// it. Each type counts once: of two values of one type the first.
    ///
    /// Give a handle, not the thing itself: dependents are told to stop when the worker has ended,
    /// and keep what they have until they have stopped.
    ///
    /// ```
    /// # use tenure_smol::dependency::Started;
    /// let started = Started::new(async { Ok(()) }).output(5432_u16).output(String::from("db"));
    /// ```
    pub fn output<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Started {
        self.outputs = self.outputs.and(value);
        self
    }
}

/// A future of a user's whose panics are errors: when it is polled, and when it is dropped.
pub(super) struct Caught<T> {
    what: &'static str,
    future: Option<Boxed<Result<T, WorkerError>>>,
}

impl<T> Caught<T> {
    fn new(
        what: &'static str,
        future: impl Future<Output = Result<T, WorkerError>> + Send + 'static,
    ) -> Caught<T> {
        Caught { what, future: Some(Box::pin(future)) }
    }

    fn catch<R>(&mut self, call: impl FnOnce(&mut Self) -> R) -> Result<R, WorkerError> {
        let what = self.what;
        // The future is dropped after a panic, and so never seen in a broken state.
        catch_unwind(AssertUnwindSafe(|| call(self)))
            .map_err(|payload| WorkerPanic::error(what, &*payload))
    }

    fn discard(&mut self) -> Result<(), WorkerError> {
        self.catch(|caught| caught.future = None)
    }
}

impl<T> Future for Caught<T> {
    type Output = Result<T, WorkerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        let polled = self.catch(|caught| match &mut caught.future {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        });
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(panic),
        };
        // Whoever hears of the end finds nothing of it left.
        let discarded = self.discard();
        Poll::Ready(result.and_then(|value| discarded.map(|()| value)))
    }
}

impl<T> Drop for Caught<T> {
    fn drop(&mut self) {
        // Nobody is there to hear of it; the panic hook has.
        let _panic = self.discard();
    }
}

impl<T> fmt::Debug for Caught<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Caught").field("what", &self.what).finish_non_exhaustive()
    }
}

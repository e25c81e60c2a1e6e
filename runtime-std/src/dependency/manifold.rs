use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tenure_core::Cancel;
use tenure_runtime::dependency::{Inputs, Outputs};
use tenure_runtime::{CancelToken, Clock};

use super::{InputError, ManifoldName, Worker, WorkerError, WorkerPanic};

type Start = dyn Fn(&Context) -> Result<Started, WorkerError> + Send + Sync;

type Filter = dyn Fn(WorkerError) -> WorkerError + Send + Sync;

/// How to start a worker, and what it depends on.
///
/// ```
/// use std::sync::Arc;
/// use tenure_std::dependency::{Idle, Manifold, Started};
///
/// struct Connection(String);
///
/// let manifold = Manifold::new(["address"], |context| {
///     let address: String = context.get("address")?;
///     let connection = Arc::new(Connection(address));
///     Ok(Started::new(Idle::new()).output(connection))
/// });
/// ```
pub struct Manifold {
    inputs: Vec<ManifoldName>,
    start: Box<Start>,
    filter: Option<Box<Filter>>,
}

impl Manifold {
    /// A manifold that depends on `inputs`, and whose worker `start` starts.
    ///
    /// `start` is called whenever an input has come or gone, whether all inputs are there or not,
    /// on a thread of its own: it may block, but should look at
    /// [`is_cancelled`](Context::is_cancelled) if it does for long. Where it cannot do without an
    /// input, `?` on [`get`](Context::get) says so, and it is called again when that is there. A
    /// panic in it is an error like any other.
    ///
    /// ```
    /// use tenure_std::dependency::{Idle, Manifold, Started};
    ///
    /// let manifold = Manifold::new(["port"], |context| {
    ///     let port: u16 = context.get("port")?;
    ///     Ok(Started::new(Idle::new()).output(format!("localhost:{port}")))
    /// });
    /// ```
    pub fn new<I>(
        inputs: I,
        start: impl Fn(&Context) -> Result<Started, WorkerError> + Send + Sync + 'static,
    ) -> Manifold
    where
        I: IntoIterator<Item: Into<ManifoldName>>,
    {
        let inputs = inputs.into_iter().map(Into::into).collect();
        Manifold { inputs, start: Box::new(start), filter: None }
    }

    /// A manifold that depends on nothing: see [`new`](Manifold::new).
    ///
    /// ```
    /// use tenure_std::dependency::{Idle, Manifold, Started};
    ///
    /// let manifold = Manifold::without_inputs(|_| Ok(Started::new(Idle::new()).output(80_u16)));
    /// ```
    pub fn without_inputs(
        start: impl Fn(&Context) -> Result<Started, WorkerError> + Send + Sync + 'static,
    ) -> Manifold {
        Manifold::new(std::iter::empty::<ManifoldName>(), start)
    }

    /// Has the engine see what `filter` makes of the errors of starts and workers. A panic in it is
    /// an error like any other.
    ///
    /// ```
    /// use tenure_std::dependency::{Manifold, WorkerError};
    ///
    /// // Whatever goes wrong, it is not tried again.
    /// let manifold = Manifold::without_inputs(|_| Err("no luck".into()))
    ///     .filter(|_| WorkerError::Uninstall);
    /// ```
    #[must_use]
    pub fn filter(
        mut self,
        filter: impl Fn(WorkerError) -> WorkerError + Send + Sync + 'static,
    ) -> Manifold {
        self.filter = Some(Box::new(filter));
        self
    }

    pub(super) fn inputs(&self) -> &[ManifoldName] {
        &self.inputs
    }

    pub(super) fn start(&self, context: &Context) -> Result<Started, WorkerError> {
        caught("the start function", || (self.start)(context))
    }

    pub(super) fn filtered(&self, error: WorkerError) -> WorkerError {
        match &self.filter {
            None => error,
            Some(filter) => {
                caught("the filter", || Ok(filter(error))).unwrap_or_else(|error| error)
            }
        }
    }
}

impl fmt::Debug for Manifold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Manifold").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

/// What `call` gives, or its panic as an error.
pub(super) fn caught<T>(
    what: &'static str,
    call: impl FnOnce() -> Result<T, WorkerError>,
) -> Result<T, WorkerError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|payload| Err(WorkerPanic::error(what, &*payload)))
}

/// What a start function is given: the inputs as they are now.
#[derive(Debug)]
pub struct Context {
    inputs: Inputs,
    cancel: CancelToken,
    clock: Arc<dyn Clock>,
}

impl Context {
    pub(super) fn new(inputs: Inputs, cancel: CancelToken, clock: Arc<dyn Clock>) -> Context {
        Context { inputs, cancel, clock }
    }

    /// What the manifold is called that is started.
    ///
    /// ```
    /// use tenure_std::dependency::{Idle, Manifold, Started};
    ///
    /// let manifold = Manifold::without_inputs(|context| {
    ///     println!("{} starts", context.manifold());
    ///     Ok(Started::new(Idle::new()))
    /// });
    /// ```
    pub fn manifold(&self) -> &ManifoldName {
        self.inputs.manifold()
    }

    /// A clone of what the input `name` gives of type `T`.
    ///
    /// # Errors
    ///
    /// An [`InputError`], which `?` makes into the right [`WorkerError`]: if the input is not
    /// there, if it gives nothing of that type, or if it is none of this manifold's.
    ///
    /// ```
    /// use tenure_std::dependency::{Engine, EngineOptions, Idle, Manifold, Started};
    ///
    /// let (engine, driver) = Engine::new(EngineOptions::new().is_fatal(|_| true));
    /// driver.spawn()?;
    /// let port = |_: &_| Ok(Started::new(Idle::new()).output(80));
    /// engine.install("port", Manifold::without_inputs(port))?;
    /// engine.install("server", Manifold::new(["port"], |context| {
    ///     let port: u16 = context.get("port")?;
    ///     println!("listens on {port}");
    ///     Ok(Started::new(Idle::new()))
    /// }))?;
    /// let error = engine.wait().unwrap_err().to_string();
    /// assert_eq!(error, "a worker failed: input port gives no u16, but i32");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get<T: Clone + Send + Sync + 'static>(&self, name: &str) -> Result<T, InputError> {
        self.inputs.get(name)
    }

    /// Whether the start was told to stop, as its inputs have changed or the engine ends. It may
    /// give any error then, or a worker, which is killed at once.
    ///
    /// ```
    /// use tenure_std::dependency::{Idle, Manifold, Started, WorkerError};
    ///
    /// fn connect() -> Option<String> {
    ///     // ..
    ///     # None
    /// }
    ///
    /// let manifold = Manifold::without_inputs(|context| {
    ///     while !context.is_cancelled() {
    ///         if let Some(connection) = connect() {
    ///             return Ok(Started::new(Idle::new()).output(connection));
    ///         }
    ///     }
    ///     Err(WorkerError::Bounce)
    /// });
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// A token that is cancelled when the start is told to stop, and also when its worker is. For
    /// calls that can be [cancelled](tenure_core::Cancel).
    ///
    /// ```
    /// use tenure_core::{BlockingClaimer, ServiceName};
    /// use tenure_memory::MemoryStore;
    /// use tenure_std::dependency::{Idle, Manifold, Started};
    ///
    /// // Starts once nobody leads.
    /// let service: ServiceName = "mysql".parse()?;
    /// let manifold = Manifold::new(["store"], move |context| {
    ///     let store: MemoryStore = context.get("store")?;
    ///     store.released(&service, &context.cancel())?;
    ///     Ok(Started::new(Idle::new()))
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// The clock that the engine lives by.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }
}

/// What a start function gives: a worker, and what that gives to others.
pub struct Started {
    pub(super) worker: Arc<dyn Worker>,
    pub(super) outputs: Outputs,
}

impl Started {
    /// This worker, which gives nothing to others.
    ///
    /// ```
    /// use tenure_std::dependency::{Idle, Started};
    ///
    /// let started = Started::new(Idle::new());
    /// ```
    pub fn new(worker: impl Worker) -> Started {
        Started { worker: Arc::new(worker), outputs: Outputs::none() }
    }

    /// Gives `value` to those that depend on the worker, while it runs. Called again, it gives that
    /// value as well: they are told apart by their types, and of two of one type the first counts.
    ///
    /// ```
    /// use tenure_std::dependency::{Idle, Started};
    ///
    /// let started = Started::new(Idle::new()).output(80_u16).output("localhost".to_owned());
    /// let outputs = r#"Started { outputs: ["u16", "alloc::string::String"], .. }"#;
    /// assert_eq!(format!("{started:?}"), outputs);
    /// ```
    #[must_use]
    pub fn output<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Started {
        self.outputs = self.outputs.and(value);
        self
    }
}

impl fmt::Debug for Started {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Started").field("outputs", &self.outputs).finish_non_exhaustive()
    }
}

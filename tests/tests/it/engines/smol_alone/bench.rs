use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tenure_runtime::ManualClock;
use tenure_runtime::dependency::{EngineError, EngineOptions, WorkerError};
use tenure_smol::dependency::{Config, Engine, Manifold, ManifoldState, Started, Stop};

use crate::runtimes::ByHand;

/// No inputs.
pub(super) const NONE: [&str; 0] = [];

/// The delays of the engine under test: after an error, at most, and after a change.
pub(super) const ERROR: Duration = Duration::from_secs(3);
pub(super) const BOUNCE: Duration = Duration::from_millis(10);

/// An engine whose driver is polled by hand, on a clock that is moved by hand.
pub(super) struct Bench {
    pub(super) clock: Arc<ManualClock>,
    pub(super) engine: Engine,
    pub(super) driver: ByHand,
}

impl Bench {
    pub(super) fn new() -> Bench {
        Bench::with(EngineOptions::new())
    }

    pub(super) fn with(options: EngineOptions) -> Bench {
        let clock = Arc::new(ManualClock::new());
        let config = Config::builder().error_delay(ERROR).bounce_delay(BOUNCE).build().unwrap();
        let (engine, driver) = Engine::new(options.config(config).clock(clock.clone()));
        Bench { clock, engine, driver: ByHand::new(driver.run()) }
    }

    pub(super) fn install(&mut self, name: &str, manifold: Manifold) {
        self.engine.install(name, manifold).unwrap();
        self.driver.drive();
    }

    pub(super) fn advance(&mut self, span: Duration) {
        self.clock.advance(span);
        self.driver.drive();
    }

    /// Until nothing is to be started any more.
    pub(super) fn settle(&mut self) {
        self.driver.drive();
        let waits = |bench: &Bench| {
            let report = bench.engine.report();
            report.manifolds.iter().any(|manifold| manifold.state == ManifoldState::Waiting)
        };
        for _ in 0..100 {
            if !waits(self) {
                return;
            }
            self.advance(BOUNCE);
        }
        panic!("something is started again and again:\n{}", self.engine.report());
    }

    #[track_caller]
    pub(super) fn state(&self, name: &str) -> ManifoldState {
        self.engine.report().manifold(name).expect("installed").state
    }

    #[track_caller]
    pub(super) fn starts(&self, name: &str) -> u64 {
        self.engine.report().manifold(name).expect("installed").start_count
    }

    #[track_caller]
    pub(super) fn last_error(&self, name: &str) -> String {
        let report = self.engine.report();
        let error = &report.manifold(name).expect("installed").last_error;
        error.as_ref().expect("an error").to_string()
    }

    /// How the engine has ended, if it has.
    pub(super) fn end(&self) -> Option<Result<(), EngineError>> {
        now(self.engine.wait())
    }

    /// Kills the engine, which has to end at once.
    #[track_caller]
    pub(super) fn finish(mut self) {
        self.engine.kill();
        self.driver.drive();
        assert!(self.driver.is_done(), "{}", self.engine.report());
        assert!(matches!(self.end(), Some(Ok(()))), "{:?}", self.end());
    }
}

/// The output of a future that is there at once, if it is.
pub(super) fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// How many of something live.
#[derive(Clone, Debug, Default)]
pub(super) struct Population(Arc<AtomicUsize>);

impl Population {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// One more, until it is dropped.
    pub(super) fn one(&self) -> Living {
        self.0.fetch_add(1, Ordering::SeqCst);
        Living(self.clone())
    }
}

#[derive(Debug)]
pub(super) struct Living(Population);

impl Drop for Living {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A waker that looks how many live when it is woken.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) population: Population,
    pub(super) seen: Mutex<Vec<usize>>,
}

impl Witness {
    pub(super) fn of(population: &Population) -> Arc<Witness> {
        Arc::new(Witness { population: population.clone(), seen: Mutex::default() })
    }
}

impl Wake for Witness {
    fn wake(self: Arc<Self>) {
        self.seen.lock().unwrap().push(self.population.count());
    }
}

/// Polls once, and leaves the witness to be woken.
pub(super) fn leave<T>(future: Pin<&mut impl Future<Output = T>>, witness: &Arc<Witness>) -> bool {
    future.poll(&mut Context::from_waker(&witness.clone().into())).is_pending()
}

/// A worker that runs until it is told to stop, and gives its number to others.
pub(super) fn obedient(
    inputs: impl IntoIterator<Item = &'static str>,
    alive: &Population,
) -> Manifold {
    let alive = alive.clone();
    Manifold::new(inputs, move |context| {
        let alive = alive.clone();
        async move {
            let stop = context.stop();
            Ok(Started::new(until_told(stop, alive.one())).output(alive))
        }
    })
}

pub(super) async fn until_told<T>(stop: Stop, kept: T) -> Result<(), WorkerError> {
    stop.wait().await;
    drop(kept);
    Ok(())
}

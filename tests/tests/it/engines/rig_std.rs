use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_lite::future;
use tenure_core::{Cancel, Outcome, Standing};
use tenure_dependency::{InstallError, Report};
use tenure_runtime::dependency::{
    EngineError, EngineOptions, Failure, InputError, ManifoldConfig, WorkerError,
};
use tenure_std::dependency::{Context, Engine, Manifold, Started, Worker};
use tenure_std::{ApiCaller, Leadership, manifold};

use super::rig::{Actor, Begun, Caller, Given, Leads, Part, Rig, Seen, Step};
use super::store::Store;

pub(super) struct StdRig {
    engine: Engine,
    driver: Option<JoinHandle<()>>,
}

impl Rig for StdRig {
    const NAME: &'static str = "std";

    fn new(options: EngineOptions) -> StdRig {
        let (engine, driver) = Engine::new(options);
        StdRig { engine, driver: Some(driver.spawn().unwrap()) }
    }

    fn without_driver(options: EngineOptions) -> StdRig {
        let (engine, driver) = Engine::new(options);
        drop(driver);
        StdRig { engine, driver: None }
    }

    fn install(&self, name: &str, inputs: &[&str], part: Part) -> Result<(), InstallError> {
        let Part { gate, start, filter } = part;
        let start = move |context: &Context| {
            if let Some(gate) = &gate {
                let is_open =
                    |waker: &_| if gate.poll(waker) { Poll::Ready(()) } else { Poll::Pending };
                future::block_on(poll_fn(|context| is_open(context.waker())));
            }
            start(context).map(started)
        };
        let manifold = Manifold::new(inputs.iter().copied(), start);
        self.engine.install(
            name,
            match filter {
                Some(filter) => manifold.filter(filter),
                None => manifold,
            },
        )
    }

    fn install_tracker(&self, name: &str, config: ManifoldConfig) -> Result<(), InstallError> {
        self.engine.install(name, manifold::<Caller>(config))
    }

    fn uninstall(&self, name: &str) {
        self.engine.uninstall(name);
    }

    fn kill(&self) {
        self.engine.kill();
    }

    fn wait(&self) -> Result<(), EngineError> {
        self.engine.wait()
    }

    fn report(&self) -> Report<Failure> {
        self.engine.report()
    }

    fn join(self) {
        drop(self.engine);
        if let Some(driver) = self.driver {
            driver.join().unwrap();
        }
    }
}

fn started(begun: Begun) -> Started {
    let started = Started::new(Acting(begun.actor));
    begun.outputs.into_iter().fold(started, |started, given| match given {
        Given::Agent(agent) => started.output(agent),
        Given::Caller(caller) => started.output(caller),
        Given::Number(number) => started.output(number),
        Given::Text(text) => started.output(text),
    })
}

struct Acting(Arc<dyn Actor>);

impl Worker for Acting {
    fn kill(&self) {
        self.0.kill();
    }

    fn wait(&self) -> Result<(), WorkerError> {
        future::block_on(poll_fn(|context| match self.0.poll(context.waker()) {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }))
    }
}

impl ApiCaller for Caller {
    type Claimer = Store;

    fn claimer(&self) -> Store {
        self.0.clone()
    }
}

impl Seen for Context {
    fn manifold(&self) -> String {
        self.manifold().to_string()
    }

    fn is_told(&self) -> bool {
        assert_eq!(self.cancel().is_cancelled(), self.is_cancelled());
        self.is_cancelled()
    }

    fn number(&self, name: &str) -> Result<u64, InputError> {
        self.get(name)
    }

    fn text(&self, name: &str) -> Result<String, InputError> {
        self.get(name)
    }

    fn leadership(&self, name: &str) -> Result<Arc<dyn Leads>, InputError> {
        let leadership: Leadership = self.get(name)?;
        Ok(Arc::new(leadership))
    }
}

impl Leads for Leadership {
    fn unit(&self) -> String {
        self.unit_name().to_string()
    }

    fn service(&self) -> String {
        self.service_name().to_string()
    }

    fn claim_duration(&self) -> Duration {
        self.claim_duration()
    }

    fn standing(&self) -> Standing {
        self.standing()
    }

    fn claim(&self) -> Outcome {
        self.claim_leader().wait()
    }

    fn wait_leader(&self) -> Outcome {
        self.wait_leader().wait()
    }

    fn wait_minion(&self) -> Outcome {
        self.wait_minion().wait()
    }

    fn leader(&self) -> Option<String> {
        self.leader().unwrap().map(|leader| leader.unit.to_string())
    }

    fn last_error(&self) -> Option<String> {
        self.last_error().map(|error| error.to_string())
    }

    fn work(&self, step: &mut dyn FnMut(Step)) -> bool {
        let worked = self.while_leader(|guard| {
            step(Step::Begins);
            guard.wait_lost();
            step(Step::Ends);
        });
        worked.is_ok()
    }
}

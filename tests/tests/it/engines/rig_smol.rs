use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_lite::future;
use tenure_core::{Outcome, Standing};
use tenure_dependency::{InstallError, Report};
use tenure_runtime::WorkError;
use tenure_runtime::dependency::{
    EngineError, EngineOptions, Failure, InputError, ManifoldConfig, WorkerError,
};
use tenure_smol::dependency::{Context, Engine, Manifold, Started, Stop};
use tenure_smol::{ApiCaller, Leadership, manifold};

use super::rig::{Actor, Begun, Caller, Given, Leads, Part, Rig, Seen, StartPart, Step};
use super::store::Store;

pub(super) struct SmolRig {
    engine: Engine,
    driver: Option<JoinHandle<()>>,
}

impl Rig for SmolRig {
    const NAME: &'static str = "smol";

    fn new(options: EngineOptions) -> SmolRig {
        let (engine, driver) = Engine::new(options);
        let driver = thread::spawn(move || future::block_on(driver.run()));
        SmolRig { engine, driver: Some(driver) }
    }

    fn without_driver(options: EngineOptions) -> SmolRig {
        let (engine, driver) = Engine::new(options);
        drop(driver);
        SmolRig { engine, driver: None }
    }

    fn install(&self, name: &str, inputs: &[&str], part: Part) -> Result<(), InstallError> {
        let Part { gate, start, filter } = part;
        let start: Arc<StartPart> = start.into();
        let start = move |context: Context| {
            let (gate, start) = (gate.clone(), start.clone());
            async move {
                if let Some(gate) = gate {
                    poll_fn(|context| match gate.poll(context.waker()) {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    })
                    .await;
                }
                start(&context).map(|begun| started(begun, context.stop()))
            }
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
        future::block_on(self.engine.wait())
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

fn started(begun: Begun, stop: Stop) -> Started {
    let started = Started::new(act(begun.actor, stop));
    begun.outputs.into_iter().fold(started, |started, given| match given {
        Given::Agent(agent) => started.output(agent),
        Given::Caller(caller) => started.output(caller),
        Given::Number(number) => started.output(number),
        Given::Text(text) => started.output(text),
    })
}

async fn act(actor: Arc<dyn Actor>, stop: Stop) -> Result<(), WorkerError> {
    let kill = async {
        stop.wait().await;
        actor.kill();
        pending().await
    };
    let end = poll_fn(|context| match actor.poll(context.waker()) {
        Some(result) => Poll::Ready(result),
        None => Poll::Pending,
    });
    future::or(kill, end).await
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
        self.stop().is_set()
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
        future::block_on(self.claim_leader())
    }

    fn wait_leader(&self) -> Outcome {
        future::block_on(self.wait_leader())
    }

    fn wait_minion(&self) -> Outcome {
        future::block_on(self.wait_minion())
    }

    fn leader(&self) -> Option<String> {
        let leader = future::block_on(self.leader()).unwrap();
        leader.map(|leader| leader.unit.to_string())
    }

    fn last_error(&self) -> Option<String> {
        self.last_error().map(|error| error.to_string())
    }

    fn work(&self, step: &mut dyn FnMut(Step)) -> bool {
        // The work is told by being dropped.
        struct Ends<'a>(&'a mut dyn FnMut(Step));

        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                (self.0)(Step::Ends);
            }
        }

        let work = self.while_leader(|guard| async move {
            step(Step::Begins);
            let _guard = guard;
            let _ends = Ends(step);
            pending::<()>().await
        });
        match future::block_on(work) {
            Ok(()) | Err(WorkError::Lost(_)) => true,
            Err(_) => false,
        }
    }
}

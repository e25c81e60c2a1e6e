//! A daemon whose line to the store comes and goes: its tracker, and the work that depends on it,
//! follow.
//!
//! | manifold | inputs | gives |
//! | --- | --- | --- |
//! | `agent` | | who this process is |
//! | `store` | | a connection to a lease store, while the line holds |
//! | `leadership` | `agent`, `store` | the tracker |
//! | `work` | `leadership` | nothing: it works while this process leads |
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_sqlite::SqliteClaimer;
use tenure_std::core::{BlockingClaimer, Cancel, ServiceName};
use tenure_std::dependency::{
    Agent, CancelToken, Config, Engine, EngineOptions, Idle, Manifold, ManifoldConfig, Started,
    Worker, WorkerError,
};
use tenure_std::{ApiCaller, Guard, Leadership, WorkError, manifold};

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut io::stdout())
}

/// Runs the daemon, cuts and restores the line to its store, and ends it.
pub(crate) fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("leases");
    let line = Arc::new(Line::default());
    let (say, said) = channel();

    let config = Config::builder().error_delay(Duration::from_millis(50)).build()?;
    let (engine, driver) = Engine::new(EngineOptions::new().config(config));
    let running = driver.spawn()?;
    engine.install("agent", agent())?;
    engine.install("store", store(path.clone(), line.clone()))?;
    let config = ManifoldConfig::new("agent", "store", Duration::from_secs(10))?;
    engine.install("leadership", manifold::<Connection>(config))?;
    engine.install("work", work(say))?;
    writeln!(out, "{}", hear(&said)?)?;

    writeln!(out, "cutting the line to the store")?;
    line.set(Way::Cut);
    writeln!(out, "{}", hear(&said)?)?;
    let report = engine.report();
    let failure = report.manifold("store").and_then(|store| store.last_error.clone());
    writeln!(out, "store: {}", failure.ok_or("the store has not failed")?)?;

    writeln!(out, "restoring the line")?;
    line.set(Way::Open);
    writeln!(out, "{}", hear(&said)?)?;

    writeln!(out, "stopping the engine")?;
    engine.kill();
    writeln!(out, "{}", hear(&said)?)?;
    engine.wait()?;
    running.join().map_err(|_| "the driver panicked")?;
    writeln!(out, "the engine has ended")?;
    writeln!(out, "{}", leader(&path)?)?;
    Ok(())
}

/// What the work says next.
fn hear(said: &Receiver<String>) -> Result<String, Box<dyn Error>> {
    Ok(format!("work: {}", said.recv_timeout(Duration::from_secs(30))?))
}

fn leader(path: &Path) -> Result<String, Box<dyn Error>> {
    let service: ServiceName = "mysql".parse()?;
    let leader = SqliteClaimer::open_existing(path)?.leader(&service)?;
    Ok(leader.map_or("nobody leads".to_owned(), |leader| format!("{} leads", leader.unit)))
}

/// Who this process is.
fn agent() -> Manifold {
    struct Unit;

    impl Agent for Unit {
        fn tag(&self) -> String {
            "unit-mysql-0".to_owned()
        }
    }

    Manifold::without_inputs(|_| {
        let agent: Arc<dyn Agent> = Arc::new(Unit);
        Ok(Started::new(Idle::new()).output(agent))
    })
}

/// A connection to the store, anew at each start.
fn store(path: PathBuf, line: Arc<Line>) -> Manifold {
    Manifold::without_inputs(move |_| {
        line.check()?;
        let connection = Arc::new(Connection(SqliteClaimer::open(&path)?));
        let watch = Watch { line: line.clone(), is_killed: Mutex::new(false) };
        Ok(Started::new(watch).output(connection))
    })
}

struct Connection(SqliteClaimer);

impl ApiCaller for Connection {
    type Claimer = SqliteClaimer;

    fn claimer(&self) -> SqliteClaimer {
        self.0.clone()
    }
}

/// Ends when the line is cut.
struct Watch {
    line: Arc<Line>,
    is_killed: Mutex<bool>,
}

impl Watch {
    fn is_killed(&self) -> MutexGuard<'_, bool> {
        self.is_killed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker for Watch {
    fn kill(&self) {
        *self.is_killed() = true;
        self.line.rouse();
    }

    fn wait(&self) -> Result<(), WorkerError> {
        self.line.wait_while(|way| way == Way::Open && !*self.is_killed());
        Ok(self.line.check()?)
    }
}

/// Works while this process leads.
fn work(say: Sender<String>) -> Manifold {
    Manifold::new(["leadership"], move |context| {
        let (leadership, cancel) = (context.get("leadership")?, context.cancel());
        Ok(Started::new(Work { leadership, cancel, say: Mutex::new(say.clone()) }))
    })
}

struct Work {
    leadership: Leadership,
    cancel: CancelToken,
    say: Mutex<Sender<String>>,
}

impl Work {
    fn say(&self, text: String) -> Result<(), WorkerError> {
        Ok(self.say.lock().unwrap_or_else(PoisonError::into_inner).send(text)?)
    }

    fn lead(&self, guard: &mut Guard) -> Result<(), WorkerError> {
        self.say(format!("leads in term {}", guard.term()))?;
        while !self.cancel.is_cancelled() {
            // Here it would do what only a leader may.
            if guard.wait_lost_timeout(Duration::from_millis(5)) {
                let loss = guard.loss().map(|loss| WorkError::Lost(loss).to_string());
                return self.say(loss.unwrap_or_default());
            }
        }
        self.say("told to stop".to_owned())
    }
}

impl Worker for Work {
    /// The token has been cancelled.
    fn kill(&self) {}

    fn wait(&self) -> Result<(), WorkerError> {
        self.leadership
            .while_leader_until(&self.cancel, |guard| self.lead(guard))?
            .unwrap_or(Ok(()))
    }
}

/// What stands for the network.
#[derive(Default)]
struct Line {
    way: Mutex<Way>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Way {
    Cut,
    #[default]
    Open,
}

impl Line {
    fn set(&self, way: Way) {
        *self.way() = way;
        self.changed.notify_all();
    }

    fn check(&self) -> Result<(), &'static str> {
        match *self.way() {
            Way::Cut => Err("the line is cut"),
            Way::Open => Ok(()),
        }
    }

    /// Has whoever waits look again.
    fn rouse(&self) {
        drop(self.way());
        self.changed.notify_all();
    }

    fn wait_while(&self, mut holds: impl FnMut(Way) -> bool) {
        let waited = self.changed.wait_while(self.way(), |way| holds(*way));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

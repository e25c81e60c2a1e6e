//! A daemon that does a piece of work while it leads, and follows the line to its store, which
//! comes and goes. Ends by itself: it cuts the line, restores it, and stops.
//!
//! ```text
//! agent   store
//!     \   /
//!   leadership
//!       |
//!     work
//! ```
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, SendError, Sender};
use futures_lite::future::{self, FutureExt};
use tenure_core::BlockingClaimer;
use tenure_smol::dependency::{
    Agent, Config, Engine, EngineOptions, Manifold, ManifoldConfig, Started, WorkerError,
};
use tenure_smol::{ApiCaller, Guard, Leadership, Unblock, manifold};
use tenure_sqlite::SqliteClaimer;

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut io::stdout().lock())
}

/// Runs the daemon, which tells `out` what it does.
pub(crate) fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("leases.db");
    let line = Arc::new(Line::new());
    let (sender, told) = async_channel::unbounded();

    let delays = Config::builder()
        .error_delay(Duration::from_millis(50))
        .max_delay(Duration::from_millis(200))
        .jitter_seed(std::process::id().into())
        .build()?;
    let (engine, driver) = Engine::new(EngineOptions::new().config(delays));
    engine.install("agent", agent())?;
    engine.install("store", store(path.clone(), line.clone()))?;
    let config = ManifoldConfig::new("agent", "store", Duration::from_secs(10))?;
    engine.install("leadership", manifold::<Connection>(config))?;
    engine.install("work", work(sender))?;

    let story = story(engine, &line, &told, &path, out);
    let ((), end) = smol::block_on(future::zip(driver.run(), story));
    end
}

/// What happens to the daemon. The engine ends with its last handle, however this ends.
async fn story(
    engine: Engine,
    line: &Line,
    told: &Receiver<String>,
    path: &Path,
    out: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    writeln!(out, "work: {}", told.recv().await?)?;

    writeln!(out, "cutting the line to the store")?;
    line.cut();
    writeln!(out, "work: {}", told.recv().await?)?;
    let report = engine.report();
    let error = report.manifold("store").and_then(|store| store.last_error.as_ref());
    writeln!(out, "store: {}", error.ok_or("the store has not failed")?)?;

    writeln!(out, "restoring the line")?;
    line.restore();
    writeln!(out, "work: {}", told.recv().await?)?;

    writeln!(out, "stopping the engine")?;
    engine.kill();
    writeln!(out, "work: {}", told.recv().await?)?;
    engine.wait().await?;
    writeln!(out, "the engine has ended")?;

    match SqliteClaimer::open(path)?.leader(&"mysql".parse()?)? {
        Some(leader) => writeln!(out, "{} still leads", leader.unit)?,
        None => writeln!(out, "nobody leads")?,
    }
    Ok(())
}

struct Unit;

impl Agent for Unit {
    fn tag(&self) -> String {
        "unit-mysql-0".to_owned()
    }
}

/// Who this is.
fn agent() -> Manifold {
    Manifold::without_inputs(|context| async move {
        let stop = context.stop();
        let worker = async move {
            stop.wait().await;
            Ok(())
        };
        Ok(Started::new(worker).output::<Arc<dyn Agent>>(Arc::new(Unit)))
    })
}

struct Connection(SqliteClaimer);

impl ApiCaller for Connection {
    type Claimer = Unblock<SqliteClaimer>;

    fn claimer(&self) -> Unblock<SqliteClaimer> {
        Unblock::new(self.0.clone())
    }
}

/// A connection to the store, for as long as the line holds.
fn store(path: PathBuf, line: Arc<Line>) -> Manifold {
    Manifold::without_inputs(move |context| {
        let (path, line) = (path.clone(), line.clone());
        async move {
            let held = line.connect().ok_or(CUT)?;
            let claimer = smol::unblock(move || SqliteClaimer::open(path)).await?;
            let stop = context.stop();
            let worker = async move {
                let stopped = async {
                    stop.wait().await;
                    Ok(())
                };
                let cut = async {
                    let _closed = held.recv().await;
                    Err(CUT.into())
                };
                stopped.or(cut).await
            };
            Ok(Started::new(worker).output(Arc::new(Connection(claimer))))
        }
    })
}

/// What only a leader may do.
fn work(sender: Sender<String>) -> Manifold {
    Manifold::new(["leadership"], move |context| {
        let sender = sender.clone();
        async move {
            let leadership: Leadership = context.get("leadership")?;
            let stop = context.stop();
            let worker = async move {
                let stopped = async {
                    stop.wait().await;
                    Ok(sender.send("told to stop".to_owned()).await?)
                };
                stopped.or(lead(&leadership, &sender)).await
            };
            Ok(Started::new(worker))
        }
    })
}

/// Tells in which term it leads, and why it does no more.
async fn lead(leadership: &Leadership, sender: &Sender<String>) -> Result<(), WorkerError> {
    let work = |guard: Guard| async move {
        sender.send(format!("leads in term {}", guard.term())).await?;
        pending::<Result<(), SendError<String>>>().await
    };
    match leadership.while_leader(work).await {
        Ok(ended) => ended?,
        Err(lost) => sender.send(lost.to_string()).await?,
    }
    Ok(())
}

const CUT: &str = "the line is cut";

/// The line to the store: whoever holds it is told when it is cut.
struct Line(Mutex<Option<(Sender<Infallible>, Receiver<Infallible>)>>);

impl Line {
    fn new() -> Line {
        Line(Mutex::new(Some(async_channel::bounded(1))))
    }

    /// What is closed when the line is cut; nothing, if it is.
    fn connect(&self) -> Option<Receiver<Infallible>> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.as_ref().map(|(_, held)| held.clone())
    }

    fn cut(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn restore(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(async_channel::bounded(1));
    }
}

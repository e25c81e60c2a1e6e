use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use crate::ManifoldName;
use crate::node::{Node, State};

/// What an [`Engine`](crate::Engine) and its manifolds are doing.
///
/// `Display` is for people: a line for each manifold. With the feature `serde` it can be
/// serialized.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Report<E> {
    /// Whether the engine has been told to end, or a fatal error has ended it.
    pub is_ending: bool,
    /// The manifolds, by name.
    pub manifolds: Vec<ManifoldReport<E>>,
}

/// What one manifold is doing.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ManifoldReport<E> {
    /// What it is called.
    pub name: ManifoldName,
    /// What it is doing.
    pub state: ManifoldState,
    /// What it depends on.
    pub inputs: Vec<ManifoldName>,
    /// How many times it has been started, successfully.
    pub start_count: u64,
    /// The last error of a start or of a worker, if there ever was one.
    pub last_error: Option<E>,
}

/// What a manifold is doing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
pub enum ManifoldState {
    /// Nothing, until one of its inputs changes.
    Down,
    /// It waits for its next start.
    Waiting,
    /// A start is out.
    Starting,
    /// Its worker runs.
    Running,
    /// Its worker, or its start, was told to stop and has not yet.
    Stopping,
}

impl<E: Clone> Report<E> {
    pub(crate) fn new(nodes: &BTreeMap<ManifoldName, Node<E>>, is_ending: bool) -> Report<E> {
        let manifold = |(name, node): (&ManifoldName, &Node<E>)| ManifoldReport {
            name: name.clone(),
            state: match node.state {
                State::Down => ManifoldState::Down,
                State::Waiting { .. } => ManifoldState::Waiting,
                State::Starting { .. } => ManifoldState::Starting,
                State::Running { .. } => ManifoldState::Running,
                State::Aborting { .. } | State::Stopping { .. } => ManifoldState::Stopping,
            },
            inputs: node.inputs.clone(),
            start_count: node.starts,
            last_error: node.last_error.clone(),
        };
        Report { is_ending, manifolds: nodes.iter().map(manifold).collect() }
    }
}

impl<E> Report<E> {
    /// What the report says of the manifold `name`, if there is one.
    pub fn manifold(&self, name: &str) -> Option<&ManifoldReport<E>> {
        self.manifolds.iter().find(|manifold| manifold.name.as_str() == name)
    }
}

impl<E: fmt::Display> fmt::Display for Report<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_ending { "ending" } else { "running" };
        write!(formatter, "engine: {state}")?;
        for manifold in &self.manifolds {
            write!(formatter, "\n{manifold}")?;
        }
        Ok(())
    }
}

impl<E: fmt::Display> fmt::Display for ManifoldReport<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ManifoldReport { name, state, start_count, .. } = self;
        write!(formatter, "{name}: {state}, started {start_count} times")?;
        for (index, input) in self.inputs.iter().enumerate() {
            let before = if index == 0 { ", inputs " } else { ", " };
            write!(formatter, "{before}{input}")?;
        }
        match &self.last_error {
            Some(error) => write!(formatter, ", last error: {error}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ManifoldState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            ManifoldState::Down => "down",
            ManifoldState::Waiting => "waiting",
            ManifoldState::Starting => "starting",
            ManifoldState::Running => "running",
            ManifoldState::Stopping => "stopping",
        })
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use alloc::vec;

    use tenure_core::Instant;

    use crate::{Config, Engine, Event, ManifoldName, Outcome, RunId};

    #[test]
    fn a_report_can_be_serialized() {
        let mut engine: Engine<&str> = Engine::new(Config::default(), Instant::ORIGIN);
        let inputs = vec![ManifoldName::from("agent")];
        engine.install(ManifoldName::from("tracker"), inputs, Instant::ORIGIN).unwrap();
        let outcome = Outcome::Failed("no route");
        engine.handle(Event::StartFailed { run: RunId::new(1), outcome }, Instant::ORIGIN);
        let wanted = serde_json::json!({
            "is_ending": false,
            "manifolds": [{
                "name": "tracker",
                "state": "waiting",
                "inputs": ["agent"],
                "start_count": 0,
                "last_error": "no route",
            }],
        });
        assert_eq!(serde_json::to_value(engine.report()).unwrap(), wanted);
    }
}

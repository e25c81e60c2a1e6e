use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use tenure_core::{Instant, Jitter};

use crate::cycle::find_cycle;
use crate::node::{Node, State};
use crate::{Action, Config, Event, InstallError, ManifoldName, Outcome, Report, RunId};

/// Runs a graph of manifolds, each when its inputs are there, and again when they change.
///
/// It does nothing by itself. Whoever drives it installs manifolds, hands in events, and carries
/// out the actions that come back: see the crate's documentation.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Engine<E> {
    config: Config,
    now: Instant,
    nodes: BTreeMap<ManifoldName, Node<E>>,
    next_run: RunId,
    jitter: Jitter,
    phase: Phase<E>,
    armed: Option<Instant>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Phase<E> {
    Running,
    /// Ends when all workers have; with the fatal errors so far.
    Stopping(Vec<E>),
    Finished,
}

impl<E: Clone> Engine<E> {
    /// An engine with no manifolds.
    pub fn new(config: Config, now: Instant) -> Engine<E> {
        Engine {
            now,
            nodes: BTreeMap::new(),
            next_run: RunId::new(1),
            jitter: Jitter::new(config.jitter_seed()),
            phase: Phase::Running,
            armed: None,
            config,
        }
    }

    /// Adds a manifold, and starts it: whether its inputs are there or not.
    ///
    /// # Errors
    ///
    /// An [`InstallError`], if the name is taken, if the manifold would depend on itself, or if the
    /// engine is ending. The engine is as it was.
    pub fn install(
        &mut self,
        name: ManifoldName,
        inputs: Vec<ManifoldName>,
        now: Instant,
    ) -> Result<Vec<Action<E>>, InstallError> {
        if self.nodes.contains_key(&name) {
            return Err(InstallError::NameTaken { name });
        }
        if self.is_ending() {
            return Err(InstallError::Ending { name });
        }
        if let Some(cycle) = find_cycle(&name, &inputs, |name| Some(&*self.nodes.get(name)?.inputs))
        {
            return Err(InstallError::Cycle { cycle });
        }
        let mut actions = Vec::new();
        self.now = self.now.max(now);
        let state = State::Waiting { at: self.now };
        let next_delay = self.config.error_delay();
        let node = Node { inputs, state, leaving: false, next_delay, starts: 0, last_error: None };
        self.nodes.insert(name, node);
        self.go_on(&mut actions);
        Ok(actions)
    }

    /// Takes in `event` at `now`, and gives what has to be done, in order. Total: any event in any
    /// state is fine. A `now` before the latest one seen is taken as that.
    pub fn handle(&mut self, event: Event<E>, now: Instant) -> Vec<Action<E>> {
        let mut actions = Vec::new();
        if let Phase::Finished = self.phase {
            return actions;
        }
        self.now = self.now.max(now);
        match event {
            Event::Started { run } => self.started(run, &mut actions),
            Event::StartFailed { run, outcome } | Event::Stopped { run, outcome } => {
                self.ended(run, outcome, &mut actions);
            }
            Event::Stop => self.stop(),
            Event::TimerFired => {}
            Event::Uninstalled { name } => self.uninstall(&name, &mut actions),
        }
        self.go_on(&mut actions);
        actions
    }

    /// What each manifold is doing.
    pub fn report(&self) -> Report<E> {
        Report::new(&self.nodes, self.is_ending())
    }

    /// Whether there is a manifold of that name.
    pub fn contains(&self, name: &ManifoldName) -> bool {
        self.nodes.contains_key(name)
    }

    /// What the manifold of that name depends on, if there is one.
    pub fn inputs(&self, name: &ManifoldName) -> Option<&[ManifoldName]> {
        self.nodes.get(name).map(|node| &*node.inputs)
    }

    /// Whether the engine has been told to end, or a fatal error has ended it.
    pub fn is_ending(&self) -> bool {
        match self.phase {
            Phase::Running => false,
            Phase::Stopping(_) | Phase::Finished => true,
        }
    }

    /// When the engine wants to hear of the time next: what the timer is armed for.
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = self.nodes.values().filter_map(|node| match node.state {
            State::Waiting { at } => Some(at),
            State::Down
            | State::Starting { .. }
            | State::Aborting { .. }
            | State::Running { .. }
            | State::Stopping { .. } => None,
        });
        waiting.min()
    }
}

/// What happened.
impl<E: Clone> Engine<E> {
    fn started(&mut self, run: RunId, actions: &mut Vec<Action<E>>) {
        let since = self.now;
        let Some((name, node)) = self.node_of(run) else { return };
        match node.state {
            State::Starting { .. } => {
                node.state = State::Running { run, since };
                node.starts = node.starts.saturating_add(1);
                actions.push(Action::Changed { name: name.clone() });
                self.bounce_dependents(&name, actions);
            }
            // It was told to stop before it had started, and so nobody is told that it has.
            State::Aborting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Down
            | State::Waiting { .. } => {}
        }
    }

    fn ended(&mut self, run: RunId, outcome: Outcome<E>, actions: &mut Vec<Action<E>>) {
        let Some((name, node)) = self.node_of(run) else { return };
        let (was_told, seen_since) = match node.state {
            State::Starting { .. } => (false, None),
            State::Aborting { .. } => (true, None),
            State::Running { since, .. } => (false, Some(since)),
            State::Stopping { since, .. } => (true, Some(since)),
            State::Down | State::Waiting { .. } => return,
        };
        node.state = State::Down;
        actions.push(Action::Changed { name: name.clone() });
        self.reset_backoff(&name, seen_since);
        let error_delay = match &outcome {
            Outcome::Failed(error) => Some(self.note_error(&name, error)),
            Outcome::Fatal(error) => {
                self.stop();
                if let Phase::Stopping(errors) = &mut self.phase {
                    errors.push(error.clone());
                }
                Some(self.note_error(&name, error))
            }
            // Errors with an end without one between them are not in a row.
            Outcome::Finished | Outcome::Missing => {
                self.forget_errors(&name);
                None
            }
            Outcome::Bounce | Outcome::Uninstall => None,
        };
        if self.is_leaving(&name) || matches!(outcome, Outcome::Uninstall) {
            self.nodes.remove(&name);
        } else if was_told {
            // Whatever it said at the end: it was stopped because its inputs had changed.
            self.start_after(&name, self.config.bounce_delay());
        } else {
            match outcome {
                Outcome::Finished | Outcome::Missing | Outcome::Uninstall => {}
                Outcome::Bounce => self.start_after(&name, self.config.bounce_delay()),
                Outcome::Failed(_) | Outcome::Fatal(_) => {
                    self.start_after(&name, error_delay.unwrap_or(self.config.max_delay()));
                }
            }
        }
        if seen_since.is_some() {
            self.bounce_dependents(&name, actions);
        }
    }

    /// Takes note of an error, and says how long to wait after it.
    fn note_error(&mut self, name: &ManifoldName, error: &E) -> Duration {
        let Some(node) = self.nodes.get_mut(name) else { return self.config.max_delay() };
        node.last_error = Some(error.clone());
        let delay = node.next_delay;
        node.next_delay = self.config.backoff_factor().grow(delay, self.config.max_delay());
        self.jitter.shorten(delay)
    }

    /// A worker that has run for long has shown that the trouble before it is over.
    fn reset_backoff(&mut self, name: &ManifoldName, seen_since: Option<Instant>) {
        let Some(since) = seen_since else { return };
        if self.now.saturating_duration_since(since) > self.config.reset_time() {
            self.forget_errors(name);
        }
    }

    fn forget_errors(&mut self, name: &ManifoldName) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.next_delay = self.config.error_delay();
        }
    }

    fn stop(&mut self) {
        if let Phase::Running = self.phase {
            self.phase = Phase::Stopping(Vec::new());
        }
    }

    fn uninstall(&mut self, name: &ManifoldName, actions: &mut Vec<Action<E>>) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        match node.state {
            State::Down | State::Waiting { .. } => {
                self.nodes.remove(name);
                actions.push(Action::Changed { name: name.clone() });
            }
            State::Starting { .. }
            | State::Aborting { .. }
            | State::Running { .. }
            | State::Stopping { .. } => {
                node.leaving = true;
                // An engine that ends stops its dependents first, and it in its turn.
                if !self.is_ending() {
                    self.tell_to_stop(name, actions);
                }
            }
        }
    }
}

/// What follows.
impl<E: Clone> Engine<E> {
    /// Starts what is due, or ends what can end, and arms the timer.
    fn go_on(&mut self, actions: &mut Vec<Action<E>>) {
        match self.phase {
            Phase::Running => self.start_what_is_due(actions),
            Phase::Stopping(_) => self.stop_what_nothing_depends_on(actions),
            Phase::Finished => {}
        }
        let deadline = self.deadline();
        if deadline != self.armed {
            self.armed = deadline;
            actions.extend(deadline.map(|at| Action::ArmTimer { at }));
        }
    }

    fn start_what_is_due(&mut self, actions: &mut Vec<Action<E>>) {
        let now = self.now;
        let is_due = |node: &Node<E>| matches!(node.state, State::Waiting { at } if at <= now);
        let due = self.nodes.iter().filter(|(_, node)| is_due(node));
        let due: Vec<ManifoldName> = due.map(|(name, _)| name.clone()).collect();
        for name in due {
            let run = self.next_run;
            self.next_run = run.next();
            let inputs = self.inputs_of(&name);
            if let Some(node) = self.nodes.get_mut(&name) {
                node.state = State::Starting { run };
                actions.push(Action::Changed { name: name.clone() });
                actions.push(Action::Start { name, run, inputs });
            }
        }
    }

    fn stop_what_nothing_depends_on(&mut self, actions: &mut Vec<Action<E>>) {
        for (name, node) in &mut self.nodes {
            if let State::Waiting { .. } = node.state {
                node.state = State::Down;
                actions.push(Action::Changed { name: name.clone() });
            }
        }
        let live = self.nodes.iter().filter(|(_, node)| node.state.run().is_some());
        let needed: BTreeSet<&ManifoldName> =
            live.clone().flat_map(|(_, node)| &node.inputs).collect();
        let is_down = live.clone().next().is_none();
        let free = live.map(|(name, _)| name).filter(|name| !needed.contains(name));
        let free: Vec<ManifoldName> = free.cloned().collect();
        for name in &free {
            self.tell_to_stop(name, actions);
        }
        if is_down
            && let Phase::Stopping(errors) = core::mem::replace(&mut self.phase, Phase::Finished)
        {
            actions.push(Action::Finished { errors });
        }
    }

    /// The worker of `name` has come or gone.
    fn bounce_dependents(&mut self, name: &ManifoldName, actions: &mut Vec<Action<E>>) {
        if self.is_ending() {
            return;
        }
        let dependents = self.nodes.iter().filter(|(_, node)| node.inputs.contains(name));
        let is_down = |node: &Node<E>| matches!(node.state, State::Down);
        let dependents: Vec<(ManifoldName, bool)> =
            dependents.map(|(name, node)| (name.clone(), is_down(node))).collect();
        for (dependent, was_down) in dependents {
            if was_down {
                actions.push(Action::Changed { name: dependent.clone() });
            }
            self.start_after(&dependent, self.config.bounce_delay());
            self.tell_to_stop(&dependent, actions);
        }
    }

    /// Has a manifold that is down start after `delay`, or sooner if it was to start sooner.
    fn start_after(&mut self, name: &ManifoldName, delay: Duration) {
        let soon = self.now.saturating_add(delay);
        let is_ending = self.is_ending();
        if let Some(node) = self.nodes.get_mut(name) {
            node.state = match node.state {
                State::Down if is_ending => State::Down,
                State::Down => State::Waiting { at: soon },
                State::Waiting { at } => State::Waiting { at: at.min(soon) },
                live @ (State::Starting { .. }
                | State::Aborting { .. }
                | State::Running { .. }
                | State::Stopping { .. }) => live,
            };
        }
    }

    fn tell_to_stop(&mut self, name: &ManifoldName, actions: &mut Vec<Action<E>>) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let (run, told) = match node.state {
            State::Starting { run } => (run, State::Aborting { run }),
            State::Running { run, since } => (run, State::Stopping { run, since }),
            State::Down
            | State::Waiting { .. }
            | State::Aborting { .. }
            | State::Stopping { .. } => return,
        };
        node.state = told;
        actions.push(Action::Changed { name: name.clone() });
        actions.push(Action::Stop { name: name.clone(), run });
    }

    /// The runs of the workers that `name` would be given now.
    fn inputs_of(&self, name: &ManifoldName) -> Vec<Option<RunId>> {
        let Some(node) = self.nodes.get(name) else { return Vec::new() };
        let run_of = |input: &ManifoldName| match self.nodes.get(input)?.state {
            State::Running { run, .. } => Some(run),
            State::Down
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Aborting { .. }
            | State::Stopping { .. } => None,
        };
        node.inputs.iter().map(run_of).collect()
    }

    fn is_leaving(&self, name: &ManifoldName) -> bool {
        self.nodes.get(name).is_some_and(|node| node.leaving)
    }

    fn node_of(&mut self, run: RunId) -> Option<(ManifoldName, &mut Node<E>)> {
        let mut nodes = self.nodes.iter_mut();
        let (name, node) = nodes.find(|(_, node)| node.state.run() == Some(run))?;
        Some((name.clone(), node))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_manifold_is_there_with_its_inputs_until_it_is_uninstalled() {
        let mut engine = Engine::<()>::new(Config::default(), Instant::ORIGIN);
        let (api, agent) = (ManifoldName::from("api"), ManifoldName::from("agent"));
        assert!(!engine.contains(&api) && engine.inputs(&api).is_none());
        let _ = engine.install(api.clone(), vec![agent.clone()], Instant::ORIGIN).unwrap();
        assert!(engine.contains(&api) && !engine.contains(&agent));
        assert_eq!(engine.inputs(&api), Some(&[agent.clone()][..]));
        assert_eq!(engine.inputs(&agent), None);
        let run = RunId::new(1);
        let _ = engine.handle(Event::Uninstalled { name: api.clone() }, Instant::ORIGIN);
        let outcome = Outcome::Finished;
        let _ = engine.handle(Event::StartFailed { run, outcome }, Instant::ORIGIN);
        assert!(!engine.contains(&api) && engine.inputs(&api).is_none());
    }
}

//! Books of one engine, kept from what goes in and what comes out.
//!
//! [`Books`] know which runs are out, on which inputs, who was told to stop, and when who is to be
//! started. They learn that from events and actions alone, and say which rule an answer breaks. An
//! [`Audited`] engine is one with its books.

mod close;
mod refusal;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::time::Duration;

use tenure_core::Instant;
use tenure_dependency::{
    Action, Config, Engine, Event, InstallError, ManifoldName, ManifoldState, Outcome, RunId,
};

/// An engine with its books.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Audited<E> {
    /// The machine.
    pub engine: Engine<E>,
    /// Its books.
    pub books: Books<E>,
}

impl<E: Clone + Eq + Hash> Audited<E> {
    /// An engine that begins at `now`.
    pub fn new(config: Config, now: Instant) -> Audited<E> {
        Audited { engine: Engine::new(config.clone(), now), books: Books::new(config, now) }
    }

    /// Hands in `event` at `now`.
    ///
    /// # Errors
    ///
    /// Which rule the answer breaks.
    pub fn handle(&mut self, event: Event<E>, now: Instant) -> Result<Vec<Action<E>>, String> {
        let actions = self.engine.handle(event.clone(), now);
        let before = self.books.rows();
        self.books.now = self.books.now.max(now);
        let told = self.books.take_in(event);
        self.books.close(&before, &told, &actions, &self.engine)?;
        Ok(actions)
    }

    /// Installs a manifold at `now`, or hands out why it was refused.
    ///
    /// # Errors
    ///
    /// Which rule the answer breaks.
    pub fn install(
        &mut self,
        name: ManifoldName,
        inputs: Vec<ManifoldName>,
        now: Instant,
    ) -> Result<Result<Vec<Action<E>>, InstallError>, String> {
        let refusal = self.books.refusal(&name, &inputs);
        let before = self.engine.clone();
        let answer = self.engine.install(name.clone(), inputs.clone(), now);
        match &answer {
            Err(_) if self.engine != before => Err("a refusal changes something")?,
            Err(error) => self.books.check_refusal(refusal, error, &name, &inputs)?,
            Ok(_) if refusal.is_some() => Err("installed what was to be refused")?,
            Ok(actions) => {
                let before = self.books.rows();
                self.books.now = self.books.now.max(now);
                let doing = Doing::Waits { earliest: self.books.now, latest: self.books.now };
                let next_delay = self.books.config.error_delay();
                let entry = Entry {
                    inputs,
                    doing,
                    leaving: false,
                    next_delay,
                    starts: 0,
                    last_error: None,
                };
                self.books.entries.insert(name, entry);
                self.books.close(&before, &BTreeSet::new(), actions, &self.engine)?;
            }
        }
        Ok(answer)
    }
}

/// What is known of an engine from outside.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Books<E> {
    config: Config,
    now: Instant,
    armed: Option<Instant>,
    /// The number of the last start.
    runs: u64,
    phase: Phase<E>,
    entries: BTreeMap<ManifoldName, Entry<E>>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Phase<E> {
    Running,
    Ending(Vec<E>),
    Finished,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Entry<E> {
    inputs: Vec<ManifoldName>,
    doing: Doing,
    leaving: bool,
    /// The longest that it may wait after its next error.
    next_delay: Duration,
    starts: u64,
    last_error: Option<E>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Doing {
    /// Nothing, until an input changes.
    Idle,
    /// It is to be started not before `earliest` and not after `latest`: jitter is between them.
    Waits { earliest: Instant, latest: Instant },
    /// A start or a worker is out.
    Out(Run),
}

/// What the report should say of a manifold, but for its inputs: those stay.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Row<E> {
    name: ManifoldName,
    state: ManifoldState,
    starts: u64,
    last_error: Option<E>,
}

/// A start or a worker that is out.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Run {
    /// Its number.
    pub run: RunId,
    /// What it was started with.
    pub given: Vec<Option<RunId>>,
    /// Since when its worker could be used by dependents.
    pub since: Option<Instant>,
    /// Whether it was told to stop.
    pub was_told: bool,
}

impl Run {
    /// Whether dependents may be given it.
    fn is_usable(&self) -> bool {
        self.since.is_some() && !self.was_told
    }
}

impl<E: Clone + Eq + Hash> Books<E> {
    fn new(config: Config, now: Instant) -> Books<E> {
        let entries = BTreeMap::new();
        Books { config, now, armed: None, runs: 0, phase: Phase::Running, entries }
    }

    /// The latest instant seen.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How many starts went out.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Whether the engine has said that nothing more will come.
    pub fn has_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished)
    }

    /// Whether a stop or a fatal error was handed in.
    pub fn is_ending(&self) -> bool {
        !matches!(self.phase, Phase::Running)
    }

    /// What is out, by manifold.
    pub fn out(&self) -> impl Iterator<Item = (&ManifoldName, &Run)> {
        self.entries.iter().filter_map(|(name, entry)| match &entry.doing {
            Doing::Out(run) => Some((name, run)),
            Doing::Idle | Doing::Waits { .. } => None,
        })
    }

    /// The manifolds that are down, and wait for nothing but a change of an input.
    pub fn idle(&self) -> impl Iterator<Item = &ManifoldName> {
        let idle = self.entries.iter().filter(|(_, entry)| entry.doing == Doing::Idle);
        idle.map(|(name, _)| name)
    }

    /// Whether there is a manifold of that name.
    pub fn contains(&self, name: &ManifoldName) -> bool {
        self.entries.contains_key(name)
    }

    /// What a start of `name` would be given now.
    pub fn inputs_now(&self, name: &ManifoldName) -> Vec<Option<RunId>> {
        let Some(entry) = self.entries.get(name) else { return Vec::new() };
        let usable = |input| self.run(input).filter(|run| run.is_usable()).map(|run| run.run);
        entry.inputs.iter().map(usable).collect()
    }

    fn run(&self, name: &ManifoldName) -> Option<&Run> {
        match &self.entries.get(name)?.doing {
            Doing::Out(run) => Some(run),
            Doing::Idle | Doing::Waits { .. } => None,
        }
    }

    fn rows(&self) -> Vec<Row<E>> {
        let row = |(name, entry): (&ManifoldName, &Entry<E>)| Row {
            name: name.clone(),
            state: entry.state(),
            starts: entry.starts,
            last_error: entry.last_error.clone(),
        };
        self.entries.iter().map(row).collect()
    }

    /// Writes down an event, and says who has to be told to stop because of it.
    fn take_in(&mut self, event: Event<E>) -> BTreeSet<ManifoldName> {
        let mut told = BTreeSet::new();
        if self.has_finished() {
            return told;
        }
        match event {
            Event::Started { run } => {
                let now = self.now;
                let entry = self.entries.iter_mut().find(|(_, entry)| is_out(entry, run));
                if let Some((name, entry)) = entry
                    && let Doing::Out(out) = &mut entry.doing
                    && !out.was_told
                    && out.since.is_none()
                {
                    out.since = Some(now);
                    entry.starts += 1;
                    let name = name.clone();
                    self.has_changed(&name, &mut told);
                }
            }
            Event::StartFailed { run, outcome } | Event::Stopped { run, outcome } => {
                self.ended(run, outcome, &mut told);
            }
            Event::Stop => self.end(),
            Event::TimerFired => {}
            Event::Uninstalled { name } => {
                if let Some(entry) = self.entries.get_mut(&name) {
                    match entry.doing {
                        Doing::Idle | Doing::Waits { .. } => drop(self.entries.remove(&name)),
                        Doing::Out(_) => {
                            entry.leaving = true;
                            told.insert(name);
                        }
                    }
                }
            }
        }
        if self.is_ending() {
            told.clear();
            for entry in self.entries.values_mut() {
                if let Doing::Waits { .. } = entry.doing {
                    entry.doing = Doing::Idle;
                }
            }
        }
        told
    }

    fn ended(&mut self, run: RunId, outcome: Outcome<E>, told: &mut BTreeSet<ManifoldName>) {
        let found = self.entries.iter_mut().find(|(_, entry)| is_out(entry, run));
        let Some((name, entry)) = found else { return };
        let name = name.clone();
        let Doing::Out(run) = std::mem::replace(&mut entry.doing, Doing::Idle) else { return };
        let (config, now) = (&self.config, self.now);
        let ran = run.since.map(|since| now.saturating_duration_since(since));
        if ran.is_some_and(|ran| ran > config.reset_time()) {
            entry.next_delay = config.error_delay();
        }
        let longest = entry.next_delay;
        let mut is_gone = entry.leaving;
        let mut fatal = None;
        let bounce = Some((config.bounce_delay(), config.bounce_delay()));
        let wait = match outcome {
            Outcome::Bounce => bounce,
            Outcome::Finished | Outcome::Missing => {
                entry.next_delay = config.error_delay();
                None
            }
            Outcome::Failed(error) => {
                entry.fails(config, error);
                Some((longest - longest / 2, longest))
            }
            Outcome::Fatal(error) => {
                entry.fails(config, error.clone());
                fatal = Some(error);
                None
            }
            Outcome::Uninstall => {
                is_gone = true;
                None
            }
        };
        let wait = if run.was_told { bounce } else { wait };
        if let Some((shortest, longest)) = wait {
            let [earliest, latest] = [shortest, longest].map(|span| now.saturating_add(span));
            entry.doing = Doing::Waits { earliest, latest };
        }
        if is_gone {
            self.entries.remove(&name);
        }
        if let Some(error) = fatal {
            self.end();
            if let Phase::Ending(errors) = &mut self.phase {
                errors.push(error);
            }
        }
        if run.since.is_some() {
            self.has_changed(&name, told);
        }
    }

    fn end(&mut self) {
        if let Phase::Running = self.phase {
            self.phase = Phase::Ending(Vec::new());
        }
    }

    /// The worker of `input` has come or gone.
    fn has_changed(&mut self, input: &ManifoldName, told: &mut BTreeSet<ManifoldName>) {
        let soon = self.now.saturating_add(self.config.bounce_delay());
        for (name, entry) in &mut self.entries {
            if !entry.inputs.contains(input) {
                continue;
            }
            match &mut entry.doing {
                Doing::Idle => entry.doing = Doing::Waits { earliest: soon, latest: soon },
                Doing::Waits { earliest, latest } => {
                    *earliest = soon.min(*earliest);
                    *latest = soon.min(*latest);
                }
                Doing::Out(_) => {
                    told.insert(name.clone());
                }
            }
        }
    }
}

impl<E> Entry<E> {
    fn fails(&mut self, config: &Config, error: E) {
        let factor = u128::from(config.backoff_factor().millionths());
        let grown = self.next_delay.as_nanos() * factor / 1_000_000;
        let grown = Duration::from_nanos(u64::try_from(grown).unwrap_or(u64::MAX));
        self.next_delay = grown.min(config.max_delay());
        self.last_error = Some(error);
    }

    fn state(&self) -> ManifoldState {
        match &self.doing {
            Doing::Idle => ManifoldState::Down,
            Doing::Waits { .. } => ManifoldState::Waiting,
            Doing::Out(run) if run.was_told => ManifoldState::Stopping,
            Doing::Out(run) if run.since.is_some() => ManifoldState::Running,
            Doing::Out(_) => ManifoldState::Starting,
        }
    }
}

fn is_out<E>(entry: &Entry<E>, run: RunId) -> bool {
    matches!(&entry.doing, Doing::Out(out) if out.run == run)
}

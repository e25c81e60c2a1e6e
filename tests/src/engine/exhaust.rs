//! All histories of one engine, to a depth.
//!
//! From each state every input is tried at every interesting instant; the books of
//! [`super::books`] check what comes back. States that are the same in every field, the books
//! included, are expanded once. From each of them it is also tried whether the engine comes to rest
//! once all goes well, and to its end once it is told to stop.
//!
//! Inputs that must change nothing, and those that must do the same as others, are compared with
//! those rather than followed: the engines are equal after them, field by field.

mod settle;

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::time::Duration;

use tenure_core::Instant;
use tenure_dependency::{Action, Config, Engine, Event, ManifoldName, Outcome, RunId};

use super::books::Audited;
use super::trace::{self, Input};

/// How much was tried.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// How many graphs the histories began with.
    pub roots: u64,
    /// Histories: each is an input at an instant after another history.
    pub histories: u64,
    /// Inputs handled in all, with those that are only compared, and those on the way to rest.
    pub handled: u64,
    /// States that differ and were expanded.
    pub states: u64,
}

impl Counts {
    /// Adds what another search tried.
    pub fn add(&mut self, other: &Counts) {
        self.roots += other.roots;
        self.histories += other.histories;
        self.handled += other.handled;
        self.states += other.states;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} roots, {} histories, {} inputs handled, {} states expanded",
            self.roots, self.histories, self.handled, self.states
        )
    }
}

/// What may be installed, and what it depends on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Graph(pub Vec<(ManifoldName, Vec<ManifoldName>)>);

impl Graph {
    /// The inputs that install the manifolds whose place is in `places`, at `now`.
    pub fn install(&self, places: &[usize], now: Instant) -> Vec<(Input<u8>, Instant)> {
        let manifolds = places.iter().filter_map(|&place| self.0.get(place).cloned());
        manifolds.map(|(name, inputs)| (Input::Install { name, inputs }, now)).collect()
    }
}

/// Exhausts the histories that begin at `start` with `prefix` and go on for up to `depth` inputs.
///
/// # Errors
///
/// The first rule that is broken, and the history that breaks it, as a trace.
pub fn exhaust(
    config: &Config,
    start: Instant,
    graph: &Graph,
    prefix: &[(Input<u8>, Instant)],
    depth: usize,
) -> Result<Counts, String> {
    let mut root = Audited::new(config.clone(), start);
    for (input, now) in prefix {
        hand_in(&mut root, input.clone(), *now)?;
    }
    let counts = Counts { roots: 1, states: 1, ..Counts::default() };
    let mut search = Search { config, start, graph, counts, seen: Seen::default() };
    search.seen.is_new(&root);
    let root = Node { audited: root, path: prefix.to_vec() };
    search.check_rest(&root)?;
    let mut level = vec![root];
    for depth_left in (1..=depth).rev() {
        let mut next = Vec::new();
        for node in &level {
            search.expand(node, depth_left, &mut next)?;
        }
        level = next;
    }
    Ok(search.counts)
}

/// Hands an input in. A refusal is an answer without actions.
fn hand_in(
    audited: &mut Audited<u8>,
    input: Input<u8>,
    now: Instant,
) -> Result<Vec<Action<u8>>, String> {
    match input {
        Input::Event(event) => audited.handle(event, now),
        Input::Install { name, inputs } => {
            Ok(audited.install(name, inputs, now)?.unwrap_or_default())
        }
    }
}

struct Node {
    audited: Audited<u8>,
    path: Vec<(Input<u8>, Instant)>,
}

struct Search<'a> {
    config: &'a Config,
    start: Instant,
    graph: &'a Graph,
    counts: Counts,
    seen: Seen,
}

impl Search<'_> {
    fn expand(
        &mut self,
        node: &Node,
        depth_left: usize,
        next: &mut Vec<Node>,
    ) -> Result<(), String> {
        let inputs = inputs(&node.audited, self.graph);
        for now in instants(&node.audited, self.config) {
            let passed = self.follow(node, &Input::Event(Event::TimerFired), now)?;
            if depth_left > 1 {
                self.compare(node, now, &passed)?;
            }
            self.keep(node, Input::Event(Event::TimerFired), now, passed.0, depth_left, next)?;
            if is_just_before(&node.audited, now) {
                continue;
            }
            for input in &inputs {
                let (after, _) = self.follow(node, input, now)?;
                self.keep(node, input.clone(), now, after, depth_left, next)?;
            }
        }
        Ok(())
    }

    /// Has `after` expanded, unless it was or is too deep.
    fn keep(
        &mut self,
        node: &Node,
        input: Input<u8>,
        now: Instant,
        after: Audited<u8>,
        depth_left: usize,
        next: &mut Vec<Node>,
    ) -> Result<(), String> {
        if depth_left > 1 && after != node.audited && self.seen.is_new(&after) {
            self.counts.states += 1;
            let mut path = node.path.clone();
            path.push((input, now));
            let node = Node { audited: after, path };
            self.check_rest(&node)?;
            self.check_quiet(&node)?;
            next.push(node);
        }
        Ok(())
    }

    fn follow(
        &mut self,
        node: &Node,
        input: &Input<u8>,
        now: Instant,
    ) -> Result<(Audited<u8>, Vec<Action<u8>>), String> {
        let mut audited = node.audited.clone();
        let result = hand_in(&mut audited, input.clone(), now);
        let actions = self.explain(result, node, input, now)?;
        self.counts.histories += 1;
        self.counts.handled += 1;
        Ok((audited, actions))
    }

    /// What must change nothing, or the same as something else.
    fn compare(
        &mut self,
        node: &Node,
        now: Instant,
        (passed, actions): &(Audited<u8>, Vec<Action<u8>>),
    ) -> Result<(), String> {
        for event in void_events(&node.audited) {
            let mut other = node.audited.engine.clone();
            self.counts.handled += 1;
            let same = other.handle(event.clone(), now) == *actions && other == passed.engine;
            let rule = "what is not out, or not there, changes something";
            self.demand(same, rule, node, &Input::Event(event), now)?;
        }
        if now != node.audited.books.now() {
            return Ok(());
        }
        let past = now.saturating_sub(Duration::from_nanos(7));
        for input in inputs(&node.audited, self.graph) {
            let same = result(&node.audited.engine, &input, now)
                == result(&node.audited.engine, &input, past);
            self.counts.handled += 2;
            self.demand(same, "time ran backwards", node, &input, past)?;
        }
        for (one, other) in twins(&node.audited) {
            let [one, other] = [one, other].map(Input::Event);
            let same = result(&node.audited.engine, &one, now)
                == result(&node.audited.engine, &other, now);
            self.counts.handled += 2;
            self.demand(same, "two ways to end differ", node, &other, now)?;
        }
        Ok(())
    }

    fn check_rest(&mut self, node: &Node) -> Result<(), String> {
        let result = settle::check(&node.audited);
        let input = Input::Event(Event::TimerFired);
        let now = node.audited.books.now();
        self.counts.handled += self.explain(result, node, &input, now)?;
        Ok(())
    }

    /// What comes after an input has happened: the timer at once has nothing to add.
    fn check_quiet(&mut self, node: &Node) -> Result<(), String> {
        let now = node.audited.books.now();
        let mut again = node.audited.engine.clone();
        self.counts.handled += 1;
        let quiet = again.handle(Event::TimerFired, now).is_empty() && again == node.audited.engine;
        let timer = Input::Event(Event::TimerFired);
        self.demand(quiet, "the timer has something to add", node, &timer, now)
    }

    fn explain<T>(
        &self,
        result: Result<T, String>,
        node: &Node,
        input: &Input<u8>,
        now: Instant,
    ) -> Result<T, String> {
        result.map_err(|rule| {
            let mut path = node.path.clone();
            path.push((input.clone(), now));
            format!("{rule}\n{}", trace::history(self.config, self.start, &path))
        })
    }

    fn demand(
        &self,
        holds: bool,
        rule: &str,
        node: &Node,
        input: &Input<u8>,
        now: Instant,
    ) -> Result<(), String> {
        if holds { Ok(()) } else { self.explain(Err(rule.to_owned()), node, input, now) }
    }
}

/// What an engine answers, and what becomes of it.
fn result(
    engine: &Engine<u8>,
    input: &Input<u8>,
    now: Instant,
) -> (Option<Vec<Action<u8>>>, Engine<u8>) {
    let mut engine = engine.clone();
    let actions = match input.clone() {
        Input::Event(event) => Some(engine.handle(event, now)),
        Input::Install { name, inputs } => engine.install(name, inputs, now).ok(),
    };
    (actions, engine)
}

const ERROR: u8 = 1;

/// Every input that may change something, but for the timer, and for those that have a twin.
fn inputs(audited: &Audited<u8>, graph: &Graph) -> Vec<Input<u8>> {
    let mut inputs = vec![Input::Event(Event::Stop)];
    for (name, needs) in &graph.0 {
        inputs.push(if audited.books.contains(name) {
            Input::Event(Event::Uninstalled { name: name.clone() })
        } else {
            Input::Install { name: name.clone(), inputs: needs.clone() }
        });
    }
    for (_, out) in audited.books.out() {
        let run = out.run;
        if out.since.is_none() && !out.was_told {
            inputs.push(Input::Event(Event::Started { run }));
        }
        let outcomes = [
            Outcome::Bounce,
            Outcome::Failed(ERROR),
            Outcome::Fatal(ERROR),
            Outcome::Finished,
            Outcome::Uninstall,
        ];
        inputs.extend(outcomes.map(|outcome| Input::Event(Event::Stopped { run, outcome })));
    }
    inputs
}

/// Events that have to do the same.
fn twins(audited: &Audited<u8>) -> Vec<(Event<u8>, Event<u8>)> {
    let mut twins = Vec::new();
    for (_, out) in audited.books.out() {
        let run = out.run;
        let stopped = |outcome| Event::Stopped { run, outcome };
        twins.push((stopped(Outcome::Finished), stopped(Outcome::Missing)));
        for outcome in [
            Outcome::Bounce,
            Outcome::Failed(ERROR),
            Outcome::Fatal(ERROR),
            Outcome::Missing,
            Outcome::Uninstall,
        ] {
            twins.push((stopped(outcome.clone()), Event::StartFailed { run, outcome }));
        }
    }
    twins
}

/// Every event that may only have the effect of the time that has passed: the runs that have ended,
/// one that has never been, and one that has started or was told to stop.
fn void_events(audited: &Audited<u8>) -> Vec<Event<u8>> {
    let books = &audited.books;
    let mut events = Vec::new();
    for run in (0..=books.runs() + 1).map(RunId::new) {
        match books.out().find(|(_, out)| out.run == run) {
            Some((_, out)) if out.since.is_none() && !out.was_told => {}
            Some(_) => events.push(Event::Started { run }),
            None => {
                events.push(Event::Started { run });
                events.push(Event::StartFailed { run, outcome: Outcome::Failed(ERROR) });
                events.push(Event::Stopped { run, outcome: Outcome::Fatal(ERROR) });
            }
        }
    }
    events.push(Event::Uninstalled { name: ManifoldName::from("nobody") });
    if books.has_finished() {
        events.push(Event::Stop);
        events.extend(books.idle().map(|name| Event::Uninstalled { name: name.clone() }));
    }
    events
}

/// The same instant again; just before and at the deadline; and far past all spans of the config,
/// where that may matter.
fn instants(audited: &Audited<u8>, config: &Config) -> Vec<Instant> {
    let now = audited.books.now();
    let mut instants = vec![now];
    let deadline = audited.engine.deadline();
    if let Some(at) = deadline {
        instants.extend([at.saturating_sub(Duration::from_nanos(1)), at]);
    }
    let runs = audited.books.out().any(|(_, run)| run.since.is_some());
    if runs || deadline.is_some() {
        let longest = config.max_delay().max(config.reset_time()).max(config.bounce_delay());
        instants.push(now.saturating_add(longest.saturating_mul(2)));
    }
    instants.retain(|&instant| now <= instant);
    instants.sort();
    instants.dedup();
    instants
}

/// Other inputs than the timer are not tried then: they do what they do a little earlier.
fn is_just_before(audited: &Audited<u8>, now: Instant) -> bool {
    let next = now.saturating_add(Duration::from_nanos(1));
    audited.books.now() < now && audited.engine.deadline() == Some(next)
}

/// The states met so far, as fingerprints of 128 bits: among 100 million states, two that differ
/// have the same one with a probability under 2^-75.
#[derive(Default)]
struct Seen {
    fingerprints: HashSet<u128>,
    halves: [RandomState; 2],
}

impl Seen {
    fn is_new(&mut self, audited: &Audited<u8>) -> bool {
        let [low, high] = self.halves.each_ref().map(|half| half.hash_one(audited));
        self.fingerprints.insert(u128::from(high) << 64 | u128::from(low))
    }
}

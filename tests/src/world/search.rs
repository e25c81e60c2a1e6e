use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::arena::{Arena, Fingerprinter};
use super::checks::Broken;
use super::history::retell;
use super::model::Model;
use super::report::{Progress, Report};
use super::state::World;
use super::steps::Step;
use super::visited::{Origin, Visited};
use super::worker::Worker;

/// Where a search ends, and what it runs on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// It ends when it has met so many states.
    pub states: u64,
    /// On so many threads.
    pub threads: usize,
}

/// Searches all that can happen in a world, the shortest histories first.
///
/// `observe` is called now and then, from any of the threads.
pub fn search(model: &Model, limits: Limits, observe: &(dyn Fn(Progress) + Sync)) -> Report {
    let arena = Arena::default();
    let symmetries = symmetries(model);
    let search = Search {
        model,
        limits,
        observe,
        symmetries,
        arena: &arena,
        visited: Visited::new(),
        transitions: AtomicU64::new(0),
        continuations: AtomicU64::new(0),
        found: Mutex::default(),
    };
    search.run()
}

struct Search<'a> {
    model: &'a Model,
    limits: Limits,
    observe: &'a (dyn Fn(Progress) + Sync),
    /// The ways to rename the units that change nothing.
    symmetries: Vec<[u8; Model::UNITS_MAX]>,
    arena: &'a Arena,
    visited: Visited,
    transitions: AtomicU64,
    continuations: AtomicU64,
    /// What is broken: by the step after a world, or by that world.
    found: Mutex<Vec<Found>>,
}

struct Found {
    broken: Broken,
    at: Origin,
    choice: Option<u8>,
}

/// A world that waits for its turn.
#[derive(Clone, Copy)]
struct Entry {
    world: World,
    origin: Origin,
}

/// So many worlds are a piece of work.
const CHUNK: usize = 1024;

impl Search<'_> {
    fn run(&self) -> Report {
        let mut workers: Vec<Worker<'_>> =
            (0..self.limits.threads.max(1)).map(|_| Worker::new(self.model, self.arena)).collect();
        let mut report = Report::new(&self.model.name);
        let mut level = match self.root(&mut workers[0]) {
            Ok(root) => vec![root],
            Err(broken) => {
                report.violation = Some(retell(self.model, &broken, &[]));
                return report;
            }
        };
        while !level.is_empty() && self.found().is_empty() && !self.is_full() {
            let next = self.expand(&level, &mut workers, report.depth);
            report.depth += usize::from(!next.is_empty());
            level = next;
        }
        report.is_whole = level.is_empty() && self.found().is_empty();
        report.states = self.visited.len();
        report.transitions = self.transitions.load(Ordering::Relaxed);
        report.continuations = self.continuations.load(Ordering::Relaxed);
        report.machines = self.arena.len();
        for worker in &workers {
            report.add(&worker.seen);
        }
        let mut found = self.found();
        // Whichever thread was first: the same search says the same.
        found.sort_by(|one, other| one.sort_key().cmp(&other.sort_key()));
        report.violation = found.first().map(|first| {
            let mut path = self.visited.path(first.at);
            path.extend(first.choice);
            retell(self.model, &first.broken, &path)
        });
        report
    }

    fn root(&self, worker: &mut Worker<'_>) -> Result<Entry, Broken> {
        let world = worker.first()?;
        worker.learn(&world);
        worker.check(&world)?;
        let fingerprint = self.fingerprint(worker, &world);
        let origin = self.visited.insert(fingerprint, Origin::NONE, 0).unwrap_or(Origin::NONE);
        Ok(Entry { world, origin })
    }

    /// All the new worlds that are one step from those of `level`.
    fn expand(&self, level: &[Entry], workers: &mut [Worker<'_>], depth: usize) -> Vec<Entry> {
        let turn = AtomicUsize::new(0);
        let one = |worker: &mut Worker<'_>| {
            let mut next = Vec::new();
            let mut steps = Vec::new();
            loop {
                let from = turn.fetch_add(CHUNK, Ordering::Relaxed);
                let to = level.len().min(from.saturating_add(CHUNK));
                if from >= to || self.is_full() {
                    return next;
                }
                for entry in &level[from..to] {
                    self.expand_one(worker, entry, &mut steps, &mut next);
                }
                (self.observe)(Progress {
                    states: self.visited.len(),
                    depth,
                    waiting: level.len() - to,
                    machines: self.arena.len(),
                });
            }
        };
        let [first, others @ ..] = workers else { return Vec::new() };
        if level.len() <= CHUNK {
            return one(first);
        }
        thread::scope(|scope| {
            let others: Vec<_> =
                others.iter_mut().map(|worker| scope.spawn(|| one(worker))).collect();
            let mut next = one(first);
            for other in others {
                match other.join() {
                    Ok(more) => next.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            next
        })
    }

    fn expand_one(
        &self,
        worker: &mut Worker<'_>,
        entry: &Entry,
        steps: &mut Vec<Step>,
        next: &mut Vec<Entry>,
    ) {
        worker.learn(&entry.world);
        worker.steps(&entry.world, steps);
        self.transitions.fetch_add(steps.len() as u64, Ordering::Relaxed);
        for (choice, &step) in steps.iter().enumerate() {
            let choice = choice as u8;
            let broken = match worker.take(&entry.world, step) {
                Ok(world) => {
                    let fingerprint = self.fingerprint(worker, &world);
                    let new = self.visited.insert(fingerprint, entry.origin, choice);
                    let Some(origin) = new else { continue };
                    next.push(Entry { world, origin });
                    self.look_at(worker, entry, step, &world, fingerprint)
                }
                Err(broken) => Err(broken),
            };
            if let Err(broken) = broken {
                let found = Found { broken, at: entry.origin, choice: Some(choice) };
                self.found().push(found);
            }
        }
    }

    /// Checks a world that was not met before.
    fn look_at(
        &self,
        worker: &mut Worker<'_>,
        before: &Entry,
        step: Step,
        world: &World,
        fingerprint: u128,
    ) -> Result<(), Broken> {
        worker.check(world)?;
        let every = self.model.liveness_every;
        if every > 0 && (fingerprint as u64).is_multiple_of(every) {
            let mut tried = worker.check_liveness(world)?;
            tried += worker.check_succession(&before.world, world, step)?;
            self.continuations.fetch_add(tried, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The same for all worlds that differ only in the names of units with the same clock.
    fn fingerprint(&self, worker: &Worker<'_>, world: &World) -> u128 {
        let digests =
            world.units.map(|unit| if unit.is_up() { worker.facts(&unit).digest } else { 0 });
        let of = |names: &[u8; Model::UNITS_MAX]| {
            let mut both = Fingerprinter::new();
            world.encode(names, &digests, |word| both.add(word));
            both.fingerprint()
        };
        match &self.symmetries[..] {
            [only] => of(only),
            several => several.iter().map(of).min().unwrap_or_default(),
        }
    }

    fn is_full(&self) -> bool {
        self.visited.len() >= self.limits.states
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Vec<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    fn sort_key(&self) -> (super::Invariant, &str) {
        (self.broken.invariant, &self.broken.why)
    }
}

/// The ways to rename the units so that each gets the name of one with the same clock.
fn symmetries(model: &Model) -> Vec<[u8; Model::UNITS_MAX]> {
    const ALL: [[u8; Model::UNITS_MAX]; 6] =
        [[0, 1, 2], [1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let rate = |index: usize| model.rates.get(index).copied();
    ALL.into_iter()
        .filter(|names| (0..names.len()).all(|from| rate(from) == rate(usize::from(names[from]))))
        .collect()
}

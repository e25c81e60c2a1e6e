use std::collections::{BTreeMap, BTreeSet};

use tenure_core::{Instant, Nonce, Term};

use super::calls::Call;
use super::choices::Choices;
use super::classes::{Class, Tally};
use super::clock::{Line, Tick};
use super::happenings::{Happening, Queue};
use super::knobs::{Knobs, SLOWEST, ticks};
use super::log::Log;
use super::members::{Host, Member};
use super::store::{Holder, Store};
use super::summary::Summary;
use super::{Options, Run};

/// A cluster: hosts with clocks and processes, a store, and what is on its way between them.
pub(crate) struct World {
    pub(crate) now: Tick,
    pub(crate) queue: Queue,
    pub(crate) steps: u64,
    pub(crate) options: Options,
    pub(crate) knobs: Knobs,
    pub(crate) choices: Choices,
    pub(crate) store: Store,
    pub(crate) weather: Weather,
    pub(crate) hosts: Vec<Host>,
    pub(crate) members: Vec<Member>,
    pub(crate) calls: Vec<Call>,
    /// Who each nonce is.
    pub(crate) nonces: BTreeMap<Nonce, Holder>,
    /// The highest term that anybody believed in, and who did.
    pub(crate) terms: Option<(Term, Holder)>,
    pub(crate) lead: Lead,
    pub(crate) tally: Tally,
    pub(crate) summary: Summary,
    pub(crate) log: Log,
    /// The first time that two believed at once, where the premise is broken.
    pub(crate) exclusion: Option<String>,
}

/// Who leads, for the summary.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lead {
    pub(crate) now: Option<usize>,
    pub(crate) last: Option<usize>,
    /// How often somebody else began to lead.
    pub(crate) changes: u64,
}

/// What is the matter with the store and its surroundings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) is_down: bool,
    pub(crate) is_read_only: bool,
    pub(crate) is_slow: bool,
    pub(crate) has_healed: bool,
    /// The record and who the store named when it went down.
    pub(crate) before_down: Option<(Holder, Instant)>,
    pub(crate) stepped_at: Option<Tick>,
    pub(crate) step_unchecked: bool,
    pub(crate) lost_release: Option<(Holder, Instant)>,
    pub(crate) zombie: Option<(Holder, Instant)>,
    pub(crate) forgot_unchecked: Option<Class>,
    /// Several watched, and have been told that there is no leader.
    pub(crate) herd: bool,
    /// What the store knew a while ago, for a fail-over.
    pub(crate) backup: Option<super::store::Record>,
}

impl World {
    pub(crate) fn new(mut choices: Choices, options: Options) -> World {
        let knobs = Knobs::draw(&mut choices, options.broken);
        let line = Line::new(1_000_000 + u64::from(choices.byte()) * 977, knobs.store_rate);
        let store = Store::new(line, knobs.expiry_raises_term, knobs.tells_retry);
        let mut world = World {
            now: 0,
            queue: Queue::default(),
            steps: 0,
            store,
            weather: Weather::default(),
            hosts: Vec::new(),
            members: Vec::new(),
            calls: Vec::new(),
            nonces: BTreeMap::new(),
            terms: None,
            lead: Lead::default(),
            tally: Tally::default(),
            summary: Summary::default(),
            log: Log::new(options.log),
            exclusion: None,
            options,
            knobs,
            choices,
        };
        for host in 0..world.knobs.hosts {
            let host = world.new_host(host);
            world.hosts.push(host);
        }
        if world.knobs.same_name {
            world.tally.inject(Class::SameName);
        }
        world
    }

    /// What the run gave.
    pub(crate) fn into_run(mut self, violation: Option<String>) -> Run {
        self.summary.runs = 1;
        self.summary.violations = u64::from(violation.is_some());
        self.summary.exclusions = u64::from(self.exclusion.is_some());
        self.summary.tally = self.tally;
        let mut histories = Vec::new();
        let mut cells = BTreeSet::new();
        for member in &mut self.members {
            let process = &mut member.process;
            if let Some(history) = process.history.take() {
                let config = crate::trace::config(process.config());
                let config = format!("{config} seed={}", member.seed);
                histories.push(crate::trace::history(&config, process.began, &history));
            }
            if let Some(coverage) = process.coverage.take() {
                cells.extend(coverage.visited().iter().copied());
            }
        }
        let (hash, log) = self.log.into_parts();
        Run {
            violation,
            exclusion: self.exclusion,
            bytes: self.choices.into_bytes(),
            hash,
            log,
            histories,
            cells,
            summary: self.summary,
        }
    }

    /// Everybody starts, at times that may differ.
    pub(crate) fn begin(&mut self) -> Result<(), String> {
        for host in 0..self.hosts.len() {
            let wait = self.choices.pick(&[0, 0, 0, 1, 4]) * self.knobs.chaos_gap / 4;
            if wait == 0 {
                self.start(host)?;
            } else {
                self.after(wait, Happening::Restart { host });
            }
            let gap = self.gap(self.knobs.user_gap);
            self.after(gap, Happening::User { host });
        }
        if !self.knobs.chaos.is_empty() {
            let gap = self.gap(self.knobs.chaos_gap);
            self.after(gap, Happening::Chaos);
        }
        Ok(())
    }

    /// A span around `average`.
    pub(crate) fn gap(&mut self, average: Tick) -> Tick {
        1 + average / 4 + average * u64::from(self.choices.byte()) / 128
    }

    pub(crate) fn after(&mut self, span: Tick, what: Happening) {
        self.at(self.now.saturating_add(span), what);
    }

    pub(crate) fn at(&mut self, at: Tick, what: Happening) {
        self.queue.plan(at.max(self.now), what);
    }

    /// Lets happen what is due until `end`, or until `done`. Whether it was.
    pub(crate) fn run_until(
        &mut self,
        end: Tick,
        mut done: impl FnMut(&World) -> bool,
    ) -> Result<bool, String> {
        loop {
            if done(self) {
                return Ok(true);
            }
            if self.steps >= self.options.steps_max {
                return Ok(false);
            }
            let Some((at, what)) = self.queue.next(end) else {
                self.pass_to(end);
                self.judge()?;
                return Ok(done(self));
            };
            self.pass_to(at);
            self.steps += 1;
            self.happen(what)?;
            self.judge()?;
        }
    }

    fn pass_to(&mut self, at: Tick) {
        let span = at.saturating_sub(self.now);
        self.summary.ticks += span;
        if self.lead.now.is_some() {
            self.summary.leader_ticks += span;
        }
        self.now = self.now.max(at);
        self.log.set_now(self.now);
    }

    /// The host on which something happens, if it does on one that can be paused.
    fn place(&self, what: &Happening) -> Option<usize> {
        match *what {
            Happening::Look { member }
            | Happening::Timer { member, .. }
            | Happening::WorkEnds { member, .. } => Some(self.members[member].host),
            Happening::Reply { call, .. } => Some(self.members[self.calls[call].member].host),
            Happening::User { host } => Some(host),
            Happening::Chaos
            | Happening::Expiry
            | Happening::Mend(_)
            | Happening::Probe { .. }
            | Happening::Request { .. }
            | Happening::Restart { .. }
            | Happening::Resume { .. }
            | Happening::Turn { .. } => None,
        }
    }

    pub(crate) fn happen(&mut self, what: Happening) -> Result<(), String> {
        if let Some(host) = self.place(&what)
            && self.hosts[host].is_paused
        {
            self.hosts[host].backlog.push(what);
            return Ok(());
        }
        match what {
            Happening::Chaos => self.disrupt(),
            Happening::Expiry => {
                self.expire();
                Ok(())
            }
            Happening::Look { member } => self.look(member),
            Happening::Mend(mend) => self.mend(mend),
            Happening::Probe { member, number } => self.probe(member, number),
            Happening::Reply { call, answer, again } => self.deliver(call, answer, again),
            Happening::Request { call, again } => self.arrive(call, again),
            Happening::Restart { host } => self.start(host),
            Happening::Resume { host } => self.resume(host),
            Happening::Timer { member, generation } => {
                if self.members[member].generation != generation {
                    return Ok(());
                }
                self.members[member].armed = None;
                self.look(member)
            }
            Happening::Turn { host } => self.turn(host),
            Happening::User { host } => self.use_host(host),
            Happening::WorkEnds { member, work } => {
                if !self.members[member].is_alive {
                    return Ok(());
                }
                self.tune(member)?;
                self.members[member].process.end_work(work)?;
                self.settle(member)
            }
        }
    }

    /// The longest lease in ticks, by any clock within the ratio.
    pub(crate) fn lease(&self) -> Tick {
        ticks(self.knobs.config.lease())
    }
}

/// How many years `ticks` are by a clock of the nominal rate.
pub(crate) fn years(ticks: Tick) -> f64 {
    ticks as f64 * SLOWEST as f64 / 1e9 / (365.25 * 86_400.0)
}

use std::cmp::Reverse;
use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use tenure_core::{AttemptId, Instant, Nonce, ServiceName, TenureId, Term, UnitName};

use super::calls::{Answer, Call, CallLine};
use super::choices::Choices;
use super::classes::{Class, Tally};
use super::clock::{Line, Tick};
use super::knobs::{Knobs, SLOWEST, ticks};
use super::log::Log;
use super::process::{Birth, Process};
use super::store::{Holder, Store};
use super::summary::Summary;
use super::{Broken, Options, Run};

/// A cluster: hosts with clocks and processes, a store, and what is on its way between them.
pub(crate) struct World {
    pub(crate) now: Tick,
    queue: BinaryHeap<Reverse<Queued>>,
    queued: u64,
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
    nonces: BTreeMap<Nonce, Holder>,
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

/// A machine with a clock, on which one process runs at a time.
pub(crate) struct Host {
    pub(crate) line: Line,
    pub(crate) name: usize,
    pub(crate) member: Option<usize>,
    pub(crate) is_paused: bool,
    /// How much its clock runs at while it is not suspended.
    pub(crate) rate: u64,
    pub(crate) turns: Option<(Tick, [u64; 2])>,
    pub(crate) backlog: Vec<Happening>,
    pub(crate) cut_out: bool,
    pub(crate) cut_in: bool,
    pub(crate) watches_at_once: bool,
    pub(crate) timers_stuck: bool,
    pub(crate) stepped_back_at: Option<Tick>,
    /// Its calls to the store never return any more.
    pub(crate) is_stuck: bool,
    /// It was paused for this long, and has not answered since.
    pub(crate) paused_at: Tick,
}

/// A process, and what the world knows of it.
pub(crate) struct Member {
    pub(crate) process: Process,
    pub(crate) host: usize,
    pub(crate) is_alive: bool,
    /// Its driver drops the calls that are given up, as that of smol does; that of std waits.
    pub(crate) drops_calls: bool,
    pub(crate) lines: [CallLine; 3],
    pub(crate) armed: Option<Instant>,
    pub(crate) generation: u64,
    pub(crate) probes: u64,
    pub(crate) probed: Option<Instant>,
    pub(crate) held: Option<(Term, Instant)>,
    /// How often the store had forgotten something when it granted what is held.
    pub(crate) forgot: u64,
    pub(crate) last_claim: Option<Claimed>,
    /// When a release, a denial or the stop ended what went before.
    pub(crate) ended_at: Tick,
    /// What its yes answers promised: in which tenure, and until when by its clock.
    pub(crate) promise: Option<(u64, Instant)>,
    /// Until when its timers were not to be relied on.
    pub(crate) disturbed: Instant,
    /// Whose expected outcome is that it claims again.
    pub(crate) owes_claim: Vec<Class>,
    pub(crate) stop_asked: u32,
    pub(crate) expects_broken_store: bool,
    pub(crate) lags: bool,
    /// It was woken, and is late.
    pub(crate) looks_later: bool,
    seed: u64,
}

/// A claim, when it was handed out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub(crate) attempt: AttemptId,
    pub(crate) tenure: TenureId,
    pub(crate) sent: Instant,
    pub(crate) at: Tick,
}

/// What is going to happen.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Chaos,
    Expiry,
    Look { member: usize },
    Mend(Mend),
    Probe { member: usize, number: u64 },
    Reply { call: usize, answer: Answer, again: bool },
    Request { call: usize, again: bool },
    Restart { host: usize },
    Resume { host: usize },
    Timer { member: usize, generation: u64 },
    Turn { host: usize },
    User { host: usize },
    WorkEnds { member: usize, work: u64 },
}

/// What is over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mend {
    Partition { host: usize },
    StoreDown,
    StoreReadOnly,
    StoreSlow,
    Timers { host: usize },
    Watches { host: usize },
}

#[derive(Debug)]
struct Queued {
    at: Tick,
    number: u64,
    what: Happening,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Queued) -> bool {
        self.number == other.number
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Queued) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Queued) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl World {
    pub(crate) fn new(mut choices: Choices, options: Options) -> World {
        let knobs = Knobs::draw(&mut choices, options.broken);
        let line = Line::new(1_000_000 + u64::from(choices.byte()) * 977, knobs.store_rate);
        let store = Store::new(line, knobs.expiry_raises_term, knobs.tells_retry);
        let mut world = World {
            now: 0,
            queue: BinaryHeap::new(),
            queued: 0,
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

    fn new_host(&mut self, number: usize) -> Host {
        let [slowest, fastest] = self.knobs.rates;
        let beyond = self.options.broken == Some(Broken::Clock) && self.choices.chance(160);
        let rate = if beyond {
            self.tally.inject(Class::ClockBeyond);
            slowest * self.choices.span(300, 900) / 1_000
        } else if self.knobs.clocks_differ {
            let between = self.choices.span(slowest, fastest);
            self.choices.pick(&[self.knobs.store_rate, slowest, fastest, between])
        } else {
            self.knobs.store_rate
        };
        if rate != self.knobs.store_rate && !beyond {
            self.tally.inject(Class::ClockRate);
        }
        let began = 1_000_000_000 + u64::from(self.choices.byte()) * 1_000_003;
        Host {
            line: Line::new(began, rate),
            name: if self.knobs.same_name { number.saturating_sub(1) } else { number },
            member: None,
            is_paused: false,
            rate,
            turns: None,
            backlog: Vec::new(),
            cut_out: false,
            cut_in: false,
            watches_at_once: false,
            timers_stuck: false,
            stepped_back_at: None,
            is_stuck: false,
            paused_at: 0,
        }
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

    /// A process starts on a host that has none.
    pub(crate) fn start(&mut self, host: usize) -> Result<(), String> {
        if self.hosts[host].member.is_some() {
            return Ok(());
        }
        let number = self.members.len();
        let name = self.hosts[host].name;
        let now = self.hosts[host].line.read(self.now);
        let seed = self.knobs.jitter_seed + number as u64;
        let birth = Birth {
            service: service(),
            unit: unit(name),
            config: self.knobs.config.clone().or_jitter_seed(seed),
            now,
            keeps_history: self.options.log,
            keeps_coverage: self.options.coverage,
        };
        let process = Process::new(birth)?;
        let drops_calls = !self.choices.chance(112);
        let lags = self.choices.chance(self.knobs.lag_rate);
        self.log.note(&[1, number as u64, host as u64, now.as_nanos()], || {
            let style = if drops_calls { "drops calls" } else { "waits for calls" };
            format!("p{number} starts on host {host} as {}, {style}", unit(name))
        });
        self.members.push(Member {
            process,
            host,
            is_alive: true,
            drops_calls,
            lines: Default::default(),
            armed: None,
            generation: 0,
            probes: 0,
            probed: None,
            held: None,
            forgot: self.store.forgot,
            last_claim: None,
            ended_at: self.now,
            promise: None,
            disturbed: now,
            owes_claim: Vec::new(),
            stop_asked: 0,
            expects_broken_store: false,
            lags,
            looks_later: false,
            seed,
        });
        self.hosts[host].member = Some(number);
        self.settle(number)
    }

    pub(crate) fn after(&mut self, span: Tick, what: Happening) {
        self.at(self.now.saturating_add(span), what);
    }

    pub(crate) fn at(&mut self, at: Tick, what: Happening) {
        self.queued += 1;
        self.queue.push(Reverse(Queued { at: at.max(self.now), number: self.queued, what }));
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
            match self.queue.peek() {
                Some(Reverse(next)) if next.at <= end => {}
                Some(_) | None => {
                    self.pass_to(end);
                    self.judge()?;
                    return Ok(done(self));
                }
            }
            let Some(Reverse(next)) = self.queue.pop() else { return Ok(false) };
            self.pass_to(next.at);
            self.steps += 1;
            self.happen(next.what)?;
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
    }

    /// Takes all that is on its way out of the queue.
    pub(crate) fn take_queue(&mut self) -> Vec<(Tick, Happening)> {
        let mut queue = std::mem::take(&mut self.queue).into_vec();
        queue.sort();
        queue.into_iter().rev().map(|Reverse(queued)| (queued.at, queued.what)).collect()
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

    /// Sets the clock of a process to what it is now, before something happens there.
    pub(crate) fn tune(&mut self, member: usize) -> Result<(), String> {
        let now = self.reading(member);
        self.members[member].process.set_clock(now);
        if self.choices.chance(self.glitch_rate()) {
            // It has been seen at the right time, and then runs behind for one reading.
            self.members[member].process.timer_fired()?;
            let back = Duration::from_nanos(self.choices.span(1, 3_000_000_000));
            self.members[member].process.set_clock(now.saturating_sub(back));
            self.tally.inject(Class::ClockBack);
            self.members[member].process.compare()?;
            self.tally.check(Class::ClockBack);
        }
        Ok(())
    }

    fn glitch_rate(&self) -> u8 {
        if self.weather.has_healed { 0 } else { self.knobs.glitch_rate }
    }

    /// What the clock of its host says.
    pub(crate) fn reading(&self, member: usize) -> Instant {
        self.hosts[self.members[member].host].line.read(self.now)
    }

    /// What a process would take for the time if it looked now.
    pub(crate) fn local_now(&self, member: usize) -> Instant {
        self.reading(member).max(self.members[member].process.shadow.ledger.now())
    }

    pub(crate) fn is_paused(&self, member: usize) -> bool {
        self.hosts[self.members[member].host].is_paused
    }

    /// After something has happened at a process: what is new is looked at, answers are taken, and
    /// its driver looks if it was woken.
    pub(crate) fn settle(&mut self, member: usize) -> Result<(), String> {
        loop {
            self.read_news(member)?;
            self.take_answers(member)?;
            self.check_bounds(member)?;
            let process = &self.members[member].process;
            if !process.is_driven || !process.woken.is_set() {
                return self.reset_clock(member);
            }
            if self.members[member].looks_later {
                return self.reset_clock(member);
            }
            if self.members[member].lags && !self.weather.has_healed && self.choices.chance(128) {
                let lag = self.choices.span(1, ticks(self.knobs.config.claim_timeout()));
                self.members[member].looks_later = true;
                self.after(lag, Happening::Look { member });
                self.tally.inject(Class::Timer);
                return self.reset_clock(member);
            }
            self.drive(member)?;
        }
    }

    fn reset_clock(&mut self, member: usize) -> Result<(), String> {
        let now = self.reading(member);
        self.members[member].process.set_clock(now);
        Ok(())
    }

    /// The driver looks, because its timer is due or it was late.
    pub(crate) fn look(&mut self, member: usize) -> Result<(), String> {
        if !(self.members[member].is_alive && self.members[member].process.is_driven) {
            return Ok(());
        }
        self.members[member].looks_later = false;
        self.tune(member)?;
        self.drive(member)?;
        self.settle(member)
    }

    /// What the drivers of both runtimes do: take the orders, then see whether the time has come.
    pub(crate) fn drive(&mut self, member: usize) -> Result<(), String> {
        loop {
            let deadline = self.take_orders(member)?;
            let Some(deadline) = deadline else { return self.end(member) };
            if deadline == Instant::MAX || self.members[member].process.now() < deadline {
                self.arm(member, deadline);
                return Ok(());
            }
            let disturbed = self.members[member].process.now();
            if self.hosts[self.members[member].host].timers_stuck || self.members[member].lags {
                self.members[member].disturbed = disturbed;
            }
            self.members[member].process.timer_fired()?;
        }
    }

    pub(crate) fn take_orders(&mut self, member: usize) -> Result<Option<Instant>, String> {
        self.read_news(member)?;
        let (orders, deadline) = self.members[member].process.take_work()?;
        self.follow(member, orders)?;
        Ok(deadline)
    }

    pub(crate) fn arm(&mut self, member: usize, deadline: Instant) {
        let host = &self.hosts[self.members[member].host];
        if self.members[member].armed == Some(deadline) || host.timers_stuck {
            return;
        }
        let when = host.line.when(deadline);
        let subject = &mut self.members[member];
        subject.armed = Some(deadline);
        subject.generation += 1;
        let generation = subject.generation;
        if let Some(when) = when {
            self.at(when, Happening::Timer { member, generation });
        }
    }

    /// Who the nonce of a call is: one nonce for each tenure of each process.
    pub(crate) fn identify(&mut self, nonce: Nonce, holder: Holder) -> Result<(), String> {
        match self.nonces.entry(nonce) {
            Entry::Vacant(free) => {
                free.insert(holder);
                let of_tenure = self.nonces.values().filter(|known| **known == holder).count();
                match of_tenure {
                    1 => Ok(()),
                    _ => Err("hub: a tenure has two nonces".to_owned()),
                }
            }
            Entry::Occupied(known) if *known.get() == holder => Ok(()),
            Entry::Occupied(_) => Err("hub: two tenures have one nonce".to_owned()),
        }
    }

    /// The longest lease in ticks, by any clock within the ratio.
    pub(crate) fn lease(&self) -> Tick {
        ticks(self.knobs.config.lease())
    }
}

pub(crate) fn service() -> ServiceName {
    name("svc")
}

fn unit(number: usize) -> UnitName {
    name(&format!("svc/{number}"))
}

fn name<N: std::str::FromStr>(text: &str) -> N {
    text.parse().unwrap_or_else(|_| unreachable!("{text} is a name"))
}

/// How many years `ticks` are by a clock of the nominal rate.
pub(crate) fn years(ticks: Tick) -> f64 {
    ticks as f64 * SLOWEST as f64 / 1e9 / (365.25 * 86_400.0)
}

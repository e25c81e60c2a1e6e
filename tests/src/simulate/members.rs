use tenure_core::{AttemptId, Instant, ServiceName, TenureId, Term, UnitName};

use super::Broken;
use super::calls::CallLine;
use super::classes::Class;
use super::clock::{Line, Tick};
use super::happenings::Happening;
use super::process::{Birth, Process};
use super::world::World;

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
    /// Its watches fail, while its other calls go through.
    pub(crate) watches_broken: bool,
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
    /// The connection of its watch broke, and it has begun no other since.
    pub(crate) watch_broke: bool,
    pub(crate) stop_asked: u32,
    pub(crate) expects_broken_store: bool,
    pub(crate) lags: bool,
    /// It was woken, and is late.
    pub(crate) looks_later: bool,
    pub(crate) seed: u64,
}

/// A claim, when it was handed out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub(crate) attempt: AttemptId,
    pub(crate) tenure: TenureId,
    pub(crate) sent: Instant,
    pub(crate) at: Tick,
}

impl Member {
    pub(crate) fn release_or_denial_before(&self, claimed: Claimed) -> bool {
        self.ended_at <= claimed.at
    }
}

/// How processes come and go.
impl World {
    pub(crate) fn new_host(&mut self, number: usize) -> Host {
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
            watches_broken: false,
            timers_stuck: false,
            stepped_back_at: None,
            is_stuck: false,
            paused_at: 0,
        }
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
            watch_broke: false,
            stop_asked: 0,
            expects_broken_store: false,
            lags,
            looks_later: false,
            seed,
        });
        self.hosts[host].member = Some(number);
        self.settle(number)
    }

    /// A process is gone from one moment to the next.
    pub(crate) fn crash(&mut self, member: usize) {
        self.log.note(&[11, member as u64], || format!("p{member} crashes"));
        let subject = &mut self.members[member];
        subject.is_alive = false;
        subject.held = None;
        let tickets = std::mem::take(&mut subject.process.tickets);
        self.summary.add_tickets(&tickets);
        self.summary.dropped += tickets.len() as u64;
        let outs: Vec<usize> = subject.lines.iter().filter_map(|line| line.out).collect();
        subject.lines = Default::default();
        let host = subject.host;
        self.hosts[host].member = None;
        self.store.watchers.retain(|watcher| !outs.contains(watcher));
    }

    /// A process whose tracker has ended is gone as well.
    pub(crate) fn retire(&mut self, member: usize) -> Result<(), String> {
        while let Some(taken) = self.members[member].process.tickets.take_answered(true) {
            taken?;
        }
        let tickets = &self.members[member].process.tickets;
        let parked = tickets.len() as u64;
        if tickets.asked != tickets.answered + tickets.dropped + parked {
            return Err(format!("T1: p{member}'s tickets do not add up"));
        }
        if self.members[member].process.has_ended() && parked > 0 {
            return Err(format!("T2: tickets of p{member} are parked after the end"));
        }
        self.crash(member);
        Ok(())
    }
}

fn service() -> ServiceName {
    name("svc")
}

fn unit(number: usize) -> UnitName {
    name(&format!("svc/{number}"))
}

fn name<N: std::str::FromStr>(text: &str) -> N {
    text.parse().unwrap_or_else(|_| unreachable!("{text} is a name"))
}

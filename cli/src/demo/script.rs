//! What happens in the demo, in turn.

use std::time::Duration;

use crossbeam_channel::{Receiver, select};
use rustix::process::Signal;
use tenure_core::{Config, Instant, Term};
use tenure_std::{BootClock, Clock};
use tenure_testkit::witness::{Answer, Holding, Oracle, Process, Report};

use crate::demo::fleet::{Fleet, Message};
use crate::demo::screen::Screen;
use crate::demo::summary::{self, Row};
use crate::demo::{FAILED, human};
use crate::failure::{self, Failure};

/// How long nobody may lead after a polite end, over a store that tells of a release at once.
const HANDOVER_BOUND: Duration = Duration::from_millis(250);
/// What a failover may take once the lease is over.
const FAILOVER_BOUND_EXTRA: Duration = Duration::from_millis(200);
/// What nothing takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often the terminal shows the time that is left.
const REDRAW: Duration = Duration::from_millis(50);
/// The lines of two processes need not come in the order of their time.
const STRAGGLE: Duration = Duration::from_millis(200);

/// Why the demo does not go on.
#[derive(Debug)]
pub(crate) enum Trouble {
    Failure(Failure),
    /// A signal came.
    Interrupted(i32),
    /// Something did not go as it should: what.
    Phase(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Failure(failure)
    }
}

/// The demo, as it goes on.
#[derive(Debug)]
pub(crate) struct Script {
    fleet: Fleet,
    screen: Screen,
    signals: Receiver<i32>,
    config: Config,
    /// As [`StoreUrl::expiry`](crate::store::StoreUrl::expiry).
    expiry: Duration,
    oracle: Oracle,
    start: Instant,
    /// Who was told to end.
    leaving: Vec<Process>,
    /// Who has.
    ended: Vec<Process>,
    thawed: Option<Thawed>,
    announced: Option<Term>,
    drawn: Instant,
    rows: Vec<Row>,
}

/// A process that may run again.
#[derive(Debug)]
struct Thawed {
    process: Process,
    at: Instant,
    /// Its first answer since.
    first: Option<Answer>,
}

impl Script {
    pub(crate) fn new(
        fleet: Fleet,
        screen: Screen,
        signals: Receiver<i32>,
        config: Config,
        expiry: Duration,
    ) -> Script {
        let start = BootClock.now();
        let oracle = Oracle::new(config.guarantee());
        Script {
            fleet,
            screen,
            signals,
            config,
            expiry,
            oracle,
            start,
            leaving: Vec::new(),
            ended: Vec::new(),
            thawed: None,
            announced: None,
            drawn: start,
            rows: Vec::new(),
        }
    }

    /// All of it.
    pub(crate) fn play(&mut self) -> Result<(), Trouble> {
        self.elect()?;
        self.settle()?;
        self.stop_politely()?;
        self.settle()?;
        self.kill()?;
        self.settle()?;
        self.freeze()?;
        self.settle()?;
        self.end_all()
    }

    /// The end: what `play` gave, what it showed, and the exit code for it.
    pub(crate) fn sum_up(&mut self, result: Result<(), Trouble>) -> Result<u8, Failure> {
        self.screen.update(Vec::new())?;
        let trouble = match result {
            Ok(()) => None,
            Err(Trouble::Failure(failure)) => return Err(failure),
            Err(Trouble::Interrupted(signal)) => {
                let code = u8::try_from(signal).unwrap_or(0);
                return Err(Failure::silent(failure::SIGNAL.saturating_add(code)));
            }
            Err(Trouble::Phase(what)) => Some(what),
        };
        for line in summary::lines(&self.rows, &self.oracle) {
            self.screen.say(&line)?;
        }
        if let Some(what) = trouble {
            return Err(Failure::new(FAILED, what));
        }
        Ok(if self.oracle.violations().is_empty() { 0 } else { FAILED })
    }

    fn elect(&mut self) -> Result<(), Trouble> {
        let limit = self.expiry.saturating_add(PATIENCE);
        self.wait_for(limit, "nobody was elected", |script| script.oracle.latest().is_some())?;
        self.announce(None)
    }

    fn stop_politely(&mut self) -> Result<(), Trouble> {
        let (term, process) = self.leader()?;
        self.tell(&format!("{process} is asked to end (SIGTERM)"))?;
        self.leaving.push(process.clone());
        self.signal(&process, Signal::TERM);
        self.succeed(term, "stopped politely", HANDOVER_BOUND)?;
        self.replace(&process)
    }

    fn kill(&mut self) -> Result<(), Trouble> {
        let (term, process) = self.leader()?;
        self.tell(&format!("{process} is killed (SIGKILL)"))?;
        self.leaving.push(process.clone());
        self.signal(&process, Signal::KILL);
        self.succeed(term, "killed (SIGKILL)", self.failover_bound())?;
        self.replace(&process)
    }

    fn freeze(&mut self) -> Result<(), Trouble> {
        // Just after it has renewed: who is frozen in the middle of a claim keeps the file locked,
        // and nobody could lead before it is thawed.
        let enough = self.config.guarantee().mul_f64(1.3);
        self.wait_for(PATIENCE.max(self.config.lease()), "no renewal came", |script| {
            let latest = script.oracle.latest();
            latest.is_some_and(|(_, held)| left(held) > enough)
        })?;
        let (term, process) = self.leader()?;
        self.tell(&format!("{process} is frozen (SIGSTOP)"))?;
        self.signal(&process, Signal::STOP);
        let valid_until = self.oracle.latest().map_or(Instant::ORIGIN, |(_, held)| held.end());
        self.succeed(term, "frozen (SIGSTOP)", self.failover_bound())?;
        let past = valid_until.saturating_add(self.config.guarantee());
        self.idle(past.saturating_duration_since(BootClock.now()))?;

        let at = BootClock.now();
        let late = human(at.saturating_duration_since(valid_until));
        self.tell(&format!("{process} is thawed (SIGCONT), {late} after its lease"))?;
        self.thawed = Some(Thawed { process: process.clone(), at, first: None });
        self.signal(&process, Signal::CONT);
        self.wait_for(PATIENCE, "the thawed candidate does not answer", |script| {
            script.thawed.as_ref().is_some_and(|thawed| thawed.first.is_some())
        })?;
        match self.thawed.take().and_then(|thawed| thawed.first) {
            Some(Answer { yes: None, stands: false, .. }) => {
                let unit = process.unit;
                self.tell(&format!("{unit} answers, and its first answer is: not the leader"))
            }
            _ => Err(Trouble::Phase(format!("{process} was thawed and believed that it led"))),
        }
    }

    fn end_all(&mut self) -> Result<(), Trouble> {
        let all: Vec<Process> =
            self.fleet.members.iter().map(|member| member.process.clone()).collect();
        self.leaving.extend(all.iter().cloned());
        for process in &all {
            self.signal(process, Signal::TERM);
        }
        self.wait_for(PATIENCE, "a candidate did not end", move |script| {
            all.iter().all(|process| script.ended.contains(process))
        })
    }

    fn failover_bound(&self) -> Duration {
        self.expiry.saturating_add(FAILOVER_BOUND_EXTRA)
    }

    /// Waits until somebody leads in a later term than `term`, and takes down how long that took.
    fn succeed(&mut self, term: Term, what: &'static str, bound: Duration) -> Result<(), Trouble> {
        let limit = bound.saturating_add(PATIENCE);
        self.wait_for(limit, "nobody took over", |script| {
            script.oracle.latest().is_some_and(|(latest, _)| latest > term)
        })?;
        self.idle(STRAGGLE)?;
        let gap = self.oracle.gap_after(term).unwrap_or_default();
        self.rows.push(Row { what, gap, bound });
        self.announce(Some((gap, bound)))
    }

    /// Starts a new process in the place of one that was told to end, when it has.
    fn replace(&mut self, process: &Process) -> Result<(), Trouble> {
        self.wait_for(PATIENCE, "a candidate did not end", |script| {
            script.ended.contains(process)
        })?;
        if let Some(index) = self.fleet.index_of(process) {
            self.fleet.restart(index)?;
            if let Some(member) = self.fleet.members.get(index) {
                let line = format!("{} is started", member.process);
                self.tell(&line)?;
            }
        }
        Ok(())
    }

    /// Lets things be for a while, for renewals to be seen.
    fn settle(&mut self) -> Result<(), Trouble> {
        self.idle(self.config.guarantee().saturating_mul(3))
    }

    fn leader(&mut self) -> Result<(Term, Process), Trouble> {
        if self.announced < self.oracle.latest().map(|(term, _)| term) {
            self.announce(None)?;
        }
        match self.oracle.latest() {
            Some((term, held)) => Ok((term, held.process.clone())),
            None => Err(Trouble::Phase("nobody leads".to_owned())),
        }
    }

    /// Says who leads now.
    fn announce(&mut self, gap: Option<(Duration, Duration)>) -> Result<(), Trouble> {
        let Some((term, held)) = self.oracle.latest() else { return Ok(()) };
        let (at, unit) = (held.first_yes, &held.process.unit);
        let mut line = format!("{unit} leads in term {term}");
        if let Some((gap, bound)) = gap {
            let (gap, bound) = (human(gap), human(bound));
            line.push_str(&format!(": nobody led for {gap}, bound {bound}"));
        }
        self.announced = Some(term);
        self.tell_at(at, &line)
    }

    fn tell(&mut self, what: &str) -> Result<(), Trouble> {
        self.tell_at(BootClock.now(), what)
    }

    fn tell_at(&mut self, at: Instant, what: &str) -> Result<(), Trouble> {
        let secs = at.saturating_duration_since(self.start).as_secs_f64();
        Ok(self.screen.say(&format!("{secs:5.2} s  {what}"))?)
    }

    fn signal(&mut self, process: &Process, signal: Signal) {
        let index = self.fleet.index_of(process);
        if let Some(member) = index.and_then(|index| self.fleet.members.get_mut(index)) {
            member.is_frozen = signal == Signal::STOP;
            member.signal(signal);
        }
    }

    fn idle(&mut self, span: Duration) -> Result<(), Trouble> {
        let until = BootClock.now().saturating_add(span);
        while BootClock.now() < until {
            self.step()?;
        }
        Ok(())
    }

    fn wait_for(
        &mut self,
        limit: Duration,
        otherwise: &str,
        is_done: impl Fn(&Script) -> bool,
    ) -> Result<(), Trouble> {
        let until = BootClock.now().saturating_add(limit);
        while !is_done(self) {
            if until <= BootClock.now() {
                let limit = human(limit);
                return Err(Trouble::Phase(format!("{otherwise} within {limit}")));
            }
            self.step()?;
        }
        Ok(())
    }

    /// Hears one message, or lets a moment pass.
    fn step(&mut self) -> Result<(), Trouble> {
        select! {
            recv(self.fleet.messages) -> message => {
                if let Ok(message) = message {
                    self.hear(message)?;
                }
            }
            recv(self.signals) -> signal => {
                if let Ok(signal) = signal {
                    return Err(Trouble::Interrupted(signal));
                }
            }
            default(REDRAW / 5) => {}
        }
        let now = BootClock.now();
        if self.drawn.saturating_add(REDRAW) <= now {
            self.drawn = now;
            self.screen.update(self.panel(now))?;
        }
        Ok(())
    }

    fn hear(&mut self, message: Message) -> Result<(), Trouble> {
        let Message { process, report } = message;
        let Some(report) = report else {
            if !self.leaving.contains(&process) {
                return Err(Trouble::Phase(format!("{process} ended by itself")));
            }
            self.ended.push(process);
            return Ok(());
        };
        self.oracle.hear(&process, &report);
        let Report::Answer(answer) = report else { return Ok(()) };
        if let Some(thawed) = &mut self.thawed {
            // A yes from before it was frozen may be told only now: what it stands for then is
            // what counts.
            let is_new = answer.asked >= thawed.at || answer.stands;
            if thawed.process == process && answer.answered >= thawed.at && is_new {
                thawed.first.get_or_insert(answer);
            }
        }
        if let Some(index) = self.fleet.index_of(&process)
            && let Some(member) = self.fleet.members.get_mut(index)
        {
            member.last = Some(answer);
        }
        Ok(())
    }

    fn panel(&self, now: Instant) -> Vec<String> {
        let mut panel = vec![String::new()];
        for member in &self.fleet.members {
            let yes = member.last.and_then(|answer| answer.yes);
            let left = yes.map(|yes| yes.valid_until.saturating_duration_since(now));
            let what = match (yes, left) {
                _ if self.ended.contains(&member.process) => "ended".to_owned(),
                _ if member.is_frozen => "frozen".to_owned(),
                (Some(yes), Some(left)) if !left.is_zero() => {
                    format!("LEADS in term {}, {:.2} s left", yes.term, left.as_secs_f64())
                }
                _ => "minion".to_owned(),
            };
            panel.push(format!("  {:<22}{what}", member.process.to_string()));
        }
        panel
    }
}

/// How long it lasts yet.
fn left(held: &Holding) -> Duration {
    held.end().saturating_duration_since(BootClock.now())
}

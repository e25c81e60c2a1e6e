//! The rack itself.

mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use tenure_core::Instant;
use tenure_runtime::{BootClock, Clock, fresh_nonce};
use tenure_testkit::witness::{Answer, Oracle, Process, Report};

use crate::arguments::{self, Control, RackOptions, Store};
use crate::fleet::{self, Fleet, Message, Recipe};
use crate::ground::Ground;
use crate::journal::Journal;
use crate::room::{self, Room};
use crate::rounds::{Bounds, Rounds};
use crate::schedule::{Class, Fault, Round, Schedule};
use crate::sink::Sink;
use crate::table;

use faults::Undo;

/// How often it says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);
/// Longer than this nobody is without a leader.
const STUCK: Duration = Duration::from_secs(10);
/// Then there is no use in going on.
const HOPELESS: Duration = Duration::from_secs(60);
/// A fail-over is due this often, after the first seconds.
const DUE: Duration = Duration::from_secs(4);

/// Whether all is as it has to be.
pub(crate) fn run(options: &RackOptions) -> Result<bool, Box<dyn Error>> {
    let store = options.store.unwrap_or(Store::Sqlite);
    let room = Room::enter(store.disk_mb())?;
    let mut rack = Rack::new(options, store, room)?;
    let result = rack.play();
    rack.fleet.members.clear();
    rack.sum_up(true);
    let verdict = table::Verdict::of(&rack);
    print!("{}", table::text(&rack, &verdict));
    result?;
    Ok(verdict.is_good())
}

#[derive(Debug)]
pub(crate) struct Rack {
    pub(crate) options: Settings,
    pub(crate) ground: Box<dyn Ground>,
    pub(crate) fleet: Fleet,
    pub(crate) oracle: Oracle,
    pub(crate) sink: Sink,
    pub(crate) rounds: Rounds,
    pub(crate) schedule: Schedule,
    pub(crate) journal: Journal,
    pub(crate) begun: Instant,
    /// How often each fault was done.
    pub(crate) done: BTreeMap<Fault, u64>,
    /// What cannot be done here, and why.
    pub(crate) impossible: Vec<(String, String)>,
    /// What went wrong that is not for the oracle to see.
    pub(crate) troubles: Vec<String>,
    stop: Arc<AtomicBool>,
    /// The latest instant at which a question was asked that was answered yes.
    yes_asked: Option<Instant>,
    gone: BTreeSet<Process>,
    said: Instant,
}

/// What it was started with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) span: Duration,
    pub(crate) guarantee: Duration,
    pub(crate) candidates: usize,
    pub(crate) control: Option<Control>,
    pub(crate) quiet: bool,
}

impl Rack {
    fn new(options: &RackOptions, store: Store, room: Room) -> Result<Rack, Box<dyn Error>> {
        let mut journal = Journal::new(options.log.as_deref())?;
        let random = u64::from_be_bytes(fresh_nonce().as_bytes()[..8].try_into()?) >> 32;
        let settings = Settings {
            seed: options.seed.unwrap_or(random),
            span: Duration::from_secs_f64(options.minutes * 60.0),
            guarantee: options.guarantee.unwrap_or_else(|| store.guarantee()),
            candidates: options.candidates.into(),
            control: options.control,
            quiet: options.quiet,
        };
        let slack = store.slack(settings.guarantee);
        let config = arguments::config(settings.guarantee, slack, settings.control)?;
        let ground = store.ground(&settings, room)?;
        let clocks = room::clocks_can_differ();
        let (faults, mut impossible) = faults::possible(options, &*ground);
        if let Err(why) = &clocks {
            impossible.push(("candidates whose boot clock is ahead".to_owned(), why.clone()));
        }
        let tenure = fleet::tenure();
        if let Err(why) = &tenure {
            impossible.push(("a command that ignores TERM".to_owned(), why.clone()));
        }
        let sink = Sink::start()?;
        let recipe = Recipe {
            guarantee: settings.guarantee,
            slack,
            control: settings.control,
            sink: sink.address(),
            clocks_differ: clocks.is_ok(),
            // The bugs of the controls are the library's users'.
            tenure: tenure.ok().filter(|_| settings.control.is_none()),
        };
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())?;
            signal_hook::flag::register(signal, stop.clone())?;
        }
        journal.tell(&format!("store {}, seed {}", store.name(), settings.seed));
        let begun = BootClock.now();
        Ok(Rack {
            rounds: Rounds::new(Bounds::new(&config, ground.lateness())),
            schedule: Schedule::new(settings.seed, faults, options.singly),
            oracle: Oracle::new(settings.guarantee),
            fleet: Fleet::new(recipe),
            options: settings,
            ground,
            sink,
            journal,
            begun,
            done: BTreeMap::new(),
            impossible,
            troubles: Vec::new(),
            stop,
            yes_asked: None,
            gone: BTreeSet::new(),
            said: begun,
        })
    }

    fn play(&mut self) -> Result<(), Box<dyn Error>> {
        for place in 0..self.options.candidates {
            self.start(place)?;
        }
        self.recover(self.begun)?;
        let end = self.begun.saturating_add(self.options.span);
        while BootClock.now() < end && !self.stop.load(Ordering::Relaxed) {
            let Some(round) = self.schedule.next() else {
                return Err("there is no fault to be had".into());
            };
            self.play_round(round)?;
            if self.options.control.is_some() && !self.oracle.violations().is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn play_round(&mut self, round: Round) -> Result<(), Box<dyn Error>> {
        let began = BootClock.now();
        let calm = self.leases(round.calm);
        let mut blows: Vec<(Instant, _)> = round
            .blows
            .iter()
            .map(|&blow| (began.saturating_add(self.leases(blow.after)), blow))
            .collect();
        let number = self.rounds.begin(round.clone(), began);
        self.journal.note(began, || format!("round {number}: {}", round.names()));
        blows.sort_by_key(|&(at, _)| at);
        let mut blows = blows.into_iter().peekable();
        let mut undos: Vec<(Instant, Undo)> = Vec::new();
        loop {
            undos.sort_by_key(|&(at, _)| at);
            let next_blow = blows.peek().map(|&(at, _)| at);
            let next_undo = undos.first().map(|&(at, _)| at);
            let is_undo = match (next_blow, next_undo) {
                (None, None) => break,
                (Some(blow), Some(undo)) => undo <= blow,
                (blow, _) => blow.is_none(),
            };
            let at = [next_blow, next_undo].into_iter().flatten().min();
            self.listen_until(at.unwrap_or(began));
            if is_undo {
                let (_, undo) = undos.remove(0);
                self.undo(undo)?;
            } else if let Some((_, blow)) = blows.next() {
                let undo = self.strike(&blow)?;
                undos.push((BootClock.now().saturating_add(self.leases(blow.lasting)), undo));
            }
        }
        self.mend()?;
        let healed = BootClock.now();
        self.rounds.healed(healed);
        self.recover(healed)?;
        self.rounds.settled(BootClock.now());
        self.listen_until(BootClock.now().saturating_add(calm));
        Ok(())
    }

    /// Waits until somebody leads again.
    fn recover(&mut self, healed: Instant) -> Result<(), Box<dyn Error>> {
        let limit = self.rounds.bounds.of(Class::Outage).saturating_add(STUCK);
        let mut is_told = false;
        while self.yes_asked.is_none_or(|asked| asked < healed) {
            self.listen_until(BootClock.now().saturating_add(Duration::from_millis(5)));
            let waited = BootClock.now().saturating_duration_since(healed);
            if waited > limit && !is_told {
                is_told = true;
                let number = self.rounds.count();
                self.trouble(format!("round {number}: nobody leads, {limit:?} after all was well"));
            }
            if waited > limit.saturating_add(HOPELESS) {
                return Err("nobody leads any more".into());
            }
        }
        Ok(())
    }

    fn leases(&self, hundredths: u64) -> Duration {
        self.options.guarantee.mul_f64(2.0 * hundredths as f64 / 100.0)
    }

    pub(crate) fn trouble(&mut self, what: String) {
        self.journal.tell(&what);
        if self.troubles.len() < 100 {
            self.troubles.push(what);
        }
    }

    pub(crate) fn start(&mut self, place: usize) -> Result<(), Box<dyn Error>> {
        let url = self.ground.url(place);
        self.fleet.start(place, place, &url, &self.journal)
    }

    /// Hears what is said until then, and says now and then how far it is.
    pub(crate) fn listen_until(&mut self, until: Instant) {
        loop {
            let now = BootClock.now();
            if now.saturating_duration_since(self.said) >= PROGRESS {
                self.said = now;
                self.sum_up(false);
                self.show_progress();
            }
            let left = until.saturating_duration_since(now);
            match self.fleet.messages.recv_timeout(left.min(PROGRESS)) {
                Ok(message) => self.hear(message),
                Err(_) if left <= PROGRESS => return,
                Err(_) => {}
            }
        }
    }

    fn hear(&mut self, message: Message) {
        let Message { process, report } = message;
        let now = BootClock.now();
        let Some(report) = report else {
            self.journal.note(now, || format!("{process} has ended"));
            let place = self.fleet.place_of(&process);
            let member = place.and_then(|place| self.fleet.members.get(&place));
            if member.is_some_and(|member| !member.is_leaving) {
                self.trouble(format!("{process} ended by itself"));
            }
            self.gone.insert(process);
            return;
        };
        if let Report::Answer(Answer { yes: Some(_), .. }) | Report::Resigned { .. } = report {
            self.journal.note(now, || format!("{process}: {report}"));
        }
        self.oracle.hear(&process, &report);
        match report {
            Report::Answer(Answer { asked, yes: Some(_), .. })
            | Report::Works { at: asked, .. } => self.yes_asked = self.yes_asked.max(Some(asked)),
            Report::Answer(Answer { yes: None, .. }) | Report::Resigned { .. } => {}
        }
    }

    /// Takes down who followed whom, but for the last seconds, of which more may be said.
    fn sum_up(&mut self, to_the_end: bool) {
        while let Ok(message) = self.fleet.messages.try_recv() {
            self.hear(message);
        }
        let back = self.leases(800).max(STUCK);
        let horizon = if to_the_end {
            Instant::from_nanos(u64::MAX)
        } else {
            BootClock.now().saturating_sub(back)
        };
        for succession in self.oracle.forget(horizon) {
            if let Some(oddity) = self.rounds.add(&succession) {
                let secs = self.journal.secs(succession.to);
                self.journal.tell(&format!("{oddity} (at {secs:.2} s)"));
            }
        }
    }

    fn show_progress(&mut self) {
        let (rounds, successions) = (self.rounds.count(), self.rounds.successions);
        let (yeses, refused) = (self.oracle.yeses(), self.sink.tally().refused);
        let violations = self.oracle.violations().len();
        if self.options.quiet {
            return;
        }
        self.journal.tell(&format!(
            "{rounds} rounds, {successions} fail-overs, {yeses} yeses, {violations} overlaps, \
             {refused} stale writes refused"
        ));
    }

    /// For how long it has run.
    pub(crate) fn minutes(&self) -> f64 {
        BootClock.now().saturating_duration_since(self.begun).as_secs_f64() / 60.0
    }

    /// How many fail-overs have to be seen.
    pub(crate) fn due(&self) -> u64 {
        (self.options.span.as_nanos() / DUE.as_nanos()) as u64
    }
}

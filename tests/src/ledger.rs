//! Books of one tracker, kept from what goes in and what comes out.
//!
//! A [`Ledger`] knows what is out (the claim, the watch, the release, the timer), which kinds of
//! ticket are parked, and which grant is believed in. It learns that from events and actions alone,
//! never from the machine's insides, and says which invariant of `faults.md` an answer breaks.
//! An [`Audited`] tracker is one with its books.

mod entries;
mod expect;
mod pace;
mod row;

use std::ops::RangeInclusive;
use std::time::Duration;

use tenure_core::{
    Action, Actions, AttemptId, Belief, Config, Event, FinishReason, Instant, Standing, TenureId,
    Term, Then, TicketKind, Tracker, WatchId,
};

pub use row::Row;

/// A tracker with its books.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Audited {
    /// The machine.
    pub tracker: Tracker,
    /// Its books.
    pub ledger: Ledger,
}

impl Audited {
    /// A tracker that begins at `now`.
    ///
    /// # Errors
    ///
    /// Which invariant its first actions break.
    pub fn new(config: Config, now: Instant) -> Result<(Audited, Actions), String> {
        let (tracker, actions) = Tracker::new(config, now);
        let mut audited = Audited { tracker, ledger: Ledger::new(now) };
        audited.ledger.close(None, None, &actions, &audited.tracker)?;
        Ok((audited, actions))
    }

    /// Hands in `event` at `now`.
    ///
    /// # Errors
    ///
    /// Which invariant the answer breaks.
    pub fn handle(&mut self, event: Event, now: Instant) -> Result<Actions, String> {
        let actions = self.tracker.handle(event, now);
        self.ledger.observe(event, now, &actions, &self.tracker)?;
        Ok(actions)
    }
}

/// What is known of a tracker from outside.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Ledger {
    now: Instant,
    armed: Option<Instant>,
    /// How many claims and watches went out.
    attempts: u64,
    watches: u64,
    /// The tenure that is current: one more than were released.
    tenure: u64,
    claim: Option<Claim>,
    last_sent: Option<Instant>,
    watch: Option<Watch>,
    /// When the watch that failed is begun again.
    watch_due: Option<RangeInclusive<Instant>>,
    /// How many watches in a row have failed soon after they began.
    watch_failures: u32,
    release: Option<Release>,
    drain: Drain,
    held: Option<Held>,
    /// The latest `valid_until` of a grant in this tenure.
    work_until: Instant,
    seen: Option<Seen>,
    /// How many attempts in a row have ended unknown, in this tenure.
    failures: u32,
    resigning: Option<Then>,
    cooling_until: Option<Instant>,
    /// Since when tickets are parked, by kind.
    parked: [Option<Instant>; 3],
    finished: Option<FinishReason>,
}

/// A claim that is out.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Claim {
    /// Its number.
    pub attempt: AttemptId,
    /// When it was handed out.
    pub sent: Instant,
    /// From when on its outcome does not count.
    pub deadline: Instant,
}

/// A watch that is out.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Watch {
    number: WatchId,
    begun: Instant,
}

/// A release that is out.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Release {
    /// Its number.
    pub tenure: TenureId,
    /// From when on it may be given up.
    pub until: Instant,
}

/// A grant that is believed in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Held {
    /// Its fencing number.
    pub term: Term,
    /// When its claim was handed out.
    pub sent: Instant,
    /// Until when nobody else can hold the lease.
    pub valid_until: Instant,
}

/// Whether the guarded work of this tenure was told to end.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Drain {
    NotAsked,
    Asked,
    Done,
}

/// The highest term granted so far, and whether the next has to be higher.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Seen {
    term: Term,
    over: bool,
}

impl Ledger {
    fn new(now: Instant) -> Ledger {
        Ledger {
            now,
            armed: None,
            attempts: 0,
            watches: 0,
            tenure: 1,
            claim: None,
            last_sent: None,
            watch: None,
            watch_due: None,
            watch_failures: 0,
            release: None,
            drain: Drain::NotAsked,
            held: None,
            work_until: Instant::ORIGIN,
            seen: None,
            failures: 0,
            resigning: None,
            cooling_until: None,
            parked: [None; 3],
            finished: None,
        }
    }

    /// The latest `now` seen.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The claim that is out.
    pub fn claim(&self) -> Option<Claim> {
        self.claim
    }

    /// How many claims went out.
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    /// The watch that is out.
    pub fn watch(&self) -> Option<WatchId> {
        self.watch.map(|watch| watch.number)
    }

    /// From when on, and until when at the latest, the watch that failed is begun again.
    pub fn watch_due(&self) -> Option<RangeInclusive<Instant>> {
        self.watch_due.clone()
    }

    /// How many watches went out.
    pub fn watches(&self) -> u64 {
        self.watches
    }

    /// The release that is out.
    pub fn release(&self) -> Option<Release> {
        self.release
    }

    /// The tenure whose guarded work was told to end and has not said that it did.
    pub fn draining(&self) -> Option<TenureId> {
        (self.drain == Drain::Asked).then(|| TenureId::new(self.tenure))
    }

    /// The tenure that is current.
    pub fn tenure(&self) -> TenureId {
        TenureId::new(self.tenure)
    }

    /// The highest term granted.
    pub fn seen(&self) -> Option<Term> {
        self.seen.map(|seen| seen.term)
    }

    /// Whether the next term has to be higher than the highest one granted: somebody else has led
    /// since, or the nonce is another.
    pub fn is_over(&self) -> bool {
        self.seen.is_some_and(|seen| seen.over)
    }

    /// What the tracker resigns for.
    pub fn resigning(&self) -> Option<Then> {
        self.resigning
    }

    /// Whether the tracker has stopped.
    pub fn has_finished(&self) -> bool {
        self.finished.is_some()
    }

    /// Whether tickets of this kind are parked.
    pub fn is_parked(&self, kind: TicketKind) -> bool {
        self.parked[index(kind)].is_some()
    }

    /// Until when guarded work of this tenure may run: the latest `valid_until` of its grants. The
    /// origin, if there was none.
    pub fn work_until(&self) -> Instant {
        self.work_until
    }

    /// The instants at which something may change, in no order, some of them past.
    pub fn marks(&self, config: &Config) -> Vec<Instant> {
        let mut marks: Vec<Instant> = self.armed.into_iter().collect();
        marks.extend(self.claim.map(|claim| claim.deadline));
        // The timer says when that is, unless something else is due before.
        let watch_due = self.watch_due.as_ref().map(|due| *due.end());
        marks.extend(watch_due.filter(|&at| self.armed.is_none_or(|armed| armed < at)));
        marks.extend(self.last_sent.map(|sent| sent.saturating_add(config.min_interval())));
        if let Some(held) = self.held {
            marks.push(renew_at(config, held));
            marks.push(fresh_until(config, held));
            marks.push(step_down_at(config, held));
        }
        marks.push(self.work_until);
        marks
    }

    /// Takes in what went in and what came out. `tracker` is the machine after that.
    fn observe(
        &mut self,
        event: Event,
        now: Instant,
        actions: &Actions,
        tracker: &Tracker,
    ) -> Result<(), String> {
        let before = self.clone();
        self.now = self.now.max(now);
        if before.finished.is_some() {
            return self.check_stopped(event, actions, tracker);
        }
        let expected = self.expect(event, tracker.config());
        if let Event::TicketRequested { kind } = event {
            self.parked[index(kind)].get_or_insert(self.now);
        }
        if let Event::Resign { then } = event {
            self.resigning = Some(self.resigning.map_or(then, |before| stronger(before, then)));
        }
        self.take_back(event, tracker.config());
        self.close(Some(event), Some((before, expected)), actions, tracker)
    }

    /// A tracker that has stopped answers tickets, and does nothing else.
    fn check_stopped(
        &self,
        event: Event,
        actions: &Actions,
        tracker: &Tracker,
    ) -> Result<(), String> {
        let answers = match event {
            Event::TicketRequested { kind } => {
                vec![Action::Resolve { kind, outcome: tenure_core::Outcome::Stopped }]
            }
            Event::ClaimFinished { .. }
            | Event::Drained { .. }
            | Event::ReleaseFinished { .. }
            | Event::ReleaseObserved { .. }
            | Event::Resign { .. }
            | Event::TimerFired
            | Event::WatchFailed { .. } => Vec::new(),
        };
        demand(actions.iter().eq(answers.iter()), "T2: a stopped tracker only says Stopped")?;
        demand(tracker.finished() == self.finished, "a stop is for ever, and so is its reason")?;
        self.check_standing(tracker)
    }

    /// What the machine has to hold true of its unit at `at`, when nothing more is handed in.
    pub fn standing(&self, config: &Config, at: Instant) -> Standing {
        if self.finished.is_some() {
            return Standing::Stopped;
        }
        match self.held {
            Some(held) if self.now.max(at) < step_down_at(config, held) => Standing::Leader {
                term: held.term,
                fresh_until: match self.resigning {
                    Some(_) => Instant::ORIGIN,
                    None => fresh_until(config, held),
                },
                valid_until: held.valid_until,
            },
            Some(_) | None => Standing::Minion,
        }
    }

    /// S8: the standing depends on grants and `now` alone.
    fn check_standing(&self, tracker: &Tracker) -> Result<(), String> {
        let config = tracker.config();
        let mut instants = self.marks(config);
        instants.extend([Instant::ORIGIN, self.now, Instant::MAX]);
        for mark in instants {
            for at in [mark.saturating_sub(NANOSECOND), mark, mark.saturating_add(NANOSECOND)] {
                let (is, should) = (tracker.standing(at), self.standing(config, at));
                demand_that(is == should, || {
                    format!("S8: standing at {at:?} is {is:?}, should be {should:?}")
                })?;
                self.check_belief(tracker, at)?;
            }
        }
        Ok(())
    }

    /// What is published says the same as the machine, and never a yes that does not hold.
    fn check_belief(&self, tracker: &Tracker, at: Instant) -> Result<(), String> {
        let belief = tracker.belief();
        let at = self.now.max(at);
        demand(belief.standing(at) == tracker.standing(at), "S8: belief and standing differ")?;
        let fresh = match tracker.standing(at) {
            Standing::Leader { fresh_until, .. } => at < fresh_until,
            Standing::Minion | Standing::Stopped => false,
        };
        demand(belief.yes(at).is_some() == fresh, "S2: a yes is for a fresh leader alone")?;
        if let (Some(_), Belief::Leader { valid_until, .. }) = (belief.yes(at), belief) {
            demand(holds(tracker.config(), at, valid_until), "S2: a yes that does not hold")?;
        }
        Ok(())
    }
}

const NANOSECOND: Duration = Duration::from_nanos(1);

/// Whether a yes at `at` holds for the guarantee. No sum saturates here.
fn holds(config: &Config, at: Instant, valid_until: Instant) -> bool {
    u128::from(at.as_nanos()) + config.guarantee().as_nanos() <= u128::from(valid_until.as_nanos())
}

fn fresh_until(config: &Config, held: Held) -> Instant {
    held.valid_until.saturating_sub(config.guarantee())
}

/// How long a grant is believed, counted from its claim: worked out here, not asked of the config.
fn valid_for(config: &Config) -> Duration {
    let lease = config.guarantee().as_nanos() * 2 - config.store_slack().as_nanos();
    let nanos = lease * 1_000_000 / u128::from(config.clock_ratio().millionths());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn renew_at(config: &Config, held: Held) -> Instant {
    let after = valid_for(config) - config.guarantee() - config.renew_lead();
    held.sent.saturating_add(after)
}

fn step_down_at(config: &Config, held: Held) -> Instant {
    held.valid_until.saturating_sub(config.step_down_margin())
}

/// Stopping outweighs stepping down; of two cool-offs the longer one counts.
fn stronger(one: Then, other: Then) -> Then {
    match (one, other) {
        (Then::StepDown { cool_off: one }, Then::StepDown { cool_off: other }) => {
            Then::StepDown { cool_off: one.max(other) }
        }
        (Then::Stop, _) | (_, Then::Stop) => Then::Stop,
    }
}

fn index(kind: TicketKind) -> usize {
    match kind {
        TicketKind::ClaimLeader => 0,
        TicketKind::WaitLeader => 1,
        TicketKind::WaitMinion => 2,
    }
}

fn demand(holds: bool, rule: &str) -> Result<(), String> {
    demand_that(holds, || rule.to_owned())
}

fn demand_that(holds: bool, rule: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule()) }
}

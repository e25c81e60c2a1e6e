use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::quality::{FixedState, FoldHasher};
use tenure_core::{
    Action, Actions, AttemptFailure, AttemptId, Belief, ClaimOutcome, Demotion, Event, Instant,
    Outcome, TenureId, Term, Then, TicketKind, Transition, WatchId,
};

use super::model::Model;
use super::sights::Sight;
use super::worker::Sights;
use crate::ledger::Audited;

/// All the machines that occur in any world, each once.
///
/// There are far fewer of them than worlds. What a machine does follows from its state, the event
/// and the time, so each such step is taken once, by the real machine and with its books, and
/// remembered.
#[derive(Default)]
pub(super) struct Arena {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    known: HashMap<u128, u32, foldhash::fast::FixedState>,
    machines: Vec<Audited>,
    facts: Vec<Facts>,
}

/// What the world has to know of a machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) digest: u128,
    pub(super) belief: Belief,
    pub(super) work_until: Instant,
    pub(super) armed: Instant,
    /// What is out, by number; 0 is none.
    pub(super) attempt: u8,
    pub(super) watch: u8,
    /// By when the watch that failed is begun again at the latest; the end of time, if none has.
    pub(super) watch_due: Instant,
    pub(super) draining: u8,
    /// The tenure that is current.
    pub(super) tenure: u8,
    /// Wants the lease: neither resigning nor stopped.
    pub(super) contends: bool,
    pub(super) stopped: bool,
}

/// What a machine did with an event.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Handled {
    pub(super) next: u32,
    /// The attempt that it sent, and for which tenure; 0 is none.
    pub(super) claim: u8,
    pub(super) claim_tenure: u8,
    /// The tenure that it released; 0 is none.
    pub(super) release: u8,
    /// The watch that it began; 0 is none.
    pub(super) watch: u8,
    pub(super) said_yes: bool,
    pub(super) sights: Sights,
}

/// An event, in few bytes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Input {
    Ask(TicketKind),
    ClaimErred { attempt: u8 },
    Denied { attempt: u8, retry_after: Option<u8> },
    Drained { tenure: u8 },
    Granted { attempt: u8, term: u8 },
    ReleaseFinished { tenure: u8 },
    StepDown,
    Stop,
    Timer,
    WatchErred { watch: u8 },
    WatchSpoke { watch: u8 },
}

impl Input {
    pub(super) fn event(self, model: &Model) -> Event {
        let attempt = |attempt: u8| AttemptId::new(attempt.into());
        let finished = |number, outcome| Event::ClaimFinished { attempt: attempt(number), outcome };
        match self {
            Input::Ask(kind) => Event::TicketRequested { kind },
            Input::ClaimErred { attempt } => finished(attempt, ClaimOutcome::Unknown),
            Input::Denied { attempt, retry_after } => {
                let retry_after = retry_after.map(|ticks| Model::STORE_TICK * u32::from(ticks));
                finished(attempt, ClaimOutcome::Denied { retry_after })
            }
            Input::Drained { tenure } => Event::Drained { tenure: TenureId::new(tenure.into()) },
            Input::Granted { attempt, term } => {
                finished(attempt, ClaimOutcome::Granted { term: Term::new(term.into()) })
            }
            Input::ReleaseFinished { tenure } => {
                Event::ReleaseFinished { tenure: TenureId::new(tenure.into()) }
            }
            Input::StepDown => {
                let cool_off = Duration::from_nanos(model.slowest_tick());
                Event::Resign { then: Then::StepDown { cool_off } }
            }
            Input::Stop => Event::Resign { then: Then::Stop },
            Input::Timer => Event::TimerFired,
            Input::WatchErred { watch } => Event::WatchFailed { watch: WatchId::new(watch.into()) },
            Input::WatchSpoke { watch } => {
                Event::ReleaseObserved { watch: WatchId::new(watch.into()) }
            }
        }
    }
}

impl Arena {
    /// A machine that begins at `now`.
    pub(super) fn start(&self, model: &Model, now: Instant) -> Result<Handled, String> {
        let (audited, actions) = Audited::new(model.config.clone(), now)?;
        Ok(self.keep(audited, &actions))
    }

    /// What `machine` does with `input` at `now`.
    pub(super) fn handle(
        &self,
        model: &Model,
        machine: u32,
        input: Input,
        now: Instant,
    ) -> Result<Handled, String> {
        let mut audited = self.lock().machines[machine as usize].clone();
        let event = input.event(model);
        let actions = catch_unwind(AssertUnwindSafe(|| audited.handle(event, now)))
            .map_err(|_| "S10: it panics".to_owned())??;
        Ok(self.keep(audited, &actions))
    }

    /// How many machines there are.
    pub(super) fn len(&self) -> usize {
        self.lock().machines.len()
    }

    /// Adds what is missing at the end of `facts`.
    pub(super) fn copy_facts(&self, facts: &mut Vec<Facts>) {
        let inner = self.lock();
        facts.extend_from_slice(&inner.facts[facts.len()..]);
    }

    fn keep(&self, audited: Audited, actions: &Actions) -> Handled {
        let mut handled = read(actions);
        let digest = fingerprint(&audited);
        let mut inner = self.lock();
        let next = inner.machines.len() as u32;
        handled.next = *inner.known.entry(digest).or_insert(next);
        if handled.next == next {
            inner.facts.push(Facts::of(&audited, digest));
            inner.machines.push(audited);
        }
        handled
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn of(audited: &Audited, digest: u128) -> Facts {
        let Audited { tracker, ledger } = audited;
        Facts {
            digest,
            belief: tracker.belief(),
            work_until: ledger.work_until(),
            armed: tracker.deadline().unwrap_or(Instant::MAX),
            attempt: ledger.claim().map_or(0, |claim| small(claim.attempt.number())),
            watch: ledger.watch().map_or(0, |watch| small(watch.number())),
            watch_due: ledger.watch_due().map_or(Instant::MAX, |due| *due.end()),
            draining: ledger.draining().map_or(0, |tenure| small(tenure.number())),
            tenure: small(ledger.tenure().number()),
            contends: ledger.resigning().is_none() && !ledger.has_finished(),
            stopped: ledger.has_finished(),
        }
    }

    /// Until when it believes, while that is to come.
    pub(super) fn believes_until(&self, now: Instant) -> Option<Instant> {
        match self.belief {
            Belief::Leader { valid_until, .. } => (now < valid_until).then_some(valid_until),
            Belief::Minion | Belief::Stopped => None,
        }
    }

    /// Whether it leads, and has not given up.
    pub(super) fn leads(&self, now: Instant) -> bool {
        matches!(self.belief, Belief::Leader { step_down_at, .. } if now < step_down_at)
    }
}

fn small(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// What the world has to know of what a machine does.
fn read(actions: &Actions) -> Handled {
    let mut handled = Handled::default();
    let mut see = |sight| handled.sights.see(sight);
    for action in actions.iter() {
        match *action {
            Action::Claim { attempt, tenure, .. } => {
                handled.claim = small(attempt.number());
                handled.claim_tenure = small(tenure.number());
            }
            Action::Release { tenure } => handled.release = small(tenure.number()),
            Action::Resolve { outcome, .. } => match outcome {
                Outcome::Leader { .. } => {
                    see(Sight::AnsweredLeader);
                    handled.said_yes = true;
                }
                Outcome::Minion => see(Sight::AnsweredMinion),
                Outcome::Stopped => see(Sight::AnsweredStopped),
            },
            Action::Notify(transition) => match transition {
                Transition::AttemptFailed { failure, .. } => see(match failure {
                    AttemptFailure::TimedOut => Sight::AttemptTimedOut,
                    AttemptFailure::Unknown => Sight::AttemptErred,
                }),
                Transition::Demoted { reason, .. } => see(match reason {
                    Demotion::Denied => Sight::DemotedDenied,
                    Demotion::Interrupted => Sight::DemotedInterrupted,
                    Demotion::NotRenewed => Sight::DemotedNotRenewed,
                    Demotion::Resigned => Sight::DemotedResigned,
                    Demotion::StoreFailed => Sight::DemotedStoreFailed,
                }),
                Transition::Promoted { .. } => {}
                Transition::Renewed { .. } => see(Sight::Renewed),
                Transition::WatchFailed { .. } => see(Sight::WatchFailed),
            },
            Action::AwaitRelease { watch } => handled.watch = small(watch.number()),
            Action::Finish { .. } => see(Sight::Finished),
            Action::AbandonClaim { .. }
            | Action::AbandonRelease { .. }
            | Action::AbandonWatch { .. }
            | Action::ArmTimer { .. }
            | Action::Drain { .. } => {}
        }
    }
    handled
}

/// 128 bits of a value: among a hundred million, two that differ have the same ones with a
/// probability under 2^-75.
pub(super) fn fingerprint(value: &impl Hash) -> u128 {
    let mut both = Fingerprinter::new();
    value.hash(&mut both);
    both.fingerprint()
}

/// Two hashers with seeds of their own.
pub(super) struct Fingerprinter([FoldHasher<'static>; 2]);

impl Fingerprinter {
    pub(super) fn new() -> Fingerprinter {
        let seeds = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];
        Fingerprinter(seeds.map(|seed| FixedState::with_seed(seed).build_hasher()))
    }

    pub(super) fn add(&mut self, word: u64) {
        self.write_u64(word);
    }

    pub(super) fn fingerprint(&self) -> u128 {
        let [low, high] = self.0.each_ref().map(Hasher::finish);
        u128::from(high) << 64 | u128::from(low)
    }
}

impl Hasher for Fingerprinter {
    fn finish(&self) -> u64 {
        self.0[0].finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|half| half.write(bytes));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.0.iter_mut().for_each(|half| half.write_u64(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

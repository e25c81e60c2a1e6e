//! All histories of one tracker, to a depth.
//!
//! From each state every event is tried at every interesting instant; the books of
//! [`crate::ledger`] check what comes back. States that are the same in every field, the books
//! included, are expanded once, at the least depth at which they are met; all that the machine does
//! follows from its state, so nothing is lost by that.
//!
//! An event that must change nothing beyond the time that passes (its number is not out), and an
//! instant that lies before the latest one seen, are compared with what they must be the same as
//! rather than followed: the machines are equal after them, field by field.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::hash::BuildHasher;
use std::time::Duration;

use tenure_core::{
    Action, Actions, AttemptId, ClaimOutcome, Config, Event, Instant, Outcome, TenureId, Term,
    Then, TicketKind, Tracker, WatchId,
};

use crate::ledger::{Audited, Row};
use crate::trace;

/// How much was tried.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Histories: each is an event at an instant after another history.
    pub histories: u64,
    /// Events handled in all, with those that are only compared.
    pub handled: u64,
    /// States that differ and were expanded, by depth.
    pub states: Vec<u64>,
    /// The most actions that one event caused.
    pub actions_max: usize,
    /// The first history whose last event caused that many, with its actions.
    pub actions_max_example: String,
    /// The rows of the answer table that were expanded.
    pub rows: BTreeSet<Row>,
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} histories, {} events handled, states by depth {:?}, {} rows, at most {} actions",
            self.histories,
            self.handled,
            self.states,
            self.rows.len(),
            self.actions_max
        )
    }
}

/// Exhausts the histories that begin at `start` with `prefix` and go on for up to `depth` events.
///
/// # Errors
///
/// The first rule that is broken, and the history that breaks it, as a trace.
pub fn exhaust(
    config: &Config,
    start: Instant,
    prefix: &[(Event, Instant)],
    depth: usize,
) -> Result<Counts, String> {
    let (mut root, _) = Audited::new(config.clone(), start)?;
    for &(event, now) in prefix {
        let _ = root.handle(event, now)?;
    }
    let mut search = Search { config, start, counts: Counts::default(), seen: Seen::default() };
    search.seen.is_new(&root);
    search.counts.states.push(1);
    let mut level = vec![Node { audited: root, path: prefix.to_vec() }];
    for depth_left in (1..=depth).rev() {
        let mut next = Vec::new();
        let mut new = 0;
        for node in &level {
            search.expand(node, depth_left, &mut new, &mut next)?;
        }
        if depth_left == 1 {
            break;
        }
        search.counts.states.push(new);
        level = next;
    }
    Ok(search.counts)
}

#[derive(Clone)]
struct Node {
    audited: Audited,
    path: Vec<(Event, Instant)>,
}

struct Search<'a> {
    config: &'a Config,
    start: Instant,
    counts: Counts,
    seen: Seen,
}

impl Search<'_> {
    fn expand(
        &mut self,
        node: &Node,
        depth_left: usize,
        new: &mut u64,
        next: &mut Vec<Node>,
    ) -> Result<(), String> {
        self.counts.rows.insert(node.audited.ledger.row(self.config));
        let events = events(&node.audited);
        for now in instants(&node.audited, self.config) {
            let passed = self.pass_time(node, now)?;
            self.compare(node, now, &passed)?;
            for &event in &events {
                let after = self.follow(node, event, now)?;
                if after == node.audited {
                    continue;
                }
                if depth_left > 1 && self.seen.is_new(&after) {
                    *new += 1;
                    let mut path = node.path.clone();
                    path.push((event, now));
                    next.push(Node { audited: after, path });
                }
            }
        }
        Ok(())
    }

    /// The same event in the past is the same event now.
    fn compare(
        &mut self,
        node: &Node,
        now: Instant,
        passed: &(Audited, Actions),
    ) -> Result<(), String> {
        // A release that goes out as time passes may not have ended by then, but is out.
        let is_out = |event: &Event| match *event {
            Event::ReleaseFinished { tenure } => {
                passed.1.iter().any(|&action| action == Action::Release { tenure })
            }
            _ => false,
        };
        for event in void_events(&node.audited).into_iter().filter(|event| !is_out(event)) {
            self.check_same(
                node,
                event,
                now,
                passed,
                "a number that is not out changes something",
            )?;
        }
        if now == node.audited.ledger.now() {
            let past = now.saturating_sub(Duration::from_nanos(7));
            for event in events(&node.audited) {
                let mut there = node.audited.tracker.clone();
                let actions = there.handle(event, now);
                self.check_same_machine(
                    node,
                    event,
                    past,
                    (&there, &actions),
                    "time ran backwards",
                )?;
            }
        }
        // At the end of time each timer makes the next one due.
        for kind in KINDS.into_iter().filter(|_| now < Instant::MAX) {
            self.compare_late_timer(node, kind, now, passed)?;
        }
        Ok(())
    }

    /// S8: whether the timer came before a ticket does not decide who gets a yes. It may decide
    /// whether a ticket hears of the end of one attempt, or waits for the next.
    fn compare_late_timer(
        &mut self,
        node: &Node,
        kind: TicketKind,
        now: Instant,
        passed: &(Audited, Actions),
    ) -> Result<(), String> {
        let event = Event::TicketRequested { kind };
        let mut prompt = node.audited.tracker.clone();
        let at_once: Vec<Action> = prompt.handle(event, now).into_iter().collect();
        let mut late = passed.0.tracker.clone();
        let after: Vec<Action> = late.handle(event, now).into_iter().collect();
        self.counts.handled += 2;
        let answer = |actions: &[Action]| {
            actions.iter().rev().find_map(|action| match action {
                Action::Resolve { kind: of, outcome } if *of == kind => Some(*outcome),
                _ => None,
            })
        };
        let ends = passed.1.iter().any(|action| matches!(action, Action::Notify(_)));
        let same = match (answer(&at_once), answer(&after)) {
            (Some(Outcome::Minion), None) => ends && kind != TicketKind::WaitLeader,
            (at_once, after) => at_once == after,
        };
        let same = same && prompt.belief() == late.belief() && prompt.deadline() == late.deadline();
        self.demand(same, "S8: a late timer changes an answer", node, event, now)
    }

    /// What the timer does at `now`; and that doing it again at the same instant does nothing.
    fn pass_time(&mut self, node: &Node, now: Instant) -> Result<(Audited, Actions), String> {
        let mut audited = node.audited.clone();
        let result = audited.handle(Event::TimerFired, now);
        let actions = self.explain(result, node, Event::TimerFired, now)?;
        self.counts.handled += 2;
        let same = is_quiet(&audited.tracker, now);
        self.demand(same, "the same timer again does something", node, Event::TimerFired, now)?;
        Ok((audited, actions))
    }

    fn follow(&mut self, node: &Node, event: Event, now: Instant) -> Result<Audited, String> {
        let mut audited = node.audited.clone();
        let result = audited.handle(event, now);
        let actions = self.explain(result, node, event, now)?;
        self.counts.histories += 1;
        self.counts.handled += 1;
        if actions.len() > self.counts.actions_max {
            self.counts.actions_max = actions.len();
            let list: Vec<String> = actions.iter().map(|&action| trace::action(action)).collect();
            self.counts.actions_max_example =
                format!("{}{}", self.history(node, event, now), list.join("\n"));
        }
        if !actions.is_empty() {
            // What comes after an event has happened: the timer at once has nothing to add.
            let quiet = is_quiet(&audited.tracker, now);
            self.counts.handled += 1;
            self.demand(quiet, "the timer has something to add", node, event, now)?;
        }
        Ok(audited)
    }

    fn check_same(
        &mut self,
        node: &Node,
        event: Event,
        now: Instant,
        passed: &(Audited, Actions),
        rule: &str,
    ) -> Result<(), String> {
        self.check_same_machine(node, event, now, (&passed.0.tracker, &passed.1), rule)
    }

    fn check_same_machine(
        &mut self,
        node: &Node,
        event: Event,
        now: Instant,
        (tracker, actions): (&Tracker, &Actions),
        rule: &str,
    ) -> Result<(), String> {
        let mut other = node.audited.tracker.clone();
        let same = other.handle(event, now) == *actions && other == *tracker;
        self.counts.handled += 1;
        self.demand(same, rule, node, event, now)
    }

    fn explain<T>(
        &self,
        result: Result<T, String>,
        node: &Node,
        event: Event,
        now: Instant,
    ) -> Result<T, String> {
        result.map_err(|rule| format!("{rule}\n{}", self.history(node, event, now)))
    }

    fn demand(
        &self,
        holds: bool,
        rule: &str,
        node: &Node,
        event: Event,
        now: Instant,
    ) -> Result<(), String> {
        let result = if holds { Ok(()) } else { Err(rule.to_owned()) };
        self.explain(result, node, event, now)
    }

    fn history(&self, node: &Node, event: Event, now: Instant) -> String {
        let mut path = node.path.clone();
        path.push((event, now));
        trace::history(&trace::config(self.config), self.start, &path)
    }
}

/// Whether the timer at the same instant changes nothing. At the end of time every deadline is due
/// as soon as it is set, so it takes a few turns there.
fn is_quiet(tracker: &Tracker, now: Instant) -> bool {
    let turns = if now == Instant::MAX { 4 } else { 1 };
    let mut after = tracker.clone();
    (0..turns).any(|_| {
        let before = after.clone();
        after.handle(Event::TimerFired, now).is_empty() && after == before
    })
}

const KINDS: [TicketKind; 3] =
    [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion];

const SHORT: Duration = Duration::from_nanos(10);
const LONG: Duration = Duration::from_nanos(100_000);

/// Every event that may change something: the ids are those that are out.
fn events(audited: &Audited) -> Vec<Event> {
    let ledger = &audited.ledger;
    let mut events = vec![Event::TimerFired];
    events.extend(KINDS.map(|kind| Event::TicketRequested { kind }));
    events.extend(
        [
            Then::StepDown { cool_off: Duration::ZERO },
            Then::StepDown { cool_off: SHORT },
            Then::Stop,
        ]
        .map(|then| Event::Resign { then }),
    );
    if let Some(claim) = ledger.claim() {
        let attempt = claim.attempt;
        let outcomes = outcomes(audited);
        events.extend(outcomes.map(|outcome| Event::ClaimFinished { attempt, outcome }));
    }
    if let Some(watch) = ledger.watch() {
        events.extend([Event::ReleaseObserved { watch }, Event::WatchFailed { watch }]);
    }
    events.extend(ledger.draining().map(|tenure| Event::Drained { tenure }));
    if let Some(release) = ledger.release() {
        events.push(Event::ReleaseFinished { tenure: release.tenure });
    }
    events
}

/// Every way in which a claim can end: the terms around the highest one seen.
fn outcomes(audited: &Audited) -> [ClaimOutcome; 9] {
    let seen = audited.ledger.seen().map_or(5, Term::number);
    let granted = |term| ClaimOutcome::Granted { term: Term::new(term) };
    [
        granted(seen - 1),
        granted(seen),
        granted(seen + 1),
        ClaimOutcome::Denied { retry_after: None },
        ClaimOutcome::Denied { retry_after: Some(Duration::ZERO) },
        ClaimOutcome::Denied { retry_after: Some(SHORT) },
        ClaimOutcome::Denied { retry_after: Some(LONG) },
        ClaimOutcome::Fatal,
        ClaimOutcome::Unknown,
    ]
}

/// Every event whose number is not out: one too low and one too high where that can be, and the
/// last one if it has ended.
fn void_events(audited: &Audited) -> Vec<Event> {
    let ledger = &audited.ledger;
    let around = |last: u64, out: Option<u64>| {
        [last.saturating_sub(1), last, last + 1].into_iter().filter(move |&id| Some(id) != out)
    };
    let mut events = Vec::new();
    let out = ledger.claim().map(|claim| claim.attempt.number());
    for attempt in around(ledger.attempts(), out).map(AttemptId::new) {
        let [.., higher, denied, _, _, _, fatal, unknown] = outcomes(audited);
        let outcomes = [higher, denied, fatal, unknown];
        events.extend(outcomes.map(|outcome| Event::ClaimFinished { attempt, outcome }));
    }
    let out = ledger.watch().map(WatchId::number);
    for watch in around(ledger.watches(), out).map(WatchId::new) {
        events.extend([Event::ReleaseObserved { watch }, Event::WatchFailed { watch }]);
    }
    let out = ledger.draining().map(TenureId::number);
    let tenures = around(ledger.tenure().number(), out).map(TenureId::new);
    events.extend(tenures.map(|tenure| Event::Drained { tenure }));
    let out = ledger.release().map(|release| release.tenure.number());
    let tenures = around(ledger.tenure().number(), out).map(TenureId::new);
    events.extend(tenures.map(|tenure| Event::ReleaseFinished { tenure }));
    events
}

/// The same instant again; just before, at and just after each deadline; far past all of them; and
/// the end of time.
fn instants(audited: &Audited, config: &Config) -> Vec<Instant> {
    let now = audited.ledger.now();
    let mut instants = vec![now, Instant::MAX];
    for mark in audited.ledger.marks(config).into_iter().filter(|&mark| now < mark) {
        let nanosecond = Duration::from_nanos(1);
        instants.extend([mark.saturating_sub(nanosecond), mark, mark.saturating_add(nanosecond)]);
    }
    instants.push(now.saturating_add(config.lease() * 10));
    instants.retain(|&instant| now <= instant);
    instants.sort();
    instants.dedup();
    instants
}

/// The states met so far, as fingerprints of 128 bits: among 100 million states, two that differ
/// have the same one with a probability under 2^-75.
#[derive(Default)]
struct Seen {
    fingerprints: HashSet<u128>,
    halves: [RandomState; 2],
}

impl Seen {
    fn is_new(&mut self, audited: &Audited) -> bool {
        let [low, high] = self.halves.each_ref().map(|half| half.hash_one(audited));
        self.fingerprints.insert(u128::from(high) << 64 | u128::from(low))
    }
}

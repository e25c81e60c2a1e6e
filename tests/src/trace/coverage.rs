use std::collections::BTreeSet;

use tenure_core::{Actions, Event, Instant, TicketKind};

use super::rules::{RULES, Step};
use crate::ledger::{Audited, Row};

/// A cell of the contract's tables, or one of its rules.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Cell {
    /// A ticket was asked: `design.md` 4.2.
    Asked(Row, &'static str),
    /// An attempt ended: 4.3.
    Ended(Row, How),
    /// A rule of 4.1, 4.4 or 4.5, or a fault of `faults.md`, was seen at work.
    Rule(&'static str),
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum How {
    /// Denied, and the store does not say for how long.
    Denied,
    /// Denied, and the store says for how long.
    DeniedFor,
    /// Fatal.
    Fatal,
    /// Granted, with the highest term so far, and higher than any before.
    GrantedHigher,
    /// Granted with a lower term than one seen.
    GrantedLower,
    /// Granted the term seen last, though somebody else led since.
    GrantedRepeated,
    /// Granted the term seen last.
    GrantedSame,
    /// An outcome of an attempt that is not out.
    Stale,
    /// Not at all, by its deadline.
    TimedOut,
    /// Unknown.
    Unknown,
}

/// Which cells were visited.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    visited: BTreeSet<Cell>,
}

impl Coverage {
    /// Which cells were visited.
    pub fn visited(&self) -> &BTreeSet<Cell> {
        &self.visited
    }

    /// Takes note of what one event visited. `after` has handled `event` at `now`, `before` not.
    pub(crate) fn visit(
        &mut self,
        before: &Audited,
        event: Event,
        now: Instant,
        actions: &Actions,
        after: &Audited,
    ) {
        let config = before.tracker.config();
        let row = before.ledger.row_at(config, now);
        let step =
            Step { before, event, now: before.ledger.now().max(now), at: now, actions, after };
        match event {
            Event::TicketRequested { kind } => {
                self.visited.insert(Cell::Asked(row, super::print::ticket(kind)));
            }
            Event::ClaimFinished { .. } => {
                let how = if step.is_heard() { step.how() } else { How::Stale };
                self.visited.insert(Cell::Ended(row, how));
            }
            Event::Drained { .. }
            | Event::ReleaseFinished { .. }
            | Event::ReleaseObserved { .. }
            | Event::Resign { .. }
            | Event::TimerFired
            | Event::WatchFailed { .. } => {}
        }
        if before.ledger.claim().is_some_and(|claim| claim.deadline <= step.now) {
            // The row that the attempt was out in, not the one that follows.
            let row = before.ledger.row(config);
            self.visited.insert(Cell::Ended(row, How::TimedOut));
        }
        let rules = RULES.iter().filter(|rule| (rule.applies)(&step));
        self.visited.extend(rules.map(|rule| Cell::Rule(rule.name)));
    }
}

impl Cell {
    /// All the cells there are: those that can be reached.
    pub fn all() -> BTreeSet<Cell> {
        let kinds = [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion];
        let asked = Row::ALL
            .into_iter()
            .flat_map(|row| kinds.map(|kind| Cell::Asked(row, super::print::ticket(kind))));
        let stale = Row::ALL.into_iter().map(|row| Cell::Ended(row, How::Stale));
        let ended = ROWS_WITH_A_CLAIM.into_iter().flat_map(|(row, has_seen, may_be_over)| {
            let answered =
                [How::Denied, How::DeniedFor, How::Fatal, How::GrantedHigher, How::TimedOut];
            let seen = [How::GrantedLower, How::GrantedSame].into_iter().filter(move |_| has_seen);
            let over = [How::GrantedRepeated].into_iter().filter(move |_| may_be_over);
            let all = answered.into_iter().chain([How::Unknown]).chain(seen).chain(over);
            all.map(move |how| Cell::Ended(row, how))
        });
        let rules = RULES.iter().map(|rule| Cell::Rule(rule.name));
        asked.chain(stale).chain(ended).chain(rules).collect()
    }
}

/// With each: whether a term was seen before, and whether that may be over.
const ROWS_WITH_A_CLAIM: [(Row, bool, bool); 6] = [
    (Row::LeaderFresh, true, false),
    (Row::LeaderRenewing, true, false),
    (Row::MinionClaiming, true, true),
    (Row::MinionFirstClaim, false, false),
    (Row::SteppingDownHeld, true, false),
    (Row::StoppingHeld, true, false),
];

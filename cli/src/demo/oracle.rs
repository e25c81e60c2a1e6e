//! Whether two candidates ever led at once, from all that all of them said.
//!
//! An answer yes with `valid_until` claims that nobody else leads from the answer until then, or
//! until the candidate resigns. The answer was given at some instant between `asked` and
//! `answered`, and not later than a guarantee before `valid_until`: a process that was stopped in
//! between read its clock late. The oracle accuses nobody of what may not have been so.
//!
//! The lines of different processes arrive in any order, so it keeps what it needs of each term and
//! judges them all when it is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tenure_core::{Instant, Term};

use crate::demo::report::{Answer, Report};

/// One process: a unit that was started anew is another.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Process {
    pub(crate) unit: String,
    pub(crate) pid: u32,
}

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (pid {})", self.unit, self.pid)
    }
}

/// What is known of one term.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) process: Process,
    /// The first yes was given by then.
    pub(crate) first_yes: Instant,
    /// The last yes was given by then.
    pub(crate) last_yes: Instant,
    /// The last yes was given after this.
    last_asked: Instant,
    valid_until: Instant,
    pub(crate) resigned: Option<Instant>,
}

impl Holding {
    /// Until when nobody else may lead.
    pub(crate) fn end(&self) -> Instant {
        self.resigned.map_or(self.valid_until, |resigned| resigned.min(self.valid_until))
    }
}

/// Something that must never be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Violation {
    /// A later term had a yes before an earlier one had ended.
    Overlap { earlier: Term, later: Term, by: Duration },
    /// An earlier term had a yes after a later one had had one.
    Stale { earlier: Term, later: Term, by: Duration },
    /// Two processes had a yes in one term.
    TermTwice { term: Term, processes: [Process; 2] },
    /// A yes was given that did not hold for the guarantee.
    TooLate { process: Process, term: Term, by: Duration },
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Overlap { earlier, later, by } => {
                write!(formatter, "term {later} began {by:?} before term {earlier} was over")
            }
            Violation::Stale { earlier, later, by } => {
                write!(formatter, "term {earlier} had a yes {by:?} after term {later} had begun")
            }
            Violation::TermTwice { term, processes: [one, other] } => {
                write!(formatter, "term {term} was both {one}'s and {other}'s")
            }
            Violation::TooLate { process, term, by } => write!(
                formatter,
                "{process} said yes in term {term} {by:?} too late to guarantee it"
            ),
        }
    }
}

/// Sees all the answers.
#[derive(Debug)]
pub(crate) struct Oracle {
    guarantee: Duration,
    holdings: BTreeMap<Term, Holding>,
    answers: u64,
    yeses: u64,
    /// What can be told from one answer alone.
    found: Vec<Violation>,
}

impl Oracle {
    pub(crate) fn new(guarantee: Duration) -> Oracle {
        let (holdings, found) = (BTreeMap::new(), Vec::new());
        Oracle { guarantee, holdings, answers: 0, yeses: 0, found }
    }

    /// Takes note of what `process` said.
    pub(crate) fn hear(&mut self, process: &Process, report: &Report) {
        match report {
            Report::Answer(answer) => self.hear_answer(process, answer),
            Report::Resigned { at } => {
                let held = self.holdings.values_mut().filter(|held| held.process == *process);
                // A resignation ends the term that it comes in, which is the last.
                if let Some(held) = held.last() {
                    held.resigned.get_or_insert(*at);
                }
            }
        }
    }

    fn hear_answer(&mut self, process: &Process, answer: &Answer) {
        self.answers += 1;
        let Some(yes) = answer.yes else { return };
        self.yeses += 1;
        let term = yes.term;
        let latest = yes.valid_until.saturating_sub(self.guarantee);
        if answer.asked > latest {
            let by = answer.asked.saturating_duration_since(latest);
            self.found.push(Violation::TooLate { process: process.clone(), term, by });
        }
        // Never before it was asked for, also if that breaks the rule above.
        let given_by = answer.answered.min(latest).max(answer.asked);
        let held = self.holdings.entry(term).or_insert_with(|| Holding {
            process: process.clone(),
            first_yes: given_by,
            last_yes: given_by,
            last_asked: answer.asked,
            valid_until: yes.valid_until,
            resigned: None,
        });
        if held.process != *process {
            let processes = [held.process.clone(), process.clone()];
            self.found.push(Violation::TermTwice { term, processes });
            return;
        }
        held.first_yes = held.first_yes.min(given_by);
        held.last_yes = held.last_yes.max(given_by);
        held.last_asked = held.last_asked.max(answer.asked);
        held.valid_until = held.valid_until.max(yes.valid_until);
    }

    /// All that must never be and was.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut found = self.found.clone();
        for (&later, after) in &self.holdings {
            for (&earlier, before) in self.holdings.range(..later) {
                if after.first_yes < before.end() {
                    let by = before.end().saturating_duration_since(after.first_yes);
                    found.push(Violation::Overlap { earlier, later, by });
                }
                if before.last_asked > after.first_yes {
                    let by = before.last_asked.saturating_duration_since(after.first_yes);
                    found.push(Violation::Stale { earlier, later, by });
                }
            }
        }
        found
    }

    /// The latest term that had a yes.
    pub(crate) fn latest(&self) -> Option<(Term, &Holding)> {
        self.holdings.last_key_value().map(|(&term, held)| (term, held))
    }

    /// How long nobody led between `term` and the next: from its last yes, or the resignation, to
    /// the first yes after it.
    pub(crate) fn gap_after(&self, term: Term) -> Option<Duration> {
        let before = self.holdings.get(&term)?;
        let (_, after) = self.holdings.range(term..).nth(1)?;
        let end = before.resigned.unwrap_or(before.last_yes);
        Some(after.first_yes.saturating_duration_since(end))
    }

    pub(crate) fn answers(&self) -> u64 {
        self.answers
    }

    pub(crate) fn yeses(&self) -> u64 {
        self.yeses
    }

    pub(crate) fn terms(&self) -> usize {
        self.holdings.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::report::Yes;

    const GUARANTEE: Duration = Duration::from_millis(1_000);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn process(number: u32) -> Process {
        Process { unit: format!("demo/{number}"), pid: 100 + number }
    }

    /// A log: who, asked, answered, term, valid until, all in milliseconds.
    fn judged(log: &[(u32, u64, u64, u64, u64)], resigned: &[(u32, u64)]) -> Vec<Violation> {
        let mut oracle = Oracle::new(GUARANTEE);
        for &(who, asked, answered, term, valid_until) in log {
            let yes = Yes { term: Term::new(term), valid_until: at(valid_until) };
            let (asked, answered) = (at(asked), at(answered));
            let answer = Answer { asked, answered, yes: Some(yes), stands: true };
            oracle.hear(&process(who), &Report::Answer(answer));
        }
        for &(who, ms) in resigned {
            oracle.hear(&process(who), &Report::Resigned { at: at(ms) });
        }
        oracle.violations()
    }

    fn terms(earlier: u64, later: u64) -> (Term, Term) {
        (Term::new(earlier), Term::new(later))
    }

    #[test]
    fn leaders_that_follow_one_another_are_fine() {
        let log = [(0, 0, 1, 1, 1_800), (0, 700, 701, 1, 2_500), (1, 2_500, 2_600, 2, 4_400)];
        assert_eq!(judged(&log, &[]), []);
        let early = [(0, 0, 1, 1, 1_800), (1, 110, 120, 2, 1_900)];
        assert_eq!(judged(&early, &[(0, 100)]), [], "a resignation ends a term");
    }

    #[test]
    fn a_term_that_begins_before_the_last_has_ended_is_caught_in_any_order() {
        let (earlier, later) = terms(1, 2);
        let overlap = Violation::Overlap { earlier, later, by: Duration::from_millis(100) };
        let mut log = [(0, 0, 1, 1, 1_800), (1, 1_690, 1_700, 2, 3_400)];
        let in_order = judged(&log, &[]);
        log.reverse();
        assert_eq!([in_order, judged(&log, &[])], [[overlap.clone()], [overlap]]);
        let early = [(0, 0, 1, 1, 1_800), (1, 40, 50, 2, 1_800)];
        let overlap = Violation::Overlap { earlier, later, by: Duration::from_millis(50) };
        assert_eq!(judged(&early, &[(0, 100)]), [overlap], "it has not resigned yet");
    }

    #[test]
    fn two_processes_of_one_unit_are_two() {
        let mut oracle = Oracle::new(GUARANTEE);
        for pid in [1, 2] {
            let yes = Yes { term: Term::new(1), valid_until: at(1_800) };
            let answer = Answer { asked: at(0), answered: at(1), yes: Some(yes), stands: true };
            oracle.hear(&Process { unit: "demo/0".to_owned(), pid }, &Report::Answer(answer));
        }
        assert!(matches!(oracle.violations()[..], [Violation::TermTwice { .. }]));
    }

    #[test]
    fn an_old_leader_that_still_says_yes_is_caught() {
        let log = [(0, 0, 1, 1, 1_800), (1, 1_900, 1_901, 2, 3_700), (0, 2_000, 2_001, 1, 1_800)];
        let (earlier, later) = terms(1, 2);
        let by = Duration::from_millis;
        assert_eq!(
            judged(&log, &[]),
            [
                Violation::TooLate { process: process(0), term: earlier, by: by(1_200) },
                Violation::Stale { earlier, later, by: by(99) },
            ]
        );
    }

    #[test]
    fn a_yes_without_the_guarantee_is_caught() {
        let late = Violation::TooLate {
            process: process(0),
            term: Term::new(1),
            by: Duration::from_millis(1),
        };
        assert_eq!(judged(&[(0, 801, 802, 1, 1_800)], &[]), [late]);
        assert_eq!(judged(&[(0, 800, 801, 1, 1_800)], &[]), []);
    }

    #[test]
    fn a_process_that_was_stopped_before_it_read_its_clock_is_not_accused() {
        let log = [(0, 0, 9_000, 1, 1_800), (1, 1_900, 1_901, 2, 3_700)];
        assert_eq!(judged(&log, &[]), []);
    }

    #[test]
    fn a_gap_is_from_the_last_yes_or_the_resignation_to_the_next_yes() {
        let mut oracle = Oracle::new(GUARANTEE);
        let mut yes = |who, ms, term| {
            let yes = Yes { term: Term::new(term), valid_until: at(ms + 1_800) };
            let (asked, answered) = (at(ms), at(ms));
            let answer = Answer { asked, answered, yes: Some(yes), stands: true };
            oracle.hear(&process(who), &Report::Answer(answer));
        };
        yes(0, 0, 1);
        yes(0, 100, 1);
        yes(1, 2_100, 3);
        yes(2, 2_220, 4);
        assert_eq!(oracle.gap_after(Term::new(1)), Some(Duration::from_millis(2_000)));
        oracle.hear(&process(1), &Report::Resigned { at: at(2_200) });
        assert_eq!(oracle.gap_after(Term::new(3)), Some(Duration::from_millis(20)));
        assert_eq!(oracle.gap_after(Term::new(4)), None);
    }
}

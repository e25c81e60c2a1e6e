use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tenure_core::{Instant, Term};

use super::report::{Answer, Report, Yes};
use super::succession::Succession;

/// One process: a unit that was started anew is another.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Process {
    /// The unit that it is a candidate for.
    pub unit: String,
    /// Its number, by the system.
    pub pid: u32,
}

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (pid {})", self.unit, self.pid)
    }
}

/// What is known of one term.
#[derive(Clone, Debug)]
pub struct Holding {
    /// Whose it is.
    pub process: Process,
    /// The first yes was given by then.
    pub first_yes: Instant,
    /// The last yes was given by then.
    pub last_yes: Instant,
    /// The last yes was given after this.
    last_asked: Instant,
    valid_until: Instant,
    /// When the process resigned from it, if it did.
    pub resigned: Option<Instant>,
}

impl Holding {
    /// Until when nobody else may lead.
    pub fn end(&self) -> Instant {
        self.resigned.map_or(self.valid_until, |resigned| resigned.min(self.valid_until))
    }
}

/// Something that must never be.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Violation {
    /// A later term had a yes before an earlier one had ended.
    Overlap {
        /// The term that had not ended.
        earlier: Term,
        /// The term that began.
        later: Term,
        /// By how much at least.
        by: Duration,
    },
    /// An earlier term had a yes after a later one had had one.
    Stale {
        /// The term that had a yes.
        earlier: Term,
        /// The term that had begun.
        later: Term,
        /// How much later at least.
        by: Duration,
    },
    /// Two processes had a yes in one term.
    TermTwice {
        /// The term.
        term: Term,
        /// The first two that were heard.
        processes: [Process; 2],
    },
    /// A yes was given that did not hold for the guarantee.
    TooLate {
        /// Who gave it.
        process: Process,
        /// In which term.
        term: Term,
        /// By how much at least.
        by: Duration,
    },
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

/// Whether two candidates ever led at once, from all that all of them said.
///
/// An answer yes with `valid_until` claims that nobody else leads from the answer until then, or
/// until the candidate resigns. The answer was given at some instant between `asked` and
/// `answered`, and not later than a guarantee before `valid_until`: a process that was stopped in
/// between read its clock late. The oracle accuses nobody of what may not have been so.
///
/// The lines of different processes arrive in any order, so it keeps what it needs of each term and
/// judges them all when it is asked. Who listens for hours has it [`forget`](Oracle::forget) what
/// is long over.
#[derive(Debug)]
pub struct Oracle {
    guarantee: Duration,
    holdings: BTreeMap<Term, Holding>,
    answers: u64,
    yeses: u64,
    /// What needs no other term to be told, and what was told of those that are forgotten.
    found: Vec<Violation>,
    /// How many terms have been forgotten.
    forgotten: usize,
    /// The last of them, and when the one after it had its first yes.
    horizon: Option<(Term, (Term, Instant))>,
    /// Those within one term that have not been handed out.
    resumptions: Vec<Succession>,
}

impl Oracle {
    /// One that has heard nothing yet, of candidates with this guarantee.
    pub fn new(guarantee: Duration) -> Oracle {
        Oracle {
            guarantee,
            holdings: BTreeMap::new(),
            answers: 0,
            yeses: 0,
            found: Vec::new(),
            forgotten: 0,
            horizon: None,
            resumptions: Vec::new(),
        }
    }

    /// Takes note of what `process` said.
    pub fn hear(&mut self, process: &Process, report: &Report) {
        match report {
            Report::Answer(answer) => self.hear_answer(process, answer),
            Report::Resigned { at } => {
                let held = self.holdings.values_mut().filter(|held| held.process == *process);
                // A resignation ends the term that it comes in, which is the last.
                if let Some(held) = held.last() {
                    held.resigned.get_or_insert(*at);
                }
            }
            Report::Works { at, term } => {
                self.yeses += 1;
                self.hear_leader(process, *term, *at, *at, *at);
            }
        }
    }

    fn hear_answer(&mut self, process: &Process, answer: &Answer) {
        self.answers += 1;
        let Some(Yes { term, valid_until }) = answer.yes else { return };
        self.yeses += 1;
        let latest = valid_until.saturating_sub(self.guarantee);
        if answer.asked > latest {
            let by = answer.asked.saturating_duration_since(latest);
            self.found.push(Violation::TooLate { process: process.clone(), term, by });
        }
        // Never before it was asked for, also if that breaks the rule above.
        let given_by = answer.answered.min(latest).max(answer.asked);
        if let Some(before) = self.hear_leader(process, term, answer.asked, given_by, valid_until)
            && answer.asked >= before.valid_until
        {
            let (from, to) = (before.last_yes, given_by);
            self.resumptions.push(Succession { earlier: term, later: term, from, to });
        }
    }

    /// Takes note that `process` led in `term` at some instant from `asked` to `given_by`, and
    /// gives what was known of that term before.
    fn hear_leader(
        &mut self,
        process: &Process,
        term: Term,
        asked: Instant,
        given_by: Instant,
        valid_until: Instant,
    ) -> Option<Holding> {
        if let Some((last, (later, begun))) = self.horizon
            && term <= last
        {
            if asked > begun {
                let by = asked.saturating_duration_since(begun);
                self.found.push(Violation::Stale { earlier: term, later, by });
            }
            return None;
        }
        let held = self.holdings.entry(term).or_insert_with(|| Holding {
            process: process.clone(),
            first_yes: given_by,
            last_yes: given_by,
            last_asked: asked,
            valid_until,
            resigned: None,
        });
        if held.process != *process {
            let processes = [held.process.clone(), process.clone()];
            self.found.push(Violation::TermTwice { term, processes });
            return None;
        }
        let before = held.clone();
        held.first_yes = held.first_yes.min(given_by);
        held.last_yes = held.last_yes.max(given_by);
        held.last_asked = held.last_asked.max(asked);
        held.valid_until = held.valid_until.max(valid_until);
        Some(before)
    }

    /// All that must never be and was.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = self.found.clone();
        for &later in self.holdings.keys() {
            for &earlier in self.holdings.range(..later).map(|(earlier, _)| earlier) {
                found.extend(self.between(earlier, later));
            }
        }
        found
    }

    /// What is wrong between two terms.
    fn between(&self, earlier: Term, later: Term) -> Vec<Violation> {
        let mut found = Vec::new();
        let [Some(before), Some(after)] = [earlier, later].map(|term| self.holdings.get(&term))
        else {
            return found;
        };
        if after.first_yes < before.end() {
            let by = before.end().saturating_duration_since(after.first_yes);
            found.push(Violation::Overlap { earlier, later, by });
        }
        if before.last_asked > after.first_yes {
            let by = before.last_asked.saturating_duration_since(after.first_yes);
            found.push(Violation::Stale { earlier, later, by });
        }
        found
    }

    /// Forgets each term but the last whose successor had its first yes before `horizon`, so that
    /// memory stays bounded, and gives all that happened since it was last asked to: who followed
    /// whom, in the order of their terms.
    ///
    /// What is wrong with such a term is found first, and stays found. Of what is said later about
    /// a term that is forgotten, only a yes that was asked for too late is noticed: `horizon` is to
    /// lie back longer than the longest time that a candidate may be stopped for.
    pub fn forget(&mut self, horizon: Instant) -> Vec<Succession> {
        let mut successions = std::mem::take(&mut self.resumptions);
        loop {
            let mut terms = self.holdings.iter();
            let (Some((&earlier, before)), Some((&later, after))) = (terms.next(), terms.next())
            else {
                break;
            };
            if after.first_yes >= horizon {
                break;
            }
            let next = (later, after.first_yes);
            successions.push(Succession::between((earlier, before), (later, after)));
            let laters: Vec<Term> = self.holdings.keys().skip(1).copied().collect();
            for later in laters {
                let found = self.between(earlier, later);
                self.found.extend(found);
            }
            self.holdings.remove(&earlier);
            self.forgotten += 1;
            self.horizon = Some((earlier, next));
        }
        successions.sort_by_key(|succession| (succession.later, succession.to));
        successions
    }

    /// The latest term that had a yes.
    pub fn latest(&self) -> Option<(Term, &Holding)> {
        self.holdings.last_key_value().map(|(&term, held)| (term, held))
    }

    /// How long nobody led between `term` and the next: from its last yes, or the resignation, to
    /// the first yes after it.
    pub fn gap_after(&self, term: Term) -> Option<Duration> {
        let before = self.holdings.get_key_value(&term)?;
        let after = self.holdings.range(term..).nth(1)?;
        let pair = |(&term, held)| (term, held);
        Some(Succession::between(pair(before), pair(after)).gap())
    }

    /// How many answers were heard.
    pub fn answers(&self) -> u64 {
        self.answers
    }

    /// How many of them were yes.
    pub fn yeses(&self) -> u64 {
        self.yeses
    }

    /// In how many terms.
    pub fn terms(&self) -> usize {
        self.forgotten + self.holdings.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_command_at_work_while_another_leads_is_caught() {
        let mut oracle = Oracle::new(GUARANTEE);
        let mut works = |who, ms, term| {
            let report = Report::Works { at: at(ms), term: Term::new(term) };
            oracle.hear(&process(who), &report);
        };
        works(0, 10, 1);
        works(0, 1_000, 1);
        works(1, 1_001, 2);
        assert_eq!(oracle.violations(), [], "one after the other");
        let mut works = |who, ms, term| {
            let report = Report::Works { at: at(ms), term: Term::new(term) };
            oracle.hear(&process(who), &report);
        };
        works(0, 1_003, 1);
        let (earlier, later) = terms(1, 2);
        let by = Duration::from_millis(2);
        assert!(oracle.violations().contains(&Violation::Stale { earlier, later, by }));
        let promises_nothing =
            oracle.violations().iter().any(|found| matches!(found, Violation::TooLate { .. }));
        assert!(!promises_nothing);
        assert_eq!((oracle.yeses(), oracle.answers()), (4, 0));
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
        oracle.hear(&process(0), &Report::Resigned { at: at(2_110) });
        let gap = oracle.gap_after(Term::new(1));
        assert_eq!(gap, Some(Duration::from_millis(2_000)), "it had run out by then");
    }

    /// Leaders one after the other, a second each, with as long a gap after each as its number in
    /// milliseconds.
    fn in_turn(oracle: &mut Oracle, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let begin = number * 2_000;
            let yes = Yes { term: Term::new(number), valid_until: at(begin + 1_900) };
            let mut answer =
                Answer { asked: at(begin), answered: at(begin), yes: Some(yes), stands: true };
            let who = process(number as u32);
            oracle.hear(&who, &Report::Answer(answer));
            answer.asked = at(begin + 900);
            answer.answered = answer.asked;
            oracle.hear(&who, &Report::Answer(answer));
        }
    }

    #[test]
    fn what_is_long_over_is_forgotten_and_told() {
        let mut oracle = Oracle::new(GUARANTEE);
        in_turn(&mut oracle, 1..100);
        let told = oracle.forget(at(40 * 2_000));
        let expected: Vec<Succession> = (1..39)
            .map(|number| Succession {
                earlier: Term::new(number),
                later: Term::new(number + 1),
                from: at(number * 2_000 + 900),
                to: at((number + 1) * 2_000),
            })
            .collect();
        assert_eq!(told, expected);
        assert_eq!((oracle.terms(), oracle.holdings.len()), (99, 99 - 38));
        assert_eq!(oracle.forget(at(40 * 2_000)), []);
        assert_eq!(oracle.forget(Instant::from_nanos(u64::MAX)).len(), 60);
        assert_eq!((oracle.terms(), oracle.holdings.len()), (99, 1));
        assert_eq!(oracle.violations(), []);
    }

    #[test]
    fn what_was_wrong_with_a_forgotten_term_stays_wrong() {
        let mut oracle = Oracle::new(GUARANTEE);
        in_turn(&mut oracle, 1..5);
        let yes = Yes { term: Term::new(2), valid_until: at(3 * 2_000 + 10) };
        let (asked, answered) = (at(2 * 2_000 + 950), at(2 * 2_000 + 951));
        let answer = Answer { asked, answered, yes: Some(yes), stands: true };
        oracle.hear(&process(2), &Report::Answer(answer));
        let (earlier, later) = terms(2, 3);
        let overlap = Violation::Overlap { earlier, later, by: Duration::from_millis(10) };
        for horizon in [0, 9_000] {
            oracle.forget(at(horizon));
            assert_eq!(oracle.violations(), std::slice::from_ref(&overlap));
        }
    }

    #[test]
    fn a_yes_in_a_term_that_is_forgotten_is_stale_if_it_was_asked_for_too_late() {
        let mut oracle = Oracle::new(GUARANTEE);
        in_turn(&mut oracle, 1..5);
        oracle.forget(at(9_000));
        let mut late = |asked| {
            let yes = Yes { term: Term::new(1), valid_until: at(asked + 1_000) };
            let (asked, answered) = (at(asked), at(50_000));
            let answer = Answer { asked, answered, yes: Some(yes), stands: false };
            oracle.hear(&process(1), &Report::Answer(answer));
            oracle.violations().len()
        };
        assert_eq!(late(2_900), 0, "it was stopped before it read its clock, and says so late");
        assert_eq!(late(8_500), 1);
    }

    #[test]
    fn who_leads_again_in_its_own_term_after_that_had_run_out_resumes_it() {
        let mut oracle = Oracle::new(GUARANTEE);
        let mut yes = |ms| {
            let yes = Yes { term: Term::new(1), valid_until: at(ms + 1_800) };
            let answer = Answer { asked: at(ms), answered: at(ms), yes: Some(yes), stands: true };
            oracle.hear(&process(0), &Report::Answer(answer));
        };
        yes(0);
        yes(1_700);
        yes(4_000);
        let (earlier, later) = terms(1, 1);
        let resumed = Succession { earlier, later, from: at(1_700), to: at(4_000) };
        assert_eq!(oracle.forget(at(0)), [resumed]);
        assert_eq!((oracle.forget(at(0)), oracle.violations()), (vec![], vec![]));
    }
}

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tenure_core::{Instant, Term};

/// What a candidate says, one line each. All instants are on the boot clock, which the processes of
/// one host share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Report {
    /// A ticket was answered.
    Answer(Answer),
    /// From then on no ticket is answered yes: the candidate is about to release its lease.
    Resigned {
        /// When it asked its tracker to resign.
        at: Instant,
    },
    /// A command that runs under leadership was still at work: it promises nothing beyond that.
    Works {
        /// When it was.
        at: Instant,
        /// In which term.
        term: Term,
    },
}

/// The answer to one ticket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Just before the ticket was asked for.
    pub asked: Instant,
    /// Just after its answer was there. A process that was stopped in between says so late.
    pub answered: Instant,
    /// What came with it, if it was yes.
    pub yes: Option<Yes>,
    /// Whether the tracker stood as leader after that.
    pub stands: bool,
}

/// What came with an answer yes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Yes {
    /// In which term.
    pub term: Term,
    /// Until then nobody else can lead.
    pub valid_until: Instant,
}

impl Report {
    /// The same, by a clock that shows `span` less: for one that was said by a process in a time
    /// namespace of its own, whose boot clock is ahead by `span`.
    #[must_use]
    pub fn earlier_by(self, span: Duration) -> Report {
        let earlier = |at: Instant| at.saturating_sub(span);
        match self {
            Report::Answer(Answer { asked, answered, yes, stands }) => {
                let yes = yes.map(|Yes { term, valid_until }| Yes {
                    term,
                    valid_until: earlier(valid_until),
                });
                let (asked, answered) = (earlier(asked), earlier(answered));
                Report::Answer(Answer { asked, answered, yes, stands })
            }
            Report::Resigned { at } => Report::Resigned { at: earlier(at) },
            Report::Works { at, term } => Report::Works { at: earlier(at), term },
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Answer(Answer { asked, answered, yes, stands }) => {
                let (asked, answered) = (asked.as_nanos(), answered.as_nanos());
                let stands = if *stands { "leader" } else { "minion" };
                match yes {
                    Some(Yes { term, valid_until }) => {
                        let valid_until = valid_until.as_nanos();
                        write!(formatter, "yes {asked} {answered} {stands} {term} {valid_until}")
                    }
                    None => write!(formatter, "no {asked} {answered} {stands}"),
                }
            }
            Report::Resigned { at } => write!(formatter, "resigned {}", at.as_nanos()),
            Report::Works { at, term } => write!(formatter, "works {} {term}", at.as_nanos()),
        }
    }
}

/// A line that no candidate writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotAReport;

impl fmt::Display for NotAReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no candidate writes such a line")
    }
}

impl std::error::Error for NotAReport {}

impl FromStr for Report {
    type Err = NotAReport;

    fn from_str(line: &str) -> Result<Report, NotAReport> {
        let number = |word: &str| word.parse::<u64>().map_err(|_| NotAReport);
        let instant = |word: &str| number(word).map(Instant::from_nanos);
        let stands = |word: &str| match word {
            "leader" => Ok(true),
            "minion" => Ok(false),
            _ => Err(NotAReport),
        };
        let words: Vec<&str> = line.split(' ').collect();
        let answer = |asked, answered, standing, yes| {
            let (asked, answered) = (instant(asked)?, instant(answered)?);
            Ok(Report::Answer(Answer { asked, answered, yes, stands: stands(standing)? }))
        };
        match words[..] {
            ["yes", asked, answered, standing, term, valid_until] => {
                let term = Term::new(number(term)?);
                let yes = Yes { term, valid_until: instant(valid_until)? };
                answer(asked, answered, standing, Some(yes))
            }
            ["no", asked, answered, standing] => answer(asked, answered, standing, None),
            ["resigned", at] => Ok(Report::Resigned { at: instant(at)? }),
            ["works", at, term] => {
                Ok(Report::Works { at: instant(at)?, term: Term::new(number(term)?) })
            }
            _ => Err(NotAReport),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_is_written() {
        let at = Instant::from_nanos;
        let yes = Yes { term: Term::new(7), valid_until: at(99) };
        for report in [
            Report::Answer(Answer { asked: at(1), answered: at(2), yes: Some(yes), stands: true }),
            Report::Answer(Answer { asked: at(1), answered: at(2), yes: None, stands: false }),
            Report::Resigned { at: at(5) },
            Report::Works { at: at(5), term: Term::new(7) },
        ] {
            assert_eq!(report.to_string().parse(), Ok(report));
        }
        for line in
            ["", "yes 1 2 leader 3", "no 1 2 boss", "no 1 2", "resigned", "resigned x", "works 1"]
        {
            assert_eq!(line.parse::<Report>(), Err(NotAReport), "{line}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_is_set_back_for_all_instants() {
        let at = Instant::from_nanos;
        let report = |ahead: u64| {
            let yes = Yes { term: Term::new(7), valid_until: at(99 + ahead) };
            let (asked, answered) = (at(1 + ahead), at(2 + ahead));
            Report::Answer(Answer { asked, answered, yes: Some(yes), stands: true })
        };
        assert_eq!(report(1_000).earlier_by(Duration::from_nanos(1_000)), report(0));
        let resigned = Report::Resigned { at: at(5) }.earlier_by(Duration::from_nanos(2));
        assert_eq!(resigned, Report::Resigned { at: at(3) });
        let works = |at| Report::Works { at: Instant::from_nanos(at), term: Term::new(7) };
        assert_eq!(works(5).earlier_by(Duration::from_nanos(2)), works(3));
    }
}

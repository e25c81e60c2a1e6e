//! What a candidate of the demo says, one line each.

use std::fmt;
use std::str::FromStr;

use tenure_core::{Instant, Term};

/// One line. All instants are on the boot clock, which the processes of one host share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Report {
    /// A ticket was answered.
    Answer(Answer),
    /// From then on no ticket is answered yes: the candidate is about to release its lease.
    Resigned { at: Instant },
}

/// The answer to one ticket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    /// Just before the ticket was asked for.
    pub(crate) asked: Instant,
    /// Just after its answer was there. A process that was stopped in between says so late.
    pub(crate) answered: Instant,
    pub(crate) yes: Option<Yes>,
    /// Whether the tracker stood as leader after that.
    pub(crate) stands: bool,
}

/// What came with an answer yes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Yes {
    pub(crate) term: Term,
    pub(crate) valid_until: Instant,
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
        }
    }
}

/// A line that no candidate writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NotAReport;

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
        ] {
            assert_eq!(report.to_string().parse(), Ok(report));
        }
        for line in ["", "yes 1 2 leader 3", "no 1 2 boss", "no 1 2", "resigned", "resigned x"] {
            assert_eq!(line.parse::<Report>(), Err(NotAReport), "{line}");
        }
    }
}

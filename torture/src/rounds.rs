//! The rounds that were played, and how long nobody led because of them.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use tenure_core::{Config, Instant};
use tenure_testkit::witness::Succession;

use crate::ground::Lateness;
use crate::schedule::{Class, Round};
use crate::statistics::{Spans, human};

/// What a hand-over may take besides the store's round trips, on a machine with much else to do.
const POLITE: Duration = Duration::from_millis(250);
/// What a fail-over may take besides the lease, on such a machine.
const EXTRA: Duration = Duration::from_millis(200);
/// For so many rounds a succession may still come to be known.
const KEPT: usize = 200;

#[derive(Clone, Debug)]
struct Played {
    number: u64,
    round: Round,
    began: Instant,
    /// From then on nothing was wrong any more.
    healed: Option<Instant>,
    /// By then somebody had led after that.
    settled: Option<Instant>,
}

/// How long nobody may lead, by the class of what happened.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    lease: Duration,
    crash: Duration,
    outage: Duration,
}

impl Bounds {
    /// For a store whose leases end too late by `lateness` at most.
    pub(crate) fn new(config: &Config, lateness: Lateness) -> Bounds {
        let crash = config.lease() + lateness.always + EXTRA;
        // Whoever was refused or unheard has backed off, and may have a claim out.
        let back = config.retry_max() + config.claim_timeout();
        let outage = crash + lateness.after_outage + back;
        Bounds { lease: config.lease(), crash, outage }
    }

    pub(crate) fn of(&self, class: Class) -> Duration {
        match class {
            Class::Polite => POLITE,
            Class::Crash => self.crash,
            Class::Outage | Class::Several => self.outage,
        }
    }
}

/// A time without a leader that has no good reason, or was too long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Oddity {
    /// Longer than its bound.
    Late { number: u64, names: String, at: Instant, span: Duration, bound: Duration },
    /// The leader changed when nothing had happened.
    Unprovoked { number: u64, at: Instant, span: Duration },
}

impl fmt::Display for Oddity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Oddity::Late { number, names, span, bound, .. } => {
                let (span, bound) = (human(*span), human(*bound));
                write!(formatter, "round {number}, {names}: nobody led for {span}, bound {bound}")
            }
            Oddity::Unprovoked { number, span, .. } => {
                let span = human(*span);
                write!(formatter, "after round {number} the leader changed, unprovoked, in {span}")
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Rounds {
    pub(crate) bounds: Bounds,
    played: VecDeque<Played>,
    count: u64,
    /// By class.
    spans: [Spans; Class::ALL.len()],
    /// Of those that came before all was well again.
    pub(crate) in_the_midst: Spans,
    pub(crate) unprovoked: u64,
    pub(crate) successions: u64,
}

impl Rounds {
    pub(crate) fn new(bounds: Bounds) -> Rounds {
        Rounds {
            bounds,
            played: VecDeque::new(),
            count: 0,
            spans: Default::default(),
            in_the_midst: Spans::default(),
            unprovoked: 0,
            successions: 0,
        }
    }

    pub(crate) fn begin(&mut self, round: Round, began: Instant) -> u64 {
        self.count += 1;
        let number = self.count;
        self.played.push_back(Played { number, round, began, healed: None, settled: None });
        if self.played.len() > KEPT {
            self.played.pop_front();
        }
        number
    }

    pub(crate) fn healed(&mut self, at: Instant) {
        if let Some(last) = self.played.back_mut() {
            last.healed = Some(at);
        }
    }

    pub(crate) fn settled(&mut self, at: Instant) {
        if let Some(last) = self.played.back_mut() {
            last.settled = Some(at);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn spans(&self, class: Class) -> &Spans {
        &self.spans[class as usize]
    }

    /// Puts it down to the round that it came in.
    pub(crate) fn add(&mut self, succession: &Succession) -> Option<Oddity> {
        self.successions += 1;
        let Succession { from, to, .. } = *succession;
        let gap = succession.gap();
        let played = self.played.iter().rev().find(|played| played.began <= to)?;
        let (number, at) = (played.number, to);
        // Whoever led again was heard to before the rack knew that it had settled.
        if played.settled.is_some_and(|settled| settled < from) {
            self.unprovoked += 1;
            return Some(Oddity::Unprovoked { number, at, span: gap });
        }
        let class = played.round.class();
        let mut bound = self.bounds.of(class);
        let mut span = gap;
        let mut spans = &mut self.spans[class as usize];
        match class {
            Class::Polite | Class::Crash => {}
            Class::Outage | Class::Several => match played.healed {
                Some(healed) if healed < to => {
                    span = to.saturating_duration_since(healed.max(from))
                }
                Some(_) | None => {
                    // Each of them may have cost a lease.
                    bound += self.bounds.lease * played.round.blows.len() as u32;
                    spans = &mut self.in_the_midst;
                }
            },
        }
        let names = played.round.names();
        let is_in_time = spans.add(span, bound);
        (!is_in_time).then_some(Oddity::Late { number, names, at, span, bound })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Blow, Fault};
    use tenure_core::Term;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn rounds(faults: &[Fault]) -> Rounds {
        let config = Config::new(Duration::from_millis(400)).unwrap();
        let mut rounds = Rounds::new(Bounds::new(&config, Lateness::default()));
        let blow = |&fault| Blow { fault, after: 0, lasting: 0, victim: 0, way: 0 };
        let blows = faults.iter().map(blow).collect();
        rounds.begin(Round { blows, calm: 0 }, at(1_000));
        rounds
    }

    fn succession(from: u64, to: u64) -> Succession {
        let (earlier, later) = (Term::new(1), Term::new(2));
        Succession { earlier, later, from: at(from), to: at(to) }
    }

    #[test]
    fn a_crash_may_cost_a_lease() {
        let mut rounds = rounds(&[Fault::KillLeader]);
        assert_eq!(rounds.add(&succession(1_001, 1_900)), None);
        let late = rounds.add(&succession(1_001, 2_100));
        assert!(matches!(late, Some(Oddity::Late { number: 1, .. })), "{late:?}");
        let spans = rounds.spans(Class::Crash);
        assert_eq!((spans.count(), spans.late()), (2, 1));
    }

    #[test]
    fn after_an_outage_it_counts_from_its_end() {
        let mut rounds = rounds(&[Fault::FreezeAll]);
        rounds.healed(at(9_000));
        assert_eq!(rounds.add(&succession(1_001, 9_100)), None);
        assert_eq!(rounds.spans(Class::Outage).percentile(50), Some(Duration::from_millis(100)));
        assert!(rounds.add(&succession(1_001, 11_000)).is_some());
    }

    #[test]
    fn several_at_once_are_a_class_of_their_own() {
        let mut rounds = rounds(&[Fault::StepDown, Fault::KillLeader]);
        assert_eq!(rounds.add(&succession(1_001, 2_700)), None, "a lease for each, and more");
        assert_eq!(rounds.in_the_midst.count(), 1, "it has not healed yet");
        rounds.healed(at(2_000));
        assert_eq!(rounds.add(&succession(1_001, 2_700)), None);
        let half = rounds.spans(Class::Several).percentile(50);
        assert_eq!(half, Some(Duration::from_millis(700)));
    }

    #[test]
    fn a_change_in_the_calm_is_unprovoked() {
        let mut rounds = rounds(&[Fault::StepDown]);
        rounds.healed(at(1_010));
        rounds.settled(at(1_050));
        assert_eq!(rounds.add(&succession(1_005, 1_020)), None);
        let odd = rounds.add(&succession(1_100, 1_200));
        assert!(matches!(odd, Some(Oddity::Unprovoked { number: 1, .. })), "{odd:?}");
        assert_eq!(rounds.unprovoked, 1);
    }
}

//! What goes wrong, and when: out of a seed.

use clap::ValueEnum;
use tenure_testkit::simulate::Choices;

/// What can go wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Fault {
    /// The leader steps down, and stays a candidate
    StepDown,
    /// The leader ends politely, and is started again
    End,
    /// The leader is killed, and started again under the same name at once or later
    KillLeader,
    /// The leader is stopped, for longer than its lease
    FreezeLeader,
    /// The leader is stopped, for less than its lease
    FreezeLeaderBriefly,
    /// A minion is killed, and started again
    KillMinion,
    /// A minion is stopped
    FreezeMinion,
    /// A second process with the leader's name
    Twin,
    /// All candidates are killed, and started again
    KillAll,
    /// All candidates are stopped, as by a suspended machine
    FreezeAll,
    /// What the leader sends to the store and what comes back is held, and no connection is reset
    LeaderBlackHole,
    /// What the store answers the leader is lost: its requests land
    LeaderAnswersLost,
    /// What the leader sends to the store is lost
    LeaderRequestsLost,
    /// What goes between the leader and the store is late
    LeaderSlow,
    /// The leader's connections to the store are closed
    LeaderCut,
    /// As with the leader, for all candidates
    AllBlackHole,
    /// As with the leader, for all candidates
    AllAnswersLost,
    /// As with the leader, for all candidates
    AllSlow,
    /// As with the leader, for all candidates
    AllCut,
    /// All connections are closed, and new ones refused
    AllRefused,
    /// The connections by which minions wait are closed, and then the leader steps down
    WatchesCut,
    /// What the store answers is replaced by something that has no end
    ServerTalks,
    /// Of the two addresses of the store's name, the one that worked swallows everything
    AddressDead,
    /// The system drops all packets to and from the store
    PacketsDropped,
    /// The server is killed, and started again with its data
    ServerKill,
    /// The server is stopped, for longer than a lease
    ServerFreeze,
    /// The server is stopped, for less than a lease
    ServerFreezeBriefly,
    /// The node that leads the store's own cluster is killed, and started again
    NodeKill,
    /// The node that leads the store's own cluster is stopped
    NodeFreeze,
    /// The node that leads the store's own cluster is cut off from the others, not from candidates
    NodeCutOff,
    /// The node that leads the store's own cluster hears nothing from the others
    NodeDeaf,
    /// The node that leads the store's own cluster is cut off from everybody
    NodeAway,
    /// The server's clock is set back
    ClockBack,
    /// The server's clock is set forward, by less than the candidates reckon with
    ClockForward,
    /// The disk below the store is full
    DiskFull,
    /// All candidates are killed, and started again on a disk that is read-only for a while
    DiskReadOnly,
}

/// What a round is made of: what may be expected of the time without a leader.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Class {
    /// The leader released its lease.
    Polite,
    /// The leader was gone, and all else was in order.
    Crash,
    /// The store, the way to it or all candidates were away.
    Outage,
    /// Several faults at once.
    Several,
}

impl Class {
    pub(crate) const ALL: [Class; 4] = [Class::Polite, Class::Crash, Class::Outage, Class::Several];
}

impl Fault {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub(crate) fn class(self) -> Class {
        match self {
            Fault::StepDown | Fault::End | Fault::WatchesCut => Class::Polite,
            Fault::KillLeader
            | Fault::FreezeLeader
            | Fault::FreezeLeaderBriefly
            | Fault::KillMinion
            | Fault::FreezeMinion
            | Fault::Twin => Class::Crash,
            Fault::KillAll
            | Fault::FreezeAll
            | Fault::LeaderBlackHole
            | Fault::LeaderAnswersLost
            | Fault::LeaderRequestsLost
            | Fault::LeaderSlow
            | Fault::LeaderCut
            | Fault::AllBlackHole
            | Fault::AllAnswersLost
            | Fault::AllSlow
            | Fault::AllCut
            | Fault::AllRefused
            | Fault::ServerTalks
            | Fault::AddressDead
            | Fault::PacketsDropped
            | Fault::ServerKill
            | Fault::ServerFreeze
            | Fault::ServerFreezeBriefly
            | Fault::NodeKill
            | Fault::NodeFreeze
            | Fault::NodeCutOff
            | Fault::NodeDeaf
            | Fault::NodeAway
            | Fault::ClockBack
            | Fault::ClockForward
            | Fault::DiskFull
            | Fault::DiskReadOnly => Class::Outage,
        }
    }

    /// What can be done to candidates, whatever their store.
    pub(crate) const OF_CANDIDATES: [Fault; 10] = [
        Fault::StepDown,
        Fault::End,
        Fault::KillLeader,
        Fault::FreezeLeader,
        Fault::FreezeLeaderBriefly,
        Fault::KillMinion,
        Fault::FreezeMinion,
        Fault::Twin,
        Fault::KillAll,
        Fault::FreezeAll,
    ];

    /// What can be done to the ways between candidates and their store.
    pub(crate) const OF_WAYS: [Fault; 14] = [
        Fault::LeaderBlackHole,
        Fault::LeaderAnswersLost,
        Fault::LeaderRequestsLost,
        Fault::LeaderSlow,
        Fault::LeaderCut,
        Fault::AllBlackHole,
        Fault::AllAnswersLost,
        Fault::AllSlow,
        Fault::AllCut,
        Fault::AllRefused,
        Fault::WatchesCut,
        Fault::ServerTalks,
        Fault::AddressDead,
        Fault::PacketsDropped,
    ];

    /// How many there are in a deck.
    fn weight(self) -> usize {
        match self {
            Fault::StepDown | Fault::KillLeader => 6,
            Fault::End | Fault::FreezeLeader => 4,
            Fault::ServerKill | Fault::NodeKill | Fault::WatchesCut => 2,
            _ => 1,
        }
    }

    /// How long it lasts, at least and at most, in hundredths of a lease.
    fn lasting(self) -> (u64, u64) {
        match self {
            Fault::StepDown => (20, 60),
            Fault::End | Fault::KillLeader | Fault::LeaderCut | Fault::AllCut => (0, 40),
            Fault::FreezeLeaderBriefly | Fault::ServerFreezeBriefly => (10, 45),
            Fault::FreezeLeader => (115, 250),
            Fault::ServerFreeze => (105, 200),
            // Long enough for a watch to begin again.
            Fault::WatchesCut => (40, 70),
            Fault::KillMinion | Fault::FreezeMinion | Fault::Twin => (20, 150),
            Fault::KillAll | Fault::ServerKill | Fault::NodeKill => (0, 150),
            _ => (20, 200),
        }
    }
}

/// One fault, at its time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Blow {
    pub(crate) fault: Fault,
    /// When it begins, in hundredths of a lease from the beginning of its round.
    pub(crate) after: u64,
    /// How long it lasts, in hundredths of a lease.
    pub(crate) lasting: u64,
    /// Whom it hits, where that is free: counted around.
    pub(crate) victim: usize,
    /// Which of several ways it takes, where there are any.
    pub(crate) way: usize,
}

/// Faults that come together, and the calm after them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Round {
    pub(crate) blows: Vec<Blow>,
    /// How long nothing happens after it, in hundredths of a lease.
    pub(crate) calm: u64,
}

impl Round {
    pub(crate) fn class(&self) -> Class {
        match self.blows[..] {
            [one] => one.fault.class(),
            _ => Class::Several,
        }
    }

    pub(crate) fn names(&self) -> String {
        let names: Vec<String> = self.blows.iter().map(|blow| blow.fault.name()).collect();
        names.join(" + ")
    }
}

/// All rounds, one after the other. It deals the faults from a deck that it shuffles when it is
/// through, so that each has its turn before long.
#[derive(Debug)]
pub(crate) struct Schedule {
    choices: Choices,
    faults: Vec<Fault>,
    deck: Vec<Fault>,
    singly: bool,
}

impl Schedule {
    /// Of `faults`, one at a time if they are to come `singly`.
    pub(crate) fn new(seed: u64, faults: Vec<Fault>, singly: bool) -> Schedule {
        Schedule { choices: Choices::of_seed(seed), faults, deck: Vec::new(), singly }
    }

    fn deal(&mut self) -> Option<Fault> {
        if self.deck.is_empty() {
            let copies = |&fault: &Fault| std::iter::repeat_n(fault, fault.weight());
            self.deck = self.faults.iter().flat_map(copies).collect();
        }
        let drawn = self.choices.below(self.deck.len());
        (!self.deck.is_empty()).then(|| self.deck.swap_remove(drawn))
    }

    fn blow(&mut self, is_first: bool) -> Option<Blow> {
        let fault = self.deal()?;
        let (least, most) = fault.lasting();
        let lasting = self.choices.span(least, most);
        let after = if is_first { 0 } else { self.choices.span(0, 100) };
        let (victim, way) = (self.choices.below(256), self.choices.below(256));
        Some(Blow { fault, after, lasting, victim, way })
    }
}

impl Iterator for Schedule {
    type Item = Round;

    fn next(&mut self) -> Option<Round> {
        let count =
            if self.singly { 1 } else { self.choices.pick(&[1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3]) };
        let blows: Vec<Blow> = (0..count).filter_map(|number| self.blow(number == 0)).collect();
        let calm = self.choices.span(10, 90);
        (!blows.is_empty()).then_some(Round { blows, calm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(seed: u64, count: usize) -> Vec<Round> {
        Schedule::new(seed, Fault::value_variants().to_vec(), false).take(count).collect()
    }

    #[test]
    fn a_seed_gives_the_same_order_each_time() {
        assert_eq!(rounds(7, 1_000), rounds(7, 1_000));
        assert_ne!(rounds(7, 10), rounds(8, 10));
    }

    #[test]
    fn each_fault_comes_before_long_and_within_its_bounds() {
        let deck: usize = Fault::value_variants().iter().map(|fault| fault.weight()).sum();
        let rounds = rounds(7, deck);
        for &fault in Fault::value_variants() {
            let blows = rounds.iter().flat_map(|round| &round.blows);
            let mut of_it = blows.filter(|blow| blow.fault == fault).peekable();
            assert!(of_it.peek().is_some(), "{fault:?}");
            let (least, most) = fault.lasting();
            assert!(of_it.all(|blow| (least..=most).contains(&blow.lasting)), "{fault:?}");
        }
    }

    #[test]
    fn some_come_together_unless_they_are_to_come_singly() {
        let count = |singly| {
            let schedule = Schedule::new(7, Fault::value_variants().to_vec(), singly);
            schedule.take(300).filter(|round| round.class() == Class::Several).count()
        };
        assert_eq!(count(true), 0);
        assert!((50..150).contains(&count(false)), "{}", count(false));
        assert_eq!(Schedule::new(7, Vec::new(), false).next(), None);
    }
}

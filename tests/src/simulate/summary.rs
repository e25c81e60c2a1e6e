use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use super::classes::{Class, Tally};
use super::clock::Tick;
use super::tickets::Tickets;
use super::world::years;

/// What happened in a run, or in many.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// How many runs.
    pub runs: u64,
    /// How long the worlds were, and how much of that somebody led, in ticks of real time.
    pub(crate) ticks: Tick,
    pub(crate) leader_ticks: Tick,
    /// How many events the trackers handled.
    pub events: u64,
    /// How many leases were granted anew; and with renewals.
    pub grants: u64,
    /// Renewals included.
    pub store_grants: u64,
    /// How often another process began to lead.
    pub failovers: u64,
    /// How many tickets were asked.
    pub asked: u64,
    /// How many of them were answered and read.
    pub answered: u64,
    /// How many of them were dropped.
    pub dropped: u64,
    /// How many runs broke an invariant.
    pub violations: u64,
    /// In how many runs two believed at once, where the premise was broken.
    pub exclusions: u64,
    /// What was injected, and checked.
    pub tally: Tally,
}

impl Summary {
    /// How many years were simulated.
    pub fn years(&self) -> f64 {
        years(self.ticks)
    }

    /// For how many of them somebody led.
    pub fn leader_years(&self) -> f64 {
        years(self.leader_ticks)
    }

    /// As a table; with the time that the processor and the wall's clock took for it.
    pub fn table(&self, processor: Duration, wall: Duration) -> String {
        let hours = processor.as_secs_f64() / 3_600.0;
        let mut text = format!("{self}");
        let mut row = |what: &str, value: String| text.push_str(&format!("{what:36}{value:>16}\n"));
        row("leader-years a core-hour", format!("{:.2}", self.leader_years() / hours.max(1e-9)));
        row("processor time", format!("{:.1} s", processor.as_secs_f64()));
        row("wall time", format!("{:.1} s", wall.as_secs_f64()));
        text
    }

    pub(crate) fn add_tickets(&mut self, tickets: &Tickets) {
        self.asked += tickets.asked;
        self.answered += tickets.answered;
        self.dropped += tickets.dropped;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:48}{:>10}{:>12}", "class of faults", "injected", "checked")?;
        for &class in Class::ALL {
            let (injected, checked) = (self.tally.injected(class), self.tally.checked(class));
            let (number, about) = (class.number(), class.about());
            let about: String = about.chars().take(44).collect();
            writeln!(formatter, "{number:>2} {about:45}{injected:>10}{checked:>12}")?;
        }
        let rows = [
            ("runs", self.runs.to_string()),
            ("simulated years", format!("{:.3}", self.years())),
            ("simulated leader-years", format!("{:.3}", self.leader_years())),
            ("events handled", self.events.to_string()),
            ("grants", self.grants.to_string()),
            ("grants and renewals", self.store_grants.to_string()),
            ("failovers", self.failovers.to_string()),
            ("tickets asked", self.asked.to_string()),
            ("tickets answered", self.answered.to_string()),
            ("tickets dropped", self.dropped.to_string()),
            ("runs where two believed at once", self.exclusions.to_string()),
            ("violations", self.violations.to_string()),
        ];
        rows.iter().try_for_each(|(what, value)| writeln!(formatter, "{what:36}{value:>16}"))
    }
}

impl AddAssign<&Summary> for Summary {
    fn add_assign(&mut self, other: &Summary) {
        self.runs += other.runs;
        self.ticks += other.ticks;
        self.leader_ticks += other.leader_ticks;
        self.events += other.events;
        self.grants += other.grants;
        self.store_grants += other.store_grants;
        self.failovers += other.failovers;
        self.asked += other.asked;
        self.answered += other.answered;
        self.dropped += other.dropped;
        self.violations += other.violations;
        self.exclusions += other.exclusions;
        self.tally += &other.tally;
    }
}

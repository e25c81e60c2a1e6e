use std::time::Duration;

use tenure_core::{Then, TicketKind};

use super::classes::Class;
use super::happenings::Happening;
use super::world::World;

const KINDS: [TicketKind; 3] =
    [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion];

/// As many tickets as the users of one process hold at once, but for a storm.
const HELD_MAX: usize = 8;

/// What the users of a process do.
impl World {
    pub(crate) fn use_host(&mut self, host: usize) -> Result<(), String> {
        let gap = self.gap(self.knobs.user_gap);
        self.after(gap, Happening::User { host });
        let Some(member) = self.hosts[host].member else { return Ok(()) };
        self.tune(member)?;
        let act = self.choices.below(16);
        match act {
            0..=6 => self.ask_one(member)?,
            7..=8 => {
                let len = self.members[member].process.tickets.len();
                let index = self.choices.below(len);
                if self.members[member].process.tickets.drop_one(index).is_some() {
                    self.tally.inject(Class::Dropped);
                    self.members[member].process.compare()?;
                    self.tally.check(Class::Dropped);
                }
            }
            9..=10 => {
                if let Some(taken) = self.members[member].process.tickets.take_answered(true) {
                    taken?;
                }
            }
            11..=13 => self.guard(member)?,
            14 => {
                let work = self.members[member].process.tickets.work();
                let work = work.first().map(|(number, _)| *number);
                if let Some(work) = work {
                    self.members[member].process.end_work(work)?;
                }
            }
            _ => self.members[member].process.compare()?,
        }
        self.settle(member)
    }

    fn ask_one(&mut self, member: usize) -> Result<(), String> {
        if self.members[member].process.tickets.len() >= HELD_MAX {
            let index = self.choices.below(HELD_MAX);
            self.members[member].process.tickets.drop_one(index);
        }
        let kind = self.choices.pick(&KINDS);
        let waits = !self.choices.chance(64);
        self.ask(member, kind, waits)
    }

    fn guard(&mut self, member: usize) -> Result<(), String> {
        if self.weather.has_healed || self.members[member].process.tickets.guards() >= 2 {
            return self.members[member].process.compare();
        }
        let at = self.now;
        self.members[member].process.take_guard(at).map(|_| ())
    }

    /// Very many tickets at once, half of which are dropped at once.
    pub(crate) fn storm(&mut self, member: usize) -> Result<(), String> {
        self.tally.inject(Class::Storm);
        self.tally.inject(Class::Dropped);
        self.tune(member)?;
        let claims = self.members[member].process.shadow.ledger.attempts();
        let before = self.members[member].process.tickets.len();
        for _ in 0..self.choices.span(8, 48) {
            let kind = self.choices.pick(&KINDS);
            self.ask(member, kind, false)?;
        }
        let more = self.members[member].process.shadow.ledger.attempts() - claims;
        if more > 1 {
            return Err(format!("B1: p{member} has {more} claims go out for a storm"));
        }
        self.tally.check(Class::Storm);
        let len = self.members[member].process.tickets.len();
        for _ in before..len {
            let len = self.members[member].process.tickets.len();
            let index = self.choices.below(len.min(256));
            let tickets = &mut self.members[member].process.tickets;
            match self.choices.chance(128) {
                true => drop(tickets.drop_one(index)),
                false => {
                    if let Some(taken) = tickets.take_answered(true) {
                        taken?;
                    }
                }
            }
        }
        self.members[member].process.compare()?;
        self.tally.check(Class::Dropped);
        self.settle(member)
    }

    pub(crate) fn step_down(&mut self, member: usize, cool_off: Duration) -> Result<(), String> {
        self.tune(member)?;
        self.log.note(&[9, member as u64], || format!("p{member} is to step down"));
        self.members[member].process.resign(Then::StepDown { cool_off })?;
        self.settle(member)
    }

    pub(crate) fn stop(&mut self, member: usize) -> Result<(), String> {
        self.tune(member)?;
        self.log.note(&[10, member as u64], || format!("p{member} is to stop"));
        let subject = &mut self.members[member];
        subject.stop_asked += 1;
        let is_claiming = subject.process.shadow.ledger.claim().is_some();
        let has_waiters = subject.process.tickets.len() > 0;
        if is_claiming || has_waiters || subject.stop_asked > 1 {
            self.tally.inject(Class::Shutdown);
        }
        self.members[member].process.resign(Then::Stop)?;
        self.settle(member)
    }
}

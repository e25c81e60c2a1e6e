use std::collections::btree_map::Entry;
use std::time::Duration;

use tenure_core::{Instant, Nonce};

use super::classes::Class;
use super::happenings::Happening;
use super::knobs::ticks;
use super::store::Holder;
use super::world::World;

/// What the drivers of the runtimes do, for each process.
impl World {
    /// Sets the clock of a process to what it is now, before something happens there.
    pub(crate) fn tune(&mut self, member: usize) -> Result<(), String> {
        let now = self.reading(member);
        self.members[member].process.set_clock(now);
        if self.choices.chance(self.glitch_rate()) {
            // It has been seen at the right time, and then runs behind for one reading.
            self.members[member].process.timer_fired()?;
            let back = Duration::from_nanos(self.choices.span(1, 3_000_000_000));
            self.members[member].process.set_clock(now.saturating_sub(back));
            self.tally.inject(Class::ClockBack);
            self.members[member].process.compare()?;
            self.tally.check(Class::ClockBack);
        }
        Ok(())
    }

    fn glitch_rate(&self) -> u8 {
        if self.weather.has_healed { 0 } else { self.knobs.glitch_rate }
    }

    /// What the clock of its host says.
    pub(crate) fn reading(&self, member: usize) -> Instant {
        self.hosts[self.members[member].host].line.read(self.now)
    }

    /// What a process would take for the time if it looked now.
    pub(crate) fn local_now(&self, member: usize) -> Instant {
        self.reading(member).max(self.members[member].process.shadow.ledger.now())
    }

    pub(crate) fn is_paused(&self, member: usize) -> bool {
        self.hosts[self.members[member].host].is_paused
    }

    /// After something has happened at a process: what is new is looked at, answers are taken, and
    /// its driver looks if it was woken.
    pub(crate) fn settle(&mut self, member: usize) -> Result<(), String> {
        loop {
            self.read_news(member)?;
            self.take_answers(member)?;
            self.check_bounds(member)?;
            let process = &self.members[member].process;
            if !process.is_driven || !process.woken.is_set() {
                return self.reset_clock(member);
            }
            if self.members[member].looks_later {
                return self.reset_clock(member);
            }
            if self.members[member].lags && !self.weather.has_healed && self.choices.chance(128) {
                let lag = self.choices.span(1, ticks(self.knobs.config.claim_timeout()));
                self.members[member].looks_later = true;
                self.after(lag, Happening::Look { member });
                self.tally.inject(Class::Timer);
                return self.reset_clock(member);
            }
            self.drive(member)?;
        }
    }

    fn reset_clock(&mut self, member: usize) -> Result<(), String> {
        let now = self.reading(member);
        self.members[member].process.set_clock(now);
        Ok(())
    }

    /// The driver looks, because its timer is due or it was late.
    pub(crate) fn look(&mut self, member: usize) -> Result<(), String> {
        if !(self.members[member].is_alive && self.members[member].process.is_driven) {
            return Ok(());
        }
        self.members[member].looks_later = false;
        self.tune(member)?;
        self.drive(member)?;
        self.settle(member)
    }

    /// What the drivers of both runtimes do: take the orders, then see whether the time has come.
    pub(crate) fn drive(&mut self, member: usize) -> Result<(), String> {
        loop {
            let deadline = self.take_orders(member)?;
            let Some(deadline) = deadline else { return self.end(member) };
            if deadline == Instant::MAX || self.members[member].process.now() < deadline {
                self.arm(member, deadline);
                return Ok(());
            }
            let disturbed = self.members[member].process.now();
            if self.hosts[self.members[member].host].timers_stuck || self.members[member].lags {
                self.members[member].disturbed = disturbed;
            }
            self.members[member].process.timer_fired()?;
        }
    }

    pub(crate) fn take_orders(&mut self, member: usize) -> Result<Option<Instant>, String> {
        self.read_news(member)?;
        let (orders, deadline) = self.members[member].process.take_work()?;
        self.follow(member, orders)?;
        Ok(deadline)
    }

    pub(crate) fn arm(&mut self, member: usize, deadline: Instant) {
        let host = &self.hosts[self.members[member].host];
        if self.members[member].armed == Some(deadline) || host.timers_stuck {
            return;
        }
        let when = host.line.when(deadline);
        let subject = &mut self.members[member];
        subject.armed = Some(deadline);
        subject.generation += 1;
        let generation = subject.generation;
        if let Some(when) = when {
            self.at(when, Happening::Timer { member, generation });
        }
    }

    /// Who the nonce of a call is: one nonce for each tenure of each process.
    pub(crate) fn identify(&mut self, nonce: Nonce, holder: Holder) -> Result<(), String> {
        match self.nonces.entry(nonce) {
            Entry::Vacant(free) => {
                free.insert(holder);
                let of_tenure = self.nonces.values().filter(|known| **known == holder).count();
                match of_tenure {
                    1 => Ok(()),
                    _ => Err("hub: a tenure has two nonces".to_owned()),
                }
            }
            Entry::Occupied(known) if *known.get() == holder => Ok(()),
            Entry::Occupied(_) => Err("hub: two tenures have one nonce".to_owned()),
        }
    }
}

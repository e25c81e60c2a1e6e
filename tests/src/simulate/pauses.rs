use super::classes::Class;
use super::clock::Tick;
use super::happenings::{Happening, Mend};
use super::world::World;

/// What stops for a while, and goes on.
impl World {
    pub(crate) fn pause(&mut self, host: usize, span: Tick) {
        if self.hosts[host].is_paused {
            return;
        }
        self.hosts[host].is_paused = true;
        self.hosts[host].paused_at = self.now;
        self.after(span, Happening::Resume { host });
    }

    /// All that has come in the meantime is there at once, in any order; the first thing that is
    /// asked has to be answered as it is now.
    pub(crate) fn resume(&mut self, host: usize) -> Result<(), String> {
        if !self.hosts[host].is_paused {
            return Ok(());
        }
        self.hosts[host].is_paused = false;
        if self.hosts[host].line.rate() == 0 {
            let rate = self.hosts[host].rate;
            self.hosts[host].line.turn(self.now, rate);
        }
        let mut backlog = std::mem::take(&mut self.hosts[host].backlog);
        self.log.note(&[13, host as u64, backlog.len() as u64], || {
            format!("host {host} goes on, {} happenings are due", backlog.len())
        });
        if let Some(member) = self.hosts[host].member {
            self.members[member].disturbed = self.local_now(member);
            self.members[member].armed = None;
            self.probe_later(member);
            self.first_answer(member)?;
        }
        while !backlog.is_empty() {
            let next = self.choices.below(backlog.len().min(256));
            let what = backlog.remove(next);
            self.happen(what)?;
            self.judge()?;
        }
        if let Some(member) = self.hosts[host].member {
            self.look(member)?;
        }
        Ok(())
    }

    fn first_answer(&mut self, member: usize) -> Result<(), String> {
        let now = self.reading(member);
        self.members[member].process.set_clock(now);
        let over =
            self.members[member].held.is_none_or(|(_, until)| until <= self.local_now(member));
        if over && self.members[member].process.is_leader() {
            return Err(format!("S1: p{member} wakes up and still leads"));
        }
        self.members[member].process.compare()?;
        if self.choices.chance(128) {
            self.ask(member, tenure_core::TicketKind::ClaimLeader, true)?;
        }
        if self.hosts[self.members[member].host].paused_at > 0 {
            self.tally.check(Class::Pause);
            self.tally.check(Class::Suspend);
        }
        self.settle(member)
    }

    pub(crate) fn mend(&mut self, mend: Mend) -> Result<(), String> {
        match mend {
            Mend::Partition { host } => {
                let named = self.store.live(self.now).map(|record| record.bid.holder.process);
                if let (Some(member), Some(named)) = (self.hosts[host].member, named)
                    && member == named
                    && !self.believes(member)
                {
                    // The store names us, and we say no.
                    self.tally.check(Class::Partition);
                }
                self.hosts[host].cut_in = false;
                self.hosts[host].cut_out = false;
                Ok(())
            }
            Mend::StoreDown => {
                self.weather.is_down = false;
                self.expire();
                Ok(())
            }
            Mend::StoreReadOnly => {
                self.weather.is_read_only = false;
                Ok(())
            }
            Mend::StoreSlow => {
                self.weather.is_slow = false;
                Ok(())
            }
            Mend::Timers { host } => {
                self.hosts[host].timers_stuck = false;
                match self.hosts[host].member {
                    Some(member) if !self.hosts[host].is_paused => {
                        self.members[member].disturbed = self.local_now(member);
                        self.look(member)?;
                        self.members[member].disturbed = self.local_now(member);
                        self.tally.check(Class::Timer);
                        Ok(())
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Mend::WatchesBroken { host } => {
                self.hosts[host].watches_broken = false;
                Ok(())
            }
            Mend::Watches { host } => {
                self.hosts[host].watches_at_once = false;
                Ok(())
            }
        }
    }
}

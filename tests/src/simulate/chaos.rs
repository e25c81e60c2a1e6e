use std::time::Duration;

use super::Broken;
use super::classes::Class;
use super::clock::Tick;
use super::happenings::{Happening, Mend};
use super::knobs::{Chaos, SLOWEST, ticks};
use super::world::World;

/// What happens to the world from outside.
impl World {
    pub(crate) fn disrupt(&mut self) -> Result<(), String> {
        if self.weather.has_healed {
            return Ok(());
        }
        let gap = self.gap(self.knobs.chaos_gap);
        self.after(gap, Happening::Chaos);
        let what = self.knobs.chaos[self.choices.below(self.knobs.chaos.len())];
        let host = self.victim();
        self.log.note(&[12, what as u64, host as u64], || format!("{what:?}, host {host}"));
        let lease = self.lease();
        let span = self.choices.pick(&[lease / 8, lease / 2, lease, lease * 3 / 2, 2 * lease]);
        let span = 1 + span / 2 + self.choices.span(0, span / 2);
        match what {
            Chaos::Amnesia | Chaos::FailOver => self.forget(what == Chaos::FailOver),
            Chaos::ClockBack => self.step_back(host)?,
            Chaos::ClockForward => {
                let ahead = span.saturating_mul(SLOWEST);
                self.hosts[host].line.step_forward(self.now, ahead);
                self.replan(host)?;
            }
            Chaos::ClockTurn => self.begin_turns(host, span)?,
            Chaos::Crash => {
                if let Some(member) = self.hosts[host].member {
                    self.tally.inject(Class::Restart);
                    self.crash(member);
                    self.after(span / 4, Happening::Restart { host });
                }
            }
            Chaos::DriverGone => self.lose_driver(host, span)?,
            Chaos::Partition => self.cut(host, span),
            Chaos::Pause => {
                self.tally.inject(Class::Pause);
                self.pause(host, span);
            }
            Chaos::RaiseTerm => {
                self.tally.inject(Class::FailOver);
                self.store.raise_term();
            }
            Chaos::Restart => self.start_again(host)?,
            Chaos::SpuriousTimer => self.spurious_timer(host)?,
            Chaos::StepDown => {
                if let Some(member) = self.hosts[host].member {
                    let cool_off = Duration::from_nanos(span / 2 * SLOWEST);
                    let cool_off = self.choices.pick(&[cool_off, Duration::ZERO]);
                    self.step_down(member, cool_off)?;
                }
            }
            Chaos::Stop => {
                if let Some(member) = self.hosts[host].member {
                    self.stop(member)?;
                    if self.choices.chance(128) {
                        self.stop(member)?;
                    }
                }
            }
            Chaos::StoreBack => {
                self.store.clock.step_back(self.now, span.saturating_mul(SLOWEST));
                self.store_stepped();
            }
            Chaos::StoreDown => self.store_down(span / 4),
            Chaos::StoreForward => self.store_forward(),
            Chaos::StoreReadOnly => {
                self.weather.is_read_only = true;
                self.after(span / 2, Happening::Mend(Mend::StoreReadOnly));
            }
            Chaos::StoreSlow => {
                self.weather.is_slow = true;
                self.after(span, Happening::Mend(Mend::StoreSlow));
            }
            Chaos::Storm => {
                if let Some(member) = self.hosts[host].member
                    && !self.hosts[host].is_paused
                {
                    self.storm(member)?;
                }
            }
            Chaos::Suspend => {
                self.tally.inject(Class::Suspend);
                if self.suspends_badly() && !self.hosts[host].is_paused {
                    self.hosts[host].line.turn(self.now, 0);
                    self.replan(host)?;
                }
                self.pause(host, span);
            }
            Chaos::TimersNever => {
                self.tally.inject(Class::Timer);
                self.hosts[host].timers_stuck = true;
                self.after(span, Happening::Mend(Mend::Timers { host }));
            }
            Chaos::WatchAtOnce => {
                self.hosts[host].watches_at_once = true;
                self.after(2 * span, Happening::Mend(Mend::Watches { host }));
            }
        }
        Ok(())
    }

    /// The host of who leads, or any.
    fn victim(&mut self) -> usize {
        match self.lead.now {
            Some(leader) if !self.choices.chance(128) => self.members[leader].host,
            Some(_) | None => self.choices.below(self.hosts.len()),
        }
    }

    fn pause(&mut self, host: usize, span: Tick) {
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

    fn cut(&mut self, host: usize, span: Tick) {
        self.tally.inject(Class::Partition);
        let way = self.choices.below(3);
        self.hosts[host].cut_in = way != 2;
        self.hosts[host].cut_out = way != 1;
        self.after(span, Happening::Mend(Mend::Partition { host }));
    }

    fn store_down(&mut self, span: Tick) {
        self.tally.inject(Class::StoreRestart);
        self.weather.is_down = true;
        self.weather.before_down =
            self.store.live(self.now).map(|record| (record.bid.holder, record.expires_at));
        for call in std::mem::take(&mut self.store.watchers) {
            let delay = self.delay(call);
            let answer = super::calls::Answer::Unknown;
            self.after(delay, Happening::Reply { call, answer, again: false });
        }
        self.after(span, Happening::Mend(Mend::StoreDown));
    }

    /// The store's clock is set forward, by no more in the time of a lease than its users allow
    /// for.
    fn store_forward(&mut self) {
        let slack = self.knobs.config.store_slack().as_nanos() as u64;
        let lately = self.weather.stepped_at.is_some_and(|at| self.now < at + 2 * self.lease());
        if slack == 0 || lately {
            return;
        }
        self.weather.stepped_at = Some(self.now);
        self.store.clock.step_forward(self.now, slack);
        self.store_stepped();
    }

    fn store_stepped(&mut self) {
        self.tally.inject(Class::StoreClockStep);
        self.weather.step_unchecked = true;
        self.expire_later();
    }

    /// The store loses what it had; and then waits for as long as any lease may run, unless it is
    /// broken.
    fn forget(&mut self, goes_back: bool) {
        let class = if goes_back { Class::FailOver } else { Class::Amnesia };
        self.tally.inject(class);
        self.weather.forgot_unchecked = Some(class);
        let is_broken = self.options.broken == Some(Broken::Amnesia);
        let hold_off = (!is_broken).then(|| self.knobs.config.lease());
        let back_to = if goes_back { self.weather.backup } else { None };
        self.weather.backup = self.store.record;
        self.store.forget(back_to, hold_off, self.now);
        self.weather.before_down = None;
        self.weather.lost_release = None;
        self.expire_later();
        self.tell_watchers();
    }

    /// A clock that runs faster than it has to may be set back by what it has gained on a lease.
    fn step_back(&mut self, host: usize) -> Result<(), String> {
        let counted = self.knobs.config.lease() - self.knobs.config.store_slack();
        let lease_ticks = counted.as_nanos() as u64 / self.knobs.store_rate;
        let runs = lease_ticks.saturating_mul(self.hosts[host].rate);
        let gained = runs.saturating_sub(self.knobs.config.valid_for().as_nanos() as u64 + SLOWEST);
        let lately =
            self.hosts[host].stepped_back_at.is_some_and(|at| self.now < at + 3 * self.lease());
        if gained == 0 || lately || self.hosts[host].turns.is_some() {
            return Ok(());
        }
        self.tally.inject(Class::ClockBack);
        self.hosts[host].stepped_back_at = Some(self.now);
        let back = self.choices.span(1, gained);
        self.hosts[host].line.step_back(self.now, back);
        self.replan(host)?;
        self.tally.check(Class::ClockBack);
        Ok(())
    }

    /// The clock of a host runs slow and fast in turns, all within the ratio.
    fn begin_turns(&mut self, host: usize, span: Tick) -> Result<(), String> {
        let beyond = self.hosts[host].rate < self.knobs.rates[0];
        if self.hosts[host].stepped_back_at.is_some() || beyond || !self.knobs.clocks_differ {
            return Ok(());
        }
        let first = self.hosts[host].turns.is_none();
        self.hosts[host].turns = Some((1 + span / 8, self.knobs.rates));
        if first { self.turn(host) } else { Ok(()) }
    }

    pub(crate) fn turn(&mut self, host: usize) -> Result<(), String> {
        let Some((period, [slow, fast])) = self.hosts[host].turns else { return Ok(()) };
        self.tally.inject(Class::ClockRate);
        let rate = if self.hosts[host].rate == slow { fast } else { slow };
        self.hosts[host].rate = rate;
        if self.hosts[host].line.rate() != 0 {
            self.hosts[host].line.turn(self.now, rate);
            self.replan(host)?;
        }
        self.after(period, Happening::Turn { host });
        Ok(())
    }

    fn spurious_timer(&mut self, host: usize) -> Result<(), String> {
        let Some(member) = self.hosts[host].member else { return Ok(()) };
        if self.hosts[host].is_paused {
            return Ok(());
        }
        self.tally.inject(Class::Timer);
        self.tune(member)?;
        let now = self.members[member].process.now();
        let deadline = self.members[member].process.shadow.tracker.deadline();
        self.members[member].process.timer_fired()?;
        let news = self.members[member].process.news.last();
        let did = news.is_some_and(|news| !news.actions.is_empty());
        if deadline.is_none_or(|deadline| now < deadline) && did {
            return Err(format!("p{member} does something because of a timer that is not due"));
        }
        self.tally.check(Class::Timer);
        self.settle(member)
    }

    fn lose_driver(&mut self, host: usize, span: Tick) -> Result<(), String> {
        let Some(member) = self.hosts[host].member else { return Ok(()) };
        if self.hosts[host].is_paused || !self.members[member].process.is_driven {
            return Ok(());
        }
        self.tune(member)?;
        self.log.note(&[14, member as u64], || format!("p{member} loses its driver"));
        self.members[member].process.lose_driver()?;
        self.settle(member)?;
        self.retire(member)?;
        self.after(span / 4, Happening::Restart { host });
        Ok(())
    }

    /// A new process in the place of one that has ended.
    fn start_again(&mut self, host: usize) -> Result<(), String> {
        if self.hosts[host].is_paused {
            return Ok(());
        }
        match self.hosts[host].member {
            Some(member) if self.members[member].process.has_ended() => {
                self.retire(member)?;
                self.start(host)
            }
            Some(_) => Ok(()),
            None => self.start(host),
        }
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
            Mend::Watches { host } => {
                self.hosts[host].watches_at_once = false;
                Ok(())
            }
        }
    }

    /// How long a back-off and a claim take at the most, by any clock within the ratio.
    pub(crate) fn longest_pause(&self) -> Tick {
        let config = &self.knobs.config;
        ticks(config.retry_max().max(config.min_interval()))
    }
}

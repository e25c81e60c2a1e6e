use std::time::Duration;

use super::Broken;
use super::classes::Class;
use super::clock::Tick;
use super::happenings::{Happening, Mend};
use super::knobs::{Chaos, HostChaos, ProcessChaos, SLOWEST, StoreChaos, ticks};
use super::world::World;

/// What happens to the world from outside.
impl World {
    pub(crate) fn disrupt(&mut self) -> Result<(), String> {
        if self.weather.has_healed {
            return Ok(());
        }
        let gap = self.gap(self.knobs.chaos_gap);
        self.after(gap, Happening::Chaos);
        let drawn = self.choices.below(self.knobs.chaos.len());
        let what = self.knobs.chaos[drawn];
        let host = self.victim();
        self.log.note(&[12, drawn as u64, host as u64], || format!("{what:?}, host {host}"));
        let lease = self.lease();
        let span = self.choices.pick(&[lease / 8, lease / 2, lease, lease * 3 / 2, 2 * lease]);
        let span = 1 + span / 2 + self.choices.span(0, span / 2);
        match what {
            Chaos::Host(what) => self.disrupt_host(what, host, span),
            Chaos::Process(what) => match self.hosts[host].member {
                Some(member) => self.disrupt_process(what, member, span),
                None => Ok(()),
            },
            Chaos::Store(what) => {
                self.disrupt_store(what, span);
                Ok(())
            }
        }
    }

    fn disrupt_host(&mut self, what: HostChaos, host: usize, span: Tick) -> Result<(), String> {
        match what {
            HostChaos::ClockBack => self.step_back(host)?,
            HostChaos::ClockForward => {
                let ahead = span.saturating_mul(SLOWEST);
                self.hosts[host].line.step_forward(self.now, ahead);
                self.replan(host)?;
            }
            HostChaos::ClockTurn => self.begin_turns(host, span)?,
            HostChaos::Partition => self.cut(host, span),
            HostChaos::Pause => {
                self.tally.inject(Class::Pause);
                self.pause(host, span);
            }
            HostChaos::Restart => self.start_again(host)?,
            HostChaos::Suspend => {
                self.tally.inject(Class::Suspend);
                if self.suspends_badly() && !self.hosts[host].is_paused {
                    self.hosts[host].line.turn(self.now, 0);
                    self.replan(host)?;
                }
                self.pause(host, span);
            }
            HostChaos::TimersNever => {
                self.tally.inject(Class::Timer);
                self.hosts[host].timers_stuck = true;
                self.after(span, Happening::Mend(Mend::Timers { host }));
            }
            HostChaos::WatchAtOnce => {
                self.hosts[host].watches_at_once = true;
                self.after(2 * span, Happening::Mend(Mend::Watches { host }));
            }
            HostChaos::WatchBroken => {
                let lasts = self.choices.pick(&[0, span]);
                self.break_watch(host, lasts);
            }
        }
        Ok(())
    }

    /// A process that is paused does nothing; but it can be killed.
    fn disrupt_process(
        &mut self,
        what: ProcessChaos,
        member: usize,
        span: Tick,
    ) -> Result<(), String> {
        let host = self.members[member].host;
        if self.hosts[host].is_paused && what != ProcessChaos::Crash {
            return Ok(());
        }
        match what {
            ProcessChaos::Crash => {
                self.tally.inject(Class::Restart);
                self.crash(member);
                self.after(span / 4, Happening::Restart { host });
            }
            ProcessChaos::LoseDriver => self.lose_driver(member, span)?,
            ProcessChaos::SpuriousTimer => self.spurious_timer(member)?,
            ProcessChaos::StepDown => {
                let cool_off = Duration::from_nanos(span / 2 * SLOWEST);
                let cool_off = self.choices.pick(&[cool_off, Duration::ZERO]);
                self.step_down(member, cool_off)?;
            }
            ProcessChaos::Stop => {
                self.stop(member)?;
                if self.choices.chance(128) {
                    self.stop(member)?;
                }
            }
            ProcessChaos::Storm => self.storm(member)?,
        }
        Ok(())
    }

    fn disrupt_store(&mut self, what: StoreChaos, span: Tick) {
        match what {
            StoreChaos::Amnesia => self.forget(false),
            StoreChaos::ClockBack => {
                self.store.clock.step_back(self.now, span.saturating_mul(SLOWEST));
                self.store_stepped();
            }
            StoreChaos::ClockForward => self.store_forward(),
            StoreChaos::Down => self.store_down(span / 4),
            StoreChaos::FailOver => self.forget(true),
            StoreChaos::RaiseTerm => {
                self.tally.inject(Class::FailOver);
                self.store.raise_term();
            }
            StoreChaos::ReadOnly => {
                self.weather.is_read_only = true;
                self.after(span / 2, Happening::Mend(Mend::StoreReadOnly));
            }
            StoreChaos::Slow => {
                self.weather.is_slow = true;
                self.after(span, Happening::Mend(Mend::StoreSlow));
            }
        }
    }

    /// The host of who leads, or any.
    fn victim(&mut self) -> usize {
        match self.lead.now {
            Some(leader) if !self.choices.chance(128) => self.members[leader].host,
            Some(_) | None => self.choices.below(self.hosts.len()),
        }
    }

    fn cut(&mut self, host: usize, span: Tick) {
        self.tally.inject(Class::Partition);
        let way = self.choices.below(3);
        self.hosts[host].cut_in = way != 2;
        self.hosts[host].cut_out = way != 1;
        self.after(span, Happening::Mend(Mend::Partition { host }));
    }

    /// The connection breaks on which a host watches; and if that lasts, so does each new one. All
    /// its other calls go through.
    pub(crate) fn break_watch(&mut self, host: usize, lasts: Tick) {
        self.tally.inject(Class::WatchBroken);
        if lasts > 0 {
            self.hosts[host].watches_broken = true;
            self.after(lasts, Happening::Mend(Mend::WatchesBroken { host }));
        }
        let Some(member) = self.hosts[host].member else { return };
        let Some(call) = self.members[member].lines[1].out else { return };
        if self.store.watchers.contains(&call) {
            self.store.watchers.retain(|&watcher| watcher != call);
            self.members[member].watch_broke = true;
            let delay = self.delay(call);
            let answer = super::calls::Answer::Unknown;
            self.after(delay, Happening::Reply { call, answer, again: false });
        }
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

    fn spurious_timer(&mut self, member: usize) -> Result<(), String> {
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

    fn lose_driver(&mut self, member: usize, span: Tick) -> Result<(), String> {
        if !self.members[member].process.is_driven {
            return Ok(());
        }
        let host = self.members[member].host;
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

    /// How long a back-off and a claim take at the most, by any clock within the ratio.
    pub(crate) fn longest_pause(&self) -> Tick {
        let config = &self.knobs.config;
        ticks(config.retry_max().max(config.min_interval()))
    }
}

use std::collections::BTreeSet;

use tenure_core::Then;

use super::calls::Answer;
use super::classes::Class;
use super::clock::Tick;
use super::happenings::Happening;
use super::knobs::ticks;
use super::world::World;

/// After the faults: who is alive has to get on.
impl World {
    /// The whole life of a world.
    pub(crate) fn live(&mut self) -> Result<(), String> {
        self.begin()?;
        self.run_until(self.knobs.safety, |_| false)?;
        if self.steps >= self.options.steps_max {
            return Ok(());
        }
        self.heal()?;
        if self.options.broken.is_none() {
            self.get_on()?;
        }
        self.finish()
    }

    /// All that is wrong stops. What was on its way comes soon, and what will never come is said
    /// so.
    fn heal(&mut self) -> Result<(), String> {
        self.log.note(&[15], || "all is well again".to_owned());
        self.weather.has_healed = true;
        self.weather.is_down = false;
        self.weather.is_read_only = false;
        self.weather.is_slow = false;
        if self.hosts.len() > 2 && self.choices.chance(48) {
            // L5: one claimer stays stuck, and delays nobody else.
            let host = self.choices.below(self.hosts.len());
            self.hosts[host].is_stuck = true;
        }
        self.hasten();
        for host in 0..self.hosts.len() {
            let subject = &mut self.hosts[host];
            subject.cut_in = false;
            subject.cut_out = false;
            subject.watches_at_once = false;
            subject.watches_broken = false;
            subject.timers_stuck = false;
            subject.turns = None;
            self.resume(host)?;
            let Some(member) = self.hosts[host].member else {
                if host == 0 || self.choices.chance(160) {
                    self.start(host)?;
                }
                continue;
            };
            self.members[member].disturbed = self.local_now(member);
            let work: Vec<u64> =
                self.members[member].process.tickets.work().iter().map(|(work, _)| *work).collect();
            self.tune(member)?;
            for work in work {
                self.members[member].process.end_work(work)?;
            }
            self.members[member].armed = None;
            self.look(member)?;
        }
        if !(0..self.hosts.len()).any(|host| self.can_lead(host)) {
            return self.start_somebody();
        }
        Ok(())
    }

    /// What is in flight arrives within a healthy delay; calls whose answer is lost are over.
    fn hasten(&mut self) {
        let delay = self.knobs.healthy_delay();
        let mut coming = BTreeSet::new();
        for (at, what) in self.queue.take() {
            match what {
                Happening::Chaos | Happening::Mend(_) | Happening::Turn { .. } => {}
                Happening::Resume { .. } | Happening::Restart { .. } => {}
                Happening::Look { .. } => self.after(1, what),
                Happening::Reply { call, .. } | Happening::Request { call, .. } => {
                    if matches!(what, Happening::Request { .. }) {
                        // What is still to reach the store is answered as it should be.
                        self.calls[call].fault = None;
                    }
                    coming.insert(call);
                    let soon = self.choices.span(1, delay);
                    self.at(at.min(self.now + soon), what);
                }
                Happening::Expiry
                | Happening::Probe { .. }
                | Happening::Timer { .. }
                | Happening::User { .. }
                | Happening::WorkEnds { .. } => self.at(at, what),
            }
        }
        for host in &self.hosts {
            coming.extend(host.backlog.iter().filter_map(|what| match what {
                Happening::Reply { call, .. } => Some(*call),
                _ => None,
            }));
        }
        for member in 0..self.members.len() {
            let host = self.members[member].host;
            for kind in 0..self.members[member].lines.len() {
                let Some(call) = self.members[member].lines[kind].out else { continue };
                let watches = self.store.watchers.contains(&call);
                if !(coming.contains(&call) || watches || self.hosts[host].is_stuck) {
                    let soon = self.choices.span(1, delay);
                    let answer = Answer::Unknown;
                    self.after(soon, Happening::Reply { call, answer, again: false });
                }
            }
        }
        self.expire_later();
    }

    fn start_somebody(&mut self) -> Result<(), String> {
        let host = (0..self.hosts.len()).find(|&host| !self.hosts[host].is_stuck).unwrap_or(0);
        if let Some(member) = self.hosts[host].member {
            self.crash(member);
        }
        self.start(host)
    }

    /// Whether a process on this host may become the leader by itself.
    fn can_lead(&self, host: usize) -> bool {
        let subject = &self.hosts[host];
        subject.member.is_some_and(|member| {
            let process = &self.members[member].process;
            let ledger = &process.shadow.ledger;
            !subject.is_stuck
                && process.is_driven
                && !process.has_ended()
                && ledger.resigning() != Some(Then::Stop)
        })
    }

    /// By when somebody has to lead: when the store's lease is over, or the first candidate's next
    /// claim is due, whichever is later, and then a back-off and some round trips.
    fn leader_due(&self) -> Tick {
        let mut free_at = self.now;
        let record = self.store.live(self.now).map(|record| record.expires_at);
        for at in [record, self.store.hold_off_until].into_iter().flatten() {
            free_at = free_at.max(self.store.clock.when(at).unwrap_or(self.now));
        }
        let next_claim = (0..self.hosts.len())
            .filter(|&host| self.can_lead(host))
            .filter_map(|host| self.next_claim(host))
            .min();
        let due = free_at.max(next_claim.unwrap_or(free_at));
        due + self.longest_pause() + self.round_trips(4)
    }

    /// By when a candidate claims, if nothing else happens.
    fn next_claim(&self, host: usize) -> Option<Tick> {
        let member = self.hosts[host].member?;
        let tracker = &self.members[member].process.shadow.tracker;
        let due = self.hosts[host].line.when(tracker.deadline()?)?;
        let ledger = &self.members[member].process.shadow.ledger;
        let cool_off = match ledger.resigning() {
            // The release, and then the cool-off.
            Some(Then::StepDown { cool_off }) => {
                ticks(cool_off) + ticks(self.knobs.config.claim_timeout()) + self.round_trips(1)
            }
            Some(Then::Stop) | None => 0,
        };
        Some(due + cool_off)
    }

    fn round_trips(&self, number: u64) -> Tick {
        number * 2 * (self.knobs.healthy_delay() + 1) + 8
    }

    fn fresh_leader(&self) -> Option<usize> {
        self.lead.now.filter(|&member| {
            let process = &self.members[member].process;
            let ledger = &process.shadow.ledger;
            let is_stuck = self.hosts[self.members[member].host].is_stuck;
            ledger.resigning().is_none() && process.is_driven && process.is_leader() && !is_stuck
        })
    }

    fn await_leader(&mut self, rule: &str, due: Tick) -> Result<Option<usize>, String> {
        let begun = self.now;
        let ended = self.ended();
        let done = self.run_until(due, |world| world.fresh_leader().is_some())?;
        let leader = self.fresh_leader();
        self.log.note(&[16, self.now], || format!("{rule}: {leader:?} leads"));
        match leader {
            Some(leader) if done => Ok(Some(leader)),
            _ if self.steps >= self.options.steps_max => Ok(None),
            // A wrong claimer of before has ended the last of them.
            _ if !(0..self.hosts.len()).any(|host| self.can_lead(host)) => {
                self.start_somebody()?;
                self.await_leader(rule, self.leader_due())
            }
            // A wrong claimer of before has ended one that had just renewed its lease.
            _ if self.ended() > ended => self.await_leader(rule, self.leader_due()),
            _ => Err(format!("{rule}: nobody leads from {begun} to {due}")),
        }
    }

    fn ended(&self) -> usize {
        self.members.iter().filter(|member| member.process.has_ended()).count()
    }

    fn get_on(&mut self) -> Result<(), String> {
        // What was in flight has landed.
        let held_off = self.store.hold_off_until.and_then(|until| self.store.clock.when(until));
        let landed = self.now + self.round_trips(2);
        self.run_until(held_off.map_or(landed, |until| landed.max(until)), |_| false)?;
        self.await_leader("L1", self.leader_due())?;
        // What was granted before has been renewed since, or it is over.
        self.run_until(self.now + self.lease(), |_| false)?;
        let Some(leader) = self.await_leader("L1", self.leader_due())? else { return Ok(()) };
        self.keep_leader(leader)?;
        let Some(leader) = self.fresh_leader() else { return Ok(()) };
        let host = self.members[leader].host;
        self.crash(leader);
        self.judge()?;
        if !(0..self.hosts.len()).any(|other| self.can_lead(other)) {
            self.start(host)?;
        }
        // A claim that was on its way lands.
        self.run_until(self.now + self.round_trips(1), |_| false)?;
        let Some(leader) = self.await_leader("L2", self.leader_due())? else { return Ok(()) };
        self.run_until(self.now + self.round_trips(4), |_| false)?;
        self.give_up(leader)
    }

    /// L4: with nothing wrong the leader stays.
    fn keep_leader(&mut self, leader: usize) -> Result<(), String> {
        let end = self.now + self.lease() * 5 / 4;
        let changed = self.run_until(end, |world| world.fresh_leader() != Some(leader))?;
        if changed && self.steps < self.options.steps_max {
            let now = self.fresh_leader();
            return Err(format!(
                "L4: p{leader} led, and now {now:?} does, though nothing is wrong"
            ));
        }
        Ok(())
    }

    /// L3: after a release that arrives the next one leads within two round trips; or, where the
    /// watches have broken before, once one of them is begun again.
    fn give_up(&mut self, leader: usize) -> Result<(), String> {
        if self.fresh_leader() != Some(leader) {
            return Ok(());
        }
        let cool_off = self.knobs.config.lease() * 3;
        let waits = self.store.watchers.iter().any(|&call| {
            let member = self.calls[call].member;
            self.members[member].is_alive && self.can_lead(self.members[member].host)
        });
        let lasts = if self.choices.chance(128) { Some(self.break_watches()) } else { None };
        self.step_down(leader, cool_off)?;
        self.judge()?;
        let due = if waits {
            let pause = ticks(self.knobs.config.min_interval());
            let deaf = lasts.map_or(0, |lasts| lasts + self.longest_pause() + self.round_trips(2));
            self.now + deaf + pause + self.round_trips(3)
        } else {
            self.leader_due() + ticks(cool_off) + self.lease()
        };
        let next = self.await_leader("L3", due)?;
        if lasts.is_some() && waits && next.is_some() {
            self.tally.check(Class::WatchBroken);
        }
        Ok(())
    }

    /// All that watch lose their connections, once or for a while. Gives for how long.
    fn break_watches(&mut self) -> Tick {
        let lease = self.lease();
        let lasts = self.choices.pick(&[0, lease / 16, lease / 4]);
        for host in 0..self.hosts.len() {
            self.break_watch(host, lasts);
        }
        lasts
    }

    /// Everybody stops, and everything that was asked has been answered.
    fn finish(&mut self) -> Result<(), String> {
        for host in 0..self.hosts.len() {
            if let Some(member) = self.hosts[host].member
                && self.members[member].process.is_driven
            {
                self.stop(member)?;
                let work = self.members[member].process.tickets.work().iter();
                let work: Vec<u64> = work.map(|(work, _)| *work).collect();
                for work in work {
                    self.members[member].process.end_work(work)?;
                }
                self.settle(member)?;
            }
        }
        let timeout = ticks(self.knobs.config.claim_timeout());
        // A clock beyond the ratio takes longer for it.
        let slowness = if self.options.broken.is_some() { 4 } else { 1 };
        let due = self.now + slowness * timeout + self.round_trips(1);
        let ended = |world: &World| {
            world.members.iter().all(|member| !member.is_alive || member.process.has_ended())
        };
        let done = self.run_until(due, ended)?;
        if !done && self.steps < self.options.steps_max {
            return Err("T2: somebody who was told to stop has not".to_owned());
        }
        for host in 0..self.hosts.len() {
            if let Some(member) = self.hosts[host].member {
                self.retire(member)?;
            }
        }
        Ok(())
    }
}

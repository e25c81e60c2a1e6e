use tenure_core::Instant;

use super::checks::Broken;
use super::history::tell;
use super::model::Invariant;
use super::state::{Flight, Message, World};
use super::steps::{Step, pass};
use super::worker::Worker;

/// What becomes of a world once nothing goes wrong any more.
impl Worker<'_> {
    /// L1, and L2 where the leader has crashed: some live candidate leads within a lease, a
    /// back-off and two round trips, whether what is under way arrives at once or is lost. Gives
    /// how many continuations were tried.
    pub(super) fn check_liveness(&mut self, world: &World) -> Result<u64, Broken> {
        if !self.has_candidate(world) {
            return Ok(0);
        }
        let config = &self.model.config;
        let span = (config.lease() + config.retry_max()).as_nanos() as u64;
        // A round trip takes no time here, but what it leads to is seen at the next tick.
        let ticks = span.div_ceil(self.model.slowest_tick()) as u8 + 2;
        let mut lost = *world;
        lost.flight = Flight::new();
        for (from, what) in [(world, "all messages arriving"), (&lost, "all messages lost")] {
            self.demand_leader(from, ticks, Invariant::L1, what)?;
        }
        Ok(2)
    }

    /// L3: a candidate that hears of a clean release leads within two round trips, spaced as claims
    /// have to be. One whose watch has failed hears of it when that is begun again.
    pub(super) fn check_succession(
        &mut self,
        before: &World,
        world: &World,
        step: Step,
    ) -> Result<u64, Broken> {
        let Step::Deliver { message } = step else { return Ok(0) };
        let message = before.flight.messages()[usize::from(message)];
        let is_clean = matches!(message, Message::ReleaseRequest { .. })
            && before.store.holder.is_some()
            && world.store.holder.is_none()
            && world.flight.messages().iter().all(|&message| !self.is_a_ghosts(world, message));
        let hears_in = (0..self.model.rates.len()).filter_map(|index| self.hears_in(world, index));
        let Some(hears_in) = hears_in.min().filter(|_| is_clean) else { return Ok(0) };
        let span = self.model.config.min_interval().as_nanos() as u64;
        let ticks = hears_in + span.div_ceil(self.model.slowest_tick()) as u8 + 1;
        self.demand_leader(world, ticks, Invariant::L3, "a clean release")?;
        Ok(1)
    }

    fn demand_leader(
        &mut self,
        from: &World,
        ticks: u8,
        invariant: Invariant,
        what: &str,
    ) -> Result<(), Broken> {
        let (seen, told) = (self.seen, self.told_so_far());
        let leads = self.continue_fairly(*from, ticks);
        self.seen = seen;
        if let Ok(true) = leads {
            self.forget_since(told);
        }
        let leads = leads?;
        self.demand(leads, invariant, || format!("after {what} nobody leads within {ticks} ticks"))
    }

    /// Whether somebody leads within so many ticks of `world`.
    fn continue_fairly(&mut self, mut world: World, ticks: u8) -> Result<bool, Broken> {
        for _ in 0..ticks {
            if self.settle(&mut world)? {
                return Ok(true);
            }
            self.tell(|| tell(&world, Step::Tick));
            pass(&mut world);
            self.tell_watchers(&mut world);
        }
        self.settle(&mut world)
    }

    /// Does all that can be done at this tick, in order, until somebody leads.
    fn settle(&mut self, world: &mut World) -> Result<bool, Broken> {
        loop {
            if self.has_leader(world) {
                return Ok(true);
            }
            let Some(step) = self.next_in_order(world) else { return Ok(false) };
            self.tell(|| tell(world, step));
            *world = self.take(world, step)?;
        }
    }

    fn next_in_order(&self, world: &World) -> Option<Step> {
        if !world.flight.messages().is_empty() {
            return Some(Step::Deliver { message: 0 });
        }
        (0..self.model.rates.len()).find_map(|index| {
            let unit = &world.units[index];
            let facts = unit.is_up().then(|| self.facts(unit)).filter(|facts| !facts.stopped)?;
            let name = index as u8;
            if facts.draining > 0 {
                Some(Step::Drained { unit: name })
            } else {
                self.is_due(index, facts, world.time).then_some(Step::Timer { unit: name })
            }
        })
    }

    fn has_leader(&self, world: &World) -> bool {
        (0..self.model.rates.len()).any(|index| {
            let unit = &world.units[index];
            unit.is_up() && self.facts(unit).leads(self.model.local(index, world.time))
        })
    }

    fn has_candidate(&self, world: &World) -> bool {
        world.units.iter().any(|unit| unit.is_up() && self.facts(unit).contends)
    }

    /// In how many ticks a candidate hears at the latest that the lease is free, if it does.
    fn hears_in(&self, world: &World, index: usize) -> Option<u8> {
        let unit = &world.units[index];
        let facts = unit.is_up().then(|| self.facts(unit)).filter(|facts| facts.contends)?;
        let watch = facts.watch;
        let told = Message::WatchReply { unit: index as u8, watch };
        if watch > 0 && world.flight.messages().contains(&told) {
            return Some(0);
        }
        // A claim that is out would have to end first.
        let begins = facts.attempt == 0 && facts.watch_due < Instant::MAX;
        begins.then(|| self.model.tick_of(index, facts.watch_due).saturating_sub(world.time))
    }

    /// Whether a message claims the lease for nobody who waits for it: for a holder that is no
    /// more, an attempt that was given up, or one that the store has answered.
    fn is_a_ghosts(&self, world: &World, message: Message) -> bool {
        let Message::ClaimRequest { unit, nonce, attempt, .. } = message else { return false };
        let is_answered = world.flight.messages().iter().any(|message| {
            matches!(*message, Message::ClaimReply { unit: to, attempt: of, .. }
                if (to, of) == (unit, attempt))
        });
        let unit = &world.units[usize::from(unit)];
        is_answered
            || !unit.is_up()
            || self.facts(unit).stopped
            || nonce != unit.first_nonce + self.facts(unit).tenure - 1
            || attempt != self.facts(unit).attempt
    }
}

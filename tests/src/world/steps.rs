use tenure_core::{Belief, TicketKind};

use super::arena::{Facts, Handled, Input};
use super::checks::{Broken, Cause};
use super::model::{Flaw, Model};
use super::sights::Sight;
use super::state::{Flight, Message, Unit, World, Yes};
use super::store::{Answer, Store};
use super::worker::{Sights, Worker};

/// What can happen next in a world.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Ask {
        unit: u8,
        kind: TicketKind,
    },
    Crash {
        unit: u8,
    },
    Deliver {
        message: u8,
    },
    /// It arrives, and stays under way.
    Duplicate {
        message: u8,
    },
    Drained {
        unit: u8,
    },
    FailClaim {
        unit: u8,
    },
    FailWatch {
        unit: u8,
    },
    Forget,
    Lose {
        message: u8,
    },
    ReadBack {
        unit: u8,
    },
    Restart {
        unit: u8,
    },
    AskToStepDown {
        unit: u8,
    },
    AskToStop {
        unit: u8,
    },
    Tick,
    Timer {
        unit: u8,
    },
}

const KINDS: [TicketKind; 3] =
    [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion];

impl Worker<'_> {
    /// The world in which all units have just started.
    pub(super) fn first(&mut self) -> Result<World, Broken> {
        let unit = Unit { machine: Unit::DOWN, first_nonce: 1, told: 0, yes: None };
        let mut world = World {
            time: 0,
            store: Store::default(),
            left: self.model.budget,
            may_forget: self.model.flaw == Some(Flaw::AmnesiacStore),
            top: None,
            units: [unit; Model::UNITS_MAX],
            flight: Flight::new(),
        };
        for index in 0..self.model.rates.len() {
            self.start_unit(&mut world, index)?;
        }
        Ok(world)
    }

    /// All that can happen next, in an order that depends on the world alone.
    pub(super) fn steps(&self, world: &World, steps: &mut Vec<Step>) {
        steps.clear();
        let left = &world.left;
        let messages = world.flight.messages().len();
        if messages > self.model.flight_max {
            // Nothing else can happen: those that stay are those that may still arrive.
            steps.extend((0..messages as u8).map(|message| Step::Lose { message }));
            return;
        }
        steps.extend((0..messages as u8).map(|message| Step::Deliver { message }));
        for unit in 0..self.model.rates.len() as u8 {
            self.steps_of(world, unit, steps);
        }
        if left.duplicates > 0 {
            steps.extend((0..messages as u8).map(|message| Step::Duplicate { message }));
        }
        if world.may_forget && world.store.holder.is_some() {
            steps.push(Step::Forget);
        }
        if world.time < self.model.horizon {
            steps.push(Step::Tick);
        }
    }

    fn steps_of(&self, world: &World, index: u8, steps: &mut Vec<Step>) {
        let unit = &world.units[usize::from(index)];
        let left = &world.left;
        if !unit.is_up() {
            steps.push(Step::Restart { unit: index });
            return;
        }
        let facts = self.facts(unit);
        if facts.stopped {
            return;
        }
        if facts.draining > 0 {
            steps.push(Step::Drained { unit: index });
        }
        if self.is_due(usize::from(index), facts, world.time) {
            steps.push(Step::Timer { unit: index });
        }
        if left.asks > 0 {
            steps.extend(KINDS.map(|kind| Step::Ask { unit: index, kind }));
        }
        if left.resignations > 0 && facts.contends {
            steps.extend([Step::AskToStepDown { unit: index }, Step::AskToStop { unit: index }]);
        }
        if left.crashes > 0 {
            steps.push(Step::Crash { unit: index });
        }
        if left.failures > 0 && facts.attempt > 0 {
            steps.push(Step::FailClaim { unit: index });
        }
        if left.failures > 0 && facts.watch > 0 {
            steps.push(Step::FailWatch { unit: index });
        }
        let names_it = || {
            let holder = self.model.holder(index, unit.first_nonce + facts.tenure - 1);
            world.store.holder == Some(holder) && !world.store.is_free(world.time)
        };
        if self.model.flaw == Some(Flaw::ReadBack) && facts.attempt > 0 && names_it() {
            steps.push(Step::ReadBack { unit: index });
        }
    }

    pub(super) fn is_due(&self, unit: usize, facts: &Facts, tick: u8) -> bool {
        facts.armed <= self.model.handed(unit, tick)
    }

    /// What `step` makes of `world`.
    pub(super) fn take(&mut self, world: &World, step: Step) -> Result<World, Broken> {
        let mut next = *world;
        let next_ref = &mut next;
        match step {
            Step::Ask { unit, kind } => {
                next_ref.left.asks -= 1;
                self.hand_in(next_ref, unit, Input::Ask(kind), Cause::Other)?;
            }
            Step::Crash { unit } => self.crash(next_ref, unit),
            Step::Deliver { message } => {
                let index = usize::from(message);
                let message = next.flight.messages()[index];
                next.flight.take(index);
                self.deliver(&mut next, message)?;
            }
            Step::Duplicate { message } => {
                let message = next.flight.messages()[usize::from(message)];
                next.left.duplicates -= 1;
                self.see(match message {
                    Message::ClaimRequest { .. } | Message::ReleaseRequest { .. } => {
                        Sight::DuplicatedRequest
                    }
                    Message::ClaimReply { .. }
                    | Message::ReleaseReply { .. }
                    | Message::WatchReply { .. } => Sight::DuplicatedReply,
                });
                self.deliver(&mut next, message)?;
            }
            Step::Drained { unit } => {
                self.see(Sight::Drained);
                let tenure = self.facts(&world.units[usize::from(unit)]).draining;
                self.hand_in(next_ref, unit, Input::Drained { tenure }, Cause::End)?;
            }
            Step::FailClaim { unit } => {
                next_ref.left.failures -= 1;
                let attempt = self.facts(&world.units[usize::from(unit)]).attempt;
                self.hand_in(next_ref, unit, Input::ClaimErred { attempt }, Cause::Other)?;
            }
            Step::FailWatch { unit } => {
                next_ref.left.failures -= 1;
                let watch = self.facts(&world.units[usize::from(unit)]).watch;
                self.hand_in(next_ref, unit, Input::WatchErred { watch }, Cause::Other)?;
            }
            Step::Forget => {
                next_ref.may_forget = false;
                next_ref.store = Store::default();
            }
            Step::Lose { message } => {
                self.see(Sight::Lost);
                next_ref.flight.take(usize::from(message));
            }
            Step::ReadBack { unit } => {
                let up = &world.units[usize::from(unit)];
                let (attempt, term) = (self.facts(up).attempt, world.store.term);
                let nonce = up.first_nonce + self.facts(up).tenure - 1;
                // Whatever it takes this for, it was asked for now at the latest.
                let cause = Cause::Granted { nonce, sent: world.time, term };
                self.hand_in(next_ref, unit, Input::Granted { attempt, term }, cause)?;
            }
            Step::Restart { unit } => {
                self.see(Sight::Restarted);
                self.start_unit(next_ref, usize::from(unit))?;
            }
            Step::AskToStepDown { unit } => {
                self.see(Sight::SteppedDown);
                next_ref.left.resignations -= 1;
                self.hand_in(next_ref, unit, Input::StepDown, Cause::Other)?;
            }
            Step::AskToStop { unit } => {
                self.see(Sight::ToldToStop);
                next_ref.left.resignations -= 1;
                self.hand_in(next_ref, unit, Input::Stop, Cause::Other)?;
            }
            Step::Tick => pass(next_ref),
            Step::Timer { unit } => {
                self.hand_in(next_ref, unit, Input::Timer, Cause::Other)?;
            }
        }
        self.tell_watchers(&mut next);
        Ok(next)
    }

    fn see(&mut self, sight: Sight) {
        let mut sights = Sights::default();
        sights.see(sight);
        self.count(sights);
    }

    fn start_unit(&mut self, world: &mut World, index: usize) -> Result<(), Broken> {
        let handled = self.start(index, world.time).map_err(Broken::books)?;
        world.units[index].machine = handled.next;
        self.carry_out(world, index, handled);
        Ok(())
    }

    fn crash(&mut self, world: &mut World, index: u8) {
        let unit = &mut world.units[usize::from(index)];
        let facts = self.facts(unit);
        let (leads, tenure) =
            (facts.leads(self.model.local(usize::from(index), world.time)), facts.tenure);
        self.see(if leads { Sight::CrashedLeader } else { Sight::CrashedMinion });
        unit.first_nonce += tenure;
        (unit.machine, unit.told) = (Unit::DOWN, 0);
        world.left.crashes -= 1;
        world.flight.drop_all_to(index);
    }

    fn deliver(&mut self, world: &mut World, message: Message) -> Result<(), Broken> {
        match message {
            Message::ClaimRequest { unit, nonce, attempt, sent } => {
                let holder = self.model.holder(unit, nonce);
                let mut sights = Sights::default();
                let times = (sent, world.time);
                let answer = world.store.claim(self.model, holder, times, &mut sights);
                let claimant = &world.units[usize::from(unit)];
                let is_there = claimant.is_up() && claimant.first_nonce <= nonce;
                let is_current = is_there
                    && nonce - claimant.first_nonce + 1 == self.facts(claimant).tenure
                    && !self.facts(claimant).stopped;
                if !is_current && matches!(answer, Answer::Granted { .. }) {
                    sights.see(Sight::StoreGrantedGhost);
                }
                self.count(sights);
                if is_there {
                    world.flight.add(Message::ClaimReply { unit, nonce, attempt, sent, answer });
                }
            }
            Message::ReleaseRequest { unit, nonce } => {
                let mut sights = Sights::default();
                let holder = self.model.holder(unit, nonce);
                world.store.release(self.model, holder, &mut sights);
                self.count(sights);
                let releaser = &world.units[usize::from(unit)];
                if releaser.is_up() && releaser.first_nonce <= nonce {
                    let tenure = nonce - releaser.first_nonce + 1;
                    world.flight.add(Message::ReleaseReply { unit, tenure });
                }
            }
            Message::ClaimReply { unit, nonce, attempt, sent, answer } => {
                self.deliver_claim_reply(world, unit, (nonce, attempt, sent), answer)?;
            }
            Message::ReleaseReply { unit, tenure } => {
                let before = world.units[usize::from(unit)].machine;
                self.hand_in(world, unit, Input::ReleaseFinished { tenure }, Cause::Other)?;
                if world.units[usize::from(unit)].machine == before {
                    self.see(Sight::LateReleaseEnd);
                }
            }
            Message::WatchReply { unit, watch } => {
                let is_out = self.facts(&world.units[usize::from(unit)]).watch == watch;
                self.see(if is_out { Sight::WatchSpoke } else { Sight::LateWatch });
                let input = match self.model.flaw {
                    Some(Flaw::DeafDriver) => Input::WatchErred { watch },
                    _ => Input::WatchSpoke { watch },
                };
                self.hand_in(world, unit, input, Cause::Other)?;
            }
        }
        Ok(())
    }

    fn deliver_claim_reply(
        &mut self,
        world: &mut World,
        unit: u8,
        (nonce, attempt, sent): (u8, u8, u8),
        answer: Answer,
    ) -> Result<(), Broken> {
        let is_out = self.facts(&world.units[usize::from(unit)]).attempt == attempt;
        let (input, cause) = match answer {
            Answer::Granted { term } if is_out => {
                (Input::Granted { attempt, term }, Cause::Granted { nonce, sent, term })
            }
            Answer::Denied { retry_after } if is_out => {
                self.see(Sight::ClaimDenied);
                (Input::Denied { attempt, retry_after }, Cause::End)
            }
            Answer::Granted { term } => {
                self.see(Sight::LateGrant);
                (Input::Granted { attempt, term }, Cause::Other)
            }
            Answer::Denied { retry_after } => {
                self.see(Sight::LateDenial);
                (Input::Denied { attempt, retry_after }, Cause::Other)
            }
        };
        self.hand_in(world, unit, input, cause)
    }

    /// Hands `input` to a unit that is up, does what it wants, and checks what has come of it.
    fn hand_in(
        &mut self,
        world: &mut World,
        unit: u8,
        input: Input,
        cause: Cause,
    ) -> Result<(), Broken> {
        let index = usize::from(unit);
        let before = world.units[index];
        let handled =
            self.handle(index, before.machine, input, world.time).map_err(Broken::books)?;
        world.units[index].machine = handled.next;
        self.count(handled.sights);
        if handled.watch > 0 && !matches!(input, Input::Denied { .. }) {
            self.see(Sight::WatchBegunAgain);
        }
        if matches!(self.facts(&before).belief, Belief::Minion)
            && matches!(self.facts(&world.units[index]).belief, Belief::Leader { .. })
        {
            self.see(match unit {
                0 => Sight::PromotedFirst,
                1 => Sight::PromotedSecond,
                _ => Sight::PromotedThird,
            });
        }
        self.carry_out(world, index, handled);
        self.check_change(world, index, &before, handled, cause)
    }

    fn carry_out(&self, world: &mut World, index: usize, handled: Handled) {
        let facts = *self.facts(&world.units[index]);
        let unit = &mut world.units[index];
        let (name, sent) = (index as u8, world.time);
        if handled.claim > 0 {
            let nonce = unit.first_nonce + handled.claim_tenure - 1;
            let attempt = handled.claim;
            world.flight.add(Message::ClaimRequest { unit: name, nonce, attempt, sent });
        }
        if handled.release > 0 {
            let nonce = unit.first_nonce + handled.release - 1;
            world.flight.add(Message::ReleaseRequest { unit: name, nonce });
            // It has ended what it promised, by its own will.
            unit.yes = None;
        }
        if handled.said_yes {
            let until =
                self.model.handed(index, world.time).saturating_add(self.model.config.guarantee());
            let nonce = unit.first_nonce + facts.tenure - 1;
            unit.yes = Some(Yes { nonce, until: self.model.tick_of(index, until) });
        }
    }

    /// A store tells each watch once when the lease is free, for as long as that is out.
    pub(super) fn tell_watchers(&self, world: &mut World) {
        if !world.store.is_free(world.time) {
            return;
        }
        for index in 0..self.model.rates.len() {
            let unit = &mut world.units[index];
            if !unit.is_up() {
                continue;
            }
            let watch = self.facts(unit).watch;
            if watch > 0 && unit.told != watch {
                unit.told = watch;
                world.flight.add(Message::WatchReply { unit: index as u8, watch });
            }
        }
    }
}

/// One tick passes.
pub(super) fn pass(world: &mut World) {
    world.time += 1;
    let now = world.time;
    for unit in &mut world.units {
        unit.yes = unit.yes.filter(|yes| now < yes.until);
    }
}

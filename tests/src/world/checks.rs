use tenure_core::{Belief, Instant};

use super::arena::Handled;
use super::model::Invariant;
use super::state::{Unit, World};
use super::worker::Worker;

/// An invariant that does not hold, and how.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) invariant: Invariant,
    pub(super) why: String,
}

impl Broken {
    pub(super) fn books(why: String) -> Broken {
        Broken { invariant: Invariant::Books, why }
    }
}

/// What a change of belief may come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause {
    /// A grant to `nonce` for the attempt that was out, made at `sent`.
    Granted { nonce: u8, sent: u8, term: u8 },
    /// A denial of the attempt that was out, or the end of guarded work: no belief is left.
    End,
    /// Nothing that begins, prolongs or has to end a belief.
    Other,
}

/// After one step of one unit.
impl Worker<'_> {
    /// Compares what a unit believed before and believes now with what it was told.
    pub(super) fn check_change(
        &self,
        world: &mut World,
        index: usize,
        before: &Unit,
        handled: Handled,
        cause: Cause,
    ) -> Result<(), Broken> {
        let unit = world.units[index];
        let facts = self.facts(&unit);
        let (was, is) = (self.facts(before).belief, facts.belief);
        if let Belief::Leader { term, valid_until, .. } = is {
            self.demand(handled.release == 0, Invariant::S11, || {
                format!("unit {index} releases, and believes")
            })?;
            if held(was) == held(is) {
                let ended = matches!(cause, Cause::End);
                return self.demand(!ended, Invariant::S6, || {
                    format!("unit {index} goes on believing after a denial or its own end")
                });
            }
            let nonce = unit.first_nonce + facts.tenure - 1;
            let Cause::Granted { nonce: granted, sent, term: given } = cause else {
                let later = held(was).is_some_and(|(was, _)| was == term.number());
                let invariant = if later { Invariant::S9 } else { Invariant::S6 };
                let why = || format!("unit {index} believes anew without a grant");
                return self.demand(false, invariant, why);
            };
            self.demand(granted == nonce, Invariant::S6, || {
                format!("unit {index} believes a grant to a nonce that it had before")
            })?;
            let should = self.model.local(index, sent).as_nanos() + self.model.valid_for();
            let same = (term.number(), valid_until.as_nanos()) == (given.into(), should);
            self.demand(same, Invariant::S3, || {
                format!(
                    "unit {index} believes in term {term} until {} ns, but what was granted is \
                     term {given} until {should} ns",
                    valid_until.as_nanos()
                )
            })?;
            let holder = self.model.holder(index as u8, nonce);
            let stays = held(was).is_none_or(|(term, _)| term == u64::from(given));
            let rises =
                world.top.is_none_or(|(top, of)| top < given || (top == given && of == holder));
            self.demand(stays && rises, Invariant::S7, || {
                format!("unit {index} is granted term {given} after {:?}", world.top)
            })?;
            world.top = Some((given, holder));
        }
        Ok(())
    }

    pub(super) fn demand(
        &self,
        holds: bool,
        invariant: Invariant,
        why: impl FnOnce() -> String,
    ) -> Result<(), Broken> {
        if holds || !self.model.judges(invariant) {
            Ok(())
        } else {
            Err(Broken { invariant, why: why() })
        }
    }
}

/// At every state.
impl Worker<'_> {
    /// Looks at the whole world from outside.
    pub(super) fn check(&self, world: &World) -> Result<(), Broken> {
        let mut believer = None;
        for (index, unit) in world.units.iter().enumerate() {
            if let Some(yes) = unit.yes {
                let holder = self.model.holder(index as u8, yes.nonce);
                let names = world.store.holder == Some(holder) && world.time < world.store.expires;
                self.demand(names, Invariant::S2, || {
                    format!(
                        "unit {index} said yes until tick {}, but the store has {}",
                        yes.until,
                        self.named(world)
                    )
                })?;
            }
            if !unit.is_up() {
                continue;
            }
            let Some(until) = self.claims_until(world, index) else { continue };
            if let Some(other) = believer {
                self.demand(false, Invariant::S1, || {
                    format!("units {other} and {index} both believe at tick {}", world.time)
                })?;
            }
            believer = Some(index);
            self.check_grant(world, index, until)?;
        }
        Ok(())
    }

    /// Until when a unit believes, or its guarded work may run, if that is to come.
    fn claims_until(&self, world: &World, index: usize) -> Option<Instant> {
        let facts = self.facts(&world.units[index]);
        let now = self.model.local(index, world.time);
        let work = Some(facts.work_until).filter(|&until| now < until);
        facts.believes_until(now).max(work)
    }

    /// S4: what a unit believes lies inside what the store has granted it, in real time.
    fn check_grant(&self, world: &World, index: usize, until: Instant) -> Result<(), Broken> {
        let unit = &world.units[index];
        let facts = self.facts(unit);
        let holder = self.model.holder(index as u8, unit.first_nonce + facts.tenure - 1);
        let inside = world.store.holder == Some(holder)
            && self.model.is_by(index, until, world.store.expires);
        self.demand(inside, Invariant::S4, || {
            format!(
                "unit {index} believes until {} ns, but the store has {}",
                until.as_nanos(),
                self.named(world)
            )
        })?;
        let term = held(facts.belief).map(|(term, _)| term);
        let same = term.is_none_or(|term| term == u64::from(world.store.term));
        self.demand(same, Invariant::S7, || {
            format!("unit {index} believes in term {term:?}, the store in {}", world.store.term)
        })
    }

    fn named(&self, world: &World) -> String {
        match world.store.holder {
            Some(holder) => format!(
                "unit {} with nonce {} until tick {}",
                holder.unit, holder.nonce, world.store.expires
            ),
            None => "nobody".to_owned(),
        }
    }
}

fn held(belief: Belief) -> Option<(u64, Instant)> {
    match belief {
        Belief::Leader { term, valid_until, .. } => Some((term.number(), valid_until)),
        Belief::Minion | Belief::Stopped => None,
    }
}

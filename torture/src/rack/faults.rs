//! What the rack does to candidates, and has its ground do to the store.

use std::error::Error;
use std::time::Duration;

use rustix::process::Signal;
use tenure_runtime::{BootClock, Clock};

use super::Rack;
use crate::arguments::{Control, RackOptions};
use crate::candidate::Order;
use crate::fleet::COMMAND_PLACE;
use crate::ground::Ground;
use crate::room;
use crate::schedule::{Blow, Fault};

/// How long a candidate that ends politely is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a candidate weighs at most, with threads and an allocator that keeps what it once had.
const WEIGHT_MIB: u64 = 96;

/// What ends a fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Undo {
    /// Of the store.
    Ground(Fault),
    /// Of itself.
    Nothing,
    /// The process in the place is started again, once the one that may be ending there is gone.
    Start(usize),
    StartAll,
    /// The process in the place steps down.
    StepDown(usize),
    Thaw(usize),
    ThawAll,
    /// The process that was one too many ends, politely or not.
    Part {
        place: usize,
        politely: bool,
    },
}

/// What is to be done, and what cannot be.
pub(super) fn possible(
    options: &RackOptions,
    ground: &dyn Ground,
) -> (Vec<Fault>, Vec<(String, String)>) {
    let mut faults = Fault::OF_CANDIDATES.to_vec();
    let mut impossible = Vec::new();
    for (fault, can_be) in ground.faults() {
        match can_be {
            Ok(()) => faults.push(fault),
            Err(why) => impossible.push((fault.name(), why)),
        }
    }
    match options.control {
        None => {}
        Some(Control::CountFromReply | Control::SharedNonce) => {
            faults.retain(|fault| matches!(fault, Fault::KillLeader | Fault::FreezeLeader));
        }
        Some(Control::NoHoldOff) => faults.retain(|fault| *fault == Fault::ServerKill),
    }
    if !options.only.is_empty() {
        faults.retain(|fault| options.only.contains(fault));
    }
    (faults, impossible)
}

impl Rack {
    /// Does it, and gives what ends it.
    pub(super) fn strike(&mut self, blow: &Blow) -> Result<Undo, Box<dyn Error>> {
        let leader = self.leader().unwrap_or(blow.victim % self.options.candidates);
        let minion =
            (leader + 1 + blow.victim % (self.options.candidates - 1)) % self.options.candidates;
        let fault = blow.fault;
        *self.done.entry(fault).or_default() += 1;
        let now = BootClock.now();
        self.journal
            .note(now, || format!("begins: {}, leader in {leader}, {minion}", fault.name()));
        Ok(match fault {
            Fault::StepDown => {
                let cool_off = self.leases(blow.lasting);
                if let Some(member) = self.fleet.members.get_mut(&leader) {
                    member.order(Order::StepDown { cool_off });
                }
                Undo::Nothing
            }
            Fault::End => {
                if let Some(member) = self.fleet.members.get_mut(&leader) {
                    member.end();
                }
                Undo::Start(leader)
            }
            Fault::KillLeader => self.kill(leader, blow)?,
            Fault::KillMinion => self.kill(minion, blow)?,
            Fault::FreezeLeader | Fault::FreezeLeaderBriefly => self.freeze(leader),
            Fault::FreezeMinion => self.freeze(minion),
            Fault::Twin => {
                let highest = self.fleet.members.last_key_value().map_or(0, |(&place, _)| place);
                let place = 1 + highest;
                let url = self.ground.url(place % self.options.candidates);
                self.fleet.start(place, leader, &url, &self.journal)?;
                Undo::Part { place, politely: blow.way.is_multiple_of(2) }
            }
            Fault::KillAll => {
                for member in self.fleet.members.values_mut() {
                    member.is_leaving = true;
                    member.signal(Signal::KILL);
                }
                Undo::StartAll
            }
            Fault::FreezeAll => {
                self.fleet.members.values().for_each(|member| member.signal(Signal::STOP));
                Undo::ThawAll
            }
            Fault::DiskReadOnly => {
                // Who has a file open to write keeps its disk from becoming read-only.
                self.fleet.members.clear();
                self.ground.begin(blow, leader)?;
                // A command of `tenure run` ends if it cannot write to its file at the first.
                let has_command = self.fleet.has_command();
                let waits = |place: &usize| !(has_command && *place == COMMAND_PLACE);
                (0..self.options.candidates)
                    .filter(waits)
                    .try_for_each(|place| self.start(place))?;
                Undo::Ground(fault)
            }
            Fault::WatchesCut => {
                self.ground.begin(blow, leader)?;
                Undo::StepDown(leader)
            }
            _ => {
                self.ground.begin(blow, leader % self.options.candidates)?;
                Undo::Ground(fault)
            }
        })
    }

    pub(super) fn undo(&mut self, undo: Undo) -> Result<(), Box<dyn Error>> {
        self.journal.note(BootClock.now(), || format!("ends: {undo:?}"));
        match undo {
            Undo::Ground(fault) => {
                if fault == Fault::ServerTalks {
                    self.weigh();
                }
                self.ground.end(fault)?;
            }
            Undo::StepDown(place) => {
                let cool_off = self.leases(50);
                if let Some(member) = self.fleet.members.get_mut(&place) {
                    member.order(Order::StepDown { cool_off });
                }
            }
            Undo::Nothing => {}
            // Another fault may have started it already.
            Undo::Start(place) if !self.is_leaving(place) => {}
            Undo::Start(place) => {
                self.wait_for_end(place);
                self.start(place)?;
            }
            Undo::StartAll => {
                for place in 0..self.options.candidates {
                    if self.is_leaving(place) {
                        self.start(place)?;
                    }
                }
            }
            Undo::Thaw(place) => {
                if let Some(member) = self.fleet.members.get(&place) {
                    member.signal(Signal::CONT);
                }
            }
            Undo::ThawAll => {
                self.fleet.members.values().for_each(|member| member.signal(Signal::CONT));
            }
            Undo::Part { place, politely } => {
                if let Some(member) = self.fleet.members.get_mut(&place) {
                    member.end();
                    if politely {
                        self.wait_for_end(place);
                    }
                }
                self.fleet.members.remove(&place);
            }
        }
        Ok(())
    }

    /// No candidate may keep what a server sends without end.
    fn weigh(&mut self) {
        let weights = self
            .fleet
            .members
            .values()
            .map(|member| (member.process.clone(), room::resident_mib(member.process.pid)));
        let heavy: Vec<_> = weights.filter(|&(_, weight)| weight > WEIGHT_MIB).collect();
        for (process, weight) in heavy {
            self.trouble(format!("{process} has {weight} MiB of memory, bound {WEIGHT_MIB} MiB"));
        }
    }

    /// Has all candidates run, and no others.
    pub(super) fn mend(&mut self) -> Result<(), Box<dyn Error>> {
        self.undo(Undo::ThawAll)?;
        for place in 0..self.options.candidates {
            let is_gone = self
                .fleet
                .members
                .get(&place)
                .is_none_or(|member| self.gone.contains(&member.process));
            if is_gone || self.is_leaving(place) {
                self.wait_for_end(place);
                self.start(place)?;
            }
        }
        let candidates = self.options.candidates;
        self.fleet.members.retain(|&place, _| place < candidates);
        self.gone.clear();
        Ok(())
    }

    /// Where the leader is, if there is one.
    fn leader(&self) -> Option<usize> {
        let (_, held) = self.oracle.latest()?;
        let place = self.fleet.place_of(&held.process)?;
        // A command at work says no more than that it was a moment ago.
        let end = held.end().saturating_add(Duration::from_millis(20));
        (end > BootClock.now() && !self.is_leaving(place)).then_some(place)
    }

    fn is_leaving(&self, place: usize) -> bool {
        self.fleet.members.get(&place).is_some_and(|member| member.is_leaving)
    }

    fn kill(&mut self, place: usize, blow: &Blow) -> Result<Undo, Box<dyn Error>> {
        if let Some(member) = self.fleet.members.get_mut(&place) {
            member.is_leaving = true;
            member.signal(Signal::KILL);
        }
        if blow.way.is_multiple_of(2) {
            self.start(place)?;
            return Ok(Undo::Nothing);
        }
        Ok(Undo::Start(place))
    }

    fn freeze(&self, place: usize) -> Undo {
        if let Some(member) = self.fleet.members.get(&place) {
            member.signal(Signal::STOP);
        }
        Undo::Thaw(place)
    }

    /// Until the process that is ending in `place` is gone; but not for ever.
    fn wait_for_end(&mut self, place: usize) {
        let Some(member) = self.fleet.members.get(&place) else { return };
        // Another fault may have stopped it.
        member.signal(Signal::CONT);
        let process = member.process.clone();
        let limit = BootClock.now().saturating_add(PATIENCE);
        while !self.gone.contains(&process) {
            let now = BootClock.now();
            if now >= limit {
                self.trouble(format!("{process} does not end within {PATIENCE:?}"));
                return;
            }
            self.listen_until(now.saturating_add(Duration::from_millis(2)));
        }
    }
}

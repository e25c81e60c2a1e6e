use std::collections::BTreeSet;
use std::hash::Hash;

use tenure_core::Instant;
use tenure_dependency::{Action, Engine, ManifoldName, RunId};

use super::{Books, Doing, Phase, Row, Run};

/// What an answer has to keep to.
impl<E: Clone + Eq + Hash> Books<E> {
    /// Writes down the actions that an event caused. `before` is what the report said before it,
    /// and `told` who has to be told to stop because of it.
    pub(super) fn close(
        &mut self,
        before: &[Row<E>],
        told: &BTreeSet<ManifoldName>,
        actions: &[Action<E>],
        engine: &Engine<E>,
    ) -> Result<(), String> {
        let had_finished = self.has_finished();
        if had_finished && !actions.is_empty() {
            return Err("something comes after the end".to_owned());
        }
        let mut changed = BTreeSet::new();
        let mut active = BTreeSet::new();
        let mut armed = None;
        for (index, action) in actions.iter().enumerate() {
            let is_last = index + 1 == actions.len();
            match action {
                Action::ArmTimer { at } if is_last => armed = Some(*at),
                Action::ArmTimer { .. } => Err("the timer is armed before other actions")?,
                Action::Changed { name } => drop(changed.insert(name.clone())),
                Action::Finished { errors } => self.finish(errors, is_last)?,
                Action::Start { name, run, inputs } => {
                    self.start(name, *run, inputs)?;
                    active.insert(name.clone());
                }
                Action::Stop { name, run } => {
                    self.tell(name, *run, told)?;
                    active.insert(name.clone());
                }
            }
        }
        self.check_changed(before, &changed, &active)?;
        self.check_deadline(engine.deadline(), armed)?;
        self.check_what_is_out(told)?;
        self.check_report(engine)
    }

    fn start(
        &mut self,
        name: &ManifoldName,
        run: RunId,
        inputs: &[Option<RunId>],
    ) -> Result<(), String> {
        if self.is_ending() {
            return Err(format!("{name} is started while the engine ends"));
        }
        if inputs != self.inputs_now(name) {
            return Err(format!("{name} is started on inputs that do not run now"));
        }
        self.runs += 1;
        if run.number() != self.runs {
            return Err(format!("run {run} is not the next number"));
        }
        let now = self.now;
        let Some(entry) = self.entries.get_mut(name) else {
            return Err(format!("{name} is started, and is not there"));
        };
        match entry.doing {
            Doing::Idle => Err(format!("{name} is started, and nothing has changed")),
            Doing::Out(_) => Err(format!("{name} is started twice")),
            Doing::Waits { earliest, .. } if now < earliest => {
                Err(format!("{name} is started too soon"))
            }
            Doing::Waits { .. } => {
                let given = inputs.to_vec();
                entry.doing = Doing::Out(Run { run, given, since: None, was_told: false });
                Ok(())
            }
        }
    }

    fn tell(
        &mut self,
        name: &ManifoldName,
        run: RunId,
        told: &BTreeSet<ManifoldName>,
    ) -> Result<(), String> {
        let needed = self.out().any(|(other, _)| self.entries[other].inputs.contains(name));
        let may = if self.is_ending() { !needed } else { told.contains(name) };
        if !may {
            let why = if needed { "it is still depended on" } else { "there is no reason" };
            return Err(format!("{name} is told to stop, and {why}"));
        }
        match self.entries.get_mut(name).map(|entry| &mut entry.doing) {
            Some(Doing::Out(out)) if out.run == run && !out.was_told => {
                out.was_told = true;
                Ok(())
            }
            Some(_) | None => Err(format!("{name} is told to stop run {run} in vain or again")),
        }
    }

    fn finish(&mut self, wanted: &[E], is_last: bool) -> Result<(), String> {
        match std::mem::replace(&mut self.phase, Phase::Finished) {
            Phase::Ending(errors) if errors != wanted => Err("the fatal errors are others")?,
            Phase::Ending(_) => {}
            Phase::Running | Phase::Finished => Err("finished, and was not ending")?,
        }
        if !is_last || self.out().next().is_some() {
            return Err("finished, and not at the end".to_owned());
        }
        Ok(())
    }

    /// `Changed` comes for all whose report has changed, and for no others.
    fn check_changed(
        &self,
        before: &[Row<E>],
        changed: &BTreeSet<ManifoldName>,
        active: &BTreeSet<ManifoldName>,
    ) -> Result<(), String> {
        let after = self.rows();
        let mut differ = BTreeSet::new();
        for (rows, others) in [(before, &*after), (&*after, before)] {
            let new = rows.iter().filter(|row| !others.contains(row));
            differ.extend(new.map(|row| row.name.clone()));
        }
        if let Some(name) = differ.difference(changed).next() {
            return Err(format!("{name} has changed, and nobody is told"));
        }
        // One that ends and starts in one go may look as it did.
        match changed.iter().find(|name| !differ.contains(name) && !active.contains(name)) {
            Some(name) => Err(format!("{name} is said to have changed, and has not")),
            None => Ok(()),
        }
    }

    /// The timer is armed for the first of those that wait: and when that changes, at once.
    fn check_deadline(
        &mut self,
        deadline: Option<Instant>,
        armed: Option<Instant>,
    ) -> Result<(), String> {
        let wanted = deadline.filter(|_| deadline != self.armed);
        if armed != wanted {
            return Err(format!("the timer is armed for {armed:?}, but should be for {wanted:?}"));
        }
        self.armed = deadline;
        let mut waiting = Vec::new();
        for entry in self.entries.values_mut() {
            if let Doing::Waits { earliest, latest } = &mut entry.doing {
                waiting.push((earliest, latest));
            }
        }
        let Some(at) = deadline else {
            return if waiting.is_empty() { Ok(()) } else { Err("who waits is forgotten".into()) };
        };
        // At the end of time all is due at once.
        if at <= self.now && self.now < Instant::MAX {
            return Err("the deadline has passed already".to_owned());
        }
        let earliest = waiting.iter().map(|(earliest, _)| **earliest).min();
        let latest = waiting.iter().map(|(_, latest)| **latest).min();
        if !(earliest <= Some(at) && latest.is_some_and(|latest| at <= latest)) {
            return Err(format!("the deadline {at:?} is not within {earliest:?} and {latest:?}"));
        }
        // Now it is known that nobody is to be started before that.
        let is_alone = waiting.len() == 1;
        for (earliest, latest) in waiting {
            *earliest = at.max(*earliest);
            if is_alone {
                *latest = at;
            }
        }
        Ok(())
    }

    fn check_what_is_out(&self, told: &BTreeSet<ManifoldName>) -> Result<(), String> {
        for (name, run) in self.out() {
            if run.was_told {
                continue;
            }
            if told.contains(name) {
                return Err(format!("{name} is not told to stop"));
            }
            if self.is_ending() {
                if !self.out().any(|(other, _)| self.entries[other].inputs.contains(name)) {
                    return Err(format!("nobody depends on {name}, but it is not told to stop"));
                }
                continue;
            }
            for (input, given) in self.entries[name].inputs.iter().zip(&run.given) {
                let now = self.run(input).filter(|run| run.since.is_some());
                let same = match (given, now) {
                    (Some(given), Some(now)) => *given == now.run,
                    // One that was told to stop counts as gone.
                    (None, Some(now)) => now.was_told,
                    (None, None) => true,
                    (Some(_), None) => false,
                };
                if !same {
                    return Err(format!("{name} goes on with another {input} than there is"));
                }
            }
        }
        if self.is_ending() && !self.has_finished() && self.out().next().is_none() {
            return Err("all are down, but it is not finished".to_owned());
        }
        Ok(())
    }

    fn check_report(&self, engine: &Engine<E>) -> Result<(), String> {
        let report = engine.report();
        if report.is_ending != self.is_ending() || engine.is_ending() != self.is_ending() {
            return Err("the report is wrong on whether the engine ends".to_owned());
        }
        if report.manifolds.len() != self.entries.len() {
            return Err("the report has more or less manifolds than there are".to_owned());
        }
        for (said, (name, entry)) in report.manifolds.iter().zip(&self.entries) {
            let same = said.name == *name
                && said.state == entry.state()
                && said.inputs == entry.inputs
                && said.start_count == entry.starts
                && said.last_error == entry.last_error;
            if !same {
                return Err(format!("the report is wrong on {name}"));
            }
        }
        Ok(())
    }
}

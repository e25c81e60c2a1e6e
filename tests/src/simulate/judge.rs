use tenure_core::{
    Action, AttemptFailure, Belief, Event, Instant, Outcome, Term, TicketKind, Transition,
};

use super::Broken;
use super::classes::Class;
use super::happenings::Happening;
use super::knobs::SLOWEST;
use super::members::Claimed;
use super::process::News;
use super::store::Holder;
use super::world::World;

/// What has to be true in real time, which no machine can read.
impl World {
    /// S1 and S4, now.
    pub(crate) fn judge(&mut self) -> Result<(), String> {
        self.log.set_now(self.now);
        let mut leader = None;
        for member in 0..self.members.len() {
            let Some((term, until)) = self.members[member].held else { continue };
            if !self.members[member].is_alive || self.local_now(member) >= until {
                continue;
            }
            if let Some(other) = leader.replace(member) {
                self.break_exclusion(format!("S1: p{other} and p{member} both believe"))?;
            }
            self.check_store_names(member, term)?;
        }
        self.check_guarded(leader)?;
        self.lead.now = leader;
        if let Some(leader) = leader
            && self.lead.last != Some(leader)
        {
            self.lead.last = Some(leader);
            self.lead.changes += 1;
            self.summary.failovers += u64::from(self.lead.changes > 1);
        }
        Ok(())
    }

    /// With a premise that is broken, this is what has to show.
    fn break_exclusion(&mut self, what: String) -> Result<(), String> {
        match self.options.broken {
            None => Err(what),
            Some(broken) => {
                if broken == Broken::Clock && self.exclusion.is_none() {
                    self.tally.check(Class::ClockBeyond);
                }
                self.log.note(&[6], || what.clone());
                self.exclusion.get_or_insert(what);
                Ok(())
            }
        }
    }

    /// Whether what the store names can be relied on, of a grant made when it had forgotten so
    /// often.
    fn keeps_premise(&self, forgot: u64) -> bool {
        self.options.broken.is_none() && forgot == self.store.forgot
    }

    /// S4: belief lies inside the store's grant.
    fn check_store_names(&self, member: usize, term: Term) -> Result<(), String> {
        let subject = &self.members[member];
        if !self.keeps_premise(subject.forgot) {
            return Ok(());
        }
        let tenure = subject.process.shadow.ledger.tenure().number();
        let holder = Holder { process: member, tenure };
        match self.store.live(self.now) {
            // A store may raise the term of a lease that goes on: its holder hears of that later.
            Some(record) if record.bid.holder == holder && term <= record.term => Ok(()),
            other => Err(format!("S4: p{member}.{tenure} believes in {term}, store: {other:?}")),
        }
    }

    /// Nobody leads while the work of another may still wind down.
    fn check_guarded(&mut self, leader: Option<usize>) -> Result<(), String> {
        for member in 0..self.members.len() {
            let subject = &self.members[member];
            if !subject.is_alive || subject.process.tickets.guards() == 0 || leader == Some(member)
            {
                continue;
            }
            let until = subject.process.tickets.work_until();
            if let (Some(leader), Some(until)) = (leader, until)
                && self.local_now(member) < until
            {
                self.break_exclusion(format!("S1: p{leader} leads while p{member}'s work ends"))?;
            }
        }
        Ok(())
    }

    /// S2: the store names who was told yes until the end of what it was told, unless it released.
    pub(crate) fn check_names(&self, before: Option<Holder>) -> Result<(), String> {
        let Some(Holder { process, tenure }) = before else { return Ok(()) };
        let subject = &self.members[process];
        if !self.keeps_premise(subject.forgot) {
            return Ok(());
        }
        match subject.promise {
            Some((promised, until)) if promised == tenure && self.local_now(process) < until => {
                Err(format!("S2: p{process}.{tenure} was told yes, and the store names another"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A ticket of a process is answered yes now.
    fn check_yes(&mut self, member: usize, term: Term, until: Instant) -> Result<(), String> {
        let now = self.local_now(member);
        let guarantee = self.knobs.config.guarantee();
        if u128::from(now.as_nanos()) + guarantee.as_nanos() > u128::from(until.as_nanos()) {
            return Err(format!("S2: yes at {now:?} does not hold until {until:?}"));
        }
        self.check_store_names(member, term)?;
        let tenure = self.members[member].process.shadow.ledger.tenure().number();
        self.members[member].promise = Some((tenure, until));
        self.check_term(member, term)
    }

    /// S7: terms grow from one holder to the next, and stay with one.
    fn check_term(&mut self, member: usize, term: Term) -> Result<(), String> {
        let tenure = self.members[member].process.shadow.ledger.tenure().number();
        let holder = Holder { process: member, tenure };
        match self.terms {
            _ if self.options.broken.is_some() => Ok(()),
            Some((highest, _)) if term < highest => {
                Err(format!("S7: p{member} leads in {term} after {highest}"))
            }
            Some((highest, other)) if term == highest && other != holder => {
                Err(format!("S7: p{member} leads in {term}, as did p{}", other.process))
            }
            Some(_) | None => {
                self.terms = Some((term, holder));
                Ok(())
            }
        }
    }

    /// What has come of what was handed in to a process.
    pub(crate) fn read_news(&mut self, member: usize) -> Result<(), String> {
        for news in std::mem::take(&mut self.members[member].process.news) {
            self.summary.events += 1;
            self.note_news(member, &news);
            self.check_belief(member, &news)?;
            for action in news.actions.iter() {
                self.read_action(member, *action, &news)?;
            }
        }
        let held = self.members[member].process.held();
        if held != self.members[member].held {
            self.members[member].held = held;
            self.probe_later(member);
        }
        Ok(())
    }

    fn note_news(&mut self, member: usize, news: &News) {
        let now = self.members[member].process.now().as_nanos();
        let belief = match news.after {
            Belief::Leader { term, valid_until, .. } => term.number() ^ valid_until.as_nanos(),
            Belief::Minion => 0,
            Belief::Stopped => 1,
        };
        let words = [7, member as u64, now, news.actions.len() as u64, belief];
        self.log.note(&words, || {
            let did: Vec<String> =
                news.actions.iter().map(|&did| crate::trace::action(did)).collect();
            let event = crate::trace::command(news.event, Instant::from_nanos(now));
            format!("p{member} {event}: {}", did.join("; "))
        });
    }

    /// S9: belief rises by a grant alone.
    fn check_belief(&self, member: usize, news: &News) -> Result<(), String> {
        let Belief::Leader { term, valid_until, .. } = news.after else { return Ok(()) };
        let grew = match news.before {
            Belief::Leader { term: before, valid_until: until, .. } => {
                before != term || until < valid_until
            }
            Belief::Minion | Belief::Stopped => true,
        };
        let is_grant = matches!(news.event, Event::ClaimFinished { .. });
        if grew && !is_grant {
            return Err(format!("S9: p{member} believes in {term} without a grant"));
        }
        Ok(())
    }

    fn read_action(&mut self, member: usize, action: Action, news: &News) -> Result<(), String> {
        let local = self.members[member].process.now();
        match action {
            Action::Claim { attempt, tenure, .. } => {
                let at = self.now;
                let subject = &mut self.members[member];
                subject.last_claim = Some(Claimed { attempt, tenure, sent: local, at });
                let owed = std::mem::take(&mut subject.owes_claim);
                owed.into_iter().for_each(|class| self.tally.check(class));
                self.see_claim(member);
            }
            Action::Release { .. } => {
                self.members[member].ended_at = self.now;
                self.members[member].promise = None;
                let process = &self.members[member].process;
                let tickets = &process.tickets;
                // Without a driver nothing is released: the lease runs out.
                if process.is_driven && tickets.work_until().is_some_and(|until| local < until) {
                    return Err(format!("S11: p{member} releases before its work has ended"));
                }
            }
            Action::Resolve { outcome: Outcome::Leader { term, valid_until }, .. } => {
                self.check_yes(member, term, valid_until)?;
            }
            Action::Notify(Transition::AttemptFailed { attempt, failure }) => {
                if failure == AttemptFailure::TimedOut {
                    self.see_timeout(member, attempt, news)?;
                }
            }
            Action::Notify(Transition::Promoted { term, .. }) => {
                self.check_promotion(member, news)?;
                self.check_term(member, term)?;
            }
            Action::Notify(Transition::Demoted { .. }) | Action::Finish { .. } => {
                self.members[member].ended_at = self.now;
            }
            Action::AwaitRelease { .. } => self.see_watch(member),
            Action::AbandonClaim { .. }
            | Action::AbandonRelease { .. }
            | Action::AbandonWatch { .. }
            | Action::ArmTimer { .. }
            | Action::Drain { .. }
            | Action::Resolve { outcome: Outcome::Minion | Outcome::Stopped, .. }
            | Action::Notify(Transition::Renewed { .. } | Transition::WatchFailed { .. }) => {}
        }
        Ok(())
    }

    /// S6: what ended a belief is over only with a claim that was sent after it.
    fn check_promotion(&self, member: usize, news: &News) -> Result<(), String> {
        let interrupted = matches!(news.before, Belief::Leader { .. });
        let subject = &self.members[member];
        match subject.last_claim {
            _ if interrupted => Ok(()),
            Some(claimed) if subject.release_or_denial_before(claimed) => Ok(()),
            Some(_) | None => Err(format!("S6: p{member} believes by a claim of before")),
        }
    }

    /// Looks where a belief is about to end, and where it has.
    pub(crate) fn probe_later(&mut self, member: usize) {
        self.members[member].probes += 1;
        let number = self.members[member].probes;
        let Some((_, until)) = self.members[member].held else { return };
        self.members[member].probed = Some(until);
        let fresh = until.saturating_sub(self.knobs.config.guarantee());
        let line = &self.hosts[self.members[member].host].line;
        let (fresh, until) = (line.when(fresh), line.when(until));
        for at in [fresh, until].into_iter().flatten() {
            self.at(at.saturating_sub(1).max(self.now), Happening::Probe { member, number });
            self.at(at, Happening::Probe { member, number });
        }
    }

    /// The clock of a host goes on in another way: what was planned by it is planned anew.
    pub(crate) fn replan(&mut self, host: usize) -> Result<(), String> {
        let Some(member) = self.hosts[host].member else { return Ok(()) };
        self.probe_later(member);
        self.members[member].disturbed = self.local_now(member);
        self.members[member].armed = None;
        if self.hosts[host].is_paused {
            return Ok(());
        }
        self.look(member)
    }

    pub(crate) fn probe(&mut self, member: usize, number: u64) -> Result<(), String> {
        let subject = &self.members[member];
        if subject.probes != number || !subject.is_alive {
            return Ok(());
        }
        let now = self.local_now(member);
        let Some((_, until)) = subject.held else { return Ok(()) };
        if now < until && until <= now.saturating_add(std::time::Duration::from_nanos(3 * SLOWEST))
        {
            self.see_last_moment(member);
        }
        if self.is_paused(member) {
            return Ok(());
        }
        self.tune(member)?;
        self.members[member].process.compare()?;
        // Around the edges a question is worth most.
        if self.choices.chance(64) {
            self.ask(member, TicketKind::ClaimLeader, false)?;
        }
        self.settle(member)
    }

    /// T1 and T4: each answer that is there is taken by who waits for it.
    pub(crate) fn take_answers(&mut self, member: usize) -> Result<(), String> {
        while let Some(taken) = self.members[member].process.tickets.take_answered(false) {
            let number = taken?.number;
            if self.members[member].process.tickets.has_work(number) {
                let margin = super::knobs::ticks(self.knobs.config.step_down_margin());
                let wait = self.choices.span(1, margin.saturating_mul(2).max(2));
                self.after(wait, Happening::WorkEnds { member, work: number });
            }
        }
        Ok(())
    }

    pub(crate) fn ask(
        &mut self,
        member: usize,
        kind: TicketKind,
        waits: bool,
    ) -> Result<(), String> {
        let at = self.now;
        let number = self.members[member].process.ask(kind, at, waits)?;
        let held = self.members[member].process.tickets.held();
        let answer = held.iter().find(|asked| asked.number == number);
        if let Some(Outcome::Leader { term, valid_until }) = answer.and_then(|asked| asked.expected)
        {
            self.check_yes(member, term, valid_until)?;
        }
        Ok(())
    }

    /// T3: a claim ticket is answered within a back-off and an attempt, by a clock and a driver
    /// that go on.
    pub(crate) fn check_bounds(&mut self, member: usize) -> Result<(), String> {
        let subject = &self.members[member];
        if subject.lags || self.hosts[subject.host].timers_stuck || !subject.is_alive {
            return Ok(());
        }
        let (now, config) = (self.local_now(member), &self.knobs.config);
        let pause = config.retry_max().max(config.min_interval());
        let quantum = std::time::Duration::from_nanos(8 * SLOWEST);
        let bound = pause + config.claim_timeout() + quantum;
        for asked in subject.process.tickets.held() {
            let since = asked.asked.max(subject.disturbed);
            let waits = asked.kind == TicketKind::ClaimLeader && asked.expected.is_none();
            if waits && now.saturating_duration_since(since) > bound {
                return Err(format!("T3: p{member}'s ClaimLeader of tick {} waits", asked.at));
            }
        }
        Ok(())
    }

    pub(crate) fn suspends_badly(&self) -> bool {
        self.options.broken == Some(Broken::Suspend)
    }
}

use tenure_core::{
    Action, Actions, AttemptFailure, ClaimOutcome, Config, Demotion, Event, FinishReason, Instant,
    Outcome, TenureId, Term, Then, TicketKind, Tracker, Transition, WatchId,
};

use super::expect::{Ended, Expected};
use super::step_down_at;
use super::{
    Claim, Drain, Held, Ledger, Release, Watch, demand, demand_that, fresh_until, holds, index,
};

/// What was so before the event, and what the event has to lead to.
struct Day<'a> {
    config: &'a Config,
    event: Option<Event>,
    before: Option<(Ledger, Expected)>,
    failures: usize,
    watch_failures: usize,
    armings: usize,
    released: bool,
    demoted: bool,
}

impl Day<'_> {
    fn expected(&self) -> Option<&Expected> {
        self.before.as_ref().map(|(_, expected)| expected)
    }

    fn claim_before(&self) -> Option<Claim> {
        self.before.as_ref().and_then(|(before, _)| before.claim)
    }

    /// Whether the event is what the watch that was out has seen.
    fn observes_a_release(&self) -> bool {
        self.watch_before()
            .is_some_and(|watch| self.event == Some(Event::ReleaseObserved { watch }))
    }

    fn watch_before(&self) -> Option<WatchId> {
        self.before.as_ref().and_then(|(before, _)| before.watch())
    }

    fn is_interrupted(&self) -> bool {
        self.expected().is_some_and(|expected| expected.interrupted)
    }

    fn is_ended_by(&self, test: impl Fn(Ended) -> bool) -> bool {
        self.expected().and_then(|expected| expected.ended).is_some_and(test)
    }
}

impl Ledger {
    /// Enters each action, then strikes the balance.
    pub(super) fn close(
        &mut self,
        event: Option<Event>,
        before: Option<(Ledger, Expected)>,
        actions: &Actions,
        tracker: &Tracker,
    ) -> Result<(), String> {
        let config = tracker.config();
        let mut day = Day {
            config,
            event,
            before,
            failures: 0,
            watch_failures: 0,
            armings: 0,
            released: false,
            demoted: false,
        };
        if let Some((before, _)) = &day.before
            && let Some(until) = before.cooling_until
            && let Some(Event::Resign { then: Then::StepDown { cool_off } }) = event
        {
            self.cooling_until = Some(until.max(self.now.saturating_add(cool_off)));
        }
        if day.before.as_ref().is_some_and(|(before, _)| before.release != self.release) {
            self.follow_release();
        }
        for &action in actions.iter() {
            demand(self.finished.is_none(), "nothing comes after Finish")?;
            self.enter(action, &mut day)
                .map_err(|rule| format!("{}: {rule}", crate::trace::action(action)))?;
        }
        if self.finished.is_none() && self.cooling_until.is_some_and(|until| until <= self.now) {
            (self.cooling_until, self.resigning) = (None, None);
        }
        if self.held.is_some() || self.resigning.is_some() || self.finished.is_some() {
            // Only a minion that contends watches, and what it has not begun takes no giving up.
            self.watch_due = None;
        }
        self.balance(&day, tracker)
    }

    fn enter(&mut self, action: Action, day: &mut Day<'_>) -> Result<(), String> {
        match action {
            Action::AbandonClaim { attempt } => {
                let out = self.claim.filter(|claim| claim.attempt == attempt);
                let claim = out.ok_or("B1: abandons a claim that is not out")?;
                demand(
                    claim.deadline <= self.now || self.resigning.is_some(),
                    "abandons a claim that is neither late nor in the way",
                )?;
                self.claim = None;
            }
            Action::AbandonRelease { tenure } => {
                let out = self.release.filter(|release| release.tenure == tenure);
                let release = out.ok_or("B1: abandons a release that is not out")?;
                demand(release.until <= self.now, "abandons a release that has time left")?;
                self.release = None;
                self.follow_release();
            }
            Action::AbandonWatch { watch } => {
                demand(self.watch() == Some(watch), "B1: abandons a watch that is not out")?;
                self.watch = None;
            }
            Action::ArmTimer { at } => {
                demand(self.armed != Some(at), "arms the timer for what it is armed for")?;
                day.armings += 1;
                self.armed = Some(at);
            }
            Action::AwaitRelease { watch } => self.enter_watch(watch, day)?,
            Action::Claim { attempt, tenure, lease } => {
                demand(attempt.number() == self.attempts + 1, "attempts count up by one")?;
                demand(tenure.number() == self.tenure, "a claim is for the current tenure")?;
                demand(lease == day.config.lease(), "a claim asks for the whole lease")?;
                self.enter_claim(attempt, day.config)?;
            }
            Action::Drain { tenure } => {
                demand(tenure.number() == self.tenure, "drains the current tenure")?;
                demand(self.drain == Drain::NotAsked, "drains once a tenure")?;
                demand(self.resigning.is_some(), "drains only to resign")?;
                demand(self.now < self.work_until, "drains what cannot be there")?;
                self.drain = Drain::Asked;
            }
            Action::Finish { reason } => self.finish(reason, day)?,
            Action::Notify(transition) => self.enter_transition(transition, day)?,
            Action::Release { tenure } => self.enter_release(tenure, day)?,
            Action::Resolve { kind, outcome } => self.resolve(kind, outcome, day)?,
        }
        Ok(())
    }

    fn enter_claim(
        &mut self,
        attempt: tenure_core::AttemptId,
        config: &Config,
    ) -> Result<(), String> {
        if self.cooling_until.is_some_and(|until| until <= self.now) {
            (self.cooling_until, self.resigning) = (None, None);
        }
        demand(self.claim.is_none(), "B1: one claim at a time")?;
        demand(self.release.is_none(), "S6: no claim while the release is out")?;
        demand(
            self.resigning.is_none() || self.held.is_some(),
            "S6: one who resigns renews, but starts nothing new",
        )?;
        demand(self.now < Instant::MAX, "no claim at the end of time")?;
        let earliest = self.last_sent.map(|sent| sent.saturating_add(config.min_interval()));
        demand(earliest.is_none_or(|earliest| earliest <= self.now), "B2: claims too close")?;
        let deadline = self.now.saturating_add(config.claim_timeout());
        let limit = self.held.map_or(Instant::MAX, |held| step_down_at(config, held));
        self.claim = Some(Claim { attempt, sent: self.now, deadline: deadline.min(limit) });
        self.attempts += 1;
        self.last_sent = Some(self.now);
        Ok(())
    }

    fn enter_watch(&mut self, watch: WatchId, day: &Day<'_>) -> Result<(), String> {
        demand(watch.number() == self.watches + 1, "watches count up by one")?;
        demand(self.watch.is_none(), "B1: one watch at a time")?;
        demand(self.held.is_none() && self.resigning.is_none(), "only a minion watches")?;
        let denied = |ended| matches!(ended, Ended::Answered(ClaimOutcome::Denied { .. }));
        match self.watch_due.take() {
            Some(due) => {
                demand(*due.start() <= self.now, "B2: begins a watch again without back-off")?;
                demand(self.now < Instant::MAX, "no watch begins again at the end of time")?;
            }
            None => demand(day.is_ended_by(denied), "a watch follows a denial, or a failed one")?,
        }
        self.watches += 1;
        self.watch = Some(Watch { number: watch, begun: self.now });
        Ok(())
    }

    fn enter_release(&mut self, tenure: TenureId, day: &mut Day<'_>) -> Result<(), String> {
        demand(tenure.number() == self.tenure, "S11: one release a tenure")?;
        demand(self.held.is_none(), "S11: belief ends before the release")?;
        demand(self.resigning.is_some(), "releases only to resign")?;
        demand(self.claim.is_none(), "the claim is given up before the release")?;
        demand(self.watch.is_none(), "the watch is given up before the release")?;
        demand(
            self.drain == Drain::Done || self.work_until <= self.now,
            "the lease is never released before the work is done",
        )?;
        let until = self.now.saturating_add(day.config.claim_timeout());
        self.release = Some(Release { tenure, until });
        self.tenure += 1;
        self.drain = Drain::NotAsked;
        self.work_until = Instant::ORIGIN;
        (self.failures, self.watch_failures) = (0, 0);
        self.see_the_end_of_a_term();
        day.released = true;
        if day.event == Some(Event::ReleaseFinished { tenure }) {
            // An end handed in for a release that goes out as time passes: it is out, so it counts.
            self.release = None;
            self.follow_release();
        }
        Ok(())
    }

    fn follow_release(&mut self) {
        if let (None, Some(Then::StepDown { cool_off })) = (self.release, self.resigning) {
            self.cooling_until = Some(self.now.saturating_add(cool_off));
        }
    }

    fn finish(&mut self, reason: FinishReason, day: &Day<'_>) -> Result<(), String> {
        let expected = day.expected().and_then(|expected| expected.finished);
        let resigned = self.resigning == Some(Then::Stop)
            && self.held.is_none()
            && self.release.is_none()
            && day.before.as_ref().is_some_and(|(before, _)| {
                before.release.is_some() || before.cooling_until.is_some() || day.released
            });
        match expected {
            Some(expected) => demand(reason == expected, "stops for the wrong reason")?,
            None => demand(
                resigned && reason == FinishReason::Resigned,
                "stops though nobody asked, or with the release not done",
            )?,
        }
        demand(
            self.claim.is_none() && self.watch.is_none() && self.release.is_none(),
            "something is out after the stop",
        )?;
        demand(self.held.is_none(), "S11: stops as a leader")?;
        demand(self.parked == [None; 3], "T2: tickets are parked after the stop")?;
        self.finished = Some(reason);
        Ok(())
    }

    fn enter_transition(&mut self, happened: Transition, day: &mut Day<'_>) -> Result<(), String> {
        let to = day.expected().and_then(|expected| expected.held);
        let is_to = |term: Term, valid_until: Instant| {
            to.is_some_and(|held| (held.term, held.valid_until) == (term, valid_until))
        };
        match happened {
            Transition::AttemptFailed { attempt, failure } => {
                day.failures += 1;
                let claim = day.claim_before().map(|claim| claim.attempt);
                demand(claim == Some(attempt), "another attempt has failed")?;
                let how = match failure {
                    AttemptFailure::TimedOut => day.is_ended_by(|ended| ended == Ended::TimedOut),
                    AttemptFailure::Unknown => day.is_ended_by(|ended| ended != Ended::TimedOut),
                };
                demand(how, "the attempt has failed in another way")?;
            }
            Transition::Demoted { term, reason } => {
                let held = self.held.take().ok_or("S11: demoted, but not a leader")?;
                day.demoted = true;
                demand(held.term == term, "demoted from another term")?;
                demand(self.is_demoted_for(reason, held, day), "demoted for another reason")?;
            }
            Transition::Promoted { term, valid_until } => {
                demand(self.held.is_none(), "S11: promoted, but a leader already")?;
                demand(is_to(term, valid_until), "S3: promoted without such a grant")?;
                self.held = to;
            }
            Transition::Renewed { term, valid_until } => {
                let held = self.held.ok_or("renewed, but not a leader")?;
                demand(held.term == term, "S7: a term stays within a tenure")?;
                demand(is_to(term, valid_until), "S3: renewed without such a grant")?;
                demand(held.valid_until <= valid_until, "S9: a renewal shortens")?;
                self.held = to;
            }
            Transition::WatchFailed { watch, repeated } => {
                day.watch_failures += 1;
                demand(day.watch_before() == Some(watch), "another watch has failed")?;
                demand(repeated == (self.watch_failures > 1), "miscounts the failures in a row")?;
            }
        }
        Ok(())
    }

    fn is_demoted_for(&self, reason: Demotion, held: Held, day: &Day<'_>) -> bool {
        match reason {
            Demotion::Denied => day
                .is_ended_by(|ended| matches!(ended, Ended::Answered(ClaimOutcome::Denied { .. }))),
            Demotion::Interrupted => day.is_interrupted(),
            Demotion::NotRenewed => step_down_at(day.config, held) <= self.now,
            Demotion::Resigned => self.drain == Drain::Done,
            Demotion::StoreFailed => {
                day.expected().is_some_and(|expected| expected.finished.is_some())
            }
        }
    }

    fn resolve(&mut self, kind: TicketKind, outcome: Outcome, day: &Day<'_>) -> Result<(), String> {
        let asked_now = day.event == Some(Event::TicketRequested { kind });
        let parked = self.parked[index(kind)].take().is_some();
        // Time passing may have answered the ticket that is being asked.
        demand(parked || asked_now, "T1: answers when nobody asks")?;
        match outcome {
            Outcome::Leader { term, valid_until } => {
                demand(kind != TicketKind::WaitMinion, "tells WaitMinion that we lead")?;
                demand(self.resigning.is_none(), "says yes while resigning")?;
                let held = self.held.ok_or("S2: says yes as a minion")?;
                demand((held.term, held.valid_until) == (term, valid_until), "S3: another grant")?;
                demand(holds(day.config, self.now, valid_until), "S2: a yes that does not hold")?;
                demand(self.now < fresh_until(day.config, held), "S2: a yes that is not fresh")?;
            }
            Outcome::Minion => self.check_minion(kind, day)?,
            Outcome::Stopped => {
                let waits_in_vain =
                    kind == TicketKind::WaitLeader && self.resigning == Some(Then::Stop);
                let ended = day.expected().is_some_and(|expected| expected.finished.is_some());
                let last = self.resigning == Some(Then::Stop) && self.release.is_none();
                demand(waits_in_vain || ended || last, "says Stopped, but has not")?;
            }
        }
        Ok(())
    }

    fn check_minion(&self, kind: TicketKind, day: &Day<'_>) -> Result<(), String> {
        let idle = self.claim.is_none() || self.resigning.is_some() || day.is_interrupted();
        demand(idle, "says Minion while the attempt is out")?;
        match kind {
            TicketKind::ClaimLeader => {
                let fresh = self.held.is_some_and(|held| self.now < fresh_until(day.config, held));
                demand(!fresh || self.resigning.is_some(), "says Minion as a fresh leader")
            }
            TicketKind::WaitLeader => Err("tells WaitLeader that we are a minion".to_owned()),
            TicketKind::WaitMinion => demand(
                self.held.is_none() || self.resigning.is_some() || day.is_interrupted(),
                "tells WaitMinion while we lead",
            ),
        }
    }
}

/// After the last action.
impl Ledger {
    fn balance(&self, day: &Day<'_>, tracker: &Tracker) -> Result<(), String> {
        let failed = day.is_ended_by(|ended| match ended {
            Ended::TimedOut | Ended::TooLate | Ended::Answered(ClaimOutcome::Unknown) => true,
            Ended::Answered(
                ClaimOutcome::Denied { .. } | ClaimOutcome::Fatal | ClaimOutcome::Granted { .. },
            ) => false,
        });
        demand(day.failures == usize::from(failed), "S5: a failure is told once, and no other")?;
        let watch = day.watch_before().map(|watch| Event::WatchFailed { watch });
        let failed = watch.is_some_and(|failed| day.event == Some(failed));
        demand(day.watch_failures == usize::from(failed), "a failed watch is told once")?;
        if let Some(expected) = day.expected() {
            demand_that(self.held == expected.held, || {
                format!("S5: believes {:?}, should {:?}", self.held, expected.held)
            })?;
            demand(
                expected.finished.is_none() || self.finished == expected.finished,
                "a store that fails stops the tracker",
            )?;
        }
        demand(tracker.finished() == self.finished, "Finish says that it has stopped")?;
        self.check_timer(day, tracker)?;
        self.check_what_is_out(day)?;
        self.check_parked(day)?;
        self.check_standing(tracker)
    }

    fn check_timer(&self, day: &Day<'_>, tracker: &Tracker) -> Result<(), String> {
        demand(day.armings <= 1, "B1: arms the timer twice")?;
        if self.finished.is_some() {
            return demand(tracker.deadline().is_none(), "a stopped tracker wants no timer");
        }
        demand(tracker.deadline() == self.armed, "the timer is armed for the next deadline")?;
        let ahead = self.armed.is_some_and(|armed| self.now < armed) || self.now == Instant::MAX;
        demand(ahead, "the next deadline is due already: a busy loop")?;
        let ended = day.expected().and_then(|expected| expected.ended);
        self.check_pace(ended, day.observes_a_release(), day.config)
    }

    fn check_what_is_out(&self, day: &Day<'_>) -> Result<(), String> {
        if let Some(claim) = self.claim {
            demand(self.now < claim.deadline, "a claim is out past its deadline")?;
            let armed = self.armed.is_some_and(|armed| armed <= claim.deadline);
            demand(armed, "nobody looks at the claim's deadline")?;
        }
        if let Some(held) = self.held {
            let armed = self.armed.is_some_and(|armed| armed <= step_down_at(day.config, held));
            demand(armed, "nobody looks at step_down_at")?;
            demand(self.watch.is_none(), "a leader watches itself")?;
        }
        if let Some(release) = self.release {
            let armed = self.armed == Some(release.until);
            demand(armed, "nobody looks at the release's deadline")?;
        }
        self.check_watch(day.config)?;
        let winds_down = self.resigning.is_some()
            && self.release.is_none()
            && self.cooling_until.is_none()
            && self.finished.is_none();
        demand(!winds_down || self.drain == Drain::Asked, "resigns, but drains nothing")?;
        let stays = self.resigning == Some(Then::Stop) && self.cooling_until.is_some();
        demand(!stays || self.finished.is_some(), "asked to stop, and cools off")
    }

    /// T3, and that nobody is kept waiting who can be told.
    fn check_parked(&self, day: &Day<'_>) -> Result<(), String> {
        let fresh = self.held.is_some_and(|held| self.now < fresh_until(day.config, held));
        let [claim_leader, wait_leader, wait_minion] = self.parked;
        if let Some(since) = claim_leader {
            demand(self.resigning.is_none(), "ClaimLeader is parked while resigning")?;
            demand(!fresh, "ClaimLeader is parked on a fresh leader")?;
            demand(self.claim.is_some() || self.held.is_some(), "ClaimLeader waits for nothing")?;
            demand(
                day.is_ended_by(|_| true) <= (since == self.now),
                "T3: ClaimLeader outlives the attempt",
            )?;
            let pause = day.config.retry_max().max(day.config.min_interval());
            let latest = since.saturating_add(pause);
            // At the end of time a grant is fresh for less than the time to its renewal.
            let bounded = self.claim.is_some()
                || self.armed.is_some_and(|armed| armed <= latest)
                || self.held.is_some_and(|held| held.valid_until == Instant::MAX);
            demand(bounded, "T3: ClaimLeader waits for longer than the back-off")?;
        }
        if wait_leader.is_some() {
            demand(!fresh || self.resigning.is_some(), "WaitLeader is parked on a leader")?;
            demand(self.resigning != Some(Then::Stop), "WaitLeader is parked while stopping")?;
        }
        if wait_minion.is_some() {
            demand(!day.demoted, "T4: WaitMinion is not told that leadership has ended")?;
            demand(self.resigning.is_none(), "WaitMinion is parked while resigning")?;
            demand(
                self.held.is_some() || self.claim.is_some(),
                "WaitMinion is parked on a minion",
            )?;
        }
        Ok(())
    }
}

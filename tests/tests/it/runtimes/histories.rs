//! Random histories of one tracker, on each runtime, next to the machine that it should be.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tenure_core::{Instant, Outcome, Standing, TenureId, Then, TicketKind};
use tenure_testkit::scripted::{Call, Fate, Reply};

use super::model::Model;
use super::rig::{Asked, Rig, Runtime, Tracking};
use super::{config, millis};

#[derive(Clone, Debug)]
enum Step {
    Advance(Duration),
    Ask(TicketKind),
    CloneHandle,
    Drop(prop::sample::Index),
    DropDriver,
    DropHandle,
    Finish(Call, Reply),
    Kill,
    Poll(prop::sample::Index),
    TurnBack(Duration),
    Resign(Duration),
}

fn kind() -> impl Strategy<Value = TicketKind> {
    prop_oneof![
        Just(TicketKind::ClaimLeader),
        Just(TicketKind::WaitLeader),
        Just(TicketKind::WaitMinion)
    ]
}

fn claim_reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        10 => Just(Reply::Done).prop_map(|_| Reply::granted(0)),
        4 => prop::option::of(0..30_000_u64)
            .prop_map(|retry| Reply::Denied { retry_after: retry.map(millis) }),
        3 => Just(Reply::unknown("away")),
        2 => Just(Reply::panic("claim broke")),
        1 => Just(Reply::fatal("no such service")),
    ]
}

fn other_reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        4 => Just(Reply::Done),
        1 => Just(Reply::unknown("away")),
        1 => Just(Reply::panic("it broke")),
    ]
}

fn span() -> impl Strategy<Value = Duration> {
    // Of all sizes that matter: within a claim, a renewal, a lease, and far beyond.
    prop_oneof![0..300_u64, 0..3_000_u64, 0..12_000_u64, Just(40_000_u64)].prop_map(millis)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        24 => kind().prop_map(Step::Ask),
        20 => span().prop_map(Step::Advance),
        24 => claim_reply().prop_map(|reply| Step::Finish(Call::Claim, reply)),
        6 => other_reply().prop_map(|reply| Step::Finish(Call::Released, reply)),
        6 => other_reply().prop_map(|reply| Step::Finish(Call::Release, reply)),
        8 => any::<prop::sample::Index>().prop_map(Step::Poll),
        8 => any::<prop::sample::Index>().prop_map(Step::Drop),
        4 => span().prop_map(Step::Resign),
        3 => span().prop_map(Step::TurnBack),
        2 => Just(Step::CloneHandle),
        2 => Just(Step::DropHandle),
        1 => Just(Step::Kill),
        1 => Just(Step::DropDriver),
    ]
}

/// A tracker, what it should be, and the books.
struct History {
    rig: Rig,
    model: Model,
    handles: Vec<Box<dyn Tracking>>,
    tickets: BTreeMap<usize, Box<dyn Asked>>,
    /// What each ticket that was polled gave.
    taken: BTreeMap<usize, Outcome>,
    /// The latest time seen when each call began. The clock may have shown less.
    began: Vec<Instant>,
    asked: usize,
    dropped: usize,
    term: u64,
    /// For whom the store has the lease.
    holder: Option<TenureId>,
}

impl History {
    fn new(runtime: Runtime) -> History {
        let rig = Rig::new(runtime);
        let model = Model::new(runtime, config(), rig.now());
        let (handles, tickets, taken) = <(Vec<_>, BTreeMap<_, _>, BTreeMap<_, _>)>::default();
        let (began, asked, dropped, term, holder) = (Vec::new(), 0, 0, 0, None);
        History { rig, model, handles, tickets, taken, began, asked, dropped, term, holder }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Advance(span) => self.set(self.rig.now().saturating_add(span)),
            Step::Ask(kind) => {
                let Some(tracker) = &self.rig.tracker else { return };
                self.asked += 1;
                self.tickets.insert(self.model.ask(kind), tracker.request(kind));
            }
            Step::CloneHandle => {
                self.handles.extend(self.rig.tracker.as_ref().map(|tracker| tracker.another()));
            }
            Step::Drop(index) => {
                if let Some(number) = self.pick(index) {
                    self.dropped += 1;
                    self.tickets.remove(&number);
                    self.model.tickets.remove(&number);
                }
            }
            Step::DropDriver => {
                self.rig.drop_driver();
                self.model.drop_driver();
            }
            Step::DropHandle => {
                self.rig.tracker = self.handles.pop();
                if self.rig.tracker.is_none() {
                    self.model.resign(Then::Stop);
                }
            }
            Step::Finish(call, reply) => self.finish(call, reply),
            Step::Kill => {
                if let Some(tracker) = &self.rig.tracker {
                    tracker.kill();
                    self.model.resign(Then::Stop);
                }
            }
            Step::Poll(index) => {
                if let Some(number) = self.pick(index) {
                    self.poll(number);
                }
            }
            Step::TurnBack(span) => self.set(self.rig.now().saturating_sub(span)),
            Step::Resign(cool_off) => {
                if let Some(tracker) = &self.rig.tracker {
                    tracker.step_down(cool_off);
                    self.model.resign(Then::StepDown { cool_off });
                }
            }
        }
    }

    fn set(&mut self, now: Instant) {
        self.rig.manual().set(now);
        self.model.set(now);
        self.rig.pass_through_the_driver();
    }

    fn pick(&self, index: prop::sample::Index) -> Option<usize> {
        let numbers: Vec<usize> = self.tickets.keys().copied().collect();
        (!numbers.is_empty()).then(|| *index.get(&numbers))
    }

    fn poll(&mut self, number: usize) {
        let ticket = self.tickets.get_mut(&number).expect("it was picked");
        let expected = self.model.poll(number);
        let answer = ticket.poll();
        assert_eq!(answer, expected, "ticket {number}");
        if let Some(outcome) = answer {
            assert_eq!(*self.taken.entry(number).or_insert(outcome), outcome, "one answer");
        }
    }

    /// Ends the call of this kind that is out.
    fn finish(&mut self, call: Call, reply: Reply) {
        let is_out = match call {
            Call::Claim => self.model.claim.is_out,
            Call::Release => self.model.release.is_out,
            Call::Released => self.model.watch.is_out,
            Call::Leader => false,
        };
        if !is_out {
            return;
        }
        let reply = match reply {
            Reply::Granted { .. } => self.grant(),
            Reply::Denied { .. } => {
                self.holder = None;
                reply
            }
            other => other,
        };
        self.rig.claimer.finish_one(call, reply.clone());
        self.model.finish(call, &reply);
    }

    /// What a store says that keeps its promises: a new term for whoever did not hold the lease.
    fn grant(&mut self) -> Reply {
        let tenure = self.model.claim.begun.last().map(|(_, tenure)| *tenure);
        if tenure != self.holder {
            self.holder = tenure;
            self.term += 1;
        }
        Reply::granted(self.term)
    }
}

/// What has to be true after each step.
impl History {
    fn check(&mut self) {
        self.rig.drive();
        self.calls_are_as_they_should_be();
        // What was given up is nowhere to be seen: the driver has to have looked.
        self.rig.pass_through_the_driver();
        self.calls_are_as_they_should_be();
        self.began.resize(self.rig.claimer.records().len(), self.model.now());
        self.check_standing();
        self.check_tickets();
        self.check_calls();
    }

    fn calls_are_as_they_should_be(&mut self) {
        let model = &self.model;
        let (runtime, over) = (model.runtime(), model.over);
        let begun = [model.claim.begun.len(), model.watch.begun.len(), model.release.begun.len()];
        self.rig.until(&format!("{begun:?} have begun, and {over} are over"), |rig| {
            let calls = [Call::Claim, Call::Released, Call::Release];
            (runtime.is_smol() || rig.clock.reports() == over)
                && calls.map(|call| rig.claimer.over(call)).iter().sum::<usize>() == over
                && calls.map(|call| rig.claimer.begun(call)) == begun
        });
    }

    fn check_standing(&self) {
        let Some(tracker) = &self.rig.tracker else { return };
        // Behind the lock: what has been handed in is done with then.
        drop(tracker.last_error());
        let standing = tracker.standing();
        assert_eq!(standing, self.model.standing());
        if let Standing::Leader { term, valid_until, .. } = standing {
            self.derived_from_a_grant(Outcome::Leader { term, valid_until });
            assert!(self.model.now() < valid_until);
        }
    }

    /// Some claim was granted in this term that began early enough for all this time.
    fn derived_from_a_grant(&self, outcome: Outcome) {
        let Outcome::Leader { term, valid_until } = outcome else { return };
        let grants = self.rig.claimer.records().into_iter().any(|record| {
            record.fate == Fate::Ended(Reply::Granted { term })
                && valid_until <= self.began[record.number].saturating_add(config().valid_for())
        });
        assert!(grants, "{outcome:?} comes of no grant");
    }

    fn check_tickets(&mut self) {
        assert_eq!(self.tickets.len() + self.dropped, self.asked);
        for (number, ticket) in &self.tickets {
            let is_ready = self.model.is_ready(*number);
            let expected = self.model.tickets[number];
            assert_eq!(ticket.is_ready(), is_ready, "{number}: {expected:?}");
            if let Some((Outcome::Leader { valid_until, .. }, answered)) = expected.answer
                && expected.taken
            {
                assert!(answered.saturating_add(config().guarantee()) <= valid_until);
            }
        }
        for outcome in self.taken.values() {
            self.derived_from_a_grant(*outcome);
        }
    }

    /// Calls come one at a time, and each tenure has a nonce of its own.
    fn check_calls(&self) {
        let records = self.rig.claimer.records();
        let claims = records.iter().filter(|record| record.call == Call::Claim);
        let mut nonces = BTreeMap::new();
        for (record, (_, tenure)) in claims.zip(&self.model.claim.begun) {
            let candidate = record.candidate.as_ref().expect("a claim has one");
            assert_eq!(*nonces.entry(*tenure).or_insert(candidate.nonce), candidate.nonce);
            assert_eq!(record.lease, Some(config().lease()));
        }
        let releases = records.iter().filter(|record| record.call == Call::Release);
        for (record, tenure) in releases.zip(&self.model.release.begun) {
            let candidate = record.candidate.as_ref().expect("a release has one");
            assert_eq!(*nonces.entry(*tenure).or_insert(candidate.nonce), candidate.nonce);
        }
        let mut different: Vec<_> = nonces.values().collect();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), nonces.len(), "a nonce for each tenure");
        for call in [Call::Claim, Call::Released, Call::Release] {
            assert!(self.rig.claimer.out(call).len() <= 1, "{call:?}s come one at a time");
        }
    }

    /// Lets it end, and looks whether anything is left.
    fn end(mut self) {
        self.handles.clear();
        self.rig.tracker = None;
        self.model.resign(Then::Stop);
        self.check();
        for _ in 0..4 {
            self.finish(Call::Release, Reply::Done);
            self.finish(Call::Claim, Reply::unknown("late"));
            self.check();
            if !self.model.has_ended() {
                self.set(self.rig.now().saturating_add(millis(30_000)));
                self.check();
            }
        }
        assert!(self.model.has_ended());
        self.rig.until("the driver has ended", |rig| rig.driver_ended());
        for number in self.tickets.keys().copied().collect::<Vec<_>>() {
            self.poll(number);
            assert!(self.taken.contains_key(&number), "none is parked after the end");
        }
        self.check();
    }
}

fn lives(runtime: Runtime, steps: Vec<Step>) {
    let mut history = History::new(runtime);
    history.check();
    for step in steps {
        history.take(step);
        history.check();
    }
    history.end();
}

fn histories(cases: u32) -> ProptestConfig {
    let max_shrink_time = 30_000;
    ProptestConfig { cases, failure_persistence: None, max_shrink_time, ..Default::default() }
}

proptest! {
    #![proptest_config(histories(1_500))]

    #[test]
    fn smol_does_what_the_machine_says(steps in prop::collection::vec(step(), 1..60)) {
        lives(Runtime::Smol, steps);
    }
}

proptest! {
    #![proptest_config(histories(200))]

    #[test]
    fn std_does_what_the_machine_says(steps in prop::collection::vec(step(), 1..40)) {
        lives(Runtime::Std, steps);
    }

    #[test]
    fn std_does_so_with_an_async_claimer(steps in prop::collection::vec(step(), 1..40)) {
        lives(Runtime::StdBlockOn, steps);
    }
}

//! What a tracker should be doing: the machine, driven by the book.

use std::collections::BTreeMap;
use std::mem;

use tenure_core::{
    Action, AttemptId, Belief, ClaimOutcome, Config, Event, Instant, Outcome, Standing, TenureId,
    Then, TicketKind, Tracker, WatchId,
};
use tenure_testkit::scripted::{Call, Reply};

use super::rig::Runtime;

/// The machine, the tickets, and the calls that should be out.
pub(super) struct Model {
    runtime: Runtime,
    machine: Tracker,
    /// What the clock shows.
    clock: Instant,
    /// The latest time that the machine has seen.
    seen: Instant,
    pub(super) tickets: BTreeMap<usize, Ticket>,
    asked: usize,
    pub(super) claim: Line<(AttemptId, TenureId)>,
    pub(super) watch: Line<WatchId>,
    pub(super) release: Line<TenureId>,
    /// How many calls have ended, or were given up in a way that they heed.
    pub(super) over: usize,
    gone: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub(super) kind: TicketKind,
    /// The answer, and when it was given. A yes that was not taken may not be one any more.
    pub(super) answer: Option<(Outcome, Instant)>,
    pub(super) taken: bool,
    /// Whether it has said that there is an answer.
    announced: bool,
}

/// The calls of one kind.
#[derive(Debug)]
pub(super) struct Line<T> {
    /// All that have begun, in order. The last one may be out.
    pub(super) begun: Vec<T>,
    pub(super) is_out: bool,
    /// The one that waits behind it.
    waits: Option<T>,
    /// What becomes of a call that is given up.
    given_up: GivenUp,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum GivenUp {
    /// It is dropped, and hands in nothing.
    Dropped,
    /// It goes on, and the next one waits.
    GoesOn,
    /// It returns soon.
    Returns,
}

impl<T: Copy> Line<T> {
    fn new(given_up: GivenUp) -> Line<T> {
        Line { begun: Vec::new(), is_out: false, waits: None, given_up }
    }

    /// How many calls are over because of this.
    fn begin(&mut self, call: T) -> usize {
        let over = self.abandon();
        if self.is_out {
            self.waits = Some(call);
        } else {
            self.begun.push(call);
            self.is_out = true;
        }
        over
    }

    fn abandon(&mut self) -> usize {
        self.waits = None;
        match self.given_up {
            GivenUp::Dropped | GivenUp::Returns => usize::from(mem::take(&mut self.is_out)),
            GivenUp::GoesOn => 0,
        }
    }

    /// The one that is out ends, and the next may begin.
    fn end(&mut self) -> T {
        assert!(mem::take(&mut self.is_out), "none is out");
        let ended = *self.begun.last().expect("one has begun");
        if let Some(next) = self.waits.take() {
            self.begin(next);
        }
        ended
    }
}

impl Model {
    pub(super) fn new(runtime: Runtime, config: Config, now: Instant) -> Model {
        let (machine, actions) = Tracker::new(config, now);
        let (claims, watches) = match runtime.claims_hang_on() {
            true => (GivenUp::GoesOn, GivenUp::Returns),
            false => (GivenUp::Dropped, GivenUp::Dropped),
        };
        let mut model = Model {
            runtime,
            machine,
            clock: now,
            seen: now,
            tickets: BTreeMap::new(),
            asked: 0,
            claim: Line::new(claims),
            watch: Line::new(watches),
            release: Line::new(claims),
            over: 0,
            gone: false,
        };
        for action in actions {
            model.carry_out(action);
        }
        model
    }

    /// The clock was set: the driver looks whether anything is due by it.
    pub(super) fn set(&mut self, now: Instant) {
        self.clock = now;
        if self.machine.deadline().is_some_and(|deadline| deadline <= now) {
            self.handle(Event::TimerFired);
        }
    }

    /// The time by which answers are given: it does not run back behind what was seen.
    pub(super) fn now(&self) -> Instant {
        self.seen.max(self.clock)
    }

    pub(super) fn ask(&mut self, kind: TicketKind) -> usize {
        let number = self.asked;
        self.asked += 1;
        let now = self.now();
        // The clock is read when the answer is taken.
        let yes = match (kind, self.machine.belief()) {
            (TicketKind::WaitMinion, _) => None,
            (_, Belief::Leader { fresh_until, term, valid_until, .. })
                if !self.gone && fresh_until > Instant::ORIGIN =>
            {
                Some((Outcome::Leader { term, valid_until }, now))
            }
            (_, Belief::Leader { .. } | Belief::Minion | Belief::Stopped) => None,
        };
        self.tickets.insert(number, Ticket { kind, answer: yes, taken: false, announced: false });
        if yes.is_none() {
            // The machine does not hear of the others.
            self.handle(Event::TicketRequested { kind });
        }
        number
    }

    /// Whether the ticket has an answer to take.
    pub(super) fn is_ready(&mut self, number: usize) -> bool {
        let Ticket { answer, taken, announced, .. } = self.tickets[&number];
        let is_yes = matches!(answer, Some((Outcome::Leader { .. }, _)));
        if is_yes && !(taken || announced) && self.yes().is_none() {
            self.ask_anew(number);
        }
        let ticket = self.tickets.get_mut(&number).expect("it is asked about");
        ticket.announced |= ticket.answer.is_some();
        ticket.answer.is_some()
    }

    /// Takes the answer: a yes is judged anew.
    pub(super) fn poll(&mut self, number: usize) -> Option<Outcome> {
        let Ticket { answer, taken, .. } = self.tickets[&number];
        let (now, yes) = (self.now(), self.yes());
        if !taken && matches!(answer, Some((Outcome::Leader { .. }, _))) {
            match yes {
                Some(_) => self.tickets.entry(number).and_modify(|ticket| {
                    ticket.answer = yes.map(|outcome| (outcome, now));
                }),
                None => {
                    self.ask_anew(number);
                    self.tickets.entry(number).and_modify(|ticket| {
                        if ticket.announced {
                            ticket.answer.get_or_insert((Outcome::Minion, now));
                        }
                    })
                }
            };
        }
        let ticket = self.tickets.get_mut(&number)?;
        ticket.taken = ticket.answer.is_some();
        ticket.answer.map(|(outcome, _)| outcome)
    }

    fn ask_anew(&mut self, number: usize) {
        let ticket = self.tickets.get_mut(&number).expect("it is asked about");
        ticket.answer = None;
        let kind = ticket.kind;
        self.handle(Event::TicketRequested { kind });
    }

    fn yes(&self) -> Option<Outcome> {
        if self.gone { None } else { self.machine.belief().yes(self.now()) }
    }

    pub(super) fn resign(&mut self, then: Then) {
        self.handle(Event::Resign { then });
    }

    /// The driver is dropped: everybody is told, and calls are given up.
    pub(super) fn drop_driver(&mut self) {
        if self.has_ended() {
            return;
        }
        self.gone = true;
        self.answer(|_| true, Outcome::Stopped);
        self.over += self.claim.abandon() + self.watch.abandon() + self.release.abandon();
    }

    /// The call of this kind that is out ends.
    pub(super) fn finish(&mut self, call: Call, reply: &Reply) {
        self.over += 1;
        match call {
            Call::Claim => {
                let outcome = match *reply {
                    Reply::Denied { .. } => ClaimOutcome::Denied { retry_after: None },
                    Reply::Fatal(_) => ClaimOutcome::Fatal,
                    Reply::Granted { term } => ClaimOutcome::Granted { term },
                    Reply::Done | Reply::Panic(_) | Reply::Unknown(_) => ClaimOutcome::Unknown,
                };
                let (attempt, _) = self.claim.end();
                self.handle(Event::ClaimFinished { attempt, outcome });
            }
            Call::Released => {
                let watch = self.watch.end();
                self.handle(match reply {
                    Reply::Done => Event::ReleaseObserved { watch },
                    _ => Event::WatchFailed { watch },
                });
            }
            Call::Release => {
                let tenure = self.release.end();
                self.handle(Event::ReleaseFinished { tenure });
            }
            Call::Leader => {}
        }
    }

    pub(super) fn standing(&self) -> Standing {
        if self.gone { Standing::Stopped } else { self.machine.standing(self.now()) }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.gone || self.machine.finished().is_some()
    }

    fn handle(&mut self, event: Event) {
        if self.gone {
            return self.answer(|_| true, Outcome::Stopped);
        }
        self.seen = self.now();
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for action in self.machine.handle(event, self.seen) {
                next = self.carry_out(action).or(next);
            }
        }
        if self.has_ended() {
            // So does its driver.
            self.over += self.claim.abandon() + self.watch.abandon() + self.release.abandon();
        }
    }

    fn carry_out(&mut self, action: Action) -> Option<Event> {
        self.over += match action {
            Action::AbandonClaim { .. } => self.claim.abandon(),
            Action::AbandonRelease { .. } => self.release.abandon(),
            Action::AbandonWatch { .. } => self.watch.abandon(),
            Action::ArmTimer { .. } | Action::Finish { .. } | Action::Notify(_) => 0,
            Action::AwaitRelease { watch } => self.watch.begin(watch),
            Action::Claim { attempt, tenure, .. } => self.claim.begin((attempt, tenure)),
            Action::Drain { tenure } => return Some(Event::Drained { tenure }),
            Action::Release { tenure } => self.release.begin(tenure),
            Action::Resolve { kind, outcome } => {
                self.answer(|parked| parked == kind, outcome);
                0
            }
        };
        None
    }

    /// Answers those that are parked.
    fn answer(&mut self, is_meant: impl Fn(TicketKind) -> bool, outcome: Outcome) {
        let now = self.now();
        for ticket in self.tickets.values_mut() {
            if ticket.answer.is_none() && is_meant(ticket.kind) {
                ticket.answer = Some((outcome, now));
            }
        }
    }

    pub(super) fn runtime(&self) -> Runtime {
        self.runtime
    }
}

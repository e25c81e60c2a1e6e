use tenure_core::{AttemptId, Instant, TenureId, Term, Then, TicketKind, WatchId};

/// Something that has happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fact {
    Answered(TicketKind),
    Armed(Instant),
    /// The cool-off is over.
    CandidateAgain,
    /// The next claim is due then. The last of these counts.
    ClaimDue(Due),
    ClaimEnded,
    CoolingOff {
        until: Instant,
    },
    Failed,
    Finished,
    Granted(Grant),
    /// Belief has ended.
    Lost,
    Parked(TicketKind),
    Released {
        tenure: TenureId,
        until: Instant,
    },
    ReleaseEnded,
    Resigned(Then),
    Sent {
        attempt: AttemptId,
        at: Instant,
        deadline: Instant,
    },
    /// The store has named somebody else.
    SomebodyElse,
    TermSeen(Term),
    Watched {
        watch: WatchId,
        at: Instant,
    },
    /// Begins again then.
    WatchDue(Due),
    /// None is out, and none is due.
    WatchEnded,
    WatchFailed,
    /// It has told, or had stood long enough to do so.
    WatchSpoke,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) term: Term,
    pub(super) valid_until: Instant,
}

/// When a claim is due, as far as that is known: somewhere from the earliest to the latest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) earliest: Instant,
    pub(super) latest: Instant,
}

impl Due {
    pub(super) fn at(at: Instant) -> Due {
        Due { earliest: at, latest: at }
    }

    pub(super) fn not_before(self, at: Instant) -> Due {
        Due { earliest: self.earliest.max(at), latest: self.latest.max(at) }
    }

    pub(super) fn sooner(self, other: Due) -> Due {
        Due { earliest: self.earliest.min(other.earliest), latest: self.latest.min(other.latest) }
    }

    /// Whether it is due by `now`; as the core has it, where that is open.
    pub(super) fn is_due(self, now: Instant, says_core: bool) -> bool {
        self.latest <= now || (self.earliest <= now && says_core)
    }

    /// What is known of it once the core has armed its timer, which is for this or for `other`. A
    /// timer out of bounds is not believed.
    pub(super) fn narrow(self, armed: Option<Instant>, other: Due) -> Due {
        let is_of = |due: Due, at| (due.earliest..=due.latest).contains(&at);
        match armed {
            Some(at) if is_of(other, at) && at <= self.latest => self.not_before(at),
            Some(at) if is_of(self, at) && at < other.earliest => Due::at(at),
            Some(_) | None => self,
        }
    }
}

/// All that has happened, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts(Vec<Fact>);

impl Facts {
    pub(super) fn add(&mut self, fact: Fact) {
        self.0.push(fact);
    }

    /// The last fact that says something about the matter.
    fn last<T>(&self, says: impl FnMut(&Fact) -> Option<T>) -> Option<T> {
        self.0.iter().rev().find_map(says)
    }

    fn count(&self, is: impl Fn(&Fact) -> bool) -> u64 {
        self.0.iter().filter(|fact| is(fact)).count() as u64
    }

    pub(super) fn has_finished(&self) -> bool {
        self.0.iter().any(|fact| matches!(fact, Fact::Finished))
    }

    pub(super) fn held(&self) -> Option<Grant> {
        self.last(|fact| match fact {
            Fact::Granted(grant) => Some(Some(*grant)),
            Fact::Lost => Some(None),
            _ => None,
        })
        .flatten()
    }

    /// Number, when it was sent, deadline.
    pub(super) fn claim_out(&self) -> Option<(AttemptId, Instant, Instant)> {
        self.last(|fact| match fact {
            Fact::Sent { attempt, at, deadline } => Some(Some((*attempt, *at, *deadline))),
            Fact::ClaimEnded => Some(None),
            _ => None,
        })
        .flatten()
    }

    pub(super) fn claim_due(&self) -> Due {
        let due = self.last(|fact| match fact {
            Fact::ClaimDue(due) => Some(*due),
            _ => None,
        });
        due.unwrap_or(Due::at(Instant::MAX))
    }

    pub(super) fn attempts(&self) -> u64 {
        self.count(|fact| matches!(fact, Fact::Sent { .. }))
    }

    pub(super) fn last_sent(&self) -> Option<Instant> {
        self.last(|fact| match fact {
            Fact::Sent { at, .. } => Some(*at),
            _ => None,
        })
    }

    /// How many attempts in a row have ended unknown, in this tenure.
    pub(super) fn failures_in_a_row(&self) -> usize {
        let answered = |fact: &&Fact| {
            matches!(fact, Fact::Granted(_) | Fact::SomebodyElse | Fact::Released { .. })
        };
        let since = self.0.iter().rev().take_while(|fact| !answered(fact));
        since.filter(|fact| matches!(fact, Fact::Failed)).count()
    }

    /// Number, and when it began.
    pub(super) fn watch_out(&self) -> Option<(WatchId, Instant)> {
        self.last(|fact| match fact {
            Fact::Watched { watch, at } => Some(Some((*watch, *at))),
            Fact::WatchEnded => Some(None),
            _ => None,
        })
        .flatten()
    }

    pub(super) fn watch_due(&self) -> Option<Due> {
        self.last(|fact| match fact {
            Fact::WatchDue(due) => Some(Some(*due)),
            Fact::Watched { .. } | Fact::WatchEnded => Some(None),
            _ => None,
        })
        .flatten()
    }

    pub(super) fn watches(&self) -> u64 {
        self.count(|fact| matches!(fact, Fact::Watched { .. }))
    }

    /// How many watches in a row have failed, in this tenure.
    pub(super) fn watch_failures_in_a_row(&self) -> usize {
        let ends = |fact: &&Fact| {
            matches!(fact, Fact::Granted(_) | Fact::Released { .. } | Fact::WatchSpoke)
        };
        let since = self.0.iter().rev().take_while(|fact| !ends(fact));
        since.filter(|fact| matches!(fact, Fact::WatchFailed)).count()
    }

    pub(super) fn is_parked(&self, kind: TicketKind) -> bool {
        self.last(|fact| match fact {
            Fact::Parked(of) if *of == kind => Some(true),
            Fact::Answered(of) if *of == kind => Some(false),
            _ => None,
        })
        .unwrap_or(false)
    }

    /// The highest term seen, and whether the next one has to be higher: since somebody else led,
    /// or since the nonce is a new one.
    pub(super) fn highest_term(&self) -> Option<(Term, bool)> {
        let seen = self.0.iter().rposition(|fact| matches!(fact, Fact::TermSeen(_)))?;
        let is_over = self
            .0
            .iter()
            .skip(seen)
            .any(|fact| matches!(fact, Fact::SomebodyElse | Fact::Released { .. }));
        match self.0.get(seen) {
            Some(Fact::TermSeen(term)) => Some((*term, is_over)),
            _ => None,
        }
    }

    pub(super) fn tenure(&self) -> TenureId {
        TenureId::new(self.count(|fact| matches!(fact, Fact::Released { .. })) + 1)
    }

    /// Until when work of this tenure may rely on a lease: the latest end of any that it was given.
    pub(super) fn work_until(&self) -> Instant {
        let tenure = self.0.iter().rev().take_while(|fact| !matches!(fact, Fact::Released { .. }));
        tenure
            .filter_map(|fact| match fact {
                Fact::Granted(grant) => Some(grant.valid_until),
                _ => None,
            })
            .max()
            .unwrap_or(Instant::ORIGIN)
    }

    /// Stopping outweighs stepping down; of two cool-offs the longer one counts.
    pub(super) fn resigning(&self) -> Option<Then> {
        let since = self.0.iter().rev().take_while(|fact| !matches!(fact, Fact::CandidateAgain));
        let resigned = since.filter_map(|fact| match fact {
            Fact::Resigned(then) => Some(*then),
            _ => None,
        });
        resigned.reduce(|one, other| match (one, other) {
            (Then::StepDown { cool_off }, Then::StepDown { cool_off: other }) => {
                Then::StepDown { cool_off: cool_off.max(other) }
            }
            (Then::Stop, _) | (_, Then::Stop) => Then::Stop,
        })
    }

    /// Resigning, with the release still to come.
    pub(super) fn is_winding_down(&self) -> bool {
        self.resigning().is_some()
            && self.release_out().is_none()
            && self.cooling_until().is_none()
            && !self.has_finished()
    }

    /// The tenure, and when it is given up.
    pub(super) fn release_out(&self) -> Option<(TenureId, Instant)> {
        self.last(|fact| match fact {
            Fact::Released { tenure, until } => Some(Some((*tenure, *until))),
            Fact::ReleaseEnded => Some(None),
            _ => None,
        })
        .flatten()
    }

    pub(super) fn cooling_until(&self) -> Option<Instant> {
        self.last(|fact| match fact {
            Fact::CoolingOff { until } => Some(Some(*until)),
            Fact::CandidateAgain => Some(None),
            _ => None,
        })
        .flatten()
    }

    pub(super) fn armed(&self) -> Option<Instant> {
        self.last(|fact| match fact {
            Fact::Armed(at) => Some(*at),
            _ => None,
        })
    }
}

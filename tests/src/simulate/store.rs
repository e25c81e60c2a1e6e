use std::time::Duration;
use tenure_core::{Instant, Nonce, Term};

use super::clock::{Line, Tick};

/// Who holds a lease, as the world knows them: which process, and in which of its tenures.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Holder {
    pub(crate) process: usize,
    pub(crate) tenure: u64,
}

/// A bid, as it comes to the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Bid {
    pub(crate) holder: Holder,
    /// Which unit name.
    pub(crate) name: usize,
    pub(crate) nonce: Nonce,
}

/// The lease, as the store has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    pub(crate) bid: Bid,
    pub(crate) term: Term,
    pub(crate) expires_at: Instant,
}

/// A store that keeps the contract, on a clock of its own. What goes wrong is its surroundings'
/// doing, but for what it may forget.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) clock: Line,
    pub(crate) record: Option<Record>,
    last_term: u64,
    /// Terms up to this one may have been given out and forgotten.
    floor: u64,
    pub(crate) hold_off_until: Option<Instant>,
    /// How often the store forgot something.
    pub(crate) forgot: u64,
    expiry_raises_term: bool,
    tells_retry: bool,
    /// The calls that watch.
    pub(crate) watchers: Vec<usize>,
}

/// What the store says to a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Denied { retry_after: Option<Duration> },
    Granted { term: Term, is_new: bool },
    HeldOff,
}

impl Store {
    pub(crate) fn new(clock: Line, expiry_raises_term: bool, tells_retry: bool) -> Store {
        Store {
            clock,
            record: None,
            last_term: 0,
            floor: 0,
            hold_off_until: None,
            forgot: 0,
            expiry_raises_term,
            tells_retry,
            watchers: Vec::new(),
        }
    }

    /// The record, if its lease still runs.
    pub(crate) fn live(&self, now: Tick) -> Option<&Record> {
        let now = self.clock.read(now);
        self.record.as_ref().filter(|record| now < record.expires_at)
    }

    pub(crate) fn claim(&mut self, bid: Bid, lease: Duration, now: Tick) -> Verdict {
        let at = self.clock.read(now);
        if self.hold_off_until.is_some_and(|until| at < until) {
            return Verdict::HeldOff;
        }
        self.hold_off_until = None;
        let live = self.live(now).copied();
        let same = |record: &Record| (record.bid.name, record.bid.nonce) == (bid.name, bid.nonce);
        if let Some(record) = live
            && !same(&record)
        {
            let remaining = record.expires_at.saturating_duration_since(at);
            return Verdict::Denied { retry_after: self.tells_retry.then_some(remaining) };
        }
        let kept = match (live, self.record) {
            (Some(record), _) => Some(record),
            (None, Some(record)) if same(&record) && !self.expiry_raises_term => Some(record),
            (None, _) => None,
        };
        let kept = kept.filter(|record| self.floor < record.term.number());
        let until = at.saturating_add(lease);
        let (term, expires_at) = match kept {
            Some(record) => (record.term, record.expires_at.max(until)),
            None => {
                self.last_term += 1;
                (Term::new(self.last_term), until)
            }
        };
        self.record = Some(Record { bid, term, expires_at });
        Verdict::Granted { term, is_new: kept.is_none() }
    }

    /// Whether that freed the lease.
    pub(crate) fn release(&mut self, bid: Bid) -> bool {
        let is_own = |record: &Record| (record.bid.name, record.bid.nonce) == (bid.name, bid.nonce);
        let frees = self.record.as_ref().is_some_and(is_own);
        if frees {
            self.record = None;
        }
        frees
    }

    /// It goes on in a new epoch, with its leases: whoever holds one holds it in a higher term.
    pub(crate) fn raise_term(&mut self) {
        self.last_term += 1_000;
        if let Some(record) = &mut self.record {
            record.term = Term::new(self.last_term);
        }
    }

    /// It forgets who leads, or goes back to what was so a while ago. Its terms go on above all
    /// that it gave out, as the contract wants.
    pub(crate) fn forget(
        &mut self,
        back_to: Option<Record>,
        hold_off: Option<Duration>,
        now: Tick,
    ) {
        self.forgot += 1;
        self.record = back_to;
        self.last_term += 1_000;
        self.floor = self.last_term;
        let at = self.clock.read(now);
        self.hold_off_until = hold_off.map(|span| at.saturating_add(span));
    }
}

use std::sync::Arc;
use std::time::Duration;

use event_listener::Event;
use tenure_core::{Candidate, ClaimAnswer, ClaimerError, Instant, Leader, Nonce, Term, UnitName};

/// What the store knows about one service. It is never dropped: the term must not fall.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The term of the latest holding; 0 before the first.
    term: u64,
    latest: Latest,
    /// Notified at each release.
    pub(crate) released: Arc<Event>,
}

/// Who held it last.
#[derive(Debug, Default)]
enum Latest {
    /// Nobody yet, or somebody who has released it.
    #[default]
    Nobody,
    /// Somebody who holds it until `expires_at`, whether that is past or to come.
    Holder { unit: UnitName, nonce: Nonce, expires_at: Instant },
}

impl Record {
    pub(crate) fn claim(
        &mut self,
        candidate: &Candidate,
        lease: Duration,
        now: Instant,
    ) -> Result<ClaimAnswer, ClaimerError> {
        let asked = now.saturating_add(lease);
        match &mut self.latest {
            // Also when it has lapsed: nobody else has held it since, so the term is still its own.
            Latest::Holder { unit, nonce, expires_at } if is(candidate, unit, nonce) => {
                *expires_at = asked.max(*expires_at);
            }
            Latest::Holder { unit, expires_at, .. } if now < *expires_at => {
                return Ok(ClaimAnswer::Denied {
                    leader: Some(unit.clone()),
                    retry_after: Some(expires_at.saturating_duration_since(now)),
                });
            }
            Latest::Holder { .. } | Latest::Nobody => {
                let Some(term) = self.term.checked_add(1) else {
                    return Err(ClaimerError::fatal("the service has used up its terms"));
                };
                self.term = term;
                let Candidate { service: _, unit, nonce } = candidate.clone();
                self.latest = Latest::Holder { unit, nonce, expires_at: asked };
            }
        }
        Ok(ClaimAnswer::Granted { term: Term::new(self.term) })
    }

    /// Frees it, if it is the candidate's; then gives whom to tell.
    pub(crate) fn release(&mut self, candidate: &Candidate) -> Option<Arc<Event>> {
        match &self.latest {
            Latest::Holder { unit, nonce, .. } if is(candidate, unit, nonce) => {
                self.latest = Latest::Nobody;
                Some(self.released.clone())
            }
            Latest::Holder { .. } | Latest::Nobody => None,
        }
    }

    pub(crate) fn leader(&self, now: Instant) -> Option<Leader> {
        let remaining = self.remaining(now)?;
        match &self.latest {
            Latest::Holder { unit, .. } => {
                Some(Leader { unit: unit.clone(), term: Term::new(self.term), remaining })
            }
            Latest::Nobody => None,
        }
    }

    /// How long it is still held, or `None` if it is free.
    pub(crate) fn remaining(&self, now: Instant) -> Option<Duration> {
        match &self.latest {
            Latest::Holder { expires_at, .. } if now < *expires_at => {
                Some(expires_at.saturating_duration_since(now))
            }
            Latest::Holder { .. } | Latest::Nobody => None,
        }
    }

    pub(crate) fn raise_term(&mut self, term: Term, now: Instant) {
        if self.remaining(now).is_none() {
            // A holder that lapsed would otherwise renew, and its term would rise in its hands.
            self.latest = Latest::Nobody;
            self.term = self.term.max(term.number());
        }
    }
}

fn is(candidate: &Candidate, unit: &UnitName, nonce: &Nonce) -> bool {
    candidate.unit == *unit && candidate.nonce == *nonce
}

use super::model::{Counting, Flaw, Model};
use super::sights::Sight;
use super::worker::Sights;

/// A store that honours the contract, but for the flaw that its model has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Store {
    /// Who held it last, and has not released it.
    pub(super) holder: Option<Holder>,
    /// The term of the latest holding; 0 before the first.
    pub(super) term: u8,
    /// From this tick on the lease is given to others.
    pub(super) expires: u8,
}

/// How the store knows a holder.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Holder {
    pub(super) unit: u8,
    pub(super) nonce: u8,
}

/// What a store says to a claim.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Answer {
    /// For so many more ticks, if the store says.
    Denied {
        retry_after: Option<u8>,
    },
    Granted {
        term: u8,
    },
}

impl Store {
    /// A claim that was made at `sent` arrives at `now`.
    pub(super) fn claim(
        &mut self,
        model: &Model,
        holder: Holder,
        (sent, now): (u8, u8),
        sights: &mut Sights,
    ) -> Answer {
        let from = match model.counting {
            Counting::Arrival => now,
            Counting::Call => sent,
        };
        let asked = from + model.lease_ticks();
        match self.holder {
            // Also when it has lapsed: nobody else has held it since.
            Some(current) if current == holder => {
                sights.see(Sight::StoreRenewed);
                self.expires = match model.flaw {
                    Some(Flaw::RenewalShortens) => asked,
                    _ => self.expires.max(asked),
                };
            }
            Some(current) if now < self.expires || model.flaw == Some(Flaw::LeaseForEver) => {
                sights.see(Sight::StoreDenied);
                if current.unit == holder.unit {
                    sights.see(Sight::StoreDeniedOwnGhost);
                }
                let left = self.expires.saturating_sub(now);
                return Answer::Denied { retry_after: model.says_retry_after.then_some(left) };
            }
            before => {
                sights.see(match before {
                    Some(_) => Sight::TakenOverAfterExpiry,
                    None if self.term > 0 => Sight::TakenOverAfterRelease,
                    None => Sight::StoreGrantedFirst,
                });
                *self = Store { holder: Some(holder), term: self.term + 1, expires: asked };
            }
        }
        Answer::Granted { term: self.term }
    }

    /// Frees the lease if it is the holder's.
    pub(super) fn release(&mut self, model: &Model, holder: Holder, sights: &mut Sights) {
        let is_own = match (model.flaw, self.holder) {
            (Some(Flaw::ReleaseByName), Some(current)) => current.unit == holder.unit,
            (_, current) => current == Some(holder),
        };
        if is_own {
            sights.see(Sight::StoreReleased);
            (self.holder, self.expires) = (None, 0);
        } else {
            sights.see(Sight::StoreIgnoredRelease);
        }
    }

    /// Whether nobody holds the lease at `now`.
    pub(super) fn is_free(&self, now: u8) -> bool {
        self.holder.is_none() || self.expires <= now
    }
}

use std::time::Duration;

use redis::Value;
use tenure_core::{ClaimAnswer, Leader, Nonce, Term, UnitName};

use crate::error::StoreError;
use crate::facts::text;
use crate::guarded::Guarded;
use crate::held_off::{HeldOff, HeldOffCause};
use crate::store::{Keys, Look};

/// What a script has said: a word, and what belongs to it.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    keys: &'a Keys,
    word: String,
    rest: Vec<Value>,
}

/// What came of a claim.
#[derive(Debug)]
pub(crate) enum Claimed {
    Answered(ClaimAnswer),
    /// Nobody is known to lead, and nobody is granted a lease yet.
    HeldOff(HeldOff),
}

/// The latest schema that this version knows. The scripts have it too.
const SCHEMA: u32 = 1;

impl<'a> Reply<'a> {
    pub(crate) fn new(value: Value, keys: &'a Keys) -> Result<Reply<'a>, StoreError> {
        let mut values = value.into_sequence().map_err(|_| StoreError::NotRedis)?.into_iter();
        let word = values.next().as_ref().and_then(text).ok_or(StoreError::NotRedis)?;
        let reply = Reply { keys, word, rest: values.collect() };
        if reply.word == "newer" {
            let (found, key) = (reply.text(0).unwrap_or_default(), reply.text(1));
            let key = key.unwrap_or_else(|| keys.fence.clone());
            return Err(StoreError::NewerSchema { key, found, known: SCHEMA });
        }
        Ok(reply)
    }

    /// The reply to a claim.
    pub(crate) fn claim(&self) -> Result<Claimed, StoreError> {
        match self.word.as_str() {
            "granted" => Ok(Claimed::Answered(ClaimAnswer::Granted { term: self.term(0)? })),
            "denied" => {
                let retry_after = Some(self.lasting(1)?);
                let leader = self.unit(0);
                Ok(Claimed::Answered(ClaimAnswer::Denied { leader, retry_after }))
            }
            "held-off" => Ok(Claimed::HeldOff(self.held_off()?)),
            "no-term" => Err(self.damaged(&self.keys.fence, "has a term that is no number")),
            "no-term-left" => Err(StoreError::TermExhausted { key: self.keys.fence.clone() }),
            _ => Err(StoreError::NotRedis),
        }
    }

    /// The reply to a look.
    pub(crate) fn look(&self) -> Result<Look, StoreError> {
        match self.word.as_str() {
            "held" => {
                let Some(unit) = self.unit(0) else {
                    return Err(self.damaged(&self.keys.lease, "names no unit"));
                };
                let leader = Leader { unit, term: self.term(1)?, remaining: self.lasting(2)? };
                Ok(Look::Held { leader })
            }
            "held-off" => Ok(Look::HeldOff(self.held_off()?)),
            "free" => Ok(Look::Free),
            _ => Err(StoreError::NotRedis),
        }
    }

    /// The reply to a script of the user's own.
    pub(crate) fn guarded(mut self) -> Result<Guarded, StoreError> {
        match self.word.as_str() {
            "done" => Ok(Guarded::Done(self.rest.drain(..).next().unwrap_or(Value::Nil))),
            "refused" => Ok(Guarded::Refused),
            "failed" => Err(StoreError::Server { said: self.text(0).unwrap_or_default() }),
            _ => Err(StoreError::NotRedis),
        }
    }

    fn term(&self, place: usize) -> Result<Term, StoreError> {
        let term = self.text(place).and_then(|text| text.parse().ok());
        term.map(Term::new).ok_or_else(|| self.damaged(&self.keys.fence, "has no term"))
    }

    /// Who holds a lease, if the key says it as we do.
    fn unit(&self, place: usize) -> Option<UnitName> {
        let holder = self.text(place)?;
        let (nonce, unit) = holder.split_once(' ')?;
        nonce.parse::<Nonce>().ok().and(unit.parse().ok())
    }

    fn held_off(&self) -> Result<HeldOff, StoreError> {
        let cause = match self.text(1).as_deref() {
            Some("wiped") => HeldOffCause::NewOrWiped { marker: self.keys.marker.clone() },
            Some("deleted") => HeldOffCause::Deleted { lease: self.keys.lease.clone() },
            _ => HeldOffCause::Restarted,
        };
        Ok(HeldOff { remaining: self.lasting(0)?, cause })
    }

    /// How long a lease still lasts. One of ours ends.
    fn lasting(&self, place: usize) -> Result<Duration, StoreError> {
        self.millis(place).map_err(|_| StoreError::Foreign { key: self.keys.lease.clone() })
    }

    fn millis(&self, place: usize) -> Result<Duration, StoreError> {
        match self.rest.get(place) {
            Some(Value::Int(millis)) => {
                u64::try_from(*millis).map(Duration::from_millis).map_err(|_| StoreError::NotRedis)
            }
            _ => Err(StoreError::NotRedis),
        }
    }

    fn text(&self, place: usize) -> Option<String> {
        self.rest.get(place).and_then(text)
    }

    fn damaged(&self, key: &str, what: &str) -> StoreError {
        StoreError::Damaged { key: key.to_owned(), what: what.to_owned() }
    }
}

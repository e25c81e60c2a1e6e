use tenure_core::Nonce;

use crate::scripted::{Call, Record, Reply};

/// What the store of a stage does, and what it knows.
#[derive(Debug, Default)]
pub(super) struct Mind {
    pub(super) mood: Mood,
    /// Whether the mood is the store's own: nothing reaches a store that is away.
    pub(super) is_away: bool,
    /// How many of the next grants are made without anybody hearing of them.
    pub(super) lost_replies: usize,
    holder: Option<Nonce>,
    term: u64,
}

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Mood {
    /// Nothing, until it is said.
    #[default]
    Silent,
    Grants,
    Denies,
}

impl Mind {
    /// How the call is to end, if it is.
    pub(super) fn decide(&mut self, record: &Record) -> Option<Reply> {
        if self.is_away {
            return Some(Reply::unknown("the store is away"));
        }
        match (record.call, self.mood) {
            (Call::Claim, Mood::Silent) => None,
            (Call::Claim, Mood::Denies) => Some(Reply::denied()),
            (Call::Claim, Mood::Grants) => Some(self.grant(record)),
            (Call::Released, Mood::Grants) => Some(Reply::Done),
            (Call::Released, Mood::Denies | Mood::Silent) => None,
            (Call::Release, _) => {
                let nonce = record.candidate.as_ref().map(|candidate| candidate.nonce);
                self.holder = self.holder.filter(|holder| nonce != Some(*holder));
                Some(Reply::Done)
            }
            (Call::Leader, _) => Some(Reply::Done),
        }
    }

    /// Somebody else has it: whoever comes after them has a higher term.
    pub(super) fn give_away(&mut self) {
        self.mood = Mood::Denies;
        self.holder = None;
        self.term += 1;
    }

    /// The term rises with each new holder.
    pub(super) fn grant(&mut self, record: &Record) -> Reply {
        let nonce = record.candidate.as_ref().map(|candidate| candidate.nonce);
        if self.holder.is_none() || self.holder != nonce {
            self.holder = nonce;
            self.term += 1;
        }
        if self.lost_replies > 0 {
            self.lost_replies -= 1;
            return Reply::unknown("the reply is lost");
        }
        Reply::granted(self.term)
    }
}

use std::time::Duration;

use tenure_core::{ClaimAnswer, ClaimerError, Term};

use super::Call;

/// How a call ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// A claim: somebody else holds the lease.
    Denied {
        /// How long until that may expire.
        retry_after: Option<Duration>,
    },
    /// Any call but a claim: it is done, and a look-up found nobody.
    Done,
    /// The store will never do this, and says why.
    Fatal(String),
    /// A claim: the lease is the candidate's.
    Granted {
        /// The fencing number.
        term: Term,
    },
    /// The call panics with this message.
    Panic(String),
    /// Whether it was done is not known, and this is why.
    Unknown(String),
}

impl Reply {
    /// Denied, and the store does not say for how long.
    pub fn denied() -> Reply {
        Reply::Denied { retry_after: None }
    }

    /// [`Reply::Fatal`] with this message.
    pub fn fatal(message: &str) -> Reply {
        Reply::Fatal(message.to_owned())
    }

    /// [`Reply::Granted`] with this term.
    pub fn granted(term: u64) -> Reply {
        Reply::Granted { term: Term::new(term) }
    }

    /// [`Reply::Panic`] with this message.
    pub fn panic(message: &str) -> Reply {
        Reply::Panic(message.to_owned())
    }

    /// [`Reply::Unknown`] with this message.
    pub fn unknown(message: &str) -> Reply {
        Reply::Unknown(message.to_owned())
    }

    /// Only a claim is granted or denied, and it is never just done.
    pub(super) fn check(&self, call: Call) {
        let fits = match self {
            Reply::Denied { .. } | Reply::Granted { .. } => call == Call::Claim,
            Reply::Done => call != Call::Claim,
            Reply::Fatal(_) | Reply::Panic(_) | Reply::Unknown(_) => true,
        };
        assert!(fits, "a {call:?} cannot end with {self:?}");
    }

    /// What a claim returns.
    pub(super) fn of_claim(self) -> Result<ClaimAnswer, ClaimerError> {
        match self {
            Reply::Denied { retry_after } => Ok(ClaimAnswer::Denied { leader: None, retry_after }),
            Reply::Granted { term } => Ok(ClaimAnswer::Granted { term }),
            Reply::Done => unreachable!("checked when it was said"),
            Reply::Fatal(message) => Err(ClaimerError::fatal(message)),
            // Without the hook that prints it: a panic that was asked for is no news.
            Reply::Panic(message) => std::panic::resume_unwind(Box::new(message)),
            Reply::Unknown(message) => Err(ClaimerError::unknown(message)),
        }
    }

    /// What any other call returns.
    pub(super) fn of_other(self) -> Result<(), ClaimerError> {
        match self {
            Reply::Done => Ok(()),
            other => other.of_claim().map(|_| unreachable!("checked when it was said")),
        }
    }
}

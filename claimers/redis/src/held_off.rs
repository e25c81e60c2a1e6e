use std::fmt;
use std::time::Duration;

/// Why nobody is granted a service that nobody is known to lead, and for how long.
///
/// Shown as one line that says both.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HeldOff {
    /// How long still, by the server's clock.
    pub remaining: Duration,
    /// What has happened.
    pub cause: HeldOffCause,
}

/// By what a server may have forgotten who leads.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum HeldOffCause {
    /// A key of the service was deleted while its lease ran.
    Deleted {
        /// The key of the lease.
        lease: String,
    },
    /// The key that marks the store was not there: the store is new, or was wiped (`FLUSHALL`).
    NewOrWiped {
        /// The key.
        marker: String,
    },
    /// The server was started anew, or took over from another, and may not remember all.
    Restarted,
}

impl fmt::Display for HeldOff {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HeldOff { remaining, cause } = self;
        write!(formatter, "{cause}: no lease is granted for another {remaining:.1?}")
    }
}

impl fmt::Display for HeldOffCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeldOffCause::Deleted { lease } => write!(
                formatter,
                "the key {lease:?}, or its fence, was deleted, and its holder may still lead"
            ),
            HeldOffCause::NewOrWiped { marker } => write!(
                formatter,
                "the store is new or was wiped (there was no key {marker:?}), and may have \
                 forgotten a leader"
            ),
            HeldOffCause::Restarted => formatter.write_str(
                "the server was restarted or took over from another, and may have forgotten a \
                 leader",
            ),
        }
    }
}

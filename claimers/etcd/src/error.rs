use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use tenure_core::ClaimerError;
use tenure_net::{Attempt, Attempts, Endpoint, TimedOut};

use crate::http::HttpError;

/// Why a call on the store did not do as it was asked: the source of a [`ClaimerError`].
///
/// Which of these are [`ClaimerError::Unknown`] and which [`ClaimerError::Fatal`] is in the table
/// of the [crate's documentation](crate#errors).
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// No endpoint did: what came of each that was tried.
    Away {
        /// Them all, in the order in which they were tried.
        attempts: Attempts<StoreError>,
    },
    /// etcd's gateway takes no client's certificate that has a common name, once users have to log
    /// in: it would be taken for a user's name elsewhere.
    CommonName {
        /// What it said.
        message: String,
    },
    /// The connection could not be made, or broke.
    Connection {
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The user may not do this to the store's keys.
    Forbidden {
        /// What etcd said.
        message: String,
    },
    /// What is at the key of a service was not written by Tenure.
    Foreign {
        /// The key.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// etcd has no space left, by its quota.
    Full,
    /// The member's gateway does not reach the member itself.
    GatewayCut {
        /// What it said.
        message: String,
    },
    /// The lease is longer than etcd allows: 9,000,000,000 seconds.
    LeaseTooLong {
        /// The lease that was asked for.
        lease: Duration,
    },
    /// The user and its password are not good, or none was given and etcd wants one.
    Login {
        /// What etcd said.
        message: String,
    },
    /// The key of a service was written by a later version of Tenure.
    NewerSchema {
        /// The key.
        key: String,
        /// The version of what is there.
        found: u32,
        /// The latest version that is known here.
        known: u32,
    },
    /// This is etcd, but its JSON gateway is off.
    NoGateway {
        /// Its version.
        version: String,
    },
    /// Whatever answers is not etcd, or speaks TLS where that was not expected.
    NotEtcd {
        /// How that shows.
        what: String,
    },
    /// The member belongs to another cluster than the one that this claimer knows.
    OtherCluster {
        /// The cluster that answered first.
        known: u64,
        /// The cluster of this member.
        found: u64,
    },
    /// The key of the service changed while it was claimed or written to.
    Raced,
    /// etcd could not do it now.
    Refused {
        /// What it said.
        message: String,
    },
    /// etcd has gone back: it has lost what it had once said, and so it may have lost a lease.
    Reverted {
        /// The highest revision that it had shown.
        seen: i64,
        /// The revision that it shows now.
        found: i64,
    },
    /// etcd granted less than it was asked for.
    ShortLease {
        /// What it was asked for.
        asked: Duration,
        /// What it granted.
        granted: Duration,
    },
    /// There was no answer in time.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// TLS could not be agreed on: the server speaks none, or one of the certificates is refused.
    Tls {
        /// What is wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// This version of etcd has no gateway that this crate could speak to.
    TooOld {
        /// The version.
        version: String,
    },
}

impl StoreError {
    /// What came of trying this one endpoint.
    pub(crate) fn at(self, endpoint: &Endpoint) -> StoreError {
        match self {
            StoreError::Away { .. } => self,
            _ if self.is_of_the_cluster() => self,
            _ => {
                let attempts = Attempts(vec![(endpoint.clone(), Attempt::Failed(self))]);
                StoreError::Away { attempts }
            }
        }
    }

    pub(crate) fn from_connecting(source: io::Error) -> StoreError {
        StoreError::from_network(source.into())
    }

    fn from_network(source: Box<dyn Error + Send + Sync>) -> StoreError {
        match is_of_tls(&*source) {
            true => StoreError::Tls { source },
            false => StoreError::Connection { source },
        }
    }

    /// Reads what etcd says when it refuses.
    pub(crate) fn from_refusal(message: String) -> StoreError {
        let says = |text: &str| message.contains(text);
        if says("authentication failed")
            || says("user name is empty")
            || says("authentication is not enabled")
        {
            StoreError::Login { message }
        } else if says("permission denied") {
            StoreError::Forbidden { message }
        } else if says("database space exceeded") {
            StoreError::Full
        } else if is_of_the_gateway(&message) {
            StoreError::GatewayCut { message }
        } else {
            StoreError::Refused { message }
        }
    }

    /// Whether another member would say the same, so that it need not be asked.
    pub(crate) fn is_of_the_cluster(&self) -> bool {
        match self {
            StoreError::Forbidden { .. }
            | StoreError::Foreign { .. }
            | StoreError::Full
            | StoreError::LeaseTooLong { .. }
            | StoreError::Login { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::OtherCluster { .. }
            | StoreError::Raced
            | StoreError::Reverted { .. } => true,
            StoreError::Away { .. }
            | StoreError::CommonName { .. }
            | StoreError::Connection { .. }
            | StoreError::GatewayCut { .. }
            | StoreError::NoGateway { .. }
            | StoreError::NotEtcd { .. }
            | StoreError::Refused { .. }
            | StoreError::ShortLease { .. }
            | StoreError::TimedOut { .. }
            | StoreError::Tls { .. }
            | StoreError::TooOld { .. } => false,
        }
    }

    /// Whether the call will never succeed while this process runs: nothing that anybody does to
    /// the cluster, the network or a file would change that.
    pub fn is_fatal(&self) -> bool {
        match self {
            StoreError::Away { attempts } => attempts.all(StoreError::is_fatal),
            StoreError::LeaseTooLong { .. }
            | StoreError::NewerSchema { .. }
            // Once revisions have caught up nobody could tell any more what was lost.
            | StoreError::Reverted { .. } => true,
            StoreError::CommonName { .. }
            | StoreError::Connection { .. }
            | StoreError::Forbidden { .. }
            | StoreError::Foreign { .. }
            | StoreError::Full
            | StoreError::GatewayCut { .. }
            | StoreError::Login { .. }
            | StoreError::NoGateway { .. }
            | StoreError::NotEtcd { .. }
            | StoreError::OtherCluster { .. }
            | StoreError::Raced
            | StoreError::Refused { .. }
            | StoreError::ShortLease { .. }
            | StoreError::TimedOut { .. }
            | StoreError::Tls { .. }
            | StoreError::TooOld { .. } => false,
        }
    }

    /// Whether the call is refused, and will be until somebody changes something: the cluster, the
    /// user's rights, a certificate, or how this process is configured. Trying again alone will
    /// hardly help.
    pub fn needs_operator(&self) -> bool {
        match self {
            StoreError::Away { attempts } => attempts.all(StoreError::needs_operator),
            StoreError::Connection { .. }
            | StoreError::Full
            // A member that starts, or ends, may say that too.
            | StoreError::GatewayCut { .. }
            | StoreError::Raced
            | StoreError::Refused { .. }
            | StoreError::ShortLease { .. }
            | StoreError::TimedOut { .. } => false,
            StoreError::CommonName { .. }
            | StoreError::Forbidden { .. }
            | StoreError::Foreign { .. }
            | StoreError::LeaseTooLong { .. }
            | StoreError::Login { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::NoGateway { .. }
            | StoreError::NotEtcd { .. }
            | StoreError::OtherCluster { .. }
            | StoreError::Reverted { .. }
            | StoreError::Tls { .. }
            | StoreError::TooOld { .. } => true,
        }
    }
}

/// Whether this is what the gateway says of its own connection to its member.
fn is_of_the_gateway(message: &str) -> bool {
    let signs = ["connection error: desc", "connection closed", "transport is closing", "SubConns"];
    signs.iter().any(|sign| message.contains(sign))
}

/// Whether TLS is the cause: what rustls says is invalid data to the system, and nothing else is
/// that comes of a connection.
fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    let system = error.downcast_ref::<io::Error>();
    system.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
        || error.source().is_some_and(is_of_tls)
}

impl From<StoreError> for ClaimerError {
    fn from(error: StoreError) -> ClaimerError {
        match error.is_fatal() {
            true => ClaimerError::fatal(error),
            false => ClaimerError::unknown(error),
        }
    }
}

impl From<HttpError> for StoreError {
    fn from(error: HttpError) -> StoreError {
        match error {
            HttpError::Broken(_) | HttpError::Closed => StoreError::from_network(error.into()),
            HttpError::TooLong | HttpError::TooMuch(_) => {
                StoreError::Connection { source: error.into() }
            }
            HttpError::NotHttp(_) => StoreError::NotEtcd { what: error.to_string() },
        }
    }
}

impl From<TimedOut> for StoreError {
    fn from(error: TimedOut) -> StoreError {
        StoreError::TimedOut { limit: error.limit }
    }
}

impl From<Attempts<StoreError>> for StoreError {
    fn from(attempts: Attempts<StoreError>) -> StoreError {
        StoreError::Away { attempts }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Away { attempts } => write!(formatter, "{attempts}"),
            StoreError::CommonName { message } => write!(
                formatter,
                "etcd wants users to log in, and then its gateway refuses a client's certificate \
                 that has a common name (CN): use one without, and user and password; it says: \
                 {message}"
            ),
            StoreError::Connection { source } => write!(formatter, "{source}"),
            StoreError::Forbidden { message } => {
                write!(formatter, "the user may not do this to the store's keys: {message}")
            }
            StoreError::Foreign { key, what } => {
                write!(formatter, "etcd's key {key:?} is not a lease of Tenure's: {what}")
            }
            StoreError::Full => formatter.write_str(
                "etcd has used up its quota: compact and defragment it, then disarm its alarm",
            ),
            StoreError::GatewayCut { message } => write!(
                formatter,
                "etcd's gateway does not reach the member that it belongs to; if it stays so, and \
                 the member wants certificates (--client-cert-auth), then its own (--cert-file) \
                 has to be good for a client as well (extended key usage clientAuth); it says: \
                 {message}"
            ),
            StoreError::NoGateway { version } => write!(
                formatter,
                "this is etcd {version}, but its JSON gateway is off, by which it is spoken to: \
                 start it without --enable-grpc-gateway=false"
            ),
            StoreError::LeaseTooLong { lease } => {
                write!(formatter, "a lease of {lease:?} is longer than etcd allows")
            }
            StoreError::Login { message } => {
                write!(formatter, "etcd does not let this user in: {message}")
            }
            StoreError::NewerSchema { key, found, known } => write!(
                formatter,
                "etcd's key {key:?} was written by a later version: its schema is {found}, \
                 this version knows up to {known}"
            ),
            StoreError::NotEtcd { what } => write!(formatter, "this is not etcd: {what}"),
            StoreError::OtherCluster { known, found } => write!(
                formatter,
                "a member of cluster {found:x} answers, but the store is in cluster {known:x}: if \
                 that cluster was replaced, wait for a lease, then start this process anew"
            ),
            StoreError::Raced => {
                formatter.write_str("the lease was changed by another call at the same time")
            }
            StoreError::Refused { message } => write!(formatter, "etcd cannot now: {message}"),
            StoreError::Reverted { seen, found } => write!(
                formatter,
                "etcd has gone back from revision {seen} to {found}: it has lost data, and \
                 perhaps a lease; wait for a lease, then start anew"
            ),
            StoreError::ShortLease { asked, granted } => {
                write!(formatter, "etcd granted {granted:?} where {asked:?} was asked for")
            }
            StoreError::TimedOut { limit } => write!(formatter, "no answer within {limit:?}"),
            StoreError::Tls { source } => write!(formatter, "TLS cannot be agreed on: {source}"),
            StoreError::TooOld { version } => {
                write!(formatter, "etcd {version} is too old: it takes 3.4 or later")
            }
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StoreError::Away { attempts } => Some(attempts),
            StoreError::Connection { source } | StoreError::Tls { source } => Some(&**source),
            _ => None,
        }
    }
}

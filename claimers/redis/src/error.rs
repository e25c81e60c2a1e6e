use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::ServerError;
use tenure_core::ClaimerError;
use tenure_net::{Attempts, TimedOut, TlsError};

/// Why a call failed. Each is shown as one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The server does not know this user, or its password.
    Authentication {
        /// What it said.
        said: String,
    },
    /// The server is a part of a cluster, which is not supported.
    Cluster,
    /// What is stored makes no sense.
    Damaged {
        /// Where.
        key: String,
        /// What does not make sense.
        what: String,
    },
    /// The server may drop keys to get memory, and with them leases and terms.
    Evicting {
        /// Its `maxmemory-policy`.
        policy: String,
    },
    /// The key of a lease or of its terms is somebody else's.
    Foreign {
        /// Which; both, where the server does not say.
        key: String,
    },
    /// The server closed the connection before it said anything, as one does that expects TLS.
    Hung(io::Error),
    /// The connection could not be made, or broke.
    Io(io::Error),
    /// The lease is longer than can be stored.
    LeaseTooLong {
        /// What was asked for.
        lease: Duration,
    },
    /// The server is still reading its data from its disk.
    Loading,
    /// The service's keys were made by a later version of this crate.
    NewerSchema {
        /// Where.
        key: String,
        /// The version that was found.
        found: String,
        /// The latest one that this version knows.
        known: u32,
    },
    /// The server has no database of this number.
    NoDatabase {
        /// The number.
        database: u32,
    },
    /// This user may not call `INFO`, so nobody knows what the server may have forgotten.
    NoInfo,
    /// What answers is no Redis, or expects TLS.
    NotRedis,
    /// This user may not do what a candidate does.
    Permission {
        /// What the server said.
        said: String,
    },
    /// The server is a replica of another, and takes no writes.
    Replica,
    /// The server is a Sentinel.
    Sentinel,
    /// The server could not, or would not: no memory, a disk that is full, a script that hangs.
    Server {
        /// What it said.
        said: String,
    },
    /// The term of the service cannot rise any more.
    TermExhausted {
        /// Where it is.
        key: String,
    },
    /// There was no answer in time.
    TimedOut(TimedOut),
    /// TLS was not agreed upon: a certificate that is not good, or none where one is wanted.
    Tls(io::Error),
    /// TLS could not be set up.
    TlsOptions(Arc<TlsError>),
    /// A part of a reply would be longer than a reply may be.
    TooLong {
        /// How many bytes it was announced to have.
        announced: u64,
        /// How many a reply may have.
        limit: u64,
    },
    /// A reply has more values than one may have.
    TooManyValues {
        /// How many were announced so far.
        announced: u64,
        /// How many a reply may have.
        limit: u64,
    },
    /// None of the endpoints would do.
    Unreachable(Attempts<StoreError>),
    /// The server does not know a command, or a script of ours.
    Unsupported {
        /// What it said.
        said: String,
    },
}

impl StoreError {
    /// Whether the call will never succeed while this process runs: nothing that anybody does to
    /// the server, the network or a file would change that.
    pub fn is_fatal(&self) -> bool {
        match self {
            StoreError::LeaseTooLong { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::TermExhausted { .. } => true,
            // Where one of several may yet come back, all may be well then.
            StoreError::Unreachable(attempts) => attempts.all(StoreError::is_fatal),
            StoreError::Authentication { .. }
            | StoreError::Cluster
            | StoreError::Damaged { .. }
            | StoreError::Evicting { .. }
            | StoreError::Foreign { .. }
            | StoreError::Hung(_)
            | StoreError::Io(_)
            | StoreError::Loading
            | StoreError::NoDatabase { .. }
            | StoreError::NoInfo
            | StoreError::NotRedis
            | StoreError::Permission { .. }
            | StoreError::Replica
            | StoreError::Sentinel
            | StoreError::Server { .. }
            | StoreError::TimedOut(_)
            | StoreError::Tls(_)
            | StoreError::TlsOptions(_)
            | StoreError::TooLong { .. }
            | StoreError::TooManyValues { .. }
            | StoreError::Unsupported { .. } => false,
        }
    }

    /// Whether the call is refused, and will be until somebody changes something: the server, the
    /// user's rights, a certificate, or how this process is configured. Trying again alone will
    /// hardly help.
    pub fn needs_operator(&self) -> bool {
        match self {
            StoreError::Hung(_)
            | StoreError::Io(_)
            | StoreError::Loading
            | StoreError::Replica
            | StoreError::Server { .. }
            | StoreError::TimedOut(_)
            | StoreError::TooLong { .. }
            | StoreError::TooManyValues { .. } => false,
            StoreError::Unreachable(attempts) => attempts.all(StoreError::needs_operator),
            StoreError::Authentication { .. }
            | StoreError::Cluster
            | StoreError::Damaged { .. }
            | StoreError::Evicting { .. }
            | StoreError::Foreign { .. }
            | StoreError::LeaseTooLong { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::NoDatabase { .. }
            | StoreError::NoInfo
            | StoreError::NotRedis
            | StoreError::Permission { .. }
            | StoreError::Sentinel
            | StoreError::TermExhausted { .. }
            | StoreError::Tls(_)
            | StoreError::TlsOptions(_)
            | StoreError::Unsupported { .. } => true,
        }
    }

    /// What a server meant by an error. `keys` are those that it was asked about.
    pub(crate) fn of_server(error: &ServerError, keys: &[&str]) -> StoreError {
        let detail = error.details().unwrap_or_default();
        // From some versions, a script's own error begins with another's name.
        let said = format!("{} {detail}", error.code());
        let says = |text: &str| said.contains(text);
        match error.code() {
            "NOAUTH" | "WRONGPASS" => StoreError::Authentication { said },
            "ERR" if says("AUTH") || says("invalid password") => {
                StoreError::Authentication { said }
            }
            "DENIED" | "NOPERM" => StoreError::Permission { said },
            "ERR" if says("executing the script can't") || says("NOPERM") => {
                StoreError::Permission { said }
            }
            "ASK" | "CLUSTERDOWN" | "CROSSSLOT" | "MOVED" | "TRYAGAIN" => StoreError::Cluster,
            "WRONGTYPE" => StoreError::Foreign { key: keys.join(" or ") },
            "ERR" if says("WRONGTYPE") => StoreError::Foreign { key: keys.join(" or ") },
            "READONLY" => StoreError::Replica,
            "ERR" if says("READONLY") => StoreError::Replica,
            "LOADING" => StoreError::Loading,
            "ERR" if says("nknown command") || says("nknown Redis command") => {
                StoreError::Unsupported { said }
            }
            _ => StoreError::Server { said },
        }
    }
}

impl From<StoreError> for ClaimerError {
    fn from(error: StoreError) -> ClaimerError {
        if error.is_fatal() { ClaimerError::fatal(error) } else { ClaimerError::unknown(error) }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> StoreError {
        StoreError::Io(error)
    }
}

impl From<TimedOut> for StoreError {
    fn from(error: TimedOut) -> StoreError {
        StoreError::TimedOut(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Authentication { said } => {
                write!(formatter, "the server does not let this user in: {said}")
            }
            StoreError::Cluster => formatter.write_str(
                "the server is a part of a cluster, which is not supported: use one that is alone",
            ),
            StoreError::Damaged { key, what } => write!(formatter, "key {key:?} {what}"),
            StoreError::Evicting { policy } => write!(
                formatter,
                "the server may drop leases and terms to get memory (maxmemory-policy {policy}): \
                 set maxmemory-policy noeviction"
            ),
            StoreError::Foreign { key } => {
                write!(formatter, "key {key:?} is not Tenure's: choose another prefix")
            }
            StoreError::Hung(error) => write!(
                formatter,
                "the server hangs up before it says anything, as if it expected TLS: {error}"
            ),
            StoreError::Io(error) => write!(formatter, "the connection failed: {error}"),
            StoreError::LeaseTooLong { lease } => {
                write!(formatter, "a lease of {lease:?} is longer than Redis can keep")
            }
            StoreError::Loading => formatter.write_str("the server is still loading its data"),
            StoreError::NewerSchema { key, found, known } => write!(
                formatter,
                "key {key:?} has schema version {found}, and this program knows {known}: \
                 use a later one"
            ),
            StoreError::NoDatabase { database } => {
                write!(formatter, "the server has no database {database}")
            }
            StoreError::NoInfo => formatter.write_str(
                "this user may not call INFO, so whether the server may have forgotten leases \
                 cannot be told: grant it +info",
            ),
            StoreError::NotRedis => {
                formatter.write_str("what answers does not speak as Redis does, or expects TLS")
            }
            StoreError::Permission { said } => {
                write!(formatter, "this user lacks a permission: {said}")
            }
            StoreError::Replica => {
                formatter.write_str("the server is a replica, which takes no writes")
            }
            StoreError::Sentinel => formatter
                .write_str("the server is a Sentinel: name the Redis servers that it watches"),
            StoreError::Server { said } => write!(formatter, "the server says: {said}"),
            StoreError::TermExhausted { key } => {
                write!(formatter, "the term in key {key:?} has come to its end")
            }
            StoreError::TimedOut(late) => late.fmt(formatter),
            StoreError::Tls(error) => write!(formatter, "no TLS: {error}"),
            StoreError::TlsOptions(error) => write!(formatter, "no TLS: {error}"),
            StoreError::TooLong { announced, limit } => write!(
                formatter,
                "the server announced {announced} bytes, and a reply may have {limit}: this is no \
                 reply to what was asked"
            ),
            StoreError::TooManyValues { announced, limit } => write!(
                formatter,
                "the server announced {announced} values, and a reply may have {limit}: this is no \
                 reply to what was asked"
            ),
            StoreError::Unreachable(attempts) => attempts.fmt(formatter),
            StoreError::Unsupported { said } => {
                write!(formatter, "the server cannot do what is needed: {said}")
            }
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StoreError::Hung(error) | StoreError::Io(error) | StoreError::Tls(error) => Some(error),
            StoreError::TimedOut(error) => Some(error),
            StoreError::TlsOptions(error) => Some(&**error),
            StoreError::Authentication { .. }
            | StoreError::Cluster
            | StoreError::Damaged { .. }
            | StoreError::Evicting { .. }
            | StoreError::Foreign { .. }
            | StoreError::LeaseTooLong { .. }
            | StoreError::Loading
            | StoreError::NewerSchema { .. }
            | StoreError::NoDatabase { .. }
            | StoreError::NoInfo
            | StoreError::NotRedis
            | StoreError::Permission { .. }
            | StoreError::Replica
            | StoreError::Sentinel
            | StoreError::Server { .. }
            | StoreError::TermExhausted { .. }
            | StoreError::TooLong { .. }
            | StoreError::TooManyValues { .. }
            | StoreError::Unreachable(_)
            | StoreError::Unsupported { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::Value;
    use tenure_net::Attempt;

    fn meant(said: &str) -> StoreError {
        let Ok(Value::ServerError(error)) = redis::parse_redis_value(said.as_bytes()) else {
            panic!("{said} is no error")
        };
        StoreError::of_server(&error, &["lease", "fence"])
    }

    /// Those that no server here can be brought to say, and those of other versions.
    #[test]
    fn a_server_is_understood_whatever_its_version() {
        let mended = [
            ("-MOVED 3999 127.0.0.1:6381", "the server is a part of a cluster"),
            ("-ASK 3999 127.0.0.1:6381", "the server is a part of a cluster"),
            ("-CLUSTERDOWN The cluster is down", "the server is a part of a cluster"),
            ("-CROSSSLOT Keys in request", "the server is a part of a cluster"),
            ("-ERR invalid password", "the server does not let this user in"),
            ("-ERR Client sent AUTH, but no password is set", "the server does not let this user"),
            ("-DENIED Redis is running in protected mode", "this user lacks a permission"),
            ("-ERR unknown command 'EVALSHA'", "the server cannot do what is needed"),
            (
                "-ERR Error running script (call to f_0): @user_script:4: WRONGTYPE Operation",
                "key \"lease or fence\" is not Tenure's",
            ),
            (
                "-ERR Error running script (call to f_0): @user_script:4: -NOPERM this user",
                "this user lacks a permission",
            ),
        ];
        let passing = [
            ("-LOADING Redis is loading the dataset in memory", "the server is still loading"),
            ("-MASTERDOWN Link with MASTER is down", "the server says: MASTERDOWN Link with"),
            ("-ERR max number of clients reached", "the server says: ERR max number of clients"),
            ("-TRYLATER something new", "the server says: TRYLATER something new"),
            ("-ERR Error running script: @user_script:4: -READONLY You", "the server is a replica"),
        ];
        for (needs_operator, cases) in [(true, &mended[..]), (false, &passing)] {
            for (said, expected) in cases {
                let error = meant(&format!("{said}\r\n"));
                assert!(!error.is_fatal(), "{said}: {error}");
                assert_eq!(error.needs_operator(), needs_operator, "{said}: {error}");
                assert!(error.to_string().starts_with(expected), "{said}: {error}");
            }
        }
    }

    #[test]
    fn of_several_endpoints_all_must_be_hopeless() {
        let endpoint = tenure_net::Endpoint { host: "h".to_owned(), port: 1 };
        let with = |errors: Vec<StoreError>| {
            let attempts =
                errors.into_iter().map(|error| (endpoint.clone(), Attempt::Failed(error)));
            StoreError::Unreachable(Attempts(attempts.collect()))
        };
        assert!(with(vec![StoreError::Sentinel, StoreError::Cluster]).needs_operator());
        assert!(!with(vec![StoreError::Sentinel, StoreError::Loading]).needs_operator());
        assert!(!with(vec![]).needs_operator());
        let newer =
            || StoreError::NewerSchema { key: String::new(), found: String::new(), known: 1 };
        assert!(with(vec![newer(), newer()]).is_fatal());
        assert!(!with(vec![newer(), StoreError::Sentinel]).is_fatal());
        assert!(!with(vec![]).is_fatal());
    }
}

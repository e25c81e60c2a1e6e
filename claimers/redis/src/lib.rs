//! A lease store in Redis or Valkey for Tenure: for efficiency, and for correctness only where what
//! the leader acts on checks its term.
//!
//! [`RedisClaimer`] implements the asynchronous [`Claimer`](tenure_core::Claimer). A server that is
//! alone and syncs every command (`appendfsync always`) keeps the contract. But many of them do not
//! sync, or have replicas that take over and lack the last writes, and **then two may believe that
//! they lead**. This crate makes that rare: it holds off (below). Only a resource that refuses
//! old terms rules it out: [`guarded_eval`](RedisClaimer::guarded_eval).
//!
//! ```no_run
//! use std::time::Duration;
//! use tenure_core::{Candidate, ClaimAnswer, Claimer};
//! use tenure_redis::RedisOptions;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let claimer = RedisOptions::from_url("redis://tenure:secret@cache.example/0")?.open();
//! claimer.check().await?;
//! let candidate = Candidate {
//!     service: "mysql".parse()?,
//!     unit: "mysql/0".parse()?,
//!     nonce: tenure_runtime::fresh_nonce(),
//! };
//! match claimer.claim(&candidate, Duration::from_secs(20)).await? {
//!     ClaimAnswer::Granted { term } => println!("we lead, with term {term}"),
//!     ClaimAnswer::Denied { leader, .. } => println!("{leader:?} leads"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # When not to use it
//!
//! - With Redis Cluster, or through a proxy that speaks Redis itself. A cluster is refused.
//! - With a server that evicts keys: with `maxmemory` and any policy but `noeviction`. It would
//!   drop leases and terms, so it is refused.
//! - Where two leaders do harm, with replicas that take over (Sentinel, and most of what is
//!   hosted). Replication is asynchronous: an acknowledged grant can be lost. The hold-off covers
//!   the usual fail-over, but not a server that was cut off and goes on granting, nor clocks of two
//!   servers that differ.
//!
//! # How time is told
//!
//! By the server's wall clock ([`Judge::Server`](tenure_core::Judge)): it takes the time once for
//! each script, to the millisecond. If that clock is stepped forward, leases end that much too
//! early, and two may lead for that long: give `store_slack` in the configuration of the trackers
//! as much as it may be stepped, or have it slewed. It is 0 unless set (the command `tenure` has
//! one second, or a quarter of a shorter guarantee). If it is stepped backward, leases last that
//! much longer.
//!
//! # A server that forgets
//!
//! A server that is killed forgets its last second or two (`appendfsync everysec`), all since its
//! last snapshot, or everything. Then it may not know who leads, while that one still believes
//! it. So after a restart nobody is granted a free service before a lease has passed
//! ([`HoldOff`]): the longest that the service was ever granted, as far as the server knows, and at
//! least the one that is asked for. Who holds a lease that the server remembers renews it
//! meanwhile. A claim that is held off is denied without a leader, with the time that is left, and
//! a warning in the log says why; [`held_off`](RedisClaimer::held_off) says it to a program. No
//! client has to remember anything for this:
//!
//! - A server's run has an id, `run_id`. Each service keeps the run that it has last met, and when
//!   it first met it. With another run, a restart or a replica that was promoted, a lease is waited
//!   out from then on.
//! - A service that the server does not know is new, or was forgotten. For it a lease is waited out
//!   from when the server started (`uptime_in_seconds`; up to a second longer), or, if it was a
//!   replica, from when it was connected to: when it was promoted cannot be asked. If it has lost
//!   its marker as well (below), that is from the first claim.
//!
//! The run's id needs `INFO`, and `CONFIG GET` to see whether the server forgets at all; where
//! `CONFIG` is not allowed, it is taken for one that does. Both are asked for when a connection is
//! made: change such settings only together with a restart.
//!
//! The longest lease is never forgotten by itself. After one that was far too long, set the field
//! `longest_ms` (below) to what is usual.
//!
//! # A store that is wiped
//!
//! `FLUSHALL`, `FLUSHDB` or `SWAPDB` take everything, at any time and of any server. One key marks
//! the whole store, `tenure:marker`. The first claim that does not find it makes it, and from then
//! on a lease is waited out for each service. So **a wiped store has no second leader while the
//! first believes that it leads**; whoever led is denied at its next renewal, and steps down. The
//! next term is above all earlier ones, as far as the clock is right.
//!
//! - **The very first claim on a new store waits for a lease as well**: the store could be a wiped
//!   one. Where it is known to be new, `HSET tenure:marker schema 1 since_ms 0` says so.
//! - A service that is new in a store that is marked is granted at once, if the marker is older
//!   than the lease that is asked for.
//! - The marker knows the services, and a service's fence knows when its lease ends. So it is
//!   noticed as well when single keys are deleted, and what may be left of the lease is waited out.
//! - How long the leases were that a wiped store had granted, nobody knows: it is waited for as
//!   long as the longest that is asked for since. So **the candidates of one service need the same
//!   guarantee**.
//!
//! What puts older keys back in place of newer ones, as a restore from a backup does, or a second
//! `SWAPDB`, cannot be told from here. Have such a server stay stopped for a lease, or delete
//! `tenure:marker` in it before any candidate comes to it.
//!
//! # Terms
//!
//! The term rises by one with each new holder, and to the server's time in milliseconds since 1970
//! if that is more. So a server that has forgotten terms goes on above them, provided that its
//! clock is not behind and that it had not granted more than one each millisecond. It ends at
//! 2^63 - 1.
//!
//! # What is not promised
//!
//! - What needs a lease that a server has forgotten and a clock of it that is wrong.
//! - Anything where somebody changes the keys, puts older ones back, or says of a store that it is
//!   new (`since_ms 0`) that is not.
//! - Fairness among those who claim at once.
//!
//! # Waiting
//!
//! Every grant, renewal and release is published with how long the lease lasts. Who waits listens,
//! on a connection of its own, and so asks the server once when it begins, and again only when the
//! leader was silent for a whole lease; and once in a [heartbeat](RedisOptions::heartbeat) in which
//! it heard nothing, 30 seconds unless set otherwise.
//!
//! # Several servers
//!
//! Name all that may be the primary. They are tried in turn, beginning with the one that did last,
//! within one time limit. A replica is passed over; one that becomes a replica in the middle of a
//! call makes it Unknown, and the next call asks another. Sentinels cannot be asked where the
//! primary is.
//!
//! # Credentials and TLS
//!
//! A user of the access control list, or the password of the default user. The user needs
//! `~tenure:* &tenure:* +info +config|get +time +eval +evalsha +get +set +del +pexpire +pttl
//! +exists +hget +hset +hmget +hincrby +publish +subscribe`; [`check`](RedisClaimer::check) says
//! what is missing. Whoever only looks needs less. Without `config|get` the server is taken for one
//! that forgets.
//!
//! With `rediss://`, TLS 1.2 and 1.3 by `rustls`: [`RedisOptions::tls`]. The files of certificates
//! are looked at before each connection, and read again if they have changed; while they make no
//! sense, those that were read before stay in use.
//!
//! # Errors
//!
//! What a call can fail with. The source of a [`ClaimerError`](tenure_core::ClaimerError) is a
//! [`StoreError`].
//!
//! | cause | [`StoreError`] | outcome |
//! | --- | --- | --- |
//! | no connection, or one that broke | `Io` | Unknown |
//! | it hangs up before it has said anything, as one does that expects TLS | `Hung` | Unknown |
//! | no answer in time; there is none to TLS either, where it speaks none | `TimedOut` | Unknown |
//! | the server loads its data (`LOADING`) | `Loading` | Unknown |
//! | it is a replica (`READONLY`) | `Replica` | Unknown |
//! | no memory, a failing disk, a hanging script (`OOM`, `MISCONF`, `BUSY`) | `Server` | Unknown |
//! | too few replicas (`NOREPLICAS`), too many clients, all else it says | `Server` | Unknown |
//! | credentials: wrong or missing (`WRONGPASS`, `NOAUTH`) | `Authentication` | Unknown |
//! | the user lacks a permission (`NOPERM`); protected mode (`DENIED`) | `Permission` | Unknown |
//! | the user may not call `INFO` | `NoInfo` | Unknown |
//! | a cluster (`MOVED`, `ASK`, `CLUSTERDOWN`, `CROSSSLOT`) | `Cluster` | Unknown |
//! | a Sentinel | `Sentinel` | Unknown |
//! | no such database | `NoDatabase` | Unknown |
//! | a server that evicts keys | `Evicting` | Unknown |
//! | what answers is no Redis | `NotRedis` | Unknown |
//! | a certificate that is not good, on either side | `Tls` | Unknown |
//! | the certificates that were named cannot be used | `TlsOptions` | Unknown |
//! | a command is unknown to it | `Unsupported` | Unknown |
//! | a key of that name is somebody else's (`WRONGTYPE`) | `Foreign` | Unknown |
//! | a key of ours makes no sense | `Damaged` | Unknown |
//! | the keys are of a later version of this crate | `NewerSchema` | Fatal |
//! | the term is at its end | `TermExhausted` | Fatal |
//! | a lease of more than 2^52 ms | `LeaseTooLong` | Fatal |
//! | a reply that announces more than one may have | `TooLong`, `TooManyValues` | Unknown |
//! | none of several servers would do | `Unreachable` | Unknown |
//!
//! Fatal is what cannot change while this process runs: a lease that the server cannot count, keys
//! of a later version's, and a term at its end.
//! Whatever somebody can mend, in the server, the network or a file, is Unknown, with its cause: a
//! leader keeps the lease that it has, and renews it if that is mended in time.
//! [`needs_operator`](StoreError::needs_operator) says which those are.
//!
//! A server that sends without end costs a call at most its time limit and a few megabytes: an
//! answer has 1 MiB and 16,384 values at most, also one to
//! [`guarded_eval`](RedisClaimer::guarded_eval), and what comes to a wait within a second has 1
//! MiB. What goes beyond is Unknown.
//!
//! What is Unknown may have taken effect or not; what is Fatal has not. A claim is sent once. Only
//! if the server says that it does not know the script (`NOSCRIPT`), and so has done nothing, the
//! script is sent in full.
//!
//! # The keys
//!
//! Of each service, with the prefix `tenure:` unless another is set:
//!
//! - `tenure:lease:{service}`: a string that expires with the lease. The nonce in hexadecimal
//!   digits, a space, the unit.
//! - `tenure:fence:{service}`: a hash that never expires. `schema` (1), `term`, `longest_ms`;
//!   `until_ms`, when the lease is over, 0 once it was released; `marker_ms`, the marker that was
//!   met last; since when it is held off and why, `since_ms` and `why`; on a server that may
//!   forget, `run`.
//! - `tenure:changed:0:{service}`: the channel, with the database's number. How many milliseconds
//!   the lease lasts; 0 after a release.
//!
//! Of the store as a whole:
//!
//! - `tenure:marker`: a hash that never expires. `schema` (1), `since_ms`, when it was made, and a
//!   field for each fence, by its name.
//!
//! Tested with Redis 7.0 and Valkey 9.1.
#![forbid(unsafe_code)]

mod claimer;
mod error;
mod facts;
mod guarded;
mod held_off;
mod options;
mod reply;
mod scan;
mod scripts;
mod session;
mod store;
mod waiting;
mod wire;

pub use claimer::RedisClaimer;
pub use error::StoreError;
pub use guarded::Guarded;
pub use held_off::{HeldOff, HeldOffCause};
pub use options::{HoldOff, RedisOptions};
pub use redis::Value;

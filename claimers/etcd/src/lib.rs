//! A lease store in etcd for Tenure: for processes on many machines.
//!
//! [`EtcdClaimer`] implements [`Claimer`](tenure_core::Claimer), on any runtime and on none.
//!
//! ```no_run
//! use std::time::Duration;
//! use tenure_core::{Candidate, ClaimAnswer, Claimer};
//! use tenure_etcd::EtcdOptions;
//!
//! # futures_lite::future::block_on(async {
//! let claimer = EtcdOptions::from_url("etcd://etcd-0,etcd-1,etcd-2/jobs")?.open();
//! claimer.check().await?;
//! let candidate = Candidate {
//!     service: "web".parse()?,
//!     unit: "web/0".parse()?,
//!     nonce: tenure_runtime::fresh_nonce(),
//! };
//! match claimer.claim(&candidate, Duration::from_secs(60)).await? {
//!     ClaimAnswer::Granted { term } => println!("it leads in term {term}"),
//!     ClaimAnswer::Denied { .. } => claimer.released(&candidate.service).await?,
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # });
//! ```
//!
//! # When not to use it
//!
//! - For guarantees of about a second. etcd counts leases in whole seconds, grants none under two
//!   with its default timing, and gives an expired one up as much as half a second late.
//! - Where a process may be paused between its check and its act, and what it acts on cannot tell.
//!   No lease helps there. What is written to the same etcd can be guarded by the term:
//!   [`put_guarded`](EtcdClaimer::put_guarded).
//! - With a cluster of one member, unless a restart of its machine may cost a leader. With three,
//!   one may die.
//! - Through `etcd grpc-proxy`, or with `--enable-grpc-gateway=false`: it speaks to the members'
//!   own JSON gateway.
//!
//! # How time is told
//!
//! Expiry is judged by the monotonic clock of the cluster's leader. A new leader counts every lease
//! from its start again, so after a fail-over a crashed holder's lease may last twice as long.
//!
//! **No lease is ever renewed.** Each claim has etcd grant another lease, and then puts the
//! service's key under it, in one transaction which compares what it has seen; a renewal is
//! nothing else. So etcd counts each lease from a moment that is not before the call, and never
//! has to be believed about a keep-alive. That matters. Keep-alives are no part of etcd's
//! consensus: a leader that hangs on its disk, and has not noticed that another was elected,
//! answers them, and revokes leases that the new leader has renewed ([etcd#15247], before 3.4.31
//! and 3.5.13); a keep-alive may succeed on a lease that is revoked already ([etcd#20616], before
//! 3.4.38, 3.5.23 and 3.6.5). A lease that was only granted can be revoked by no member before its
//! time; and when it is revoked late, the key is under another. The price of a renewal is two
//! writes, and a third by which etcd gives up the old lease.
//!
//! [etcd#15247]: https://github.com/etcd-io/etcd/issues/15247
//! [etcd#20616]: https://github.com/etcd-io/etcd/issues/20616
//!
//! # Terms
//!
//! The term is the revision at which the service's key was created. Revisions count all changes in
//! the cluster: they rise with every new holder, and survive releases, expiries and restarts. They
//! end after 2^63 changes, which nobody will see.
//!
//! # What is not promised
//!
//! - **A cluster that loses its data forgets its leases**: restored from a backup, or made anew.
//!   Its terms start over. A claimer that had seen a higher revision ends
//!   ([`StoreError::Reverted`]), and one that is answered by another cluster than before takes
//!   nothing from it ([`StoreError::OtherCluster`]): it waits for its own, or to be started anew.
//!   One that was started later cannot know. Stop all candidates first, or wait for a lease.
//! - etcd must sync its log (it does, without `--unsafe-no-fsync`).
//! - Fairness among those who claim at once.
//!
//! # Waiting
//!
//! Who waits looks at the key, and then has etcd watch it, over a connection of its own. Renewals
//! are told as well as the release, so a wait asks nothing as long as the lease is renewed. It
//! looks again if nothing was heard until the lease must be over, or for a
//! [heartbeat](EtcdOptions::heartbeat), which is 30 seconds unless set otherwise: so a dead
//! connection is noticed, and a lease longer than that costs a look each. A member that has lost
//! its leader ends the watch, and the wait goes on at another.
//!
//! # Endpoints, and what is tried again
//!
//! Every call begins with a read. It is made at the endpoint that did last; if that fails, or
//! takes more than its share of the [time limit](EtcdOptions::time_limit), at the next one. What
//! follows goes over the same connection, and is asked once: whatever is not answered is Unknown.
//! (Only what etcd refuses because of an expired token, and so has not done, is asked again with a
//! new one.) After a call that failed, or was cancelled, the next one begins with another
//! endpoint.
//!
//! A claim is three requests: a look, a grant of a lease, and the transaction; one that is denied
//! is a look alone, and says for how long the lease was granted, not what is left of it.
//! Leases that no key is under any more, of earlier
//! claims or of calls that were cancelled or lost a race, run out by themselves: a service has
//! some three.
//!
//! # Errors
//!
//! The source of a [`ClaimerError`](tenure_core::ClaimerError) is a [`StoreError`]. What an
//! endpoint alone is to blame for is in an `Away`, with what came of the others that were tried.
//!
//! | cause | [`StoreError`] | outcome |
//! | --- | --- | --- |
//! | nobody listens, the connection breaks, the name is not known | `Connection` | Unknown |
//! | a server that wants TLS, or none, and just closes (etcd does) | `Connection` | Unknown |
//! | no answer within the time limit | `TimedOut` | Unknown |
//! | no leader, another leader, too many requests, whatever else etcd says | `Refused` | Unknown |
//! | the quota is used up (`NOSPACE`) | `Full` | Unknown |
//! | etcd's gateway is off (`--enable-grpc-gateway=false`) | `NoGateway` | Unknown |
//! | users log in, and the client's certificate has a CN | `CommonName` | Unknown |
//! | the gateway does not reach its own member: see below | `GatewayCut` | Unknown |
//! | the key changed meanwhile, and nobody else has it | `Raced` | Unknown |
//! | a lease shorter than was asked for | `ShortLease` | Unknown |
//! | a certificate that is refused, by either side | `Tls` | Unknown |
//! | an answer that is not etcd's, or not HTTP | `NotEtcd` | Unknown |
//! | etcd before 3.4 (only [`check`](EtcdClaimer::check) asks) | `TooOld` | Unknown |
//! | no or a wrong user or password, or one where authentication is off | `Login` | Unknown |
//! | no permission for the key | `Forbidden` | Unknown |
//! | a key with something else in it, or without a lease | `Foreign` | Unknown |
//! | a key of a later version's | `NewerSchema` | Fatal |
//! | a lease of more than 9,000,000,000 seconds | `LeaseTooLong` | Fatal |
//! | a member of another cluster | `OtherCluster` | Unknown |
//! | revisions that go back | `Reverted` | Fatal |
//!
//! Fatal is what cannot change while this process runs: a lease that etcd cannot count, a key of a
//! later version's, and data that etcd has lost, which nobody could tell any more once its
//! revisions have caught up.
//! Whatever somebody can mend, in the server, the network or a file, is Unknown, with its cause: a
//! leader keeps the lease that it has, and renews it if that is mended in time.
//! [`needs_operator`](StoreError::needs_operator) says which those are.
//!
//! A server that sends without end costs a call at most its time limit and a few megabytes: an
//! answer has 128 KiB at most, and so has what comes to a wait within a second. What goes beyond is
//! Unknown.
//!
//! What is Unknown may have taken effect or not; what is Fatal has not.
//!
//! # In etcd
//!
//! One key for each service that is led, `<prefix>/lease/<service>`, gone when it is not. Its value
//! is JSON: `{"tenure":1,"unit":"web/0","nonce":"<32 digits>","lease_s":60}`, where `tenure` is the
//! version of this layout. Tenure touches nothing else.
//!
//! Each renewal is a change of the key, and etcd keeps old ones until it is compacted: turn on
//! `--auto-compaction-retention`, as any cluster should that is written to.
//!
//! # Users and certificates
//!
//! With etcd's authentication enabled, the user needs to read and write the range that begins with
//! `<prefix>/lease/`: `etcdctl role grant-permission leases readwrite --prefix=true
//! /tenure/lease/`. The name in a client's certificate is not taken for a user: etcd's gateway
//! does not do that, and refuses a certificate that has a common name (CN) once authentication is
//! enabled. So give a certificate without one, and user and password.
//!
//! The gateway is a client of its own member, and shows it that member's certificate. So where etcd
//! wants certificates (`--client-cert-auth`), that of `--cert-file` has to be good for a client as
//! well: if it names extended key usages, `serverAuth` and `clientAuth`. Otherwise nothing but
//! `GatewayCut` comes of it.
//!
//! The files of certificates are looked at before each connection, and read again if they have
//! changed: see [`Tls`].
//!
//! # Versions of etcd
//!
//! 3.4 and later. It was tested with 3.4.23 and 3.5.1.
//!
//! # Why the JSON gateway
//!
//! The gRPC clients for Rust want `protoc` for their build and a Tokio reactor where they run. The
//! gateway wants HTTP: here it is spoken by `hyper` inside of each call, and nothing is spawned.
//! (Of Tokio, `hyper` takes a channel, and no runtime.)
#![forbid(unsafe_code)]

mod check;
mod claimer;
mod error;
mod guard;
mod holding;
mod http;
mod lease;
mod options;
mod store;
mod watch;
mod wire;

pub use claimer::EtcdClaimer;
pub use error::StoreError;
pub use guard::{Fence, GuardedWrite};
pub use options::EtcdOptions;
pub use tenure_net::{Attempt, Attempts, Endpoint, Tls, TlsError, TlsOptions, UrlError};

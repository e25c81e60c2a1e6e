//! A lease store in a Postgres table for Tenure: for the processes of many hosts.
//!
//! One table, one row for each service, on a server that you have anyway. [`PostgresClaimer`]
//! implements [`Claimer`](tenure_core::Claimer). It is asynchronous on `async-io`: there is no
//! runtime of tokio's, no task and no thread behind it.
//!
//! ```no_run
//! use std::time::Duration;
//! use futures_lite::future::block_on;
//! use tenure_core::{Candidate, ClaimAnswer, Claimer};
//! use tenure_postgres::PostgresOptions;
//!
//! let claimer = PostgresOptions::from_url("postgres://tenure:secret@db/jobs")?.open();
//! let candidate = Candidate {
//!     service: "mysql".parse()?,
//!     unit: "mysql/0".parse()?,
//!     nonce: tenure_runtime::fresh_nonce(),
//! };
//! block_on(async {
//!     claimer.check().await?;
//!     let answer = claimer.claim(&candidate, Duration::from_secs(20)).await?;
//!     assert!(matches!(answer, ClaimAnswer::Granted { .. }));
//!     claimer.release(&candidate).await
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When not to use it
//!
//! - With an asynchronous standby that may be promoted. What it has not received is lost with the
//!   primary, grants included, and two may lead. Only where every standby that may be promoted has
//!   to acknowledge a commit (`synchronous_standby_names`) does a fail-over lose nothing.
//! - On a server with `fsync = off`: a crash of its host forgets grants. It is warned of by
//!   `tracing`, once.
//! - Where the server's clock is not looked after: it alone says when a lease is over.
//! - For one host: `tenure-sqlite` needs no server.
//!
//! # How time is told
//!
//! By the wall clock of the server, to the microsecond, rounded up. A claim is one transaction. If
//! it had to wait for another claim, it goes by the row and by the clock as they are after the
//! wait. One that is denied locks nothing and writes nothing. No clock of a client is ever read.
//!
//! A step of the server's clock forward ends leases by as much too early, and two may lead for that
//! long: put the largest that you reckon with into the tracker's `store_slack`, which is 0 unless
//! set (the command `tenure` has one second, or a quarter of a shorter guarantee). A step backward
//! makes leases longer. After a fail-over the new primary's clock goes on where the old one's left
//! off: the difference between the two is such a step.
//!
//! # Terms
//!
//! A service has one row, which is never deleted; its term rises by one with every new holder, up
//! to 2^63 - 1. A grant is told only when the server is ready for the next question: then its
//! commit is on disk, and with the standbys that the server waits for. `synchronous_commit` is at
//! least `on` for each claim, whatever the server or the user has set; `remote_write` and
//! `remote_apply` stay as they are.
//!
//! A commit that an administrator told not to wait any longer for a standby is a success with a
//! warning, and visible to all, and may yet be lost. It is Unknown. What else a server warns of
//! (transaction ids that run out, say) is logged at the level `debug`, and changes nothing. Texts
//! are translated and codes are shared, so the two are told apart by the place in the server's
//! source that each warning names. A warning that names none is Unknown, too.
//!
//! # What is not promised
//!
//! - A table that is dropped, emptied or restored from a backup has forgotten its leases. Stop all
//!   candidates first, or wait for a lease. A claimer that has seen its table makes no new one.
//! - Fairness among those who claim at once.
//!
//! # Waiting
//!
//! Every grant, renewal and release notifies (`LISTEN`, `NOTIFY`). So who waits is told of a
//! release within about a millisecond, knows of each renewal how long the lease lasts from then
//! on, and asks nothing meanwhile. It looks when the leader was silent for a whole lease, for one
//! that crashed notifies nobody, and when it has heard nothing for a
//! [heartbeat](PostgresOptions::heartbeat).
//!
//! A server whose queue of notifications is full refuses every transaction that notifies: until
//! the session that holds the queue up, often another application's, ends its transaction
//! (`pg_notification_queue_usage()` tells how full it is). A claim or release that was refused so,
//! or because the user may not call `pg_notify`, has had no effect, and is made once more without
//! its notification; `tracing` warns of it once. Candidates that wait then look once a lease, and
//! learn of a release when the lease that they know of would have been over, or at the heartbeat.
//!
//! # Connections
//!
//! A call takes a connection that is idle, or makes one, and gives it back when it has ended in
//! order; a call that failed or was cancelled closes its connection. A leader has one, one who
//! waits has one or two. Before an idle connection is used it is looked at whether the server has
//! closed it; after something was sent, nothing is sent again.
//!
//! With several servers, each is tried in turn, beginning with the one that did last, all within
//! the [time limit](PostgresOptions::time_limit). One that is in recovery, or takes no writes for
//! another reason, is passed over.
//!
//! A name may have several addresses. One that does not answer has a quarter of a second before the
//! next is tried beside it; one that failed, or never let us in, comes last the next time, and the
//! one that worked last comes first.
//!
//! All that is asked is one message of the simple protocol each, which brings its settings along,
//! so a pooler may pool transactions (PgBouncer's `pool_mode = transaction`). Notifications need a
//! session: behind such a pooler nobody is told, and a heartbeat of a second or so takes their
//! place. (In the pooler's sessions it still listens who once did; PgBouncer logs a warning of what
//! such a session is told while it is nobody's.)
//!
//! # Credentials and TLS
//!
//! [`PostgresOptions`] has the user, the password and the certificates; the environment's `PGUSER`
//! and `PGPASSWORD` are what is used without. SCRAM-SHA-256 (without channel binding), MD5, clear
//! text and certificates are known. With TLS, the server's certificate and its name are always
//! verified. The files of certificates are looked at before each connection, and read again if they
//! have changed; while they make no sense, those that were read before stay in use.
//!
//! # Guarded writes
//!
//! A process that stands still between the check and the act acts late. Where what a leader writes
//! is in the same database, [`guard_sql`](PostgresClaimer::guard_sql) makes that impossible, and
//! lets the leader renew meanwhile.
//!
//! # Errors
//!
//! The source of a [`ClaimerError`](tenure_core::ClaimerError) is a [`StoreError`].
//!
//! | cause | SQLSTATE | [`StoreError`] | outcome |
//! | --- | --- | --- | --- |
//! | nobody listens there, no such host, no route | | `Away` | Unknown |
//! | the connection broke before the answer had come | | `Lost` | Unknown |
//! | no answer within the time limit | | `TimedOut` | Unknown |
//! | a lock not got in time, a deadlock, a conflict | 55P03, 57014, 40xxx | `Busy` | Unknown |
//! | no space left | 53100 | `Full` | Unknown |
//! | a standby, or `default_transaction_read_only` | 25006 | `ReadOnly` | Unknown |
//! | shutdown, start, too many connections, the rest | 57P0x, 53300, .. | `Server` | Unknown |
//! | a commit was told to wait for its standby no more | 01000 | `Unacknowledged` | Unknown |
//! | a wrong or missing password, no rule that fits | 28P01, 28000 | `Authentication` | Unknown |
//! | no such database, or schema | 3D000, 3F000 | `NoDatabase` | Unknown |
//! | the user may not make the table, or not use it | 42501 | `Permission` | Unknown |
//! | the table is not ours, or lacks a column or key | 42703, 42804, .. | `NotOurs` | Unknown |
//! | the table is a later version's | | `NewerSchema` | Fatal |
//! | the table is gone | 42P01 | `Dropped` | Unknown |
//! | the term is at its end (2^63 - 1) | 22003 | `TermExhausted` | Fatal |
//! | a lease of more than 100,000 years | | `LeaseTooLong` | Fatal |
//! | TLS was asked for, and the server speaks none | | `NoTls` | Unknown |
//! | a certificate is not good | | `Tls` | Unknown |
//! | the files of certificates cannot be used | | `TlsSetup` | Unknown |
//! | another kind of server | | `NotPostgres` | Unknown (1) |
//! | a server before version 13 | | `TooOld` | Unknown |
//! | an answer that makes no sense | | `Unexpected` | Unknown |
//! | several servers, and none would do | | `NoServer` | Fatal if it is for each |
//!
//! (1) If it answers. One that waits for more, as Redis does, is `TimedOut`.
//!
//! Fatal is what cannot change while this process runs: a lease that the server cannot count, a
//! table of a later version's, and a term at its end.
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
//! # The table
//!
//! `tenure_lease`, unless [named otherwise](PostgresOptions::table), on the user's `search_path`.
//! It is made by the first claim, for which the user needs `CREATE` in its schema; or by hand, as
//! [`schema_sql`](PostgresOptions::schema_sql) has it. Who claims needs `SELECT`, `INSERT` and
//! `UPDATE` then, and who looks needs `SELECT`.
//!
//! | column | what |
//! | --- | --- |
//! | `service` | what is led; the primary key |
//! | `unit`, `nonce` | who holds it: a name, and 16 bytes |
//! | `term` | the fencing number |
//! | `expires_at` | when the lease is over; 1970 once released |
//!
//! `(service, term)` is a unique key besides: so Postgres tells a change of the term, for which
//! guards are locks, from a renewal.
//!
//! Its comment is `Tenure's leases, schema 1`: the version is on the table itself, so that it needs
//! no second one, and goes where the table goes. A table without that comment is not touched.
//!
//! Postgres 13 and later. Tested with 15, also through PgBouncer 1.18.
#![forbid(unsafe_code)]

mod claimer;
mod error;
mod options;
mod session;
mod sql;
mod store;
mod table;
mod wire;

pub use claimer::PostgresClaimer;
pub use error::StoreError;
pub use options::PostgresOptions;
pub use table::{TableName, TableNameError};
pub use tenure_net::{Endpoint, TlsOptions, UrlError};

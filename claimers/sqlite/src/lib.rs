//! A lease store in a SQLite file for Tenure: for the processes of one host.
//!
//! One file, any number of processes, no server. [`SqliteClaimer`] implements
//! [`BlockingClaimer`](tenure_core::BlockingClaimer); SQLite itself comes with the crate.
//!
//! ```
//! use std::time::Duration;
//! use tenure_core::{BlockingClaimer, Candidate, ClaimAnswer};
//! use tenure_sqlite::SqliteClaimer;
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("leases.db");
//! let claimer = SqliteClaimer::open(path)?;
//! let [first, second] = ["mysql/0", "mysql/1"].map(|unit| Candidate {
//!     service: "mysql".parse().unwrap(),
//!     unit: unit.parse().unwrap(),
//!     nonce: tenure_runtime::fresh_nonce(),
//! });
//! let lease = Duration::from_secs(20);
//! assert!(matches!(claimer.claim(&first, lease)?, ClaimAnswer::Granted { .. }));
//! assert!(matches!(claimer.claim(&second, lease)?, ClaimAnswer::Denied { .. }));
//! claimer.release(&first)?;
//! assert!(matches!(claimer.claim(&second, lease)?, ClaimAnswer::Granted { .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When not to use it
//!
//! - Across machines. Each has its own clock, and would take the leases of the others for dead.
//!   NFS, SMB, 9p, Ceph, FUSE (virtiofs, sshfs) and their like are refused on Linux, where they can
//!   be told; elsewhere nothing stops you.
//! - For one file through two mounts that are not the same directory. SQLite's log is beside the
//!   file, so mount the directory, not the file, into a container. A file with hard links, or
//!   mounted alone, is refused.
//! - On anything but Unix.
//!
//! # How time is told
//!
//! Expiry is judged by the clock that counts from the boot of the host, suspended time included:
//! [`BootClock`](tenure_runtime::BootClock). It is read once for each claim, after the write lock
//! was got, and rounded up to the next millisecond, so a grant lasts at least as long as was asked.
//! Stepping the wall clock changes nothing. On Linux, the shift of a time namespace is taken out;
//! where that cannot be read, the store is not opened.
//!
//! While the kernel runs, that clock only goes forward. So a lease that was granted later than now
//! (by more than 100 ms) is of another boot: its holder is dead, and the lease is free. Any other
//! may be of this boot, and lasts as it says. After a reboot a lease can then seem to be held, for
//! its own length at most. No lease is ever said to last longer than it was granted for.
//!
//! No lease is judged by the id of a boot. The containers of one kernel may each have one of their
//! own, bind-mounted over the kernel's, and one may stay the same over a reboot. It is stored
//! beside each expiry, for the sake of terms. On Linux and Android it is the kernel's `boot_id`.
//! Elsewhere there is none to read without unsafe code, and it is empty.
//!
//! # Terms
//!
//! A service has one row, which is never deleted; its term rises by one with every new holder. The
//! log is not synced at every commit (`synchronous=NORMAL`), so a crash of the host may lose the
//! last ones: their holders are dead, but what they wrote to may have seen their terms. So the
//! first holder after a reboot skips 2^20 terms, and so does one whose boot id is another than the
//! last holder's, as between two containers that have their own. The first grant of a service is
//! synced before it is an answer: to lose that would be to begin anew. A crash of a process loses
//! nothing.
//!
//! Where neither the id nor the clock tells of a crash of the host, the terms that it lost come
//! again: the id stayed the same, or there is none, and the host has been up for longer than it had
//! been when what is left was written.
//!
//! # What is not promised
//!
//! - **A store that is deleted or replaced while it is in use forgets its leases**, as any store
//!   does that is restored from a backup. Every call compares the files that it has open with those
//!   at the path, under the write lock, so nobody is granted or renewed on a file that others
//!   cannot find. But a leader goes on believing until its lease is over or its next renewal
//!   fails, and a process that makes the store anew knows nothing of it. Stop them all first, or
//!   wait for a lease. A store that is gone while its log is still there is not made anew.
//! - A backup needs the log as well: use SQLite's own `.backup`.
//! - Fairness among those who claim at once.
//!
//! # Waiting
//!
//! Who waits for a release is told by the kernel (inotify), well within a millisecond of it. One
//! thread and one inotify descriptor watch a file, however many wait for it in a process; both go
//! when the last one has been told or cancelled. Other systems, and a user whose inotify instances
//! are used up, look at the file every 50 ms. Besides, each waiter sleeps until the lease expires
//! at most, and looks once in a [heartbeat](SqliteOptions::heartbeat), which is a second unless set
//! otherwise, in case that nothing told it: timers stand still while the machine is suspended.
//!
//! # Guarded writes
//!
//! A process that stands still between the check and the act acts late. Where what a leader writes
//! is in a SQLite file too, [`guard_sql`] makes that impossible.
//!
//! # Errors
//!
//! What a call on an open store can fail with. The source of a
//! [`ClaimerError`](tenure_core::ClaimerError) is a [`StoreError`].
//!
//! | cause | [`StoreError`] | outcome |
//! | --- | --- | --- |
//! | somebody holds the write lock for the whole busy timeout | `Busy` | Unknown |
//! | no space left | `Full` | Unknown |
//! | the disk fails, descriptors or memory run out, no permission | `Sqlite`, `Io` | Unknown (1) |
//! | the file system has turned read-only | `ReadOnly` | Unknown (1) |
//! | the store cannot be opened again, by what passes or can be mended | `Reopen` | Unknown |
//! | the store cannot be opened again: it is not ours, or a later version's | `Reopen` | Fatal |
//! | the store cannot be opened again: its log or index is another user's | `Reopen` | Fatal (2) |
//! | the path of the store, its log or its index leads to nothing | `Deleted` | Fatal |
//! | the path of the store, its log or its index leads to another file | `Replaced` | Fatal |
//! | the content makes no sense | `Damaged` | Fatal |
//! | the term is at its end (2^63 - 1) | `TermExhausted` | Fatal |
//! | a claim or a release on a store opened for looking | `LookingOnly` | Fatal |
//!
//! (1) The next call has a new connection, or says why there is none.
//!
//! (2) It does not change by itself: a process that was killed leaves both files. To open a store
//! for claiming looks at that too. In a sticky directory like `/tmp` it can happen to any two
//! users, whatever the permissions, by Linux's `fs.protected_regular`. The error names the file,
//! its owner, and what to do.
//!
//! What is Unknown may have taken effect or not; what is Fatal has not. [`OpenError`] says why a
//! store could not be opened. Then nothing was created, and what is at the path was not changed.
//!
//! # The file
//!
//! SQLite 3 with `application_id` 0x54454E55 and `user_version` 1, in WAL mode, so that there are
//! `-wal` and `-shm` files beside it while it is open. They stay when the last process that has it
//! open is killed, or the last two close it at one instant: whoever opens it next finds all in
//! order, and takes them away. The file has the permissions that the umask gives; who claims needs
//! to write to it and to its directory. There is one table:
//!
//! | column of `lease` | what |
//! | --- | --- |
//! | `service`, `unit`, `nonce` | what is led, and by whom: names, and 16 bytes |
//! | `term` | the fencing number |
//! | `boot` | the boot that the times are of |
//! | `written_ms`, `expires_ms` | milliseconds since that boot; `expires_ms` is 0 once released |
#![forbid(unsafe_code)]

#[cfg(not(unix))]
compile_error!(
    "tenure-sqlite needs a clock that all the processes of the host share and that counts \
     suspended time, and file identities: it has them on Unix only"
);

mod access;
mod bell;
mod claimer;
mod database;
mod error;
mod file;
mod guard;
mod host;
mod lease;
mod options;
mod slot;
mod store;
#[cfg(test)]
mod tests;
mod watch;

pub use claimer::SqliteClaimer;
pub use error::{OpenError, StoreError};
pub use guard::guard_sql;
pub use options::{Access, SqliteOptions, Watch};

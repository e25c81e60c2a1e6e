//! A lease store in memory for Tenure: for tests, and for the threads of one process.
//!
//! [`MemoryStore`] honours the whole of the claimers' contract, through both of its traits:
//! [`Claimer`](tenure_core::Claimer) and [`BlockingClaimer`](tenure_core::BlockingClaimer). All
//! clones of a store are one store, so a test gives each of its candidates a clone:
//!
//! ```
//! use std::time::Duration;
//! use tenure_core::{BlockingClaimer, Candidate, ClaimAnswer, Term};
//! use tenure_memory::MemoryStore;
//! use tenure_runtime::fresh_nonce;
//!
//! let (store, other) = { let store = MemoryStore::new(); (store.clone(), store) };
//! let bid = |unit: &str| Candidate {
//!     service: "mysql".parse().unwrap(),
//!     unit: unit.parse().unwrap(),
//!     nonce: fresh_nonce(),
//! };
//! let lease = Duration::from_secs(60);
//! let answer = store.claim(&bid("mysql/0"), lease)?;
//! assert_eq!(answer, ClaimAnswer::Granted { term: Term::new(1) });
//! assert!(matches!(other.claim(&bid("mysql/1"), lease)?, ClaimAnswer::Denied { .. }));
//! # Ok::<(), tenure_core::ClaimerError>(())
//! ```
//!
//! # When not to use it
//!
//! Its leases die with the process. Between processes it elects nobody: there, use a store that
//! they share.
#![forbid(unsafe_code)]

mod asynchronous;
mod blocking;
mod leases;
mod store;

pub use store::MemoryStore;

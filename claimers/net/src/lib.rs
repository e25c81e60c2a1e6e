//! What the lease stores of Tenure that are reached over a network have in common.
//!
//! For whoever writes such a store; who uses one needs nothing of this. It is asynchronous on
//! [`async_io`], needs no executor, and spawns no task: everything happens inside the future that
//! is polled, and dropping that future closes what it had open. `async-io` has one thread for the
//! whole process; looking up a host's name, or at the files of certificates, takes a thread of
//! [`blocking`]'s pool for a moment, while an address without TLS needs none.
//!
//! - [`StoreUrl`] reads `scheme://user:password@host:port,host:port/path?option=value`, and never
//!   prints the password.
//! - [`Endpoints`] tries several servers in turn, within one time limit.
//! - [`connect`] gives a [`Stream`], plain or through [`Tls`], over the first of the addresses of a
//!   name that answers.
//! - [`Budget`] limits what a server may send, also one that never stops.
//! - [`Idle`] keeps the connections that nobody uses just now.
//! - [`within`] puts a limit on anything.
#![forbid(unsafe_code)]

mod address;
mod budget;
mod connect;
mod endpoint;
mod idle;
mod limit;
mod race;
mod tls;
mod url;

pub use budget::{Budget, TooMuch};
pub use connect::{Stream, connect};
pub use endpoint::{Attempt, Attempts, Endpoint, Endpoints};
pub use idle::Idle;
pub use limit::{TimedOut, before, within};
pub use tls::{Tls, TlsError, TlsOptions};
pub use url::{Secret, StoreUrl, UrlError};

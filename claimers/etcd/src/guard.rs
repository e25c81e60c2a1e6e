use serde_json::json;
use tenure_core::{ServiceName, Term};

use crate::error::StoreError;
use crate::http::Connection;
use crate::lease::still_held;
use crate::store::Store;
use crate::wire::encoded;

/// What a term looks like to etcd: for whoever makes transactions with a client of his own.
///
/// A transaction that compares the create revision of [`key`](Fence::key) with
/// [`create_revision`](Fence::create_revision), and writes only where they are equal, is refused
/// once the term is over: [`EtcdClaimer::put_guarded`](crate::EtcdClaimer::put_guarded) is one.
///
/// ```
/// use tenure_core::Term;
/// use tenure_etcd::EtcdOptions;
///
/// let claimer = EtcdOptions::from_url("etcd://localhost/jobs")?.open();
/// let fence = claimer.fence(&"web".parse()?, Term::new(42));
/// assert_eq!((fence.key(), fence.create_revision()), ("/jobs/lease/web", 42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Fence {
    key: String,
    create_revision: u64,
}

impl Fence {
    pub(crate) fn new(store: &Store, service: &ServiceName, term: Term) -> Fence {
        Fence { key: store.key(service), create_revision: term.number() }
    }

    /// The key of the service.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The create revision that the key has as long as the term lasts.
    pub fn create_revision(&self) -> u64 {
        self.create_revision
    }
}

/// What became of a guarded write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "it may have been refused"]
pub enum GuardedWrite {
    /// It was done: the term still stood.
    Done {
        /// etcd's revision of it.
        revision: i64,
    },
    /// It was not: the term is over.
    Refused,
}

impl Store {
    pub(crate) async fn put_guarded(
        &self,
        fence: &Fence,
        key: &[u8],
        value: &[u8],
    ) -> Result<GuardedWrite, StoreError> {
        let put = async {
            // It also finds an endpoint that answers, while nothing is at stake.
            let (mut connection, look) = self.look(&fence.key).await?;
            let stands = look.found.is_some_and(|found| {
                u64::try_from(found.create_revision) == Ok(fence.create_revision)
            });
            let written = match stands {
                false => GuardedWrite::Refused,
                true => {
                    let written = self.put_over(&mut connection, fence, key, value).await;
                    written.map_err(|error| error.at(&connection.endpoint))?
                }
            };
            self.idle.put(connection);
            Ok(written)
        };
        self.limited(put).await
    }

    async fn put_over(
        &self,
        connection: &mut Connection,
        fence: &Fence,
        key: &[u8],
        value: &[u8],
    ) -> Result<GuardedWrite, StoreError> {
        let put = json!({ "key": encoded(key), "value": encoded(value) });
        let txn = json!({
            "compare": [still_held(&fence.key, fence.create_revision)],
            "success": [{ "request_put": put }],
        });
        let txn = self.txn(connection, &txn).await?;
        Ok(match txn.succeeded {
            true => GuardedWrite::Done { revision: txn.header.revision },
            false => GuardedWrite::Refused,
        })
    }
}

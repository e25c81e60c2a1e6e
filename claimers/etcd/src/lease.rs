//! Claims, releases and looks: what is asked of the store.

use std::time::Duration;

use serde_json::{Value, json};
use tenure_core::{Candidate, ClaimAnswer, Leader, ServiceName};

use crate::error::StoreError;
use crate::holding::{Holding, term};
use crate::http::Connection;
use crate::store::{Look, Store};
use crate::wire::{Grant, KeyValue, TimeToLive, Txn, encoded};

/// The longest lease that etcd grants.
const LEASE_MAX_S: u64 = 9_000_000_000;

impl Store {
    pub(crate) async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, StoreError> {
        let lease_s = seconds(lease)?;
        let claim = async {
            let key = self.key(&candidate.service);
            let (mut connection, look) = self.look(&key).await?;
            let answer = self.claim_over(&mut connection, candidate, &key, lease_s, look).await;
            let answer = answer.map_err(|error| error.at(&connection.endpoint))?;
            self.idle.put(connection);
            Ok(answer)
        };
        self.limited(claim).await
    }

    /// Claims what looked like that a moment ago.
    async fn claim_over(
        &self,
        connection: &mut Connection,
        candidate: &Candidate,
        key: &str,
        lease_s: i64,
        look: Look,
    ) -> Result<ClaimAnswer, StoreError> {
        let Some(found) = look.found else {
            let unclaimed = json!({ "target": "CREATE", "create_revision": "0" });
            return self.take(connection, candidate, key, lease_s, unclaimed, None).await;
        };
        let holding = Holding::parse(key, &found)?;
        if !holding.is_of(candidate) {
            return Ok(denied(holding));
        }
        let mut lease_s = lease_s;
        if lease_s < holding.lease_s {
            // A renewal never shortens. Who was never told how much is left takes all of it.
            let remaining_s = self.remaining_s(connection, &holding).await?;
            lease_s = lease_s.max(if remaining_s < 0 { holding.lease_s } else { remaining_s + 1 });
        }
        let revision = holding.mod_revision.to_string();
        let unchanged = json!({ "target": "MOD", "mod_revision": revision });
        self.take(connection, candidate, key, lease_s, unchanged, Some(holding)).await
    }

    /// Puts the key under a lease of its own, if `condition` still holds for it.
    ///
    /// No lease is ever renewed. Each claim has another one, and etcd counts it from a moment that
    /// is not before the claim; the one before it runs out, with no key under it any more.
    async fn take(
        &self,
        connection: &mut Connection,
        candidate: &Candidate,
        key: &str,
        lease_s: i64,
        mut condition: Value,
        held: Option<Holding>,
    ) -> Result<ClaimAnswer, StoreError> {
        let ask = json!({ "TTL": lease_s.to_string() });
        let Grant { id, ttl_s } = self.post(connection, "/v3/lease/grant", &ask).await?;
        if ttl_s < lease_s {
            let [asked, granted] = [lease_s, ttl_s].map(duration);
            return Err(StoreError::ShortLease { asked, granted });
        }
        let key64 = encoded(key);
        condition["key"] = json!(key64);
        let put = json!({
            "key": key64,
            "value": encoded(Holding::value(candidate, ttl_s)),
            "lease": id.to_string(),
        });
        let txn = json!({
            "compare": [condition],
            "success": [{ "request_put": put }],
            "failure": [{ "request_range": { "key": key64 } }],
        });
        let txn = self.txn(connection, &txn).await?;
        match (txn.succeeded, held) {
            (true, Some(holding)) => Ok(ClaimAnswer::Granted { term: holding.term }),
            (true, None) => Ok(ClaimAnswer::Granted { term: term(txn.header.revision)? }),
            (false, _) => match found_instead(txn) {
                Some(found) => {
                    let holding = Holding::parse(key, &found)?;
                    // By another call of the candidate's own: it may have asked for less.
                    if holding.is_of(candidate) {
                        return Err(StoreError::Raced);
                    }
                    Ok(denied(holding))
                }
                // It ran out or was released, after we had looked.
                None => Err(StoreError::Raced),
            },
        }
    }

    pub(crate) async fn release(&self, candidate: &Candidate) -> Result<(), StoreError> {
        let release = async {
            let key = self.key(&candidate.service);
            let (mut connection, look) = self.look(&key).await?;
            let result = self.release_over(&mut connection, candidate, &key, look).await;
            result.map_err(|error| error.at(&connection.endpoint))?;
            self.idle.put(connection);
            Ok(())
        };
        self.limited(release).await
    }

    async fn release_over(
        &self,
        connection: &mut Connection,
        candidate: &Candidate,
        key: &str,
        look: Look,
    ) -> Result<(), StoreError> {
        let Some(found) = look.found else { return Ok(()) };
        let holding = Holding::parse(key, &found)?;
        if !holding.is_of(candidate) {
            return Ok(());
        }
        // Not the modification: a renewal that is still on its way must not stop a release.
        let ours = still_held(key, holding.term.number());
        let delete = json!({ "request_delete_range": { "key": encoded(key) } });
        // If it is not so any more, then there is nothing of ours.
        self.txn(connection, &json!({ "compare": [ours], "success": [delete] })).await?;
        Ok(())
    }

    pub(crate) async fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, StoreError> {
        let key = self.key(service);
        // Nothing of this has an effect: another endpoint may begin anew.
        self.limited(self.first(|connection| self.leader_over(connection, &key))).await
    }

    async fn leader_over(
        &self,
        mut connection: Connection,
        key: &str,
    ) -> Result<Option<Leader>, StoreError> {
        let leader = match self.range(&mut connection, key).await?.found {
            None => None,
            Some(found) => {
                let holding = Holding::parse(key, &found)?;
                let remaining_s = self.remaining_s(&mut connection, &holding).await?;
                let Holding { unit, term, .. } = holding;
                let remaining = duration(remaining_s);
                (remaining_s >= 0).then_some(Leader { unit, term, remaining })
            }
        };
        self.idle.put(connection);
        Ok(leader)
    }

    /// How many whole seconds the holding's lease still lasts; less than zero if it is over.
    pub(crate) async fn remaining_s(
        &self,
        connection: &mut Connection,
        holding: &Holding,
    ) -> Result<i64, StoreError> {
        let ask = json!({ "ID": holding.lease_id.to_string() });
        let TimeToLive { ttl_s } = self.post(connection, "/v3/lease/timetolive", &ask).await?;
        Ok(ttl_s)
    }
}

/// The condition that the key is of one term, and so of one holder without interruption.
pub(crate) fn still_held(key: &str, term: u64) -> Value {
    json!({ "key": encoded(key), "target": "CREATE", "create_revision": term.to_string() })
}

fn seconds(lease: Duration) -> Result<i64, StoreError> {
    let whole = lease.as_secs().saturating_add(u64::from(lease.subsec_nanos() > 0)).max(1);
    let too_long = StoreError::LeaseTooLong { lease };
    if whole > LEASE_MAX_S {
        return Err(too_long);
    }
    i64::try_from(whole).map_err(|_| too_long)
}

pub(crate) fn duration(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// It says how long the lease lasts at most: to ask for how long exactly is a request more, and
/// whoever waits is told by its watch.
fn denied(holding: Holding) -> ClaimAnswer {
    let retry_after = Some(duration(holding.lease_s));
    ClaimAnswer::Denied { leader: Some(holding.unit), retry_after }
}

fn found_instead(txn: Txn) -> Option<KeyValue> {
    txn.responses.into_iter().find_map(|response| response.response_range?.kvs.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_counted_in_whole_seconds_and_never_less() {
        let nano = Duration::from_nanos(1);
        for (lease, expected) in [
            (Duration::ZERO, 1),
            (nano, 1),
            (Duration::from_secs(1), 1),
            (Duration::from_secs(1) + nano, 2),
            (Duration::from_secs(LEASE_MAX_S), 9_000_000_000),
        ] {
            assert_eq!(seconds(lease).unwrap(), expected, "{lease:?}");
        }
        for lease in [Duration::from_secs(LEASE_MAX_S) + nano, Duration::MAX] {
            let error = seconds(lease).unwrap_err();
            assert!(matches!(error, StoreError::LeaseTooLong { .. }), "{error}");
        }
    }
}

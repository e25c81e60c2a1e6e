use serde_json::json;

use crate::error::StoreError;
use crate::holding::SCHEMA;
use crate::http::{Ask, Connection};
use crate::store::{Store, answered};
use crate::wire::{Version, encoded};

/// The oldest version whose gateway is at `/v3`.
const OLDEST: (u32, u32) = (3, 4);

impl Store {
    /// Sees whether this is etcd, lets us in, and lets us do what a claim does.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        let check = async {
            let connection = self.first(|connection| self.probe(connection)).await?;
            self.idle.put(connection);
            Ok(())
        };
        self.limited(check).await
    }

    async fn probe(&self, mut connection: Connection) -> Result<Connection, StoreError> {
        version(&mut connection).await?;
        // Permissions are looked at before the condition, and no key has a version below zero: this
        // is refused wherever a claim would be, and writes nothing.
        let key = encoded(format!("{}/lease/", self.prefix));
        let put = json!({ "key": key, "value": encoded(SCHEMA.to_string()) });
        let never = json!({ "key": key, "target": "VERSION", "version": "-1" });
        let txn = json!({ "compare": [never], "success": [{ "request_put": put }] });
        self.txn(&mut connection, &txn).await?;
        Ok(connection)
    }
}

/// The version of what answers, if that is etcd, and one that is spoken to.
pub(crate) async fn version(connection: &mut Connection) -> Result<String, StoreError> {
    let ask = Ask { path: "/version", body: None, token: None };
    let Version { etcdserver: version } = answered(connection.ask(ask).await?)?;
    match release(&version).is_some_and(|release| release < OLDEST) {
        true => Err(StoreError::TooOld { version }),
        false => Ok(version),
    }
}

fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_numbers() {
        assert!(release("3.3.27").unwrap() < OLDEST);
        assert!(release("3.4.23").unwrap() >= OLDEST);
        assert!(release("3.10.0-rc.1").unwrap() > OLDEST);
        assert_eq!(release("next"), None);
    }
}

//! What the gateway's JSON says. Numbers of 64 bits are written as strings, bytes in Base64, and
//! what is zero or empty is left out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

pub(crate) fn encoded(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Header {
    #[serde(deserialize_with = "number")]
    pub(crate) cluster_id: u64,
    #[serde(deserialize_with = "number")]
    pub(crate) revision: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Range {
    pub(crate) header: Header,
    #[serde(default)]
    pub(crate) kvs: Vec<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct KeyValue {
    #[serde(deserialize_with = "number")]
    pub(crate) create_revision: i64,
    #[serde(deserialize_with = "number")]
    pub(crate) mod_revision: i64,
    #[serde(deserialize_with = "bytes")]
    pub(crate) value: Vec<u8>,
    #[serde(deserialize_with = "number")]
    pub(crate) lease: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Txn {
    pub(crate) header: Header,
    #[serde(default)]
    pub(crate) succeeded: bool,
    #[serde(default)]
    pub(crate) responses: Vec<TxnResponse>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TxnResponse {
    #[serde(default)]
    pub(crate) response_range: Option<Kvs>,
}

/// A range inside of a transaction.
#[derive(Debug, Deserialize)]
pub(crate) struct Kvs {
    #[serde(default)]
    pub(crate) kvs: Vec<KeyValue>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Grant {
    #[serde(rename = "ID", deserialize_with = "number")]
    pub(crate) id: i64,
    #[serde(rename = "TTL", deserialize_with = "number")]
    pub(crate) ttl_s: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TimeToLive {
    /// Less than zero if there is no such lease; a fraction of a second is cut off.
    #[serde(rename = "TTL", deserialize_with = "number")]
    pub(crate) ttl_s: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Authenticated {
    pub(crate) token: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Version {
    pub(crate) etcdserver: String,
}

/// One line of a watch.
#[derive(Debug, Deserialize)]
pub(crate) struct WatchLine {
    #[serde(default)]
    pub(crate) result: Option<WatchResult>,
    #[serde(default)]
    pub(crate) error: Option<Refusal>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WatchResult {
    pub(crate) canceled: bool,
    pub(crate) cancel_reason: String,
    #[serde(deserialize_with = "number")]
    pub(crate) compact_revision: i64,
    pub(crate) events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    #[serde(rename = "type")]
    pub(crate) kind: EventKind,
    pub(crate) kv: KeyValue,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum EventKind {
    #[default]
    Put,
    Delete,
}

/// What the gateway says when etcd refuses. The two fields say the same, and some versions have
/// only one of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    error: Option<serde_json::Value>,
    message: Option<String>,
}

impl Refusal {
    pub(crate) fn text(self) -> Option<String> {
        let error = self.error.and_then(|error| error.as_str().map(str::to_owned));
        self.message.or(error)
    }
}

/// A number, however it is written.
fn number<'de, D, N>(deserializer: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: std::str::FromStr<Err: std::fmt::Display> + Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written<N> {
        AsNumber(N),
        AsText(String),
    }
    match Written::deserialize(deserializer)? {
        Written::AsNumber(number) => Ok(number),
        Written::AsText(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_zero_and_numbers_may_be_either() {
        let header: Header = serde_json::from_str(r#"{"revision": 7}"#).unwrap();
        assert_eq!((header.cluster_id, header.revision), (0, 7));
        let header: Header =
            serde_json::from_str(r#"{"cluster_id": "18446744073709551615"}"#).unwrap();
        assert_eq!((header.cluster_id, header.revision), (u64::MAX, 0));
        assert!(serde_json::from_str::<Header>(r#"{"revision": "seven"}"#).is_err());
        let found: KeyValue = serde_json::from_str(r#"{"value": "YmFy", "lease": "-3"}"#).unwrap();
        assert_eq!((found.value.as_slice(), found.lease), (b"bar".as_slice(), -3));
    }

    #[test]
    fn a_refusal_is_read_from_old_and_new_gateways() {
        let text = |json: &str| serde_json::from_str::<Refusal>(json).unwrap().text();
        assert_eq!(text(r#"{"error":"no","message":"no","code":7}"#).unwrap(), "no");
        assert_eq!(text(r#"{"code":7,"message":"no","details":[]}"#).unwrap(), "no");
        assert_eq!(text(r#"{"error":"no"}"#).unwrap(), "no");
        assert_eq!(text("{}"), None);
        let line = r#"{"error":{"grpc_code":14,"http_code":503,"message":"no leader"}}"#;
        let line: WatchLine = serde_json::from_str(line).unwrap();
        assert_eq!(line.error.unwrap().text().unwrap(), "no leader");
    }
}

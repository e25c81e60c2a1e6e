use serde::{Deserialize, Serialize};
use tenure_core::{Candidate, Nonce, Term, UnitName};

use crate::error::StoreError;
use crate::wire::KeyValue;

/// The version of the layout that is described in the crate's documentation.
pub(crate) const SCHEMA: u32 = 1;

/// Who holds a service, as its key says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Holding {
    pub(crate) unit: UnitName,
    pub(crate) nonce: Nonce,
    /// How long the lease lasted when it was granted.
    pub(crate) lease_s: i64,
    pub(crate) lease_id: i64,
    pub(crate) term: Term,
    /// Another at each renewal.
    pub(crate) mod_revision: i64,
}

/// The value of a service's key.
#[derive(Deserialize, Serialize)]
struct Value {
    tenure: u32,
    unit: String,
    nonce: String,
    lease_s: i64,
}

#[derive(Deserialize)]
struct Schema {
    tenure: u32,
}

impl Holding {
    pub(crate) fn parse(key: &str, found: &KeyValue) -> Result<Holding, StoreError> {
        let foreign = |what: String| StoreError::Foreign { key: key.to_owned(), what };
        let not_ours =
            |error: serde_json::Error| foreign(format!("its value is not ours: {error}"));
        let Schema { tenure } = serde_json::from_slice(&found.value).map_err(not_ours)?;
        if tenure > SCHEMA {
            let key = key.to_owned();
            return Err(StoreError::NewerSchema { key, found: tenure, known: SCHEMA });
        }
        let value: Value = serde_json::from_slice(&found.value).map_err(not_ours)?;
        if found.lease == 0 {
            return Err(foreign("it has no lease, so it would never run out".to_owned()));
        }
        Ok(Holding {
            unit: value.unit.parse().map_err(|error| foreign(format!("its unit: {error}")))?,
            nonce: value.nonce.parse().map_err(|error| foreign(format!("its nonce: {error}")))?,
            lease_s: value.lease_s,
            lease_id: found.lease,
            term: term(found.create_revision)?,
            mod_revision: found.mod_revision,
        })
    }

    pub(crate) fn is_of(&self, candidate: &Candidate) -> bool {
        self.unit == candidate.unit && self.nonce == candidate.nonce
    }

    /// What to write into the key of `candidate`'s service.
    pub(crate) fn value(candidate: &Candidate, lease_s: i64) -> String {
        let value = Value {
            tenure: SCHEMA,
            unit: candidate.unit.as_str().to_owned(),
            nonce: candidate.nonce.to_string(),
            lease_s,
        };
        // Texts and numbers: nothing of this can fail.
        serde_json::to_string(&value).unwrap_or_default()
    }
}

/// A revision that created a key, as a term.
pub(crate) fn term(create_revision: i64) -> Result<Term, StoreError> {
    match u64::try_from(create_revision) {
        Ok(revision) if revision > 0 => Ok(Term::new(revision)),
        _ => Err(StoreError::NotEtcd { what: format!("revision {create_revision} of a key") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(value: &str) -> KeyValue {
        let value = value.as_bytes().to_vec();
        KeyValue { create_revision: 5, mod_revision: 9, value, lease: 3 }
    }

    #[test]
    fn a_holding_is_read_as_it_is_written() {
        let candidate = Candidate {
            service: "web".parse().unwrap(),
            unit: "web/0".parse().unwrap(),
            nonce: Nonce::from_bytes([7; 16]),
        };
        let holding = Holding::parse("/k", &found(&Holding::value(&candidate, 60))).unwrap();
        assert!(holding.is_of(&candidate));
        assert_eq!((holding.lease_s, holding.lease_id, holding.term.number()), (60, 3, 5));
        let other = Candidate { nonce: Nonce::from_bytes([8; 16]), ..candidate.clone() };
        assert!(!holding.is_of(&other));
        assert!(!holding.is_of(&Candidate { unit: "web/1".parse().unwrap(), ..candidate }));
    }

    #[test]
    fn what_is_not_ours_is_said_to_be() {
        let nonce = "0".repeat(32);
        let ours = |unit: &str, nonce: &str| {
            format!(r#"{{"tenure":1,"unit":{unit:?},"nonce":{nonce:?},"lease_s":1}}"#)
        };
        let no_unit = ours("", &nonce);
        let no_nonce = ours("web/0", "0");
        for value in ["", "bar", "{}", r#"{"tenure":1}"#, &no_unit, &no_nonce] {
            let error = Holding::parse("/k", &found(value)).unwrap_err();
            assert!(matches!(error, StoreError::Foreign { .. }), "{value}: {error}");
        }
        let newer = Holding::parse("/k", &found(r#"{"tenure":2}"#)).unwrap_err();
        assert!(matches!(newer, StoreError::NewerSchema { found: 2, known: 1, .. }), "{newer}");
        let lasting = KeyValue { lease: 0, ..found(&ours("web/0", &nonce)) };
        let error = Holding::parse("/k", &lasting).unwrap_err();
        assert!(error.to_string().contains("no lease"), "{error}");
    }
}

//! `tenure status`: who leads, as the store has it.

use serde::Serialize;
use tenure_core::{Leader, ServiceName};

use crate::args::LookOptions;
use crate::failure::Failure;
use crate::output::{say, say_json};

/// The command.
pub(crate) fn status(options: &LookOptions) -> Result<u8, Failure> {
    let store = options.store()?.open_to_look()?;
    let leader = store.look(&options.service)?.map_err(|error| Failure::store(&error))?;
    let held_off = if leader.is_none() { store.held_off(&options.service) } else { None };
    if options.json {
        let leader = leader.as_ref().map(show);
        let held_off = held_off.as_deref();
        say_json(&Status { service: options.service.as_str(), leader, held_off })?;
    } else {
        let why = held_off.map(|why| format!(": {why}")).unwrap_or_default();
        say(&(sentence(&options.service, leader.as_ref()) + &why))?;
    }
    Ok(0)
}

#[derive(Debug, Serialize)]
struct Status<'a> {
    service: &'a str,
    leader: Option<ShownLeader<'a>>,
    /// Why nobody may lead yet, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_off: Option<&'a str>,
}

/// A leader in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct ShownLeader<'a> {
    unit: &'a str,
    term: u64,
    remaining_ms: u64,
}

pub(crate) fn show(leader: &Leader) -> ShownLeader<'_> {
    ShownLeader {
        unit: leader.unit.as_str(),
        term: leader.term.number(),
        remaining_ms: u64::try_from(leader.remaining.as_millis()).unwrap_or(u64::MAX),
    }
}

fn sentence(service: &ServiceName, leader: Option<&Leader>) -> String {
    match leader {
        None => format!("nobody leads {service}"),
        Some(leader) => format!(
            "{} leads {service} in term {}, for {:.1} s yet unless it renews",
            leader.unit,
            leader.term,
            leader.remaining.as_secs_f64()
        ),
    }
}

//! `tenure status`: who leads, as the store has it.

use serde::Serialize;
use tenure_core::{BlockingClaimer, Leader, ServiceName};

use crate::args::LookOptions;
use crate::failure::Failure;
use crate::output::{say, say_json};

/// The command.
pub(crate) fn status(options: &LookOptions) -> Result<u8, Failure> {
    let store = options.store()?.open_to_look()?;
    let leader = store.leader(&options.service).map_err(|error| Failure::store(&error))?;
    if options.json {
        say_json(&Status { service: options.service.as_str(), leader: leader.as_ref().map(show) })?;
    } else {
        say(&sentence(&options.service, leader.as_ref()))?;
    }
    Ok(0)
}

#[derive(Debug, Serialize)]
struct Status<'a> {
    service: &'a str,
    leader: Option<ShownLeader<'a>>,
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

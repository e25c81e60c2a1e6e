//! `tenure watch`: who leads, at each change.
//!
//! No store says that a lease was taken, only that it is free. And where one is released and taken
//! by another in the same moment, nobody has to see it free. So a release rouses the watch, and it
//! also looks by itself, [`LOOK`] apart. Renewals change nothing that it tells.

use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam_channel::Sender;
use serde::Serialize;
use tenure_core::{BlockingClaimer, ClaimerError, Leader, ServiceName, Term, UnitName};
use tenure_runtime::CancelToken;

use crate::args::LookOptions;
use crate::failure::{Failure, chain};
use crate::output::{say, say_json};
use crate::status::{ShownLeader, show};
use crate::store::Store;

const LOOK: Duration = Duration::from_millis(250);

/// The command.
pub(crate) fn watch(options: &LookOptions) -> Result<u8, Failure> {
    let store = options.store()?.open_to_look()?;
    let (rouse, roused) = crossbeam_channel::bounded(1);
    let watcher = (store.clone(), options.service.clone());
    thread::Builder::new()
        .name("tenure-watch".to_owned())
        .spawn(move || watch_releases(&watcher.0, &watcher.1, &rouse))
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    let mut last: Option<Option<(UnitName, Term)>> = None;
    loop {
        match store.leader(&options.service) {
            Ok(leader) => {
                let now = leader.as_ref().map(|leader| (leader.unit.clone(), leader.term));
                if last.as_ref() != Some(&now) {
                    tell(options, leader.as_ref())?;
                    last = Some(now);
                }
            }
            Err(error) if error.is_fatal() => return Err(Failure::store(&error)),
            Err(error) => tracing::warn!(error = chain(&error), "cannot look now"),
        }
        let _ = roused.recv_timeout(LOOK);
    }
}

/// Rouses the watch whenever the service has, or may have, no leader.
fn watch_releases(store: &Store, service: &ServiceName, rouse: &Sender<()>) {
    let cancel = CancelToken::new();
    loop {
        // What goes wrong shows when the watch looks.
        let watched: Result<(), ClaimerError> = store.released(service, &cancel);
        if watched.is_ok() && rouse.try_send(()).is_err_and(|error| error.is_disconnected()) {
            return;
        }
        // While nobody leads it returns at once.
        thread::sleep(LOOK / 2);
    }
}

#[derive(Debug, Serialize)]
struct Change<'a> {
    at: String,
    service: &'a str,
    leader: Option<ShownLeader<'a>>,
}

fn tell(options: &LookOptions, leader: Option<&Leader>) -> Result<(), Failure> {
    let at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let service = options.service.as_str();
    if options.json {
        return say_json(&Change { at, service, leader: leader.map(show) });
    }
    say(&match leader {
        None => format!("{at} nobody leads {service}"),
        Some(leader) => format!("{at} {} leads {service} in term {}", leader.unit, leader.term),
    })
}

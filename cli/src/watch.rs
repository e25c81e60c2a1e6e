//! `tenure watch`: who leads, at each change.
//!
//! No store says that a lease was taken, only that it is free. So where nobody leads it looks,
//! [`LOOK`] apart. Where somebody does, it waits to be told of the release; and looks [`RARELY`],
//! as there may have been one between a look and the wait. A store that is a file shows only how it
//! is by now, so there it goes on looking. Renewals change nothing that it tells.

use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, select};
use serde::Serialize;
use tenure_core::{BlockingClaimer, Leader, ServiceName, Term, UnitName};
use tenure_runtime::CancelToken;

use crate::args::LookOptions;
use crate::failure::{Failure, chain};
use crate::output::{self, say, say_json};
use crate::status::{ShownLeader, show};
use crate::store::{Store, needs_operator};

const LOOK: Duration = Duration::from_millis(250);
const RARELY: Duration = Duration::from_secs(5);

/// The command.
pub(crate) fn watch(options: &LookOptions) -> Result<u8, Failure> {
    let store = options.store()?.open_to_look()?;
    let mut releases = Releases::of(&store, &options.service)?;
    let reader = output::reader()?;
    let mut last: Option<Option<(UnitName, Term)>> = None;
    loop {
        let mut pause = LOOK;
        match store.look(&options.service)? {
            Ok(leader) => {
                let now = leader.as_ref().map(|leader| (leader.unit.clone(), leader.term));
                if now.is_some() {
                    releases.listen();
                    pause = if store.tells_each_release() { RARELY } else { LOOK };
                }
                if last.as_ref() != Some(&now) {
                    tell(options, leader.as_ref())?;
                    last = Some(now);
                }
            }
            Err(error) if error.is_fatal() || last.is_none() && needs_operator(&error) => {
                return Err(Failure::store(&error));
            }
            Err(error) => tracing::warn!(error = chain(&error), "cannot look now"),
        }
        select! {
            recv(releases.heard) -> heard => releases.has_heard(heard.is_ok()),
            recv(reader) -> _ => return Err(output::no_reader()),
            default(pause) => {}
        }
    }
}

/// A thread that listens for one release after another, each when it is told to.
struct Releases {
    listen: Sender<()>,
    heard: Receiver<()>,
    is_listening: bool,
}

impl Releases {
    fn of(store: &Store, service: &ServiceName) -> Result<Releases, Failure> {
        let (listen, told) = crossbeam_channel::bounded::<()>(1);
        let (say, heard) = crossbeam_channel::bounded(1);
        let (store, service) = (store.clone(), service.clone());
        let listen_to_all = move || {
            for () in told {
                // What goes wrong shows at the next look, which need not come at once for that.
                if store.released(&service, &CancelToken::new()).is_err() {
                    thread::sleep(LOOK);
                }
                if say.send(()).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("tenure-watch".to_owned())
            .spawn(listen_to_all)
            .map_err(|error| Failure::system("cannot start a thread", &error))?;
        Ok(Releases { listen, heard, is_listening: false })
    }

    fn listen(&mut self) {
        if !self.is_listening {
            self.is_listening = self.listen.send(()).is_ok();
        }
    }

    fn has_heard(&mut self, goes_on: bool) {
        self.is_listening = false;
        if !goes_on {
            // A listener that panicked has said so, and looking goes on without it.
            self.heard = crossbeam_channel::never();
        }
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

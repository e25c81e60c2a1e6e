//! `tenure demo`: real processes over a real store that elect a leader, hand over and fail over,
//! under the eyes of an oracle.

mod candidate;
mod fleet;
mod janitor;
mod screen;
mod script;
mod summary;

use std::time::Duration;

use tenure_core::ServiceName;

use crate::args::DemoOptions;
use crate::demo::fleet::{Fleet, Recipe};
use crate::demo::janitor::Directory;
use crate::demo::screen::Screen;
use crate::demo::script::Script;
use crate::failure::Failure;
use crate::signals;
use crate::store::{LOOK_MAX, StoreUrl};

pub(crate) use candidate::candidate;
pub(crate) use janitor::janitor;

/// What the candidates want to lead.
const SERVICE: &str = "demo";

/// Two led at once, or a phase did not go as it should.
const FAILED: u8 = 1;

/// The command.
pub(crate) fn demo(options: &DemoOptions) -> Result<u8, Failure> {
    let signals = signals::listen(&signals::ENDING)?;
    let place = Place::new(options.store()?)?;
    let config = options.clocks.config(options.guarantee, &place.store)?;
    let service: ServiceName = SERVICE.parse().map_err(|error: tenure_core::NameError| {
        Failure::system("cannot name a service", &error)
    })?;
    // What is wrong with the store is told once, and not by each candidate. It stays open until
    // they are gone: SQLite takes its log away when the last one closes, alone and in its own time.
    // However short the candidates' leases are, it is a look like that of `status`.
    let store = place.store.open(LOOK_MAX)?;
    store.look(&service)?.map_err(|error| Failure::store(&error))?;

    let mut screen = Screen::new();
    let count = options.candidates;
    let spans = (config.guarantee(), config.lease());
    screen.say(&format!("{count} candidates for the service {SERVICE:?}, each one process"))?;
    screen.say(&format!("store {}", place.store))?;
    screen.say(&format!("guarantee {}, lease {}", human(spans.0), human(spans.1)))?;
    screen.say("")?;

    let clocks = options.clocks.clone();
    let recipe = Recipe { store: place.store.clone(), service, guarantee: spans.0, clocks };
    let fleet = Fleet::start(recipe, count)?;
    let expiry = place.store.expiry(spans.1);
    let mut script = Script::new(fleet, screen, signals, config, expiry);
    // The candidates, the store and the directory go when this function is left, however that is.
    let result = script.play();
    let code = script.sum_up(result)?;
    drop(script);
    Ok(code)
}

/// Where the store is.
#[derive(Debug)]
struct Place {
    store: StoreUrl,
    _directory: Option<Directory>,
}

impl Place {
    fn new(chosen: Option<StoreUrl>) -> Result<Place, Failure> {
        if let Some(store) = chosen {
            return Ok(Place { store, _directory: None });
        }
        let directory = Directory::new()?;
        let store = StoreUrl::sqlite(&directory.store());
        Ok(Place { store, _directory: Some(directory) })
    }
}

/// A span as people read it: in milliseconds up to a second.
fn human(span: Duration) -> String {
    let millis = span.as_millis();
    if millis < 1_000 { format!("{millis} ms") } else { format!("{:.2} s", span.as_secs_f64()) }
}

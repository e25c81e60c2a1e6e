//! One candidate of the demo: a process that does nothing but ask whether it leads.

use std::io::Read;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tenure_core::{Outcome, Standing};
use tenure_std::{BootClock, Clock, Tracker};
use tenure_testkit::witness::{Answer, Report, Yes};

use crate::args::CandidateOptions;
use crate::failure::Failure;
use crate::output::say;
use crate::{group, signals};

/// How long from one answer to the next question.
const PAUSE: Duration = Duration::from_millis(5);

/// The hidden subcommand.
pub(crate) fn candidate(options: &CandidateOptions) -> Result<u8, Failure> {
    group::die_with_parent()
        .map_err(|error| Failure::system("cannot ask to be killed with the demo", &error))?;
    if !group::is_parent(options.parent) {
        return Ok(0);
    }
    let asked_to_end = asked_to_end()?;
    let service = options.place.service(Some(&options.unit))?;
    let url = options.place.store()?;
    let config = options.clocks.config(options.guarantee, &url)?;
    let store = url.open_to_contend(config.claim_timeout())?;
    let closed = store.closed();
    let (tracker, driver) = Tracker::new(store, service, options.unit.clone(), config);
    driver.spawn().map_err(|error| Failure::system("cannot start a thread", &error))?;
    while let Err(RecvTimeoutError::Timeout) = asked_to_end.recv_timeout(PAUSE) {
        let asked = BootClock.now();
        let outcome = tracker.claim_leader().wait();
        let answered = BootClock.now();
        let yes = match outcome {
            Outcome::Leader { term, valid_until } => Some(Yes { term, valid_until }),
            Outcome::Minion => None,
            Outcome::Stopped => break,
        };
        let stands = matches!(tracker.standing(), Standing::Leader { .. });
        say(&Report::Answer(Answer { asked, answered, yes, stands }).to_string())?;
    }
    // Before the lease can be released, so that the next yes of anybody is later.
    let at = BootClock.now();
    tracker.kill();
    say(&Report::Resigned { at }.to_string())?;
    let end = tracker.wait();
    drop(tracker);
    closed.wait();
    end.map(|()| 0).map_err(|error| Failure::store(&error))
}

/// Speaks when a signal comes that ends a process, or standard input ends because the demo has
/// gone: where the kernel does not kill this process with it.
fn asked_to_end() -> Result<Receiver<i32>, Failure> {
    let signals = signals::listen(&signals::ENDING)?;
    let (sender, receiver) = crossbeam_channel::unbounded();
    let from_input = sender.clone();
    let failed = |error| Failure::system("cannot start a thread", &error);
    thread::Builder::new()
        .name("tenure-input".to_owned())
        .spawn(move || {
            let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
            let _ = from_input.send(0);
        })
        .map_err(failed)?;
    thread::Builder::new()
        .name("tenure-end".to_owned())
        .spawn(move || {
            for signal in signals {
                let _ = sender.send(signal);
            }
        })
        .map_err(failed)?;
    Ok(receiver)
}

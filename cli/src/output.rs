//! Lines on standard output, whose reader may have gone.

use std::convert::Infallible;
use std::io::{ErrorKind, Write};
use std::thread;

use crossbeam_channel::Receiver;
use rustix::event::{PollFd, PollFlags};

use crate::failure::{self, Failure};

/// SIGPIPE's number, on every Unix.
const PIPE: u8 = 13;

/// Writes one line, now.
///
/// A reader that has gone, as `head` does, ends the command as a broken pipe ends any other.
pub(crate) fn say(line: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => no_reader(),
        _ => Failure::system("cannot write to standard output", &error),
    })
}

/// Standard output has no reader any more.
pub(crate) fn no_reader() -> Failure {
    Failure::silent(failure::SIGNAL + PIPE)
}

/// Is disconnected once standard output has no reader any more: for whoever may have nothing to
/// write for long.
pub(crate) fn reader() -> Result<Receiver<Infallible>, Failure> {
    let (open, reader) = crossbeam_channel::bounded(0);
    let wait = move || {
        let stdout = std::io::stdout();
        // No event is asked for, and so only what is wrong is told.
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        loop {
            match rustix::event::poll(&mut fds, None) {
                Ok(count) if count > 0 => return drop(open),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                // Then it is noticed by writing.
                Err(_) => loop {
                    thread::park();
                },
            }
        }
    };
    thread::Builder::new()
        .name("tenure-reader".to_owned())
        .spawn(wait)
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    Ok(reader)
}

/// Writes `value` as one line of JSON.
pub(crate) fn say_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(value)
        .map_err(|error| Failure::system("cannot write JSON", &error))?;
    say(&line)
}

//! Lines on standard output, whose reader may have gone.

use std::io::{ErrorKind, Write};

use crate::failure::{self, Failure};

/// SIGPIPE's number, on every Unix.
const PIPE: u8 = 13;

/// Writes one line, now.
///
/// A reader that has gone, as `head` does, ends the command as a broken pipe ends any other.
pub(crate) fn say(line: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::silent(failure::SIGNAL + PIPE),
        _ => Failure::system("cannot write to standard output", &error),
    })
}

/// Writes `value` as one line of JSON.
pub(crate) fn say_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(value)
        .map_err(|error| Failure::system("cannot write JSON", &error))?;
    say(&line)
}

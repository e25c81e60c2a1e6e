//! What went wrong, in one line, and the exit code for it.

use std::error::Error;
use std::fmt::{self, Display};
use std::process::ExitCode;

/// The arguments make no sense. What clap uses, and most commands.
pub(crate) const USAGE: u8 = 2;
/// `EX_UNAVAILABLE` of sysexits: the store cannot be used.
pub(crate) const STORE: u8 = 69;
/// `EX_OSERR`: the system gave no process, no thread, no file.
pub(crate) const SYSTEM: u8 = 71;
/// `EX_TEMPFAIL`: leadership was lost. To start again may help.
pub(crate) const LOST: u8 = 75;
/// `EX_NOPERM`: leadership was lost, and something of the command was still alive when the lease
/// ended.
pub(crate) const OUTLIVED: u8 = 77;
/// As for the shell, `env` and `timeout`: the command is there and cannot be run.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// As for the shell, `env` and `timeout`: there is no such command.
pub(crate) const NOT_FOUND: u8 = 127;
/// As for the shell: ended by the signal of that number above this.
pub(crate) const SIGNAL: u8 = 128;

/// Why the command ends without having done its work.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// `None`: there is nobody to tell it to, or nothing to tell.
    message: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Display) -> Failure {
        Failure { code, message: Some(message.to_string()) }
    }

    /// Ends with `code`, and says nothing.
    pub(crate) fn silent(code: u8) -> Failure {
        Failure { code, message: None }
    }

    /// What the store said, with its causes.
    pub(crate) fn store(error: &dyn Error) -> Failure {
        Failure::new(STORE, chain(error))
    }

    /// What the system refused.
    pub(crate) fn system(what: impl Display, error: &dyn Error) -> Failure {
        Failure::new(SYSTEM, format_args!("{what}: {}", chain(error)))
    }

    /// Says it on standard error, in one line.
    pub(crate) fn tell(self) -> ExitCode {
        if let Some(message) = self.message {
            complain(&message);
        }
        ExitCode::from(self.code)
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message.as_deref().unwrap_or_default())
    }
}

/// Says `message` on standard error, in one line.
pub(crate) fn complain(message: &str) {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    crate::stderr::write(format!("tenure: {line}\n"));
}

/// An error and its causes in one line. A cause that its error has told already is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::ClaimerError;

    #[test]
    fn a_cause_is_told_once() {
        let inner = std::io::Error::other("the disk is on fire");
        assert_eq!(
            chain(&ClaimerError::unknown(inner)),
            "the store's answer is not known: the disk is on fire"
        );
        let told = format!("{}: no", ClaimerError::fatal("no"));
        assert_eq!(told, chain(&ClaimerError::fatal("no")));
    }
}

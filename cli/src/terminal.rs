//! The terminal of `tenure run --foreground`: lent to the command's group, and taken back.

use std::fs::{File, OpenOptions};

use rustix::process::{Pid, getpgrp};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

/// A terminal in whose foreground tenure runs.
///
/// Whoever takes a terminal from its background is stopped by TTOU, unless that is blocked: see
/// `signals::block_terminal_stops`.
#[derive(Debug)]
pub(crate) struct Terminal {
    tty: File,
    /// To which group it is lent.
    lent_to: Option<Pid>,
}

impl Terminal {
    /// The controlling terminal, if this process is in its foreground.
    pub(crate) fn of_foreground() -> Option<Terminal> {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        let foreground = tcgetpgrp(&tty).ok()?;
        (foreground == getpgrp()).then_some(Terminal { tty, lent_to: None })
    }

    /// Makes `group` the one that reads from it, and that its keys send signals to.
    pub(crate) fn lend(&mut self, group: Pid) {
        // Not if somebody has taken it in the meantime: a shell, to run something else in it.
        let is_ours = tcgetpgrp(&self.tty).is_ok_and(|found| found == getpgrp());
        if is_ours && tcsetpgrp(&self.tty, group).is_ok() {
            self.lent_to = Some(group);
        }
    }

    /// Takes it back, if it is lent.
    pub(crate) fn take_back(&mut self) {
        if let Some(group) = self.lent_to.take()
            && tcgetpgrp(&self.tty).is_ok_and(|found| found == group)
        {
            let _ = tcsetpgrp(&self.tty, getpgrp());
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.take_back();
    }
}

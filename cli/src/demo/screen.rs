//! What the demo shows: lines that stay, and on a terminal below them some that change in place.

use std::io::{IsTerminal, Write};

use crate::failure::{self, Failure};
use crate::output::say;

/// No line is wider, so that a terminal of 80 columns does not wrap.
const WIDTH: usize = 79;

/// The standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    /// The columns of the terminal that it is; `None` if it is none.
    columns: Option<usize>,
    /// The lines that change, as they are shown now.
    panel: Vec<String>,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        let stdout = std::io::stdout();
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let columns = (stdout.is_terminal() && !is_dumb).then(|| {
            let size = rustix::termios::tcgetwinsize(&stdout);
            match size.map_or(0, |size| usize::from(size.ws_col)) {
                0 => WIDTH,
                columns => WIDTH.min(columns.saturating_sub(1)),
            }
        });
        Screen { columns, panel: Vec::new() }
    }

    /// Shows a line that stays.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), Failure> {
        if self.columns.is_none() {
            return say(line);
        }
        let panel = std::mem::take(&mut self.panel);
        self.write(&format!("{}{line}\n{}", erase(panel.len()), lines(&panel)))?;
        self.panel = panel;
        Ok(())
    }

    /// Shows the lines that change, in place of those shown before. Only on a terminal.
    pub(crate) fn update(&mut self, panel: Vec<String>) -> Result<(), Failure> {
        let Some(columns) = self.columns else { return Ok(()) };
        let panel: Vec<String> =
            panel.into_iter().map(|line| line.chars().take(columns).collect()).collect();
        if panel != self.panel {
            self.write(&format!("{}{}", erase(self.panel.len()), lines(&panel)))?;
            self.panel = panel;
        }
        Ok(())
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::new(failure::SYSTEM, format_args!("the terminal: {error}")))
    }
}

/// To the first of the last `count` lines, and away with all from there.
fn erase(count: usize) -> String {
    if count == 0 { String::new() } else { format!("\x1b[{count}A\r\x1b[J") }
}

fn lines(panel: &[String]) -> String {
    panel.iter().map(|line| format!("{line}\n")).collect()
}

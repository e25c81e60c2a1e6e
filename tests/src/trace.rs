//! Text traces: the machine's behaviour as an executable specification.
//!
//! A trace is a file of blocks. Each is one or more commands, a line `----`, the exact output, and
//! an empty line. A line that starts with `#` says why; it belongs before the commands.
//!
//! ```text
//! # The lease counts from the moment that the claim went out, at 0.
//! granted 1 term=5 at=20
//! ----
//! notify: promoted term=5 valid_until=2000
//! arm timer at=950
//! belief: leader term=5 fresh_until=1000 step_down_at=1500 valid_until=2000
//! ```
//!
//! | command | meaning |
//! | --- | --- |
//! | `config guarantee=1000 ratio=1 ..` | the next `new`'s; settings by name, `retry=` is both |
//! | `new at=0` | a tracker that begins then |
//! | `granted 1 term=5`, `denied 1 retry_after=500`, `unknown 1`, `fatal 1` | how claim 1 ended |
//! | `released 1`, `watch_failed 1` | what watch 1 saw |
//! | `ask claim_leader`, `ask wait_leader`, `ask wait_minion` | a ticket |
//! | `stop`, `step_down cool_off=100` | resign |
//! | `drained 1`, `release_finished 1` | of tenure 1 |
//! | `timer` | time has passed |
//! | `standing` | asks, and changes nothing |
//!
//! A bare number is milliseconds, `17ns` is nanoseconds, `max` is the end of time. `at=` says when;
//! without it, it is when the line before it was. The output is one action a line, in order, then
//! the belief if it has changed; where a block has several commands, each is said again before what
//! it did. Every trace also runs with the books of [`crate::ledger`].

mod coverage;
pub(crate) mod parse;
pub(crate) mod print;
mod rules;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tenure_core::{Actions, Belief, Config, Event, Instant};

use crate::ledger::Audited;
use parse::Command;

pub use coverage::{Cell, Coverage};
pub use print::{action, command};

/// What running a trace gave.
#[derive(Clone, Debug)]
pub struct Run {
    /// The trace with the output that the machine gave.
    pub text: String,
    /// Which cells of the contract's tables it visited.
    pub coverage: Coverage,
}

/// Runs a trace; `name` is what errors call it.
///
/// # Errors
///
/// Which line makes no sense, or breaks which invariant: `name:line: why`.
pub fn run(name: &str, text: &str) -> Result<Run, String> {
    let mut runner = Runner::default();
    let text = replay(name, text, |line, output| runner.obey(line, output))?;
    Ok(Run { text, coverage: runner.coverage })
}

/// Has each command of a trace obeyed, and gives the trace with the output that came.
pub(crate) fn replay(
    name: &str,
    text: &str,
    mut obey: impl FnMut(&str, &mut Vec<String>) -> Result<(), String>,
) -> Result<String, String> {
    let mut written = String::new();
    for block in blocks(text).map_err(|(line, why)| format!("{name}:{line}: {why}"))? {
        for line in &block.header {
            let _ = writeln!(written, "{line}");
        }
        let mut output = Vec::new();
        for (number, line) in &block.commands {
            let _ = writeln!(written, "{line}");
            if block.commands.len() > 1 {
                output.push(format!("> {line}"));
            }
            obey(line, &mut output).map_err(|why| format!("{name}:{number}: {why}"))?;
        }
        if !block.commands.is_empty() {
            if output.is_empty() {
                output.push("nothing".to_owned());
            }
            let _ = writeln!(written, "----\n{}", output.join("\n"));
        }
        written.push('\n');
    }
    Ok(format!("{}\n", written.trim_end()))
}

/// The `.txt` files of a directory, by name.
///
/// # Errors
///
/// The directory, and why it cannot be read.
pub fn files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries =
        fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    Ok(files)
}

/// Runs the trace in a file and compares what it says with what comes out. With `rewrite`, writes
/// that into the file instead.
///
/// # Errors
///
/// As [`run`]; or the first line that differs, with both versions of it.
pub fn check(path: &Path, rewrite: bool) -> Result<Coverage, String> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let run = run(&name, &text)?;
    compare(path, &text, &run.text, rewrite)?;
    Ok(run.coverage)
}

/// Compares what a trace says with what came, or writes that into its file.
pub(crate) fn compare(path: &Path, text: &str, came: &str, rewrite: bool) -> Result<(), String> {
    let name = path.display();
    if rewrite {
        return fs::write(path, came).map_err(|error| format!("{name}: {error}"));
    }
    // One line more than both have, so that a line which is missing at the end differs too.
    let mut expected = text.lines();
    let mut actual = came.lines();
    for number in 1.. {
        match (expected.next(), actual.next()) {
            (None, None) => break,
            (expected, actual) if expected == actual => {}
            (expected, actual) => {
                let [expected, actual] = [expected, actual].map(|line| line.unwrap_or("(the end)"));
                return Err(format!(
                    "{name}:{number}: the trace says\n    {expected}\nbut what came is\n    \
                     {actual}\n(REWRITE=1 writes what comes; read the difference first)"
                ));
            }
        }
    }
    Ok(())
}

/// A history as commands: what a failure prints. Its output is what `REWRITE=1` is for.
pub fn history(config: &str, start: Instant, events: &[(Event, Instant)]) -> String {
    let mut text = format!("{config}\nnew at={}\n", print::instant(start));
    for &(event, at) in events {
        text.push_str(&command(event, at));
        text.push('\n');
    }
    text.push_str("----\n");
    text
}

/// A config as a command.
pub fn config(config: &Config) -> String {
    format!(
        "config guarantee={} ratio={} store_slack={} renew_lead={} claim_timeout={} \
         step_down_margin={} retry_min={} retry_max={} min_interval={} recheck={}",
        print::span(config.guarantee()),
        config.clock_ratio(),
        print::span(config.store_slack()),
        print::span(config.renew_lead()),
        print::span(config.claim_timeout()),
        print::span(config.step_down_margin()),
        print::span(config.retry_min()),
        print::span(config.retry_max()),
        print::span(config.min_interval()),
        print::span(config.recheck()),
    )
}

struct Block<'a> {
    /// Comments and empty lines before the commands.
    header: Vec<&'a str>,
    commands: Vec<(usize, &'a str)>,
}

/// Splits a trace. A file may end in comments.
fn blocks(text: &str) -> Result<Vec<Block<'_>>, (usize, String)> {
    let mut blocks = Vec::new();
    // What ends a line is not a part of it, however many carriage returns there are.
    let mut lines = (1..).zip(text.lines().map(str::trim_end)).peekable();
    while lines.peek().is_some() {
        let mut block = Block { header: Vec::new(), commands: Vec::new() };
        while let Some((_, line)) =
            lines.next_if(|(_, line)| line.starts_with('#') || line.trim().is_empty())
        {
            block.header.push(line);
        }
        let mut is_divided = false;
        for (number, line) in lines.by_ref() {
            if line == "----" {
                if block.commands.is_empty() {
                    return Err((number, "a block without commands".to_owned()));
                }
                is_divided = true;
                break;
            }
            if line.trim().is_empty() || line.starts_with('#') {
                return Err((number, "commands end in a line ----".to_owned()));
            }
            block.commands.push((number, line));
        }
        if let (false, Some((number, _))) = (is_divided, block.commands.last()) {
            return Err((*number, "commands end in a line ----".to_owned()));
        }
        // The output: it is worked out anew.
        for (_, line) in lines.by_ref() {
            if line.trim().is_empty() {
                break;
            }
        }
        blocks.push(block);
    }
    Ok(blocks)
}

#[derive(Default)]
struct Runner {
    config: Option<Config>,
    audited: Option<Audited>,
    /// When the line before happened, and what was believed after it.
    now: Instant,
    belief: Option<Belief>,
    coverage: Coverage,
}

impl Runner {
    fn obey(&mut self, line: &str, output: &mut Vec<String>) -> Result<(), String> {
        match parse::command(line)? {
            Command::Config(Ok(config)) => {
                output.push(derived(&config));
                self.config = Some(*config);
            }
            Command::Config(Err(refusal)) => output.push(format!("refused: {refusal}")),
            Command::New { at } => {
                self.now = at.unwrap_or_default();
                let config = self.config.clone().ok_or("new wants a config before it")?;
                let (audited, actions) = Audited::new(config, self.now)?;
                self.belief = Some(audited.tracker.belief());
                self.audited = Some(audited);
                self.print(&actions, output);
            }
            Command::Handle { event, at } => {
                self.now = at.unwrap_or(self.now);
                let audited = self.audited.as_mut().ok_or("there is no tracker: new at=0")?;
                let before = audited.clone();
                let actions = audited.handle(event, self.now)?;
                self.coverage.visit(&before, event, self.now, &actions, audited);
                self.print(&actions, output);
            }
            Command::Standing { at } => {
                self.now = at.unwrap_or(self.now);
                let audited = self.audited.as_ref().ok_or("there is no tracker: new at=0")?;
                let standing = audited.tracker.standing(self.now);
                output.push(format!("standing: {}", print::standing(standing)));
            }
        }
        Ok(())
    }

    fn print(&mut self, actions: &Actions, output: &mut Vec<String>) {
        output.extend(actions.iter().map(|&action| print::action(action)));
        let belief = self.audited.as_ref().map(|audited| audited.tracker.belief());
        if let Some(now) = belief.filter(|_| belief != self.belief) {
            output.push(format!("belief: {}", print::belief(now)));
        }
        self.belief = belief;
    }
}

/// The four deadlines of a grant, counted from its claim.
fn derived(config: &Config) -> String {
    let fresh_for = config.valid_for() - config.guarantee();
    format!(
        "lease={} valid_for={} fresh_for={} renew_after={} step_down_after={}",
        print::span(config.lease()),
        print::span(config.valid_for()),
        print::span(fresh_for),
        print::span(fresh_for - config.renew_lead()),
        print::span(config.valid_for() - config.step_down_margin()),
    )
}

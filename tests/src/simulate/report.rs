use std::fmt::Write as _;

use super::shrink::shrink;
use super::{Options, Run, run_bytes, run_seed};

/// A failed run is made smaller in so many runs at the most.
const EFFORT: u64 = 3_000;

/// So many lines of the log are shown, the last ones.
const LINES: usize = 120;

/// What to say of a seed whose run fails: how to run it again, what is broken, and the run made
/// small, with its log and with what each unit's machine was handed as a trace.
pub fn report(seed: u64, options: Options, fails: impl Fn(&Run) -> Option<String>) -> String {
    let mut text = format!("seed {seed}: cargo xtask simulate --seed {seed} --log");
    if let Some(broken) = options.broken {
        let _ = write!(text, " --broken {}", broken.name());
    }
    text.push('\n');
    let run = run_seed(seed, options);
    let Some(violation) = fails(&run) else {
        text.push_str("does not fail\n");
        return text;
    };
    let _ = writeln!(text, "{violation}");
    if let Some(shrunk) = shrink(&run.bytes, options, EFFORT, fails) {
        let (before, after) = (run.bytes.len(), shrunk.bytes.len());
        let _ =
            writeln!(text, "made smaller from {before} bytes to {after} in {} runs:", shrunk.runs);
        let _ = writeln!(text, "cargo xtask simulate --log --bytes {}", hex(&shrunk.bytes));
        let _ = writeln!(text, "{}", shrunk.violation);
        text.push_str(&show(&run_bytes(&shrunk.bytes, Options { log: true, ..options })));
    }
    text
}

/// The end of the log of a run that kept it, and what each unit's machine was handed.
pub(crate) fn show(run: &Run) -> String {
    let mut text = String::new();
    if let Some(log) = &run.log {
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(LINES);
        let _ =
            writeln!(text, "the last {} of {} lines of its log:", lines.len() - from, lines.len());
        lines[from..].iter().for_each(|line| text.push_str(&format!("{line}\n")));
    }
    for (number, history) in run.histories.iter().enumerate() {
        let _ = writeln!(text, "\nwhat p{number}'s machine was handed:\n{history}");
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Any text is a trace, or an error at a line of it.

use crate::{engine, trace};

/// Runs `bytes` as a trace of the tracker, and as one of the dependency engine.
///
/// What runs is a fixed point: run again, with the output that came, it gives the same. What does
/// not run says at which line, and all before that line does run.
///
/// # Panics
///
/// If that is not so, with the text.
pub fn trace(bytes: &[u8]) {
    super::insist(check(bytes));
}

/// How many lines were run; or what is wrong, and the text.
pub(super) fn check(bytes: &[u8]) -> Result<usize, String> {
    let text = &String::from_utf8_lossy(bytes);
    let tracker = |text: &str| trace::run(NAME, text).map(|run| run.text);
    let engine = |text: &str| engine::trace::run(NAME, text);
    let lines = holds(text, tracker).map_err(|why| format!("tracker: {why}\n{text}"))?;
    holds(text, engine).map(|more| lines + more).map_err(|why| format!("engine: {why}\n{text}"))
}

/// What errors call the text: nothing that could be mistaken for a part of it.
const NAME: &str = "the trace";

const END_OF_COMMANDS: &str = "----";

/// What the errors say that are found before anything runs.
const OF_FORM: [&str; 2] = ["commands end in a line ----", "a block without commands"];

fn holds(text: &str, run: impl Fn(&str) -> Result<String, String>) -> Result<usize, String> {
    let error = match run(text) {
        Ok(came) => return fixed_point(&came, run),
        Err(error) => error,
    };
    let (line, why) = split(&error)?;
    let before: Vec<&str> = text.lines().take(line.saturating_sub(1)).collect();
    if line == 0 || before.len() + 1 < line || before.len() == text.lines().count() {
        return Err(format!("there is no line {line}: {error}"));
    }
    if OF_FORM.contains(&why) {
        // Of what comes before it is only known that it has the right form.
        return Ok(0);
    }
    // The line is one command of a block that may have others before it.
    let before = before.join("\n");
    let came = run(&before).or_else(|_| run(&format!("{before}\n{END_OF_COMMANDS}\n")));
    came.map_err(|earlier| format!("before {error}: {earlier}"))?;
    Ok(line - 1)
}

/// `name:line: why`.
fn split(error: &str) -> Result<(usize, &str), String> {
    let rest = error.strip_prefix(NAME).and_then(|rest| rest.strip_prefix(':'));
    let parts = rest.and_then(|rest| rest.split_once(": "));
    let parts = parts.and_then(|(line, why)| Some((line.parse().ok()?, why)));
    parts.ok_or_else(|| format!("an error without its line: {error}"))
}

fn fixed_point(came: &str, run: impl Fn(&str) -> Result<String, String>) -> Result<usize, String> {
    match run(came) {
        Ok(again) if again == came => Ok(came.lines().count()),
        Ok(again) => Err(format!("it gave\n{came}\nand that gave\n{again}")),
        Err(error) => Err(format!("it gave\n{came}\nwhich does not run: {error}")),
    }
}

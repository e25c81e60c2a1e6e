//! Text traces of the dependency engine: blocks as in [`crate::trace`].
//!
//! ```text
//! # An input that comes later bounces who was started without it.
//! install agent at=100
//! ----
//! changed agent
//! start agent run=2
//!
//! started 2
//! ----
//! changed agent
//! changed tracker
//! arm timer at=110
//! ```
//!
//! | command | meaning |
//! | --- | --- |
//! | `config error_delay=3000 bounce_delay=10 factor=1.2 ..` | the next `new`'s; settings by name |
//! | `new at=0` | an engine that begins then |
//! | `install tracker inputs=agent,caller` | a manifold |
//! | `uninstall tracker` | forget it |
//! | `started 1` | start 1 has succeeded |
//! | `start_failed 1 as=missing`, `start_failed 1 error=boom` | how start 1 failed |
//! | `stopped 1 as=bounce`, `stopped 1 fatal=boom` | how worker 1 ended |
//! | `stop` | end |
//! | `timer` | time has passed |
//! | `report` | asks, and changes nothing |
//!
//! The outcomes of `as=` are `bounce`, `finished`, `missing` and `uninstall`. In
//! `start tracker run=3 agent=1 caller=none` each input is followed by its run. Every trace also
//! runs with the books of [`super::books`].

use std::fmt::{Display, Write as _};
use std::fs;
use std::path::Path;

use tenure_core::Instant;
use tenure_dependency::{
    Action, Config, ConfigError, Event, Factor, ManifoldName, Outcome, Report, RunId,
};

use super::books::Audited;
use crate::trace;
use crate::trace::parse::{self, Words};
use crate::trace::print::{instant, span};

/// Runs a trace, and gives it with the output that came; `name` is what errors call it.
///
/// # Errors
///
/// Which line makes no sense, or breaks which rule: `name:line: why`.
pub fn run(name: &str, text: &str) -> Result<String, String> {
    let mut runner = Runner::default();
    trace::replay(name, text, |line, output| runner.obey(line, output))
}

/// Runs the trace in a file and compares what it says with what comes out. With `rewrite`, writes
/// that into the file instead.
///
/// # Errors
///
/// As [`run`]; or the first line that differs, with both versions of it.
pub fn check(path: &Path, rewrite: bool) -> Result<(), String> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    trace::compare(path, &text, &run(&name, &text)?, rewrite)
}

/// What can be done to an engine.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Input<E> {
    /// Hand in an event.
    Event(Event<E>),
    /// Install a manifold.
    Install {
        /// What it is called.
        name: ManifoldName,
        /// What it depends on.
        inputs: Vec<ManifoldName>,
    },
}

/// A history as commands: what a failure prints. Its output is what `REWRITE=1` is for.
pub fn history<E: Display>(
    config: &Config,
    start: Instant,
    inputs: &[(Input<E>, Instant)],
) -> String {
    let mut text = format!("{}\nnew at={}\n", config_command(config), instant(start));
    for (input, at) in inputs {
        let _ = writeln!(text, "{} at={}", command(input), instant(*at));
    }
    text.push_str("----\n");
    text
}

/// An input as a line, but for its time.
pub fn command<E: Display>(input: &Input<E>) -> String {
    match input {
        Input::Install { name, inputs } if inputs.is_empty() => format!("install {name}"),
        Input::Install { name, inputs } => format!("install {name} inputs={}", list(inputs, ",")),
        Input::Event(Event::Started { run }) => format!("started {run}"),
        Input::Event(Event::StartFailed { run, outcome }) => {
            format!("start_failed {run} {}", ending(outcome))
        }
        Input::Event(Event::Stop) => "stop".to_owned(),
        Input::Event(Event::Stopped { run, outcome }) => {
            format!("stopped {run} {}", ending(outcome))
        }
        Input::Event(Event::TimerFired) => "timer".to_owned(),
        Input::Event(Event::Uninstalled { name }) => format!("uninstall {name}"),
    }
}

/// An action as a line of output. `inputs` are those of the manifold that it starts.
pub fn action<E: Display>(action: &Action<E>, names: &[ManifoldName]) -> String {
    match action {
        Action::ArmTimer { at } => format!("arm timer at={}", instant(*at)),
        Action::Changed { name } => format!("changed {name}"),
        Action::Finished { errors } if errors.is_empty() => "finished".to_owned(),
        Action::Finished { errors } => format!("finished: {}", list(errors, ", ")),
        Action::Start { name, run, inputs } => {
            let mut text = format!("start {name} run={run}");
            for (name, run) in names.iter().zip(inputs) {
                let run = run.map_or("none".to_owned(), |run| run.to_string());
                let _ = write!(text, " {name}={run}");
            }
            text
        }
        Action::Stop { name, run } => format!("stop {name} run={run}"),
    }
}

fn ending<E: Display>(outcome: &Outcome<E>) -> String {
    match outcome {
        Outcome::Bounce => "as=bounce".to_owned(),
        Outcome::Failed(error) => format!("error={error}"),
        Outcome::Fatal(error) => format!("fatal={error}"),
        Outcome::Finished => "as=finished".to_owned(),
        Outcome::Missing => "as=missing".to_owned(),
        Outcome::Uninstall => "as=uninstall".to_owned(),
    }
}

fn list<T: Display>(items: &[T], between: &str) -> String {
    items.iter().map(T::to_string).collect::<Vec<String>>().join(between)
}

/// A config as a command, but for its seed.
fn config_command(config: &Config) -> String {
    format!(
        "config error_delay={} bounce_delay={} factor={} reset_time={} max_delay={}",
        span(config.error_delay()),
        span(config.bounce_delay()),
        f64::from(config.backoff_factor().millionths()) / 1e6,
        span(config.reset_time()),
        span(config.max_delay()),
    )
}

#[derive(Default)]
struct Runner {
    config: Config,
    audited: Option<Audited<String>>,
    /// When the line before happened.
    now: Instant,
}

impl Runner {
    fn obey(&mut self, line: &str, output: &mut Vec<String>) -> Result<(), String> {
        let mut words = Words::new(line)?;
        self.now = words.instant("at")?.unwrap_or(self.now);
        match words.verb {
            "config" => match config(&mut words)? {
                Ok(config) => {
                    output.push(config_command(&config).replacen("config ", "", 1));
                    self.config = config;
                }
                Err(refusal) => output.push(format!("refused: {refusal}")),
            },
            "new" => self.audited = Some(Audited::new(self.config.clone(), self.now)),
            "report" => {
                let report: Report<String> = self.audited()?.engine.report();
                output.extend(report.to_string().lines().map(str::to_owned));
            }
            _ => self.hand_in(input(&mut words)?, output)?,
        }
        words.nothing_left()
    }

    fn hand_in(&mut self, input: Input<String>, output: &mut Vec<String>) -> Result<(), String> {
        let now = self.now;
        let audited = self.audited()?;
        let actions = match input {
            Input::Event(event) => audited.handle(event, now)?,
            Input::Install { name, inputs } => match audited.install(name, inputs, now)? {
                Ok(actions) => actions,
                Err(refusal) => {
                    output.push(format!("refused: {refusal}"));
                    return Ok(());
                }
            },
        };
        let report = audited.engine.report();
        output.extend(actions.iter().map(|done| {
            let name = if let Action::Start { name, .. } = done { name.as_str() } else { "" };
            let inputs = report.manifold(name).map(|manifold| &*manifold.inputs);
            action(done, inputs.unwrap_or_default())
        }));
        Ok(())
    }

    fn audited(&mut self) -> Result<&mut Audited<String>, String> {
        self.audited.as_mut().ok_or_else(|| "there is no engine: new at=0".to_owned())
    }
}

fn input(words: &mut Words<'_>) -> Result<Input<String>, String> {
    let event = match words.verb {
        "install" => {
            let inputs = words.value("inputs").map(|names| names.split(',').collect());
            let inputs: Vec<&str> = inputs.unwrap_or_default();
            let inputs = inputs.into_iter().map(ManifoldName::from).collect();
            return Ok(Input::Install { name: name(words)?, inputs });
        }
        "started" => Event::Started { run: RunId::new(words.number()?) },
        "start_failed" => {
            let run = RunId::new(words.number()?);
            Event::StartFailed { run, outcome: outcome(words)? }
        }
        "stop" => Event::Stop,
        "stopped" => {
            let run = RunId::new(words.number()?);
            Event::Stopped { run, outcome: outcome(words)? }
        }
        "timer" => Event::TimerFired,
        "uninstall" => Event::Uninstalled { name: name(words)? },
        unknown => return Err(format!("no such command: {unknown}")),
    };
    Ok(Input::Event(event))
}

fn name(words: &mut Words<'_>) -> Result<ManifoldName, String> {
    let name = words.argument.take().ok_or_else(|| format!("{} whom?", words.verb))?;
    Ok(ManifoldName::from(name))
}

fn outcome(words: &mut Words<'_>) -> Result<Outcome<String>, String> {
    let verb = words.verb;
    let found = match words.value("as") {
        Some("bounce") => Some(Outcome::Bounce),
        Some("finished") => Some(Outcome::Finished),
        Some("missing") => Some(Outcome::Missing),
        Some("uninstall") => Some(Outcome::Uninstall),
        Some(unknown) => return Err(format!("no such outcome: {unknown}")),
        None => None,
    };
    let failed = words.value("error").map(|error| Outcome::Failed(error.to_owned()));
    let fatal = words.value("fatal").map(|error| Outcome::Fatal(error.to_owned()));
    let mut all = [found, failed, fatal].into_iter().flatten();
    match (all.next(), all.next()) {
        (Some(outcome), None) => Ok(outcome),
        (None, _) | (_, Some(_)) => Err(format!("{verb} wants one of as=, error=, fatal=")),
    }
}

fn config(words: &mut Words<'_>) -> Result<Result<Config, ConfigError>, String> {
    let mut builder = Config::builder();
    if let Some(factor) = words.value("factor") {
        let millionths =
            parse::millionths(factor).ok_or_else(|| format!("not a factor: {factor}"))?;
        match Factor::from_millionths(millionths) {
            Ok(factor) => builder = builder.backoff_factor(factor),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    if let Some(delay) = words.span("bounce_delay")? {
        builder = builder.bounce_delay(delay);
    }
    if let Some(delay) = words.span("error_delay")? {
        builder = builder.error_delay(delay);
    }
    if let Some(delay) = words.span("max_delay")? {
        builder = builder.max_delay(delay);
    }
    if let Some(time) = words.span("reset_time")? {
        builder = builder.reset_time(time);
    }
    if let Some(seed) = words.value("seed") {
        builder = builder.jitter_seed(parse::number(seed)?);
    }
    Ok(builder.build())
}

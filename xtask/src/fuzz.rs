use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::Args;

use crate::{cargo, outcome::Shortfall};

/// Fuzz: all targets, or those that are named, one after the other
///
/// Needs a nightly Rust from rustup (`rustup toolchain install nightly`), cargo-fuzz
/// (`cargo install cargo-fuzz --locked`) and a C++ compiler, which libFuzzer is built with. What is
/// found to lead somewhere new stays in fuzz/corpus; an input that breaks a property is written to
/// fuzz/artifacts, and makes this fail. Last comes a table of the targets.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// In the end, drop what leads nowhere that the rest of the corpus does not
    #[arg(long)]
    minimise: bool,
    /// What to run; without one, all there are
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match try_run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(shortfall) => {
            eprintln!("xtask: {shortfall}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(arguments: &Arguments) -> Result<(), Shortfall> {
    let targets = chosen(&arguments.targets)?;
    look_for_cargo_fuzz()?;
    let mut rows = Vec::new();
    for target in &targets {
        rows.push(Row::of(target, arguments)?);
    }
    println!(
        "\n{:WIDTH$}  {:>12}  {:>8}  {:>6}  {:>5}  {:>7}",
        "target", "executions", "a second", "corpus", "new", "crashes"
    );
    rows.iter().for_each(Row::print);
    for artifact in rows.iter().flat_map(|row| &row.log.artifacts) {
        println!("\n{}", how_to_go_on(artifact));
    }
    let broken: Vec<&str> =
        rows.iter().filter(|row| row.has_failed).map(|row| row.target.as_str()).collect();
    if broken.is_empty() { Ok(()) } else { Err(Shortfall::failed(broken.join(", ") + " failed")) }
}

const WIDTH: usize = 8;

/// The targets that are named, or all: each is a file of one line.
fn chosen(named: &[String]) -> Result<Vec<String>, Shortfall> {
    let mut all: Vec<String> = files(&top("fuzz_targets"))
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    all.sort();
    match named.iter().find(|name| !all.contains(name)) {
        Some(unknown) => {
            let all = all.join(", ");
            Err(Shortfall::failed(format!("there is no target {unknown}: there are {all}")))
        }
        None if named.is_empty() => Ok(all),
        None => Ok(named.to_vec()),
    }
}

fn look_for_cargo_fuzz() -> Result<(), Shortfall> {
    let mut command = cargo_fuzz(["--version"]);
    let found = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(Shortfall::failed(
            "`cargo +nightly fuzz` does not start. It needs\n    \
             rustup toolchain install nightly\n    \
             cargo install cargo-fuzz --locked",
        )),
    }
}

/// The cargo that rustup puts in front of all of its toolchains: ours is that of one.
fn cargo_fuzz<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(cargo::root()).args(["+nightly", "fuzz"]).args(arguments);
    command
}

/// What became of a target.
struct Row {
    target: String,
    log: Log,
    corpus: usize,
    corpus_before: usize,
    has_failed: bool,
}

impl Row {
    fn of(target: &str, arguments: &Arguments) -> Result<Row, Shortfall> {
        let corpus = top("corpus").join(target);
        let corpus_before = files(&corpus).len();
        println!("== {target}: {corpus_before} files, {} s", arguments.seconds);
        let time = format!("-max_total_time={}", arguments.seconds);
        let dictionary = top("dictionaries").join(format!("{target}.dict"));
        let dictionary = dictionary.exists().then(|| format!("-dict={}", dictionary.display()));
        // Nothing in the workspace is unsafe: a sanitizer would only take time.
        let mut command = cargo_fuzz(["run", "--sanitizer", "none", target, "--"]);
        command
            .args([&time, "-max_len=2048", "-print_final_stats=1", "-timeout=60"])
            .args(dictionary);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut log = Log::new();
        for line in
            child.stderr.take().into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n'))
        {
            if let Some(line) = log.read(&String::from_utf8_lossy(&line?)) {
                println!("{target}: {line}");
            }
        }
        let has_failed = !child.wait()?.success();
        if has_failed {
            log.tail.iter().for_each(|line| println!("{line}"));
        }
        let grown = files(&corpus).len();
        if arguments.minimise && !has_failed {
            let mut command = cargo_fuzz(["cmin", "--sanitizer", "none", target]);
            cargo::finish(command.stderr(Stdio::null()))?;
            println!("{target}: {grown} files made {}", files(&corpus).len());
        }
        let target = target.to_owned();
        Ok(Row { target, log, corpus: grown, corpus_before, has_failed })
    }

    fn print(&self) {
        let Row { target, log, corpus, corpus_before, .. } = self;
        let new = corpus.saturating_sub(*corpus_before);
        let crashes = if self.has_failed { log.artifacts.len() } else { 0 };
        let (all, a_second) = (log.executions, log.executions_a_second);
        println!("{target:WIDTH$}  {all:>12}  {a_second:>8}  {corpus:>6}  {new:>5}  {crashes:>7}");
    }
}

/// What libFuzzer says, as far as it matters.
struct Log {
    executions: u64,
    executions_a_second: u64,
    artifacts: Vec<PathBuf>,
    /// The last lines that are not about progress.
    tail: VecDeque<String>,
    shown: Instant,
}

/// How often progress is shown.
const PULSE: Duration = Duration::from_secs(10);

/// As many lines as a history or a trace takes that breaks a property.
const TAIL: usize = 400;

impl Log {
    fn new() -> Log {
        let (artifacts, tail) = (Vec::new(), VecDeque::new());
        Log { executions: 0, executions_a_second: 0, artifacts, tail, shown: Instant::now() }
    }

    /// Takes note of a line. Gives it back if it is to be shown as progress.
    fn read<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        if let Some((_, artifact)) = line.split_once("Test unit written to ") {
            self.artifacts.push(PathBuf::from(artifact.trim()));
        }
        let count = |value: &str| value.trim().parse().unwrap_or_default();
        if let Some(value) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = count(value);
        } else if let Some(value) = line.strip_prefix("stat::average_exec_per_sec:") {
            self.executions_a_second = count(value);
        } else if line.starts_with('#') {
            let is_due = self.shown.elapsed() >= PULSE;
            if is_due {
                self.shown = Instant::now();
            }
            return is_due.then(|| line.split(" MS:").next().unwrap_or(line));
        } else {
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(line.to_owned());
        }
        None
    }
}

fn how_to_go_on(artifact: &Path) -> String {
    let target = artifact.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let artifact = artifact.display();
    format!(
        "{artifact}\n  replay:   cargo +nightly fuzz run --sanitizer none {target} {artifact}\n  \
         minimise: cargo +nightly fuzz tmin --sanitizer none {target} {artifact}\n  \
         then put it into fuzz/corpus/{target}, where `cargo xtask test` replays it"
    )
}

fn top(name: &str) -> PathBuf {
    cargo::root().join("fuzz").join(name)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_figures_and_the_artifacts_are_read() {
        let mut log = Log::new();
        for line in [
            "INFO: Seed: 1",
            "#2\tINITED cov: 3 ft: 3 corp: 1/1b exec/s: 0 rss: 30Mb",
            "thread '<unnamed>' panicked at src/fuzz.rs:9:9:",
            "artifact_prefix='x'; Test unit written to /a/fuzz/artifacts/names/crash-da39",
            "stat::number_of_executed_units: 1234",
            "stat::average_exec_per_sec:     77",
        ] {
            assert_eq!(log.read(line), None, "progress is shown now and then");
        }
        assert_eq!((log.executions, log.executions_a_second), (1234, 77));
        assert_eq!(log.artifacts, [Path::new("/a/fuzz/artifacts/names/crash-da39")]);
        assert_eq!(log.tail.len(), 3, "{:?}", log.tail);
        assert!(how_to_go_on(&log.artifacts[0]).contains("tmin --sanitizer none names /a/"));
    }

    #[test]
    fn progress_is_shown_without_the_mutations() {
        let mut log = Log::new();
        log.shown = Instant::now().checked_sub(PULSE).unwrap();
        let line = "#9 NEW cov: 3 exec/s: 4 rss: 30Mb L: 7/13 MS: 2 CopyPart-CrossOver-";
        assert_eq!(log.read(line), Some("#9 NEW cov: 3 exec/s: 4 rss: 30Mb L: 7/13"));
        assert_eq!(log.read(line), None);
    }

    #[test]
    fn a_target_that_is_not_there_is_refused_with_those_that_are() {
        let all = chosen(&[]).unwrap();
        assert!(all.contains(&"events".to_owned()));
        let refused = chosen(&["event".to_owned()]).unwrap_err().to_string();
        assert!(refused.ends_with(&all.join(", ")), "{refused}");
    }
}

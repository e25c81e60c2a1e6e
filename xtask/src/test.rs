use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};

use crate::{counts::Counts, outcome::Shortfall, steps::Step};

/// Check all that CI checks: formatting, lints, tests, docs, features, examples
///
/// Every step runs, also after one that failed. Last comes a table of the steps, and as the last
/// line how many tests passed, failed and were skipped. A step that failed without a failed test
/// counts as one failed, a step that was left out as one skipped. With CI=true in the environment
/// whatever is left out, a step or a test, is a failure.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Say what the steps are, and run none
    #[arg(long)]
    list: bool,
    /// Run this step only; may be given several times
    #[arg(long, value_name = "STEP", conflicts_with = "skip")]
    only: Vec<Step>,
    /// Leave this step out; may be given several times
    #[arg(long, value_name = "STEP")]
    skip: Vec<Step>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    if arguments.list {
        for step in Step::value_variants() {
            println!("{:WIDTH$}  {}", step.name(), step.about());
        }
        return ExitCode::SUCCESS;
    }
    let in_ci = env::var_os("CI").is_some_and(|value| value == "true");
    let rows: Vec<Row> =
        Step::value_variants().iter().map(|&step| Row::of(step, arguments, in_ci)).collect();
    println!("\n{:WIDTH$}  result    seconds", "step");
    rows.iter().for_each(Row::print);
    let failed: Vec<String> =
        rows.iter().filter(|row| row.failed()).map(|row| row.step.name()).collect();
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    let mut sum = Counts::default();
    rows.iter().for_each(|row| sum += row.counts);
    println!("{sum}");
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// As wide as the longest name of a step.
const WIDTH: usize = 8;

/// What became of a step.
struct Row {
    counts: Counts,
    outcome: Result<(), Shortfall>,
    step: Step,
    took: Duration,
}

impl Row {
    fn of(step: Step, arguments: &Arguments, in_ci: bool) -> Row {
        let mut counts = Counts::default();
        let started = Instant::now();
        let outcome = if arguments.skip.contains(&step) {
            Err(Shortfall::LeftOut("by --skip".to_owned()))
        } else if !arguments.only.is_empty() && !arguments.only.contains(&step) {
            Err(Shortfall::LeftOut("by --only".to_owned()))
        } else {
            println!("\n== {}: {}", step.name(), step.about());
            step.run(&mut counts)
        };
        let outcome = if in_ci { nothing_left_out(outcome, counts) } else { outcome };
        match &outcome {
            Ok(()) => {}
            Err(Shortfall::Failed(_)) => counts.failed = counts.failed.max(1),
            Err(Shortfall::LeftOut(_)) => counts.skipped = counts.skipped.max(1),
        }
        let row = Row { counts, outcome, step, took: started.elapsed() };
        if !matches!(row.outcome, Err(Shortfall::LeftOut(_))) {
            println!("== {}: {} after {:.1} s", step.name(), row.result(), row.took.as_secs_f64());
        }
        row
    }

    fn failed(&self) -> bool {
        matches!(self.outcome, Err(Shortfall::Failed(_)))
    }

    fn result(&self) -> &'static str {
        match self.outcome {
            Ok(()) => "ok",
            Err(Shortfall::Failed(_)) => "FAILED",
            Err(Shortfall::LeftOut(_)) => "left out",
        }
    }

    fn print(&self) {
        let (name, result, seconds) = (self.step.name(), self.result(), self.took.as_secs_f64());
        print!("{name:WIDTH$}  {result:8}  {seconds:7.1}");
        match &self.outcome {
            Ok(()) => println!(),
            Err(shortfall) => println!("  {shortfall}"),
        }
    }
}

/// CI checks everything, or it checks nothing that can be relied on.
fn nothing_left_out(outcome: Result<(), Shortfall>, counts: Counts) -> Result<(), Shortfall> {
    match outcome {
        Ok(()) if counts.skipped > 0 => {
            Err(Shortfall::Failed(format!("{} tests are ignored", counts.skipped)))
        }
        Err(Shortfall::LeftOut(reason)) => Err(Shortfall::Failed(format!("left out: {reason}"))),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_wide_as_the_longest_name() {
        let longest = Step::value_variants().iter().map(|step| step.name().len()).max();
        assert_eq!(longest, Some(WIDTH));
    }

    #[test]
    fn in_ci_an_ignored_test_and_a_step_left_out_are_failures() {
        let counts = |skipped| Counts { skipped, ..Counts::default() };
        let left_out = || Err(Shortfall::LeftOut("no server".to_owned()));
        assert!(nothing_left_out(Ok(()), counts(0)).is_ok());
        assert!(matches!(nothing_left_out(Ok(()), counts(1)), Err(Shortfall::Failed(_))));
        assert!(matches!(nothing_left_out(left_out(), counts(0)), Err(Shortfall::Failed(_))));
    }

    #[test]
    fn what_failed_says_so_in_ci_too() {
        let failed = Err(Shortfall::Failed("bad".to_owned()));
        let outcome = nothing_left_out(failed, Counts { skipped: 1, ..Counts::default() });
        assert_eq!(outcome.unwrap_err().to_string(), "bad");
    }
}

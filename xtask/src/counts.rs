use std::{fmt, ops::AddAssign, process::Command};

use crate::{cargo, outcome::Shortfall};

/// How many tests passed, failed and were left out, as the test binaries say themselves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { passed, failed, skipped } = self;
        write!(formatter, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Runs `command`, a `cargo test`, to its end, and adds what it counted to `counts`.
pub(crate) fn run(command: &mut Command, counts: &mut Counts) -> Result<(), Shortfall> {
    let mut reader = Reader::default();
    let outcome = cargo::watch(command, |line| reader.read(line));
    let counted = reader.counts();
    *counts += counted;
    // A binary that a test ended with success has fooled cargo.
    outcome.and_then(|()| match counted.failed {
        0 => Ok(()),
        number => Err(Shortfall::Failed(format!("binaries without a result: {number}"))),
    })
}

/// Reads along with `cargo test`.
#[derive(Debug, Default)]
struct Reader {
    counts: Counts,
    /// A binary has said how many tests it runs, and not yet how they went.
    running: bool,
}

impl Reader {
    /// Takes the next line that was printed.
    fn read(&mut self, line: &str) {
        if is_start(line) {
            self.close();
            self.running = true;
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.counts += result_of(result);
            self.running = false;
        }
    }

    /// What all binaries said together. One that died without a word is a failure.
    fn counts(mut self) -> Counts {
        self.close();
        self.counts
    }

    fn close(&mut self) {
        self.counts.failed += u64::from(self.running);
        self.running = false;
    }
}

/// Is this `running 3 tests`?
fn is_start(line: &str) -> bool {
    let mut words = line.split(' ');
    words.next() == Some("running")
        && words.next().is_some_and(|number| number.parse::<u64>().is_ok())
        && matches!(words.next(), Some("test" | "tests"))
        && words.next().is_none()
}

/// Reads `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s`.
fn result_of(result: &str) -> Counts {
    let mut counts = Counts::default();
    let (_, numbers) = result.split_once(". ").unwrap_or_default();
    for part in numbers.split("; ") {
        let Some((number, word)) = part.split_once(' ') else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match word {
            "passed" => counts.passed += number,
            "failed" => counts.failed += number,
            "ignored" => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Counts {
        let mut reader = Reader::default();
        output.lines().for_each(|line| reader.read(line));
        reader.counts()
    }

    #[test]
    fn results_of_several_binaries_are_summed() {
        let counts = read(concat!(
            "running 2 tests\n",
            "test a ... ok\n",
            "test b ... ignored\n",
            "test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; ",
            "finished in 0.00s\n",
            "running 3 tests\n",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; ",
            "finished in 1.50s\n",
        ));
        assert_eq!(counts, Counts { passed: 2, failed: 2, skipped: 1 });
        assert_eq!(counts.to_string(), "2 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn a_binary_that_dies_before_its_result_counts_as_failed() {
        let counts = read(concat!(
            "running 1 test\n",
            "running 1 test\n",
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; ",
            "finished in 0.00s\n",
            "running 4 tests\n",
        ));
        assert_eq!(counts, Counts { passed: 1, failed: 2, skipped: 0 });
    }

    #[test]
    fn what_tests_print_is_not_taken_for_a_result() {
        assert_eq!(
            read("running away\nrunning 3 tests now\nresult: 3 passed\n"),
            Counts::default()
        );
    }
}

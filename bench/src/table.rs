use std::fmt;

/// What the benchmarks found: one table for all of it.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

/// One thing that was measured, next to a yardstick that was measured in the same run.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    what: String,
    this: Quantity,
    yardstick: Option<(&'static str, Quantity)>,
    ratio: Option<f64>,
    target: Option<Target>,
    elsewhere: &'static str,
}

/// A number with its unit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Quantity {
    /// Bytes.
    Bytes(f64),
    /// How many there are.
    Count(f64),
    /// Nanoseconds.
    Nanos(f64),
}

/// What the measurement is to stay below.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// The number itself is at most this. Sizes and counts do not depend on the machine's load.
    AtMost(Quantity),
    /// The ratio to the yardstick is at most this. A machine that others use can spoil it.
    RatioAtMost(f64),
}

/// How the targets were met.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdict {
    /// Targets that were met.
    pub(crate) met: usize,
    /// Times, and ratios of times, that are over their target.
    pub(crate) slow: usize,
    /// Counts and sizes that are over their target.
    pub(crate) missed: usize,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, this: Quantity) -> Row {
        let what = what.into();
        Row { what, this, yardstick: None, ratio: None, target: None, elsewhere: "" }
    }

    /// Next to `yardstick`: the ratio is that of the two numbers.
    pub(crate) fn next_to(self, name: &'static str, yardstick: Quantity) -> Row {
        let ratio = self.this.number() / yardstick.number();
        self.in_ratio(name, yardstick, ratio)
    }

    /// With another way to say the same, which is no yardstick.
    pub(crate) fn beside(self, name: &'static str, same: Quantity) -> Row {
        Row { yardstick: Some((name, same)), ..self }
    }

    /// Next to `yardstick`, with a ratio that was measured in pairs.
    pub(crate) fn in_ratio(self, name: &'static str, yardstick: Quantity, ratio: f64) -> Row {
        Row { yardstick: Some((name, yardstick)), ratio: Some(ratio), ..self }
    }

    pub(crate) fn target(self, target: Target) -> Row {
        Row { target: Some(target), ..self }
    }

    /// What the Go tracker took that Tenure grew from, on another machine of this kind.
    pub(crate) fn elsewhere(self, elsewhere: &'static str) -> Row {
        Row { elsewhere, ..self }
    }

    /// Whether the target is met, if there is one.
    fn is_met(&self) -> Option<bool> {
        Some(match self.target? {
            Target::AtMost(most) => self.this.number() <= most.number(),
            Target::RatioAtMost(most) => self.ratio.is_some_and(|ratio| ratio <= most),
        })
    }

    fn cells(&self) -> [String; COLUMNS] {
        let yardstick = self
            .yardstick
            .map_or_else(String::new, |(name, quantity)| format!("{name} {quantity}"));
        let target = match self.target {
            None => String::new(),
            Some(Target::AtMost(most)) => format!("<= {most}"),
            Some(Target::RatioAtMost(most)) => format!("ratio <= {most}"),
        };
        let verdict = match self.is_met() {
            None => "",
            Some(true) => "ok",
            Some(false) => "over",
        };
        let ratio = self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let (what, elsewhere) = (self.what.clone(), self.elsewhere.to_owned());
        [what, self.this.to_string(), yardstick, ratio, target, verdict.to_owned(), elsewhere]
    }
}

const COLUMNS: usize = 7;
const HEADINGS: [&str; COLUMNS] =
    ["what", "this", "yardstick", "ratio", "target", "", "Go seed, elsewhere"];
/// Numbers end in line with each other.
const RIGHT: [bool; COLUMNS] = [false, true, true, true, false, false, false];

impl Table {
    pub(crate) fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for row in &self.rows {
            match (row.is_met(), row.target) {
                (None, _) | (_, None) => {}
                (Some(true), _) => verdict.met += 1,
                (
                    Some(false),
                    Some(Target::RatioAtMost(_) | Target::AtMost(Quantity::Nanos(_))),
                ) => {
                    verdict.slow += 1;
                }
                (Some(false), Some(Target::AtMost(Quantity::Bytes(_) | Quantity::Count(_)))) => {
                    verdict.missed += 1;
                }
            }
        }
        verdict
    }

    /// The table for a terminal.
    pub(crate) fn plain(&self) -> String {
        self.render("", "  ", "", '-')
    }

    /// The table as Markdown.
    pub(crate) fn markdown(&self) -> String {
        self.render("| ", " | ", " |", '-')
    }

    fn render(&self, before: &str, between: &str, after: &str, rule: char) -> String {
        let body: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let is_compared = self.rows.iter().any(|row| !row.elsewhere.is_empty());
        let columns = if is_compared { COLUMNS } else { COLUMNS - 1 };
        let headings = HEADINGS.map(str::to_owned);
        let width = |column: usize| {
            let cells = body.iter().chain([&headings]).map(|cells| cells[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        let rules = std::array::from_fn(|column| {
            let end = if RIGHT[column] && !before.is_empty() { ":" } else { "" };
            let dashes = widths[column].max(3) - end.len();
            rule.to_string().repeat(dashes) + end
        });
        let mut text = String::new();
        for cells in [&headings, &rules].into_iter().chain(&body) {
            let padded: [String; COLUMNS] = std::array::from_fn(|column| {
                let (cell, width) = (&cells[column], widths[column]);
                if RIGHT[column] { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            let line = format!("{before}{}{after}", padded[..columns].join(between));
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

impl Quantity {
    fn number(self) -> f64 {
        match self {
            Quantity::Bytes(number) | Quantity::Count(number) | Quantity::Nanos(number) => number,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Quantity::Bytes(bytes) => write!(formatter, "{} B", grouped(bytes)),
            Quantity::Count(count) if count.fract().abs() < 0.005 => {
                formatter.write_str(&grouped(count))
            }
            Quantity::Count(count) => write!(formatter, "{count:.2}"),
            Quantity::Nanos(nanos) if nanos < 100.0 => write!(formatter, "{nanos:.1} ns"),
            Quantity::Nanos(nanos) if nanos < 10_000.0 => {
                write!(formatter, "{} ns", grouped(nanos))
            }
            Quantity::Nanos(nanos) if nanos < 1e6 => write!(formatter, "{:.1} µs", nanos / 1e3),
            Quantity::Nanos(nanos) => write!(formatter, "{:.1} ms", nanos / 1e6),
        }
    }
}

/// The number rounded to a whole one, with its thousands set apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_is_over_its_target_and_by_how_much() {
        let mut table = Table::default();
        table.extend([
            Row::new("quick", Quantity::Nanos(30.0))
                .next_to("clock", Quantity::Nanos(20.0))
                .target(Target::RatioAtMost(1.5)),
            Row::new("slow", Quantity::Nanos(31_000.0))
                .next_to("clock", Quantity::Nanos(20_000.0))
                .target(Target::RatioAtMost(1.5)),
            Row::new("large", Quantity::Bytes(2_049.0))
                .target(Target::AtMost(Quantity::Bytes(2_048.0)))
                .elsewhere("7.4 KB"),
        ]);
        let verdict = table.verdict();
        assert_eq!((verdict.met, verdict.slow, verdict.missed), (1, 1, 1));
        assert_eq!(
            table.markdown(),
            "\
| what  |    this |     yardstick | ratio | target       |      | Go seed, elsewhere |
| ----- | ------: | ------------: | ----: | ------------ | ---- | ------------------ |
| quick | 30.0 ns | clock 20.0 ns |  1.50 | ratio <= 1.5 | ok   |                    |
| slow  | 31.0 µs | clock 20.0 µs |  1.55 | ratio <= 1.5 | over |                    |
| large | 2,049 B |               |       | <= 2,048 B   | over | 7.4 KB             |
"
        );
    }

    #[test]
    fn a_table_that_compares_with_nothing_elsewhere_has_no_column_for_it() {
        let mut table = Table::default();
        table.extend([Row::new("quick", Quantity::Nanos(30.0))]);
        assert!(!table.plain().contains("elsewhere"), "{}", table.plain());
        table.extend([Row::new("slow", Quantity::Nanos(40.0)).elsewhere("7 ns")]);
        assert!(table.plain().contains("elsewhere"), "{}", table.plain());
    }
}

//! What the demo says at its end.

use std::time::Duration;

use tenure_testkit::witness::Oracle;

use crate::demo::human;

/// How one leader's end went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    /// What became of the leader.
    pub(crate) what: &'static str,
    /// How long nobody led.
    pub(crate) gap: Duration,
    /// How long that may take on a machine that is not overloaded.
    pub(crate) bound: Duration,
}

/// The table, and what the oracle says.
pub(crate) fn lines(rows: &[Row], oracle: &Oracle) -> Vec<String> {
    let mut lines = vec![String::new()];
    lines.push(format!("{:<24}{:>16}{:>12}", "the leader was", "nobody led for", "bound"));
    for Row { what, gap, bound } in rows {
        let verdict = if gap <= bound { "met" } else { "MISSED" };
        let (gap, bound) = (human(*gap), human(*bound));
        lines.push(format!("{what:<24}{gap:>16}{bound:>12}  {verdict}"));
    }
    lines.push(String::new());
    let (answers, yeses, terms) = (oracle.answers(), oracle.yeses(), oracle.terms());
    lines.push(format!("{answers} answers, {yeses} of them yes, in {terms} terms"));
    let violations = oracle.violations();
    for violation in violations.iter().take(10) {
        lines.push(format!("VIOLATION: {violation}"));
    }
    lines.push(match violations.len() {
        0 => "no two led at once, and terms only rose".to_owned(),
        1 => "1 violation: two led at once, or could have".to_owned(),
        count => format!("{count} violations: two led at once, or could have"),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_a_narrow_terminal() {
        let row = |what, gap: u64| Row {
            what,
            gap: Duration::from_millis(gap),
            bound: Duration::from_millis(2_200),
        };
        let rows = [row("stopped politely", 7), row("frozen (SIGSTOP)", 123_456)];
        let lines = lines(&rows, &Oracle::new(Duration::from_secs(1)));
        assert_eq!(lines[2], "stopped politely                    7 ms      2.20 s  met");
        assert_eq!(lines[3], "frozen (SIGSTOP)                123.46 s      2.20 s  MISSED");
        assert!(lines.iter().all(|line| line.len() < 80), "{lines:#?}");
    }
}

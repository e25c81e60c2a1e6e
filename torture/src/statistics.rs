//! Spans, and what is said of many of them.

use std::time::Duration;

/// How long it took, each time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    spans: Vec<Duration>,
    late: usize,
}

impl Spans {
    /// Takes one in; `bound` is what it may take. Whether it did not take longer.
    pub(crate) fn add(&mut self, span: Duration, bound: Duration) -> bool {
        self.spans.push(span);
        let is_late = span > bound;
        self.late += usize::from(is_late);
        !is_late
    }

    pub(crate) fn count(&self) -> usize {
        self.spans.len()
    }

    /// How many took longer than they may.
    pub(crate) fn late(&self) -> usize {
        self.late
    }

    /// The shortest span that `of_hundred` in a hundred do not exceed; `None` of none.
    pub(crate) fn percentile(&self, of_hundred: usize) -> Option<Duration> {
        let mut sorted = self.spans.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * of_hundred).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

/// A span as people read it.
pub(crate) fn human(span: Duration) -> String {
    match span.as_micros() {
        0..10_000 => format!("{:.1} ms", span.as_secs_f64() * 1e3),
        10_000..1_000_000 => format!("{:.0} ms", span.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", span.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_spans_that_were_taken() {
        let mut spans = Spans::default();
        assert_eq!(spans.percentile(50), None);
        let ms = Duration::from_millis;
        for span in (1..=200).rev() {
            assert_eq!(spans.add(ms(span), ms(198)), span <= 198);
        }
        let at = |of_hundred| spans.percentile(of_hundred).unwrap();
        assert_eq!([at(0), at(50), at(99), at(100)], [ms(1), ms(100), ms(198), ms(200)]);
        assert_eq!((spans.count(), spans.late()), (200, 2));
    }

    #[test]
    fn spans_are_read_by_people() {
        let text = |micros| human(Duration::from_micros(micros));
        assert_eq!([text(1_260), text(26_400), text(1_264_000)], ["1.3 ms", "26 ms", "1.26 s"]);
    }
}

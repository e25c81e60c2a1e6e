use crate::{Config, Jitter};

/// How long to wait before a call that failed is made again.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Backoff {
    /// The span that the next wait is drawn from, in nanoseconds. `None`: the least, as the last
    /// call did not fail.
    span: Option<u64>,
}

impl Backoff {
    /// A call did what it should: start again from the least span.
    pub(crate) fn reset(&mut self) {
        self.span = None;
    }

    /// Whether the call before failed as well.
    pub(crate) fn has_failed(&self) -> bool {
        self.span.is_some()
    }

    /// The next wait in nanoseconds. Never zero.
    pub(crate) fn next(&mut self, config: &Config, jitter: &mut Jitter) -> u64 {
        let span = self.span.unwrap_or(config.retry_min);
        self.span = Some(span.saturating_mul(2).min(config.retry_max));
        jitter.shorten_nanos(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn waits_double_up_to_the_greatest_and_lose_up_to_a_half() {
        let config = Config::new(Duration::from_nanos(1000)).unwrap();
        let (mut backoff, mut jitter) = (Backoff::default(), Jitter::new(0));
        for round in 0..2 {
            assert!(!backoff.has_failed());
            for span in [20, 40, 80, 160, 250, 250] {
                let wait = backoff.next(&config, &mut jitter);
                assert!((span / 2..=span).contains(&wait), "round {round}: {wait} of {span}");
                assert!(backoff.has_failed());
            }
            backoff.reset();
        }
    }

    #[test]
    fn the_whole_half_is_drawn_and_never_nothing() {
        let span = Duration::from_nanos(4);
        let builder = Config::builder(Duration::from_nanos(1000)).retry(span, span);
        let config = builder.build().unwrap();
        let (mut backoff, mut jitter) = (Backoff::default(), Jitter::new(0));
        let mut seen = [false; 5];
        for _ in 0..100 {
            let wait = usize::try_from(backoff.next(&config, &mut jitter)).unwrap();
            *seen.get_mut(wait).unwrap() = true;
        }
        assert_eq!(seen, [false, false, true, true, true]);
        let least = Duration::from_nanos(1);
        let builder = Config::builder(Duration::from_nanos(1000)).retry(least, least);
        let config = builder.build().unwrap();
        assert_eq!(Backoff::default().next(&config, &mut jitter), 1);
    }

    #[test]
    fn another_seed_waits_another_time() {
        let waits = |seed| {
            let config = Config::new(Duration::from_secs(10)).unwrap();
            let (mut backoff, mut jitter) = (Backoff::default(), Jitter::new(seed));
            [backoff.next(&config, &mut jitter), backoff.next(&config, &mut jitter)]
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}

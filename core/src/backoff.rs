use crate::{Config, Jitter};

/// How long to wait after a claim whose outcome is unknown.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Backoff {
    /// The span that the next wait is drawn from, in nanoseconds.
    span: u64,
    jitter: Jitter,
}

impl Backoff {
    pub(crate) fn new(config: &Config) -> Backoff {
        let jitter = Jitter::new(config.jitter_seed.unwrap_or(0));
        Backoff { span: config.retry_min, jitter }
    }

    /// The store has answered: start again from the least span.
    pub(crate) fn reset(&mut self, config: &Config) {
        self.span = config.retry_min;
    }

    /// The next wait in nanoseconds. Never zero.
    pub(crate) fn next(&mut self, config: &Config) -> u64 {
        let span = self.span;
        self.span = span.saturating_mul(2).min(config.retry_max);
        self.jitter.shorten_nanos(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn waits_double_up_to_the_greatest_and_lose_up_to_a_half() {
        let config = Config::new(Duration::from_nanos(1000)).unwrap();
        let mut backoff = Backoff::new(&config);
        for round in 0..2 {
            for span in [20, 40, 80, 160, 250, 250] {
                let wait = backoff.next(&config);
                assert!((span / 2..=span).contains(&wait), "round {round}: {wait} of {span}");
            }
            backoff.reset(&config);
        }
    }

    #[test]
    fn the_whole_half_is_drawn_and_never_nothing() {
        let span = Duration::from_nanos(4);
        let builder = Config::builder(Duration::from_nanos(1000)).retry(span, span);
        let config = builder.build().unwrap();
        let mut backoff = Backoff::new(&config);
        let mut seen = [false; 5];
        for _ in 0..100 {
            let wait = usize::try_from(backoff.next(&config)).unwrap();
            *seen.get_mut(wait).unwrap() = true;
        }
        assert_eq!(seen, [false, false, true, true, true]);
        let least = Duration::from_nanos(1);
        let builder = Config::builder(Duration::from_nanos(1000)).retry(least, least);
        let config = builder.build().unwrap();
        assert_eq!(Backoff::new(&config).next(&config), 1);
    }

    #[test]
    fn another_seed_waits_another_time() {
        let waits = |seed| {
            let builder = Config::builder(Duration::from_secs(10)).jitter_seed(seed);
            let config = builder.build().unwrap();
            let mut backoff = Backoff::new(&config);
            [backoff.next(&config), backoff.next(&config)]
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}

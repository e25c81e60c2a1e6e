use core::time::Duration;

use crate::time::saturating_nanos;

/// Takes a random part off a span, so that those who failed together do not come back together.
///
/// The same seed gives the same parts.
///
/// ```
/// use core::time::Duration;
/// use tenure_core::Jitter;
///
/// let second = Duration::from_secs(1);
/// let shorter = Jitter::new(7).shorten(second);
/// assert!(shorter > second / 2 && shorter <= second);
/// assert_eq!(shorter, Jitter::new(7).shorten(second));
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Jitter(u64);

impl Jitter {
    /// The parts that `seed` gives.
    pub const fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    /// `span` less a random part of up to a half: never zero, unless `span` is. A span of more than
    /// 584 years counts as that.
    pub fn shorten(&mut self, span: Duration) -> Duration {
        Duration::from_nanos(self.shorten_nanos(saturating_nanos(span)))
    }

    pub(crate) fn shorten_nanos(&mut self, span: u64) -> u64 {
        let part = u128::from(self.draw()).saturating_mul(u128::from(span / 2).saturating_add(1));
        span.saturating_sub((part >> 64) as u64)
    }

    /// SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the authors' own `splitmix64.c` gives.
    #[test]
    fn the_draws_are_those_of_splitmix64() {
        let mut jitter = Jitter::new(0);
        let draws = [jitter.draw(), jitter.draw(), jitter.draw()];
        assert_eq!(draws, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }
}

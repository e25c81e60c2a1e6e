/// Where a run takes its choices from: bytes, each of them given out once.
///
/// Zero is always the most benign choice, and where the bytes are exhausted all that follow are
/// zero. So a run is known by its bytes, and a shorter or lower string of them is a simpler run.
#[derive(Clone, Debug)]
pub struct Choices {
    source: Source,
    taken: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Source {
    Bytes(std::vec::IntoIter<u8>),
    Seed { state: u64, pool: u64, left: u32 },
}

impl Choices {
    /// The choices that a seed gives: the same ones each time.
    pub fn of_seed(seed: u64) -> Choices {
        let source = Source::Seed { state: seed, pool: 0, left: 0 };
        Choices { source, taken: Vec::new() }
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Choices {
        let bytes = Vec::from(bytes);
        Choices { source: Source::Bytes(bytes.into_iter()), taken: Vec::new() }
    }

    /// All that was given out, less the zeros at the end, which need not be said.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        let len = self.taken.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        self.taken.truncate(len);
        self.taken
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let byte = match &mut self.source {
            Source::Bytes(bytes) => bytes.next().unwrap_or(0),
            Source::Seed { state, pool, left } => {
                if *left == 0 {
                    (*pool, *left) = (split_mix(state), u64::BITS / u8::BITS);
                }
                let byte = *pool as u8;
                *pool >>= u8::BITS;
                *left -= 1;
                byte
            }
        };
        self.taken.push(byte);
        byte
    }

    fn word(&mut self) -> u64 {
        u64::from(self.byte()) << 8 | u64::from(self.byte())
    }

    /// Whether something happens that does so `of_256` times in 256. Never costs no byte.
    pub fn chance(&mut self, of_256: u8) -> bool {
        of_256 > 0 && u16::from(self.byte()) + u16::from(of_256) >= 256
    }

    /// A number below `limit`, which is at most 256; zero if that is zero.
    pub fn below(&mut self, limit: usize) -> usize {
        if limit < 2 { 0 } else { usize::from(self.byte()) * limit / 256 }
    }

    /// One of them.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// From `least` to `most`, both included.
    pub fn span(&mut self, least: u64, most: u64) -> u64 {
        let width = most.saturating_sub(least);
        let part = u128::from(width) * u128::from(self.word()) / 0xffff;
        least + part as u64
    }
}

/// SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_that_a_seed_gave_give_the_same_choices() {
        let draw = |choices: &mut Choices| {
            let mut drawn = Vec::new();
            for limit in 0..40 {
                drawn.push(choices.below(limit) as u64);
                drawn.push(u64::from(choices.chance(limit as u8)));
                drawn.push(choices.span(5, 5 + limit as u64 * 1_000));
            }
            drawn
        };
        let mut seeded = Choices::of_seed(7);
        let drawn = draw(&mut seeded);
        let bytes = seeded.into_bytes();
        assert_eq!(draw(&mut Choices::of_bytes(&bytes)), drawn);
        assert_ne!(draw(&mut Choices::of_seed(8)), drawn);
    }

    #[test]
    fn exhausted_choices_are_benign_and_ends_are_reached() {
        let mut none = Choices::of_bytes(&[]);
        assert_eq!(
            (none.byte(), none.chance(255), none.below(9), none.span(3, 9)),
            (0, false, 0, 3)
        );
        let mut all = Choices::of_bytes(&[255; 9]);
        assert_eq!((all.chance(1), all.below(9), all.span(3, 9)), (true, 8, 9));
        assert!(none.into_bytes().is_empty());
    }
}

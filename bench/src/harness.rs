use std::hint::black_box;
use std::time::Instant;

/// Does one short batch, and gives the nanoseconds that one operation of it took.
pub(crate) type Batch<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// Measures things next to each other: a batch of each in every round.
///
/// Not criterion, which measures one thing for seconds and then the next: on a machine that others
/// use as well, the load has changed in between, and a ratio of the two is a ratio of loads.
pub(crate) fn interleave(rounds: usize, mut batches: Vec<Batch<'_>>) -> Vec<Samples> {
    let count = batches.len();
    let mut samples: Vec<Samples> = batches.iter().map(|_| Samples::default()).collect();
    for round in 0..rounds + rounds.div_ceil(10) {
        // Nobody is always the first, which may find the caches cold.
        for index in (0..count).map(|offset| (round + offset) % count) {
            let nanos = batches[index]();
            // The first tenth warms up.
            if round >= rounds.div_ceil(10) {
                samples[index].0.push(nanos);
            }
        }
    }
    samples
}

/// A batch of `operations` calls of `work`.
pub(crate) fn repeat<'a, T>(operations: u32, mut work: impl FnMut() -> T + 'a) -> Batch<'a> {
    Box::new(move || time_per(operations, || (0..operations).for_each(|_| drop(black_box(work())))))
}

/// The nanoseconds that each of the `operations` took that `work` does.
pub(crate) fn time_per(operations: u32, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / f64::from(operations)
}

/// What one thing took, in nanoseconds, round by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, nanos: f64) {
        self.0.push(nanos);
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * quantile).round() as usize).copied().unwrap_or(f64::NAN)
    }

    /// The median of the rounds' ratios: the two of a round have met the same load.
    pub(crate) fn ratio_to(&self, yardstick: &Samples) -> f64 {
        let ratios = self.0.iter().zip(&yardstick.0).map(|(this, other)| this / other);
        Samples(ratios.collect()).median()
    }
}

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Options, Run, Summary, run_seed};

/// Many runs, on several threads.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// How each is run.
    pub options: Options,
    /// The first seed; the others follow it.
    pub from: u64,
    /// When to stop.
    pub limit: Limit,
    /// On how many threads.
    pub threads: usize,
}

/// When to stop: at whichever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// After so many seeds.
    pub seeds: u64,
    /// After this long.
    pub time: Duration,
}

/// What many runs gave.
#[derive(Debug, Default)]
pub struct Total {
    /// All of them together.
    pub summary: Summary,
    /// Which seeds broke an invariant, and how; in order.
    pub violations: Vec<(u64, String)>,
    /// The first seeds whose run showed two that believed at once.
    pub exclusions: Vec<(u64, String)>,
}

/// So many failures are kept one by one.
const KEPT: usize = 16;

impl Fleet {
    /// Runs them. `seen` is shown what there is so far after each run, by any of the threads;
    /// `stop` ends the whole early.
    pub fn run(&self, stop: &AtomicBool, seen: impl Fn(&Summary) + Sync) -> Total {
        let begun = Instant::now();
        let next = AtomicU64::new(0);
        let total = Mutex::new(Total::default());
        let work = || {
            loop {
                let offset = next.fetch_add(1, Ordering::Relaxed);
                let is_over = offset >= self.limit.seeds || begun.elapsed() >= self.limit.time;
                if is_over || stop.load(Ordering::Relaxed) {
                    return;
                }
                let seed = self.from.wrapping_add(offset);
                let run = run_seed(seed, self.options);
                let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                total.add(seed, run);
                seen(&total.summary);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(work);
            }
        });
        let mut total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
        total.violations.sort();
        total.exclusions.sort();
        total
    }
}

impl Total {
    fn add(&mut self, seed: u64, run: Run) {
        self.summary += &run.summary;
        for (list, found) in
            [(&mut self.violations, run.violation), (&mut self.exclusions, run.exclusion)]
        {
            if let Some(what) = found
                && list.len() < KEPT
            {
                list.push((seed, what));
            }
        }
    }
}

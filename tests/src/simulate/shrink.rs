use super::{Options, Run, run_bytes};

/// A run that was made as small as it gets within some effort.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How it fails.
    pub violation: String,
    /// How many runs it took.
    pub runs: u64,
}

/// Makes the bytes of a run fewer and lower, as long as `fails` says that it fails in the same way.
/// `None` if it does not fail at all.
pub fn shrink(
    bytes: &[u8],
    options: Options,
    runs_max: u64,
    fails: impl Fn(&Run) -> Option<String>,
) -> Option<Shrunk> {
    let violation = fails(&run_bytes(bytes, options))?;
    let rule = rule(&violation);
    let mut shrinking = Shrinking {
        best: Shrunk { bytes: bytes.to_vec(), violation, runs: 0 },
        rule,
        options,
        runs_max,
        fails,
    };
    loop {
        let before = shrinking.best.bytes.clone();
        shrinking.cut();
        shrinking.lower();
        if shrinking.best.bytes == before || shrinking.best.runs >= runs_max {
            return Some(shrinking.best);
        }
    }
}

/// What a violation breaks, without whose and when.
pub(crate) fn rule(violation: &str) -> String {
    let words = violation.split([':', ',']).next();
    let words = words.unwrap_or_default();
    words.chars().filter(|letter| !letter.is_ascii_digit()).collect::<String>()
        + &violation.chars().take(2).filter(char::is_ascii_digit).collect::<String>()
}

struct Shrinking<F> {
    best: Shrunk,
    rule: String,
    options: Options,
    runs_max: u64,
    fails: F,
}

impl<F: Fn(&Run) -> Option<String>> Shrinking<F> {
    /// Whether these bytes fail in the same way: then they are the best.
    fn accept(&mut self, bytes: Vec<u8>) -> bool {
        if self.best.runs >= self.runs_max || bytes == self.best.bytes {
            return false;
        }
        self.best.runs += 1;
        let run = run_bytes(&bytes, self.options);
        match (self.fails)(&run) {
            Some(violation) if rule(&violation) == self.rule => {
                let last = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                self.best.bytes = bytes;
                // Zeros at the end say nothing, nor does what was never asked for.
                self.best.bytes.truncate(last.min(run.bytes.len()));
                self.best.violation = violation;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Leaves out pieces, long ones first.
    fn cut(&mut self) {
        let mut size = self.best.bytes.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at < self.best.bytes.len() {
                let mut bytes = self.best.bytes.clone();
                let end = (at + size).min(bytes.len());
                bytes.drain(at..end);
                if !self.accept(bytes) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    /// Makes pieces zero, and then single bytes lower.
    fn lower(&mut self) {
        for size in [64, 16, 4, 1] {
            let mut at = 0;
            while at < self.best.bytes.len() {
                let mut bytes = self.best.bytes.clone();
                let end = (at + size).min(bytes.len());
                bytes[at..end].fill(0);
                self.accept(bytes);
                at += size;
            }
        }
        for at in 0..self.best.bytes.len() {
            for _ in 0..4 {
                let mut bytes = self.best.bytes.clone();
                let Some(byte) = bytes.get_mut(at).filter(|byte| **byte > 0) else { break };
                *byte /= 2;
                if !self.accept(bytes) {
                    break;
                }
            }
        }
    }
}

use std::fmt::Write as _;

/// What happens in a run: as a hash always, and as text if that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    hash: u64,
    text: Option<String>,
    now: u64,
}

impl Log {
    pub(crate) fn new(keeps_text: bool) -> Log {
        Log { hash: 0xcbf2_9ce4_8422_2325, text: keeps_text.then(String::new), now: 0 }
    }

    pub(crate) fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// Something happens: `words` tell it from all else, and `text` says it.
    pub(crate) fn note(&mut self, words: &[u64], text: impl FnOnce() -> String) {
        for word in std::iter::once(&self.now).chain(words) {
            self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
        if let Some(log) = &mut self.text {
            let _ = writeln!(log, "{:>12} {}", self.now, text());
        }
    }

    pub(crate) fn into_parts(self) -> (u64, Option<String>) {
        (self.hash, self.text)
    }
}

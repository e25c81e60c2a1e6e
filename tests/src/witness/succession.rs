use std::time::Duration;

use tenure_core::{Instant, Term};

use super::oracle::Holding;

/// That one leader followed another, or that one led again after its belief had run out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Succession {
    /// The term that ended.
    pub earlier: Term,
    /// The term that began: the same, if it was resumed.
    pub later: Term,
    /// The last yes of the earlier one, or its resignation if that came before its end.
    pub from: Instant,
    /// The first yes of the later one.
    pub to: Instant,
}

impl Succession {
    pub(super) fn between(
        (earlier, before): (Term, &Holding),
        (later, after): (Term, &Holding),
    ) -> Succession {
        // Who resigns from what has long run out ends nothing by it.
        let from = before.resigned.filter(|&at| at <= before.end()).unwrap_or(before.last_yes);
        Succession { earlier, later, from, to: after.first_yes }
    }

    /// How long nobody led.
    pub fn gap(&self) -> Duration {
        self.to.saturating_duration_since(self.from)
    }
}

use core::time::Duration;

/// A point in time: nanoseconds since an origin that whoever drives the machine chose.
///
/// The machine reads no clock. Use one that also counts the time that the computer was suspended
/// (`CLOCK_BOOTTIME` on Linux), or a holder that slept through its lease still believes in it.
///
/// All arithmetic saturates. [`Instant::MAX`] stands for "never": it is 584 years after the origin.
///
/// ```
/// use core::time::Duration;
/// use tenure_core::Instant;
///
/// let asked = Instant::from_nanos(5_000);
/// assert_eq!(asked.saturating_add(Duration::from_nanos(10)).as_nanos(), 5_010);
/// assert_eq!(asked.saturating_add(Duration::MAX), Instant::MAX);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant(u64);

impl Instant {
    /// The latest instant there is, and so the one that never comes.
    pub const MAX: Instant = Instant(u64::MAX);
    /// The origin.
    pub const ORIGIN: Instant = Instant(0);

    /// The instant that lies `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This instant plus `span`, or [`Instant::MAX`] where that cannot be represented.
    #[must_use]
    pub const fn saturating_add(self, span: Duration) -> Instant {
        self.plus_nanos(saturating_nanos(span))
    }

    /// This instant less `span`, or the origin where that would lie before it.
    #[must_use]
    pub const fn saturating_sub(self, span: Duration) -> Instant {
        Instant(self.0.saturating_sub(saturating_nanos(span)))
    }

    /// How long after `earlier` this instant is: zero if it is not.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) const fn plus_nanos(self, nanos: u64) -> Instant {
        Instant(self.0.saturating_add(nanos))
    }
}

/// `span` in nanoseconds, or `u64::MAX` where it is longer than that can say.
pub(crate) const fn saturating_nanos(span: Duration) -> u64 {
    let nanos = span.as_nanos();
    match nanos >> 64 {
        0 => nanos as u64,
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_saturate_at_both_ends() {
        let late = Instant::from_nanos(u64::MAX - 1);
        assert_eq!(late.saturating_add(Duration::from_nanos(1)), Instant::MAX);
        assert_eq!(late.saturating_add(Duration::from_nanos(2)), Instant::MAX);
        assert_eq!(late.saturating_add(Duration::MAX), Instant::MAX);
        // A span of 2^64 ns and some is not the some.
        let longer = Duration::from_nanos(u64::MAX) + Duration::from_nanos(6);
        assert_eq!(Instant::ORIGIN.saturating_add(longer), Instant::MAX);
        let longest = Duration::from_nanos(u64::MAX);
        assert_eq!(Instant::ORIGIN.saturating_add(longest), Instant::MAX);
        let early = Instant::from_nanos(1);
        assert_eq!(early.saturating_sub(Duration::from_nanos(2)), Instant::ORIGIN);
        assert_eq!(early.saturating_sub(Duration::MAX), Instant::ORIGIN);
    }

    #[test]
    fn spans_are_never_negative() {
        let (early, late) = (Instant::from_nanos(3), Instant::from_nanos(10));
        assert_eq!(late.saturating_duration_since(early), Duration::from_nanos(7));
        assert_eq!(early.saturating_duration_since(late), Duration::ZERO);
    }
}

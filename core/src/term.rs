use core::fmt;

/// The fencing number that comes with a grant.
///
/// It rises whenever the holder changes and never falls: not after a release, an expiry or a
/// deletion. Hand it to whatever the leader acts on, and let that refuse a term lower than the
/// highest it has seen: nothing else stops a process that was paused between its check and its act.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Term(u64);

impl Term {
    /// The term with this number.
    pub const fn new(number: u64) -> Term {
        Term(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Term {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_its_number() {
        assert_eq!(Term::new(7).number(), 7);
        assert!(Term::new(7) < Term::new(8));
    }

    #[test]
    #[cfg(feature = "alloc")]
    fn a_term_is_shown_as_its_number() {
        assert_eq!(alloc::format!("{:>3}", Term::new(7)), "  7");
    }
}

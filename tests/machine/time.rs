//! Instants: sums saturate, and otherwise are what they are in 128 bits.

use std::time::Duration;

use proptest::prelude::*;
use tenure_core::{Instant, Jitter};

const MOST: u128 = u64::MAX as u128;

/// Numbers at the ends, around powers of two, and anywhere.
fn nanos() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        Just(u64::MAX - 1),
        (0..64_u32, -1..=1_i8)
            .prop_map(|(bit, off)| (1_u64 << bit).wrapping_add_signed(off.into())),
        0..1_000_u64,
        any::<u64>(),
    ]
}

fn spans() -> impl Strategy<Value = Duration> {
    prop_oneof![
        8 => nanos().prop_map(Duration::from_nanos),
        1 => Just(Duration::MAX),
        1 => Just(Duration::from_nanos(u64::MAX) + Duration::from_nanos(1)),
        1 => (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(s, nanos)| Duration::new(s, nanos)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn sums_are_exact_or_saturate(at in nanos(), span in spans()) {
        let instant = Instant::from_nanos(at);
        prop_assert_eq!(instant.as_nanos(), at);
        let exact = u128::from(at) + span.as_nanos();
        let later = instant.saturating_add(span);
        prop_assert_eq!(u128::from(later.as_nanos()), exact.min(MOST));
        let earlier = instant.saturating_sub(span);
        let exact_before = u128::from(at).saturating_sub(span.as_nanos());
        prop_assert_eq!(u128::from(earlier.as_nanos()), exact_before);
        prop_assert!(earlier <= instant && instant <= later);
        prop_assert_eq!(earlier == instant, span.is_zero() || at == 0);
        prop_assert_eq!(later == instant, span.is_zero() || instant == Instant::MAX);
        if exact <= MOST {
            prop_assert_eq!(later.saturating_sub(span), instant, "there and back");
            prop_assert_eq!(later.saturating_duration_since(instant), span);
        } else {
            prop_assert_eq!(later, Instant::MAX);
        }
    }

    #[test]
    fn spans_between_instants_are_exact_or_nothing(one in nanos(), other in nanos()) {
        let (a, b) = (Instant::from_nanos(one), Instant::from_nanos(other));
        prop_assert_eq!(a.cmp(&b), one.cmp(&other));
        prop_assert_eq!(a == b, one == other);
        let between = a.saturating_duration_since(b);
        prop_assert_eq!(between.as_nanos(), u128::from(one).saturating_sub(other.into()));
        prop_assert_eq!(b.saturating_add(between), a.max(b));
        prop_assert_eq!(a.saturating_sub(between), a.min(b));
    }

    #[test]
    fn later_stays_later(one in nanos(), other in nanos(), span in spans()) {
        let [early, late] = [one.min(other), one.max(other)].map(Instant::from_nanos);
        prop_assert!(early.saturating_add(span) <= late.saturating_add(span));
        prop_assert!(early.saturating_sub(span) <= late.saturating_sub(span));
        prop_assert!(late <= Instant::MAX && Instant::ORIGIN <= early);
    }

    /// Between a half and the whole, so that a wait is never nothing; and the same for each seed.
    #[test]
    fn a_random_part_is_a_half_at_most(span in spans(), seed in nanos()) {
        let whole = span.as_nanos().min(MOST);
        let shorter = Jitter::new(seed).shorten(span);
        prop_assert_eq!(shorter, Jitter::new(seed).shorten(span));
        prop_assert!(whole - whole / 2 <= shorter.as_nanos() && shorter.as_nanos() <= whole);
        prop_assert_eq!(shorter.is_zero(), span.is_zero());
    }
}

#[test]
fn the_ends_of_time_are_where_they_are_said_to_be() {
    assert_eq!(Instant::ORIGIN, Instant::default());
    assert_eq!(Instant::ORIGIN.as_nanos(), 0);
    assert_eq!(Instant::MAX.as_nanos(), u64::MAX);
    let nanosecond = Duration::from_nanos(1);
    assert_eq!(Instant::MAX.saturating_add(nanosecond), Instant::MAX);
    assert_eq!(Instant::MAX.saturating_add(Duration::MAX), Instant::MAX);
    assert_eq!(Instant::ORIGIN.saturating_sub(nanosecond), Instant::ORIGIN);
    assert_eq!(Instant::MAX.saturating_sub(Duration::MAX), Instant::ORIGIN);
    let all = Instant::MAX.saturating_duration_since(Instant::ORIGIN);
    assert_eq!(all, Duration::from_nanos(u64::MAX));
    assert_eq!(Instant::ORIGIN.saturating_duration_since(Instant::MAX), Duration::ZERO);
}

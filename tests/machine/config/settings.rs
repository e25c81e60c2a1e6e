use std::time::Duration;

use proptest::prelude::*;
use tenure_core::{ClockRatio, Config, ConfigError};

/// What a user may have set, before anybody has looked at it.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) guarantee: Duration,
    pub(super) millionths: u32,
    pub(super) store_slack: Option<Duration>,
    pub(super) renew_lead: Option<Duration>,
    pub(super) claim_timeout: Option<Duration>,
    pub(super) step_down_margin: Option<Duration>,
    pub(super) retry: Option<(Duration, Duration)>,
    pub(super) min_interval: Option<Duration>,
    pub(super) recheck: Option<Duration>,
}

impl Settings {
    pub(super) fn new(guarantee: Duration) -> Settings {
        Settings {
            guarantee,
            millionths: 1_100_000,
            store_slack: None,
            renew_lead: None,
            claim_timeout: None,
            step_down_margin: None,
            retry: None,
            min_interval: None,
            recheck: None,
        }
    }

    pub(super) fn build(&self) -> Result<Config, ConfigError> {
        let mut builder = Config::builder(self.guarantee)
            .clock_ratio(ClockRatio::from_millionths(self.millionths)?);
        if let Some(span) = self.store_slack {
            builder = builder.store_slack(span);
        }
        if let Some(span) = self.renew_lead {
            builder = builder.renew_lead(span);
        }
        if let Some(span) = self.claim_timeout {
            builder = builder.claim_timeout(span);
        }
        if let Some(span) = self.step_down_margin {
            builder = builder.step_down_margin(span);
        }
        if let Some((min, max)) = self.retry {
            builder = builder.retry(min, max);
        }
        if let Some(span) = self.min_interval {
            builder = builder.min_interval(span);
        }
        if let Some(span) = self.recheck {
            builder = builder.recheck(span);
        }
        builder.build()
    }
}

/// A span by what it lies at, and how far from it: whether that is a boundary depends on the rest.
#[derive(Clone, Copy, Debug)]
struct Near {
    anchor: prop::sample::Index,
    offset: i8,
}

/// A span at a boundary of its setting, by default most often.
fn near() -> impl Strategy<Value = Option<Near>> {
    let near = (any::<prop::sample::Index>(), -2..=2_i8);
    prop::option::of(near.prop_map(|(anchor, offset)| Near { anchor, offset }))
}

impl Near {
    fn among(self, anchors: &[i128]) -> Duration {
        let nanos = *self.anchor.get(anchors) + i128::from(self.offset);
        span(nanos.max(0).unsigned_abs())
    }
}

/// As a duration, which may be far longer than an instant can say.
fn span(nanos: u128) -> Duration {
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(seconds, (nanos % 1_000_000_000) as u32)
}

/// Where anything may go wrong, whatever it is for.
const ENDS: [i128; 5] =
    [0, 1, u64::MAX as i128 / 2, u64::MAX as i128, Duration::MAX.as_nanos() as i128];

/// Guarantees of all sizes; with them ratios around 1, of any size, and those that are used.
pub(super) fn settings() -> impl Strategy<Value = Settings> {
    let guarantee = prop_oneof![
        4 => 0..300_u64,
        4 => (0..64_u32, any::<u64>()).prop_map(|(shift, bits)| bits >> shift),
        2 => (1..100_u64).prop_map(|seconds| seconds * 1_000_000_000),
        1 => (u64::MAX / 2 - 2)..=(u64::MAX / 2 + 2),
    ];
    let guarantee = prop_oneof![
        40 => guarantee.prop_map(Duration::from_nanos),
        1 => (any::<prop::sample::Index>(), -2..=2_i8)
            .prop_map(|(anchor, offset)| Near { anchor, offset }.among(&ENDS)),
    ];
    let millionths = prop_oneof![
        4 => Just(1_000_000_u32),
        4 => Just(1_100_000),
        4 => 999_990..1_000_010_u32,
        4 => 1_000_000..2_000_010_u32,
        1 => any::<u32>(),
    ];
    let spans = prop::array::uniform8(prop_oneof![1 => Just(None), 1 => near()]);
    (guarantee, millionths, spans).prop_map(|(guarantee, millionths, spans)| {
        resolve(Settings { millionths, ..Settings::new(guarantee) }, spans)
    })
}

/// Works out where the boundaries are, one setting after the other.
fn resolve(mut settings: Settings, spans: [Option<Near>; 8]) -> Settings {
    let [slack, lead, timeout, margin, least, most, interval, recheck] = spans;
    let nanos = |span: Duration| span.as_nanos() as i128;
    let or = |span: Option<Duration>, default: i128| span.map_or(default, nanos);
    let d = nanos(settings.guarantee);
    let lease = 2 * d;
    let with_ends = |own: &[i128]| [own, own, own, &ENDS].concat();
    let pick = |near: Option<Near>, own: &[i128]| near.map(|near| near.among(&with_ends(own)));

    let ratio = i128::from(settings.millionths.max(1));
    // The greatest slack with which a grant is still believed for longer than the guarantee.
    let just_fresh = lease - d.saturating_mul(ratio) / 1_000_000;
    settings.store_slack = pick(slack, &[0, d / 10, lease, just_fresh]);
    let left = (lease - or(settings.store_slack, 0)).max(0);
    let valid_for = left.saturating_mul(1_000_000) / ratio;
    let fresh_for = valid_for - d;
    settings.renew_lead = pick(lead, &[0, d / 20, fresh_for]);
    let renew_after = fresh_for - or(settings.renew_lead, d / 20);
    settings.step_down_margin = pick(margin, &[0, d / 2, d]);
    let window = valid_for - or(settings.step_down_margin, d / 2) - renew_after;
    settings.claim_timeout = pick(timeout, &[0, d / 4, fresh_for, window, fresh_for.min(window)]);
    settings.min_interval = pick(interval, &[0, d / 100, renew_after]);
    let least = pick(least, &[0, d / 100, d / 4]);
    settings.retry = least.and_then(|least| {
        let least_nanos = nanos(least);
        Some((least, pick(most, &[0, d / 4, least_nanos, least_nanos * 2])?))
    });
    settings.recheck = pick(recheck, &[0, lease, or(settings.min_interval, d / 100)]);
    settings
}

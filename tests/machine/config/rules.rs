use std::time::Duration;

use tenure_core::{Config, ConfigError, Setting};

use super::settings::Settings;

/// The deadlines of a config, worked out a second time: in 128 bits, with a sign, so that nothing
/// wraps and nothing saturates, whatever the settings are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    pub(super) guarantee: i128,
    pub(super) lease: i128,
    pub(super) store_slack: i128,
    pub(super) renew_lead: i128,
    pub(super) claim_timeout: i128,
    pub(super) step_down_margin: i128,
    pub(super) retry_min: i128,
    pub(super) retry_max: i128,
    pub(super) min_interval: i128,
    pub(super) recheck: i128,
    pub(super) valid_for: i128,
    pub(super) fresh_for: i128,
    pub(super) renew_after: i128,
    pub(super) step_down_after: i128,
}

const MOST: i128 = u64::MAX as i128;

impl Sums {
    pub(super) fn of(settings: &Settings) -> Sums {
        let nanos = |span: Duration| span.as_nanos() as i128;
        let or = |span: Option<Duration>, default: i128| span.map_or(default, nanos);
        let guarantee = nanos(settings.guarantee);
        let lease = 2 * guarantee;
        let store_slack = or(settings.store_slack, 0);
        let renew_lead = or(settings.renew_lead, guarantee / 20);
        let step_down_margin = or(settings.step_down_margin, guarantee / 2);
        // 64 bits of seconds in nanoseconds are 94 bits: times a million, 114.
        let left = (lease - store_slack) * 1_000_000;
        let valid_for = left.div_euclid(i128::from(settings.millionths.max(1)));
        let fresh_for = valid_for - guarantee;
        Sums {
            guarantee,
            lease,
            store_slack,
            renew_lead,
            claim_timeout: or(settings.claim_timeout, guarantee / 4),
            step_down_margin,
            retry_min: or(settings.retry.map(|(min, _)| min), guarantee / 50),
            retry_max: or(settings.retry.map(|(_, max)| max), guarantee / 4),
            min_interval: or(settings.min_interval, guarantee / 100),
            recheck: or(settings.recheck, lease),
            valid_for,
            fresh_for,
            renew_after: fresh_for - renew_lead,
            step_down_after: valid_for - step_down_margin,
        }
    }

    /// Every inequality that is documented, by the name of its refusal, and whether it holds.
    fn inequalities(&self, settings: &Settings) -> [(&'static str, bool); 14] {
        let spans = [
            self.guarantee,
            self.store_slack,
            self.renew_lead,
            self.claim_timeout,
            self.step_down_margin,
            self.retry_min,
            self.retry_max,
            self.min_interval,
        ];
        // By default the recheck is one lease, which has a refusal of its own.
        let recheck = if settings.recheck.is_some() { self.recheck } else { 0 };
        let representable = spans.into_iter().chain([recheck]).all(|span| span <= MOST);
        let positive = [self.claim_timeout, self.min_interval, self.retry_min];
        let window = self.step_down_after - self.renew_after;
        [
            ("ClaimTimeoutTooLong", self.claim_timeout <= self.fresh_for),
            ("ClockRatioBelowOne", settings.millionths >= 1_000_000),
            ("GuaranteeZero", self.guarantee > 0),
            ("LeaseTooLong", self.lease <= MOST),
            ("MinIntervalTooLong", self.min_interval <= self.renew_after),
            ("NeverFresh", self.valid_for > self.guarantee),
            ("RecheckTooShort", self.recheck >= self.min_interval),
            ("RenewLeadTooLong", self.renew_lead < self.fresh_for),
            ("RenewalTooLate", self.claim_timeout <= window),
            ("RetryInverted", self.retry_min <= self.retry_max),
            ("StepDownMarginTooLong", self.step_down_margin <= self.guarantee),
            ("StoreSlackTooLong", self.store_slack < self.lease),
            ("Unrepresentable", representable),
            ("Zero", positive.into_iter().all(|span| span > 0)),
        ]
    }
}

/// A refusal's name, and of which setting where it says so.
pub(super) fn kind(error: &ConfigError) -> String {
    let text = format!("{error:?}");
    let name = text.split([' ', '{']).next().unwrap_or_default().to_owned();
    match error {
        ConfigError::Unrepresentable { setting, .. } | ConfigError::Zero { setting } => {
            format!("{name} {setting}")
        }
        _ => name,
    }
}

/// All that [`kind`] can be.
pub(super) const KINDS: [&str; 24] = [
    "ClaimTimeoutTooLong",
    "ClockRatioBelowOne",
    "GuaranteeZero",
    "LeaseTooLong",
    "MinIntervalTooLong",
    "NeverFresh",
    "RecheckTooShort",
    "RenewLeadTooLong",
    "RenewalTooLate",
    "RetryInverted",
    "StepDownMarginTooLong",
    "StoreSlackTooLong",
    "Unrepresentable claim_timeout",
    "Unrepresentable guarantee",
    "Unrepresentable min_interval",
    "Unrepresentable recheck",
    "Unrepresentable renew_lead",
    "Unrepresentable retry max",
    "Unrepresentable retry min",
    "Unrepresentable step_down_margin",
    "Unrepresentable store_slack",
    "Zero claim_timeout",
    "Zero min_interval",
    "Zero retry min",
];

/// Builds the settings, and checks what comes of it against the rules. Gives the refusal's kind, if
/// it was one.
pub(super) fn judge(settings: &Settings) -> Result<Result<Config, String>, String> {
    let sums = Sums::of(settings);
    let broken: Vec<&str> = sums
        .inequalities(settings)
        .into_iter()
        .filter_map(|(name, holds)| (!holds).then_some(name))
        .collect();
    match settings.build() {
        Ok(config) => {
            if !broken.is_empty() {
                return Err(format!("accepted, and breaks {broken:?}: {settings:?}"));
            }
            accepted(&config, settings, &sums)?;
            Ok(Ok(config))
        }
        Err(error) => {
            let kind = kind(&error);
            let name = kind.split(' ').next().unwrap_or_default();
            if !broken.contains(&name) {
                return Err(format!("refused with {error:?}, and breaks {broken:?}: {settings:?}"));
            }
            refused(&error, settings, &sums)
                .map_err(|why| format!("{error:?} ({error}): {why}: {settings:?}"))?;
            Ok(Err(kind))
        }
    }
}

/// What was set is kept, what was not has its default, and the division rounds down.
fn accepted(config: &Config, settings: &Settings, sums: &Sums) -> Result<(), String> {
    let spans = [
        ("guarantee", config.guarantee(), sums.guarantee),
        ("lease", config.lease(), sums.lease),
        ("store_slack", config.store_slack(), sums.store_slack),
        ("renew_lead", config.renew_lead(), sums.renew_lead),
        ("claim_timeout", config.claim_timeout(), sums.claim_timeout),
        ("step_down_margin", config.step_down_margin(), sums.step_down_margin),
        ("retry_min", config.retry_min(), sums.retry_min),
        ("retry_max", config.retry_max(), sums.retry_max),
        ("min_interval", config.min_interval(), sums.min_interval),
        ("recheck", config.recheck(), sums.recheck),
        ("valid_for", config.valid_for(), sums.valid_for),
    ];
    for (name, is, should) in spans {
        if is.as_nanos() as i128 != should {
            return Err(format!("{name} is {is:?}, should be {should} ns: {settings:?}"));
        }
    }
    // By the definition of rounding down, without a division.
    let (ratio, left) = (i128::from(settings.millionths), sums.lease - sums.store_slack);
    let valid_for = config.valid_for().as_nanos() as i128;
    let rounded =
        valid_for * ratio <= left * 1_000_000 && left * 1_000_000 < (valid_for + 1) * ratio;
    if !rounded || config.clock_ratio().millionths() != settings.millionths {
        return Err(format!("valid_for is {valid_for} ns, not rounded down: {settings:?}"));
    }
    let is_ordered = 0 <= sums.renew_after
        && sums.renew_after <= sums.fresh_for
        && sums.fresh_for <= sums.step_down_after
        && sums.step_down_after <= sums.valid_for
        && sums.valid_for <= sums.lease
        && sums.renew_after + sums.claim_timeout <= sums.step_down_after;
    if is_ordered { Ok(()) } else { Err(format!("deadlines out of order: {sums:?}")) }
}

/// Both values are the ones that do not fit, and the message says them.
fn refused(error: &ConfigError, settings: &Settings, sums: &Sums) -> Result<(), String> {
    let is =
        |span: &Duration, should: i128| (span.as_nanos() as i128 == should, format!("{span:?}"));
    let longest = Duration::from_nanos(u64::MAX);
    let window = sums.step_down_after - sums.renew_after;
    let values = match error {
        ConfigError::ClaimTimeoutTooLong { claim_timeout, fresh_for } => {
            vec![is(claim_timeout, sums.claim_timeout), is(fresh_for, sums.fresh_for)]
        }
        ConfigError::ClockRatioBelowOne { millionths, least } => vec![
            (*millionths == settings.millionths, millionths.to_string()),
            (*least == 1_000_000, least.to_string()),
        ],
        ConfigError::GuaranteeZero => vec![(settings.guarantee.is_zero(), "guarantee".to_owned())],
        ConfigError::LeaseTooLong { guarantee, max } => {
            vec![is(guarantee, sums.guarantee), is(max, MOST)]
        }
        ConfigError::MinIntervalTooLong { min_interval, renew_after } => {
            vec![is(min_interval, sums.min_interval), is(renew_after, sums.renew_after)]
        }
        ConfigError::NeverFresh { guarantee, valid_for } => {
            vec![is(guarantee, sums.guarantee), is(valid_for, sums.valid_for)]
        }
        ConfigError::RecheckTooShort { recheck, min_interval } => {
            vec![is(recheck, sums.recheck), is(min_interval, sums.min_interval)]
        }
        ConfigError::RenewLeadTooLong { renew_lead, fresh_for } => {
            vec![is(renew_lead, sums.renew_lead), is(fresh_for, sums.fresh_for)]
        }
        ConfigError::RenewalTooLate { claim_timeout, renewal_window } => {
            vec![is(claim_timeout, sums.claim_timeout), is(renewal_window, window)]
        }
        ConfigError::RetryInverted { min, max } => {
            vec![is(min, sums.retry_min), is(max, sums.retry_max)]
        }
        ConfigError::StepDownMarginTooLong { step_down_margin, guarantee } => {
            vec![is(step_down_margin, sums.step_down_margin), is(guarantee, sums.guarantee)]
        }
        ConfigError::StoreSlackTooLong { store_slack, lease } => {
            vec![is(store_slack, sums.store_slack), is(lease, sums.lease)]
        }
        ConfigError::Unrepresentable { setting, value, max } => {
            let should = of(*setting, sums);
            let too_long = should > MOST && *max == longest;
            vec![is(value, should), is(max, MOST), (too_long, setting.to_string())]
        }
        ConfigError::Zero { setting } => vec![(of(*setting, sums) == 0, setting.to_string())],
        _ => return Err("a refusal without a rule: write one".to_owned()),
    };
    let message = error.to_string();
    for (is_right, value) in &values {
        if !is_right {
            return Err(format!("{value} is not so"));
        }
        if !message.contains(value.as_str()) {
            return Err(format!("the message does not say {value}"));
        }
    }
    Ok(())
}

fn of(setting: Setting, sums: &Sums) -> i128 {
    match setting {
        Setting::ClaimTimeout => sums.claim_timeout,
        Setting::Guarantee => sums.guarantee,
        Setting::MinInterval => sums.min_interval,
        Setting::Recheck => sums.recheck,
        Setting::RenewLead => sums.renew_lead,
        Setting::RetryMax => sums.retry_max,
        Setting::RetryMin => sums.retry_min,
        Setting::StepDownMargin => sums.step_down_margin,
        Setting::StoreSlack => sums.store_slack,
        _ => -1,
    }
}

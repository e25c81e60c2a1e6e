//! How long a yes holds, and what is taken off the lease so that it is true.

use std::time::Duration;

use clap::Args;
use tenure_core::{ClockRatio, Config};

use crate::failure::{self, Failure};
use crate::store::StoreUrl;

/// A claim may take this part of the guarantee: the default of a [`Config`], which a grant has to
/// be fresh for.
const CLAIM_PART: u32 = 4;

/// Where the clock of a server is a wall clock, this part of the guarantee is the default slack.
const SLACK_PART: u32 = 4;

/// More than this is not taken off unasked. A clock that is looked after is slewed, and stepped
/// only if it is off by more than 0.128 s (ntpd), 0.4 s (systemd-timesyncd) or, while it starts,
/// 1 s (chrony as most systems set it up); a leap second is a step of 1 s.
const SLACK_MAX: Duration = Duration::from_secs(1);

/// What is known of the clocks.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClockOptions {
    /// How far the store's clock may be stepped forward during a lease, which ends that much sooner
    /// then.
    ///
    /// A unit believes in its lease for that much less. By default nothing for sqlite and etcd,
    /// whose clocks are not stepped; for postgres and redis, which go by the server's wall clock, a
    /// quarter of the guarantee, one second at most: more than ntpd, systemd-timesyncd and a leap
    /// second step a clock that is looked after. A larger step makes two leaders: have the server's
    /// clock slewed, or say here how far it may jump.
    #[arg(long, value_name = "SPAN", value_parser = crate::args::span)]
    store_slack: Option<Duration>,
    /// By how much the clocks of this host and of the store may differ in rate.
    ///
    /// 1.1 covers one of them that is slewed as fast as chrony does by default, 1.2 both, in
    /// opposite directions.
    #[arg(long, value_name = "RATIO", default_value = "1.1", value_parser = ratio)]
    clock_ratio: ClockRatio,
}

impl ClockOptions {
    /// The timing for `store`.
    pub(crate) fn config(&self, guarantee: Duration, store: &StoreUrl) -> Result<Config, Failure> {
        let slack = self.slack(guarantee, store);
        Config::builder(guarantee)
            .clock_ratio(self.clock_ratio)
            .store_slack(slack)
            .build()
            .map_err(|_| self.explain(guarantee, slack))
    }

    /// The same, as arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let slack = self.store_slack.map(|slack| format!("--store-slack={}ns", slack.as_nanos()));
        slack.into_iter().chain([format!("--clock-ratio={}", self.clock_ratio)]).collect()
    }

    fn slack(&self, guarantee: Duration, store: &StoreUrl) -> Duration {
        match self.store_slack {
            Some(slack) => slack,
            None if store.has_wall_clock() => (guarantee / SLACK_PART).min(SLACK_MAX),
            None => Duration::ZERO,
        }
    }

    /// Any guarantee has a config without slack and with a ratio of 1, so it is these two that do
    /// not fit.
    fn explain(&self, guarantee: Duration, slack: Duration) -> Failure {
        let ratio = f64::from(self.clock_ratio.millionths()) / 1e6;
        let lease = guarantee.saturating_mul(2);
        // A grant has to hold for the guarantee after a claim that took as long as it may.
        let needed = guarantee.saturating_add(guarantee / CLAIM_PART).as_secs_f64() * ratio;
        let needed = Duration::try_from_secs_f64(needed).unwrap_or(Duration::MAX);
        let remedy = match lease.checked_sub(needed).filter(|most| !most.is_zero()) {
            Some(most) => format!("--store-slack may be {most:?} at most"),
            None => format!(
                "--clock-ratio may be {:?} at most",
                f64::from(2 * CLAIM_PART) / f64::from(CLAIM_PART + 1)
            ),
        };
        let origin = if self.store_slack.is_none() { ", the default here" } else { "" };
        Failure::new(
            failure::USAGE,
            format_args!(
                "--store-slack ({slack:?}{origin}) and --clock-ratio ({}) leave too little of the \
                 lease of {lease:?}, twice --guarantee ({guarantee:?}): {remedy}, or raise \
                 --guarantee",
                self.clock_ratio
            ),
        )
    }
}

fn ratio(text: &str) -> Result<ClockRatio, String> {
    let ratio: f64 = text.parse().map_err(|_| "it is not a number such as 1.1".to_owned())?;
    let millionths = (ratio * 1e6).round();
    if !(1e6..=f64::from(u32::MAX)).contains(&millionths) {
        return Err("it has to be 1 at least, and not more than 4294".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was checked")]
    ClockRatio::from_millionths(millionths as u32).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str, more: &[&str], guarantee: Duration) -> Result<Config, String> {
        use clap::{FromArgMatches, Parser};

        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            clocks: ClockOptions,
        }
        let line = Line::try_parse_from([&["tenure"], more].concat()).map_err(|e| e.to_string())?;
        let _ = Line::from_arg_matches;
        let store: crate::store::StoreText = url.parse().unwrap();
        line.clocks.config(guarantee, &store.url().unwrap()).map_err(|error| format!("{error:?}"))
    }

    #[cfg(all(feature = "etcd", feature = "postgres", feature = "redis"))]
    #[test]
    fn a_store_that_goes_by_a_wall_clock_has_slack_unless_told_otherwise() {
        let slack = |url: &str, more: &[&str], guarantee| {
            config(url, more, Duration::from_millis(guarantee)).unwrap().store_slack().as_millis()
        };
        for url in ["postgres://h", "postgresql://h", "redis://h", "valkeys://h"] {
            assert_eq!(slack(url, &[], 10_000), 1_000, "{url}");
            assert_eq!(slack(url, &[], 1_000), 250, "{url}");
            assert_eq!(slack(url, &["--store-slack=0s"], 10_000), 0, "{url}");
            assert_eq!(slack(url, &["--store-slack=3s"], 10_000), 3_000, "{url}");
        }
        for url in ["sqlite:a", "etcd://h"] {
            assert_eq!(slack(url, &[], 10_000), 0, "{url}");
            assert_eq!(slack(url, &["--store-slack=3s"], 10_000), 3_000, "{url}");
        }
        // A guarantee that works without slack works with the default.
        for nanos in [100, 1_000, 1_000_000, 400_000_000] {
            let guarantee = Duration::from_nanos(nanos);
            let with = config("redis://h", &["--clock-ratio=1.2"], guarantee);
            assert_eq!(with.is_ok(), Config::new(guarantee).is_ok(), "{with:?}");
        }
    }

    #[test]
    fn a_ratio_is_a_number_from_one_on() {
        let second = Duration::from_secs(1);
        let ratio = |text: &str| {
            config("sqlite:a", &[&format!("--clock-ratio={text}")], second)
                .map(|config| config.clock_ratio().millionths())
        };
        assert_eq!(ratio("1.1"), Ok(1_100_000));
        assert_eq!(ratio("1"), Ok(1_000_000));
        assert_eq!(ratio("1.0001"), Ok(1_000_100));
        for wrong in ["0.9", "-1", "nan", "inf", "1,1", "", "1e9"] {
            assert!(ratio(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_leaves_too_little_of_the_lease_is_refused_with_all_values_and_a_remedy() {
        let ten = Duration::from_secs(10);
        let said = config("sqlite:a", &["--store-slack=8s"], ten).unwrap_err();
        for part in ["--store-slack (8s)", "--clock-ratio (1.1)", "20s", "--guarantee (10s)"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(said.contains("--store-slack may be 6.25s at most"), "{said}");
        assert!(config("sqlite:a", &["--store-slack=6250ms"], ten).is_ok());
        assert!(config("sqlite:a", &["--store-slack=6251ms"], ten).is_err());
        let said = config("sqlite:a", &["--clock-ratio=1.7"], ten).unwrap_err();
        assert!(said.contains("--clock-ratio may be 1.6 at most"), "{said}");
        assert!(config("sqlite:a", &["--clock-ratio=1.6"], ten).is_ok());
        assert!(config("sqlite:a", &["--store-slack=999999h"], ten).is_err());
    }
}

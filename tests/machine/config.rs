//! Every config that is accepted keeps every inequality of the contract, and every one that is
//! refused breaks the one that it is refused for.

mod rules;
mod settings;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use tenure_core::{
    AttemptId, Belief, ClaimOutcome, ClockRatio, Config, ConfigError, Event, Instant, Setting,
    Term, Tracker,
};
use tenure_testkit::fuzz;

use rules::{KINDS, Sums, judge};
use settings::{Settings, settings};

const NS: fn(u64) -> Duration = Duration::from_nanos;
const LONGEST: Duration = Duration::from_nanos(u64::MAX);

/// How often each refusal was met, and how many configs were accepted.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    refused: BTreeMap<String, usize>,
}

impl Tally {
    fn judge(&mut self, settings: &Settings) -> Result<Option<Config>, String> {
        match judge(settings)? {
            Ok(config) => {
                self.accepted += 1;
                Ok(Some(config))
            }
            Err(kind) => {
                *self.refused.entry(kind).or_default() += 1;
                Ok(None)
            }
        }
    }

    /// None is missed, but for those that cannot be met here; and none that is not known.
    fn assert_complete(&self, but_for: &[&str]) {
        println!("{} accepted, refused: {:#?}", self.accepted, self.refused);
        let met: BTreeSet<&str> = self.refused.keys().map(String::as_str).collect();
        let all: BTreeSet<&str> =
            KINDS.into_iter().filter(|kind| !but_for.contains(kind)).collect();
        assert_eq!(met, all);
        assert!(self.accepted > 1_000, "next to none was accepted: {}", self.accepted);
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..Default::default() })
}

/// The settings lie at the boundaries: of those that are accepted and those that are not.
#[test]
fn what_is_accepted_keeps_every_rule_and_what_is_refused_breaks_the_one_it_names() {
    let tally = RefCell::new(Tally::default());
    let result = runner(20_000).run(&settings(), |settings| {
        tally.borrow_mut().judge(&settings).map(|_| ()).map_err(TestCaseError::fail)
    });
    result.unwrap_or_else(|why| panic!("{why}"));
    tally.borrow().assert_complete(&[]);
}

/// All configs whose settings are tiny, where everything touches everything.
#[test]
fn every_tiny_config_is_judged_by_the_rules() {
    let mut tally = Tally::default();
    let spans = |most: u64| (0..=most).map(NS);
    for guarantee in (0..=9).chain([100]).map(NS) {
        for millionths in [999_999, 1_000_000, 1_000_001, 1_100_000, 1_500_000, 2_000_000] {
            for store_slack in [0, 1, 18].map(NS) {
                let settings = Settings {
                    millionths,
                    store_slack: Some(store_slack),
                    ..Settings::new(guarantee)
                };
                for (renew_lead, claim_timeout) in pairs(spans(4), spans(5)) {
                    for (step_down_margin, min_interval) in pairs(spans(6), spans(2)) {
                        for (retry, recheck) in pairs([(0, 1), (1, 1), (2, 1)], 0..=1) {
                            let settings = Settings {
                                renew_lead: Some(renew_lead),
                                claim_timeout: Some(claim_timeout),
                                step_down_margin: Some(step_down_margin),
                                min_interval: Some(min_interval),
                                retry: Some((NS(retry.0), NS(retry.1))),
                                recheck: Some(NS(recheck)),
                                ..settings.clone()
                            };
                            tally.judge(&settings).unwrap_or_else(|why| panic!("{why}"));
                        }
                    }
                }
            }
        }
    }
    let mut large = KINDS.to_vec();
    large.retain(|kind| kind.starts_with("Unrepresentable") || *kind == "LeaseTooLong");
    tally.assert_complete(&large);
}

fn pairs<A: Copy, B>(
    left: impl IntoIterator<Item = A>,
    right: impl IntoIterator<Item = B> + Clone,
) -> impl Iterator<Item = (A, B)> {
    left.into_iter().flat_map(move |a| right.clone().into_iter().map(move |b| (a, b)))
}

/// The longest spans, each where all else is as it should be.
#[test]
fn every_setting_has_its_limit_at_the_same_span() {
    let d = NS(1_000);
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = Settings::new(d);
        change(&mut settings);
        judge(&settings).unwrap_or_else(|why| panic!("{why}")).err()
    };
    for (setting, set) in SETTINGS {
        for beyond in [LONGEST + NS(1), Duration::MAX] {
            let refused = with(&|settings| set(settings, beyond));
            assert_eq!(refused, Some(format!("Unrepresentable {setting}")), "{beyond:?}");
        }
        // It can be represented: what refuses it, if anything does, is another rule.
        let refused = with(&|settings| set(settings, LONGEST));
        assert!(!refused.is_some_and(|kind| kind.starts_with("Unrepresentable")), "{setting}");
    }
}

type Set = fn(&mut Settings, Duration);

const SETTINGS: [(Setting, Set); 9] = [
    (Setting::ClaimTimeout, |settings, span| settings.claim_timeout = Some(span)),
    (Setting::Guarantee, |settings, span| settings.guarantee = span),
    (Setting::MinInterval, |settings, span| settings.min_interval = Some(span)),
    (Setting::Recheck, |settings, span| settings.recheck = Some(span)),
    (Setting::RenewLead, |settings, span| settings.renew_lead = Some(span)),
    (Setting::RetryMax, |settings, span| settings.retry = Some((NS(1), span))),
    (Setting::RetryMin, |settings, span| settings.retry = Some((span, NS(1)))),
    (Setting::StepDownMargin, |settings, span| settings.step_down_margin = Some(span)),
    (Setting::StoreSlack, |settings, span| settings.store_slack = Some(span)),
];

/// The messages are for people: each says which value is which.
#[test]
fn every_refusal_says_both_values_in_their_places() {
    let d = NS(1_000);
    let says = |change: &dyn Fn(&mut Settings)| {
        let mut settings = Settings::new(d);
        change(&mut settings);
        settings.build().unwrap_err().to_string()
    };
    assert_eq!(
        says(&|settings| settings.claim_timeout = Some(NS(819))),
        "a claim may take 819ns, but its grant is stale after 818ns"
    );
    assert_eq!(
        says(&|settings| settings.millionths = 999_999),
        "a clock ratio of 999999 millionths is less than 1, which is 1000000"
    );
    assert_eq!(
        says(&|settings| settings.guarantee = NS(0)),
        "the guarantee has to be longer than zero"
    );
    assert_eq!(
        says(&|settings| settings.guarantee = NS(u64::MAX / 2 + 1)),
        "a lease of twice the guarantee of 9223372036.854775808s is longer than \
         18446744073.709551615s"
    );
    assert_eq!(
        says(&|settings| settings.min_interval = Some(NS(769))),
        "claims 769ns apart are too rare for a leader that renews after 768ns"
    );
    assert_eq!(
        says(&|settings| settings.millionths = 2_000_002),
        "a grant is believed for 999ns, too short to guarantee 1µs"
    );
    assert_eq!(
        says(&|settings| settings.recheck = Some(NS(9))),
        "claiming again 9ns after a denial is sooner than claims may follow, 10ns"
    );
    assert_eq!(
        says(&|settings| settings.renew_lead = Some(NS(820))),
        "a lead of 820ns does not fit into the 818ns that a grant is fresh"
    );
    assert_eq!(
        says(&|settings| settings.claim_timeout = Some(NS(551))),
        "a renewal may take 551ns, but a leader has only 550ns from its first renewal to its \
         giving up"
    );
    assert_eq!(
        says(&|settings| settings.retry = Some((NS(3), NS(2)))),
        "a back-off cannot grow from 3ns to 2ns"
    );
    assert_eq!(
        says(&|settings| settings.step_down_margin = Some(NS(1_001))),
        "a margin of 1.001µs is longer than the guarantee of 1µs"
    );
    assert_eq!(
        says(&|settings| settings.store_slack = Some(NS(2_001))),
        "a store whose clock may be off by 2.001µs makes a lease of 2µs void"
    );
    assert_eq!(
        says(&|settings| settings.recheck = Some(LONGEST + NS(1))),
        "recheck of 18446744073.709551616s is longer than 18446744073.709551615s"
    );
    assert_eq!(
        says(&|settings| settings.min_interval = Some(NS(0))),
        "min_interval has to be longer than zero"
    );
}

/// The ratio is refused where it is made, and so no builder ever holds one below 1.
#[test]
fn a_ratio_is_at_least_one() {
    for millionths in [0, 1, 500_000, 999_999] {
        let refused = ConfigError::ClockRatioBelowOne { millionths, least: 1_000_000 };
        assert_eq!(ClockRatio::from_millionths(millionths), Err(refused));
    }
    for millionths in [1_000_000, 1_000_001, u32::MAX] {
        assert_eq!(ClockRatio::from_millionths(millionths).unwrap().millionths(), millionths);
    }
}

/// What the machine makes of a config: the deadlines of a grant, wherever time begins.
#[test]
fn a_grants_deadlines_are_those_of_the_config() {
    let starts = prop_oneof![0..1_000_u64, any::<u64>(), (u64::MAX - 3_000)..=u64::MAX];
    let tally = RefCell::new(Tally::default());
    let result = runner(10_000).run(&(settings(), starts), |(settings, start)| {
        let config = tally.borrow_mut().judge(&settings).map_err(TestCaseError::fail)?;
        let Some(config) = config else { return Ok(()) };
        let sums = Sums::of(&settings);
        let at = |offset: i128| {
            Instant::from_nanos((i128::from(start) + offset).min(u64::MAX.into()) as u64)
        };
        let before = |until: Instant, span: i128| {
            Instant::from_nanos((i128::from(until.as_nanos()) - span).max(0) as u64)
        };
        let now = Instant::from_nanos(start);
        let (mut tracker, _) = Tracker::new(config, now);
        if now < Instant::MAX {
            prop_assert_eq!(tracker.deadline(), Some(at(sums.claim_timeout)));
        }
        let (attempt, term) = (AttemptId::new(1), Term::new(7));
        let outcome = ClaimOutcome::Granted { term };
        let _ = tracker.handle(Event::ClaimFinished { attempt, outcome }, now);
        let valid_until = at(sums.valid_for);
        let fresh_until = before(valid_until, sums.guarantee);
        if now < fresh_until {
            let step_down_at = before(valid_until, sums.step_down_margin);
            let leader = Belief::Leader { term, fresh_until, step_down_at, valid_until };
            prop_assert_eq!(tracker.belief(), leader);
            let renew_at = at(sums.renew_after);
            prop_assert_eq!(tracker.deadline(), Some(renew_at.min(step_down_at)));
        } else {
            prop_assert_eq!(tracker.belief(), Belief::Minion, "at the end of time");
        }
        Ok(())
    });
    result.unwrap_or_else(|why| panic!("{why}"));
    assert!(tally.borrow().accepted > 1_000);
}

/// Any accepted config, from any instant: no event at any time is too much. The books and the
/// oracle look on.
#[test]
fn under_any_config_the_machine_takes_any_history() {
    let starts = prop_oneof![Just(0), 0..1_000_u64, any::<u64>(), (u64::MAX - 3_000)..=u64::MAX];
    let histories = (settings(), starts, prop::collection::vec(any::<[u8; 3]>(), 0..40));
    let played = RefCell::new((0, 0));
    let result = runner(20_000).run(&histories, |(settings, start, moves)| {
        let Ok(config) = settings.build() else { return Ok(()) };
        let events = fuzz::history(&config, Instant::from_nanos(start), &moves.concat());
        let mut played = played.borrow_mut();
        played.0 += 1;
        played.1 += events.map_err(TestCaseError::fail)?;
        Ok(())
    });
    result.unwrap_or_else(|why| panic!("{why}"));
    let (histories, events) = *played.borrow();
    println!("{histories} histories, {events} events");
    assert!(histories > 1_000 && events > 10_000, "{histories} histories, {events} events");
}

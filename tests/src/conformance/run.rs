use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::ground::{Ground, Stop};
use super::report::{Clause, Finding, Report, Verdict};
use super::{answers, atomicity, exclusion, late, leaks, lease, release, terms, waiting};

/// How often a check is made again with a lease twice as long, before it is left out.
const RETRIES: usize = 4;

/// One thing that a right claimer does, as its name says.
struct Check {
    clause: Clause,
    name: &'static str,
    body: fn(&Ground) -> Result<(), Stop>,
}

macro_rules! checks {
    ($($clause:ident { $($module:ident::$check:ident,)* })*) => {
        &[$($(Check {
            clause: Clause::$clause,
            name: concat!(stringify!($module), "::", stringify!($check)),
            body: $module::$check,
        },)*)*]
    };
}

const CHECKS: &[Check] = checks! {
    Lease {
        lease::lasts_its_lease,
        lease::lasts_from_its_renewal,
        lease::is_given_away_once_lapsed,
        lease::heeds_no_client_clock,
        lease::outlives_its_clients,
        lease::outlives_a_restart,
        lease::never_overflows,
        lease::names_the_leader,
        lease::denies_for_no_longer,
    }
    Exclusion {
        exclusion::denies_everybody_else,
        exclusion::renews_and_keeps_the_term,
        exclusion::a_renewal_never_shortens,
        exclusion::tells_units_apart_exactly,
        exclusion::tells_services_apart_exactly,
        exclusion::one_holder_may_hold_several,
        late::a_renewal_takes_nothing_from_the_next,
        late::a_renewal_shortens_no_later_one,
    }
    Terms {
        terms::rise_after_a_release,
        terms::rise_after_an_expiry,
        terms::fall_for_no_returning_holder,
        terms::are_those_the_leader_has,
        terms::rise_under_contention,
        terms::outlive_a_restart,
        terms::end_fatally,
    }
    Atomicity {
        atomicity::grants_one_of_many,
        atomicity::asks_once,
    }
    LostAnswers {
        answers::says_unknown_when_lost,
        answers::says_unknown_when_away,
    }
    Release {
        release::frees_its_own,
        release::frees_nobody_elses,
        release::may_be_repeated,
        release::may_come_too_late,
        late::a_release_frees_nobody_elses,
    }
    Waiting {
        waiting::returns_at_once_when_free,
        waiting::returns_on_a_release,
        waiting::returns_on_an_expiry,
        waiting::waits_while_it_is_renewed,
        waiting::waits_anew_for_the_next,
        waiting::waits_without_asking,
    }
    Leaks {
        leaks::cancelled_waits_end,
        leaks::cancelled_waits_leave_nothing,
        leaks::dropped_claims_leave_nothing,
        leaks::clients_leave_nothing,
        leaks::a_dropped_claim_holds_no_longer,
        leaks::an_abandoned_lease_lapses,
    }
};

pub(super) fn run(kind: &'static str, mut ground: Ground) -> Report {
    let results: Vec<_> = CHECKS.iter().map(|check| (check, attempt(check, &mut ground))).collect();
    let broken: BTreeSet<Clause> = results
        .iter()
        .filter(|(_, result)| matches!(result, Err(Stop::Broken { .. })))
        .map(|(check, _)| check.clause)
        .collect();
    let finding = |(check, result): (&Check, Result<(), Stop>)| Finding {
        clause: check.clause,
        check: check.name,
        verdict: verdict(result, &broken),
    };
    Report { kind, findings: results.into_iter().map(finding).collect() }
}

/// Makes a check, again with longer leases if the machine was too slow for them.
fn attempt(check: &Check, ground: &mut Ground) -> Result<(), Stop> {
    let shortest = ground.short;
    let mut result = guarded(check, ground);
    for _ in 0..RETRIES {
        if !matches!(result, Err(Stop::TooSlow)) {
            break;
        }
        ground.short *= 2;
        result = guarded(check, ground);
    }
    ground.short = shortest;
    result
}

/// Makes a check once; a claimer that panics fails it.
fn guarded(check: &Check, ground: &Ground) -> Result<(), Stop> {
    catch_unwind(AssertUnwindSafe(|| (check.body)(ground))).unwrap_or_else(|panic| {
        let came = format!("panicked: {}", message(&*panic));
        Err(Stop::Broken { expected: "no panic".to_owned(), came })
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("?")
}

fn verdict(result: Result<(), Stop>, broken: &BTreeSet<Clause>) -> Verdict {
    match result {
        Ok(()) => Verdict::Passed,
        Err(Stop::Broken { expected, came }) => Verdict::Failed { expected, came },
        Err(Stop::LeftOut(reason)) => Verdict::LeftOut { reason },
        Err(Stop::TooSlow) => Verdict::LeftOut {
            reason: "the machine was too slow for it (`shortest_lease`)".to_owned(),
        },
        // Never passed over in silence: if nobody else has seen it, it is this check's failure.
        Err(Stop::Premise { clause, expected, came }) if broken.contains(&clause) => {
            let number = clause.number();
            let reason = format!("rests on clause {number}, which fails: {expected}; came {came}");
            Verdict::LeftOut { reason }
        }
        Err(Stop::Premise { clause: _, expected, came }) => Verdict::Failed { expected, came },
    }
}

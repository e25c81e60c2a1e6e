use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tenure_testkit::simulate::Class;

/// Where the classes of faults are tested that no simulated world can have, or only in part:
/// number, file, and what stands there.
const ELSEWHERE: [(u8, &str, &str); 12] = [
    // One name a prefix of another.
    (23, "tests/src/conformance/exclusion.rs", "fn tells_units_apart_exactly("),
    (23, "tests/src/conformance/exclusion.rs", "fn tells_services_apart_exactly("),
    // A million tickets at once, and storms of dropped ones: what that takes of memory.
    (
        24,
        "tests/tests/it/runtimes/crowds.rs",
        "fn a_million_tickets_on_smol_are_answered_once_each(",
    ),
    (
        24,
        "tests/tests/it/runtimes/crowds.rs",
        "fn a_million_tickets_on_std_are_answered_once_each(",
    ),
    (25, "tests/tests/memory/storms.rs", "fn storm("),
    // A claimer that really panics.
    (26, "tests/tests/it/runtimes/faults.rs", "fn a_claim_that_panics_is_unknown_and_says_why("),
    // The same `now` many times.
    (34, "tests/testdata/time.txt", "one that is due does what is due, once (fault 34)"),
    // Durations of 0, 1 ns and MAX, and sums past u64.
    (35, "tests/machine/config.rs", "fn what_is_accepted_keeps_every_rule_and_what_is_refused"),
    (35, "tests/machine/time.rs", "fn sums_are_exact_or_saturate("),
    // An executor that the leader's own work blocks.
    (38, "tests/tests/it/runtimes/faults.rs", "fn a_blocked_executor_does_not_prolong_the_belief("),
    // Disk full.
    (41, "claimers/sqlite/src/tests.rs", "fn a_full_disk_is_unknown_and_loses_nothing_and_passes("),
    // A term counter at its end.
    (42, "tests/src/conformance/terms.rs", "fn end_fatally("),
];

/// Those that want a real resource or a real network.
const OF_REAL_SYSTEMS: [u8; 2] = [14, 40];

#[test]
fn every_class_of_faults_is_tested_somewhere() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (number, file, what) in ELSEWHERE {
        let text = fs::read_to_string(top.join(file));
        let text = text.unwrap_or_else(|error| panic!("class {number}, {file}: {error}"));
        assert!(text.contains(what), "class {number}: {file} has no {what}");
    }
    let mut numbers: BTreeSet<u8> = Class::ALL.iter().map(|class| class.number()).collect();
    numbers.extend(ELSEWHERE.map(|(number, _, _)| number));
    numbers.extend(OF_REAL_SYSTEMS);
    assert!(numbers.into_iter().eq(1..=43), "a class is missing, or there is one too many");
}

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any};
use proptest::test_runner::{TestError, TestRunner};
use tenure_testkit::fuzz::Target;

/// A failure is made as small as it gets, and prints as a trace: put that into `testdata`.
#[test]
fn the_core_does_what_the_oracle_does() {
    let config = ProptestConfig { cases: 20_000, failure_persistence: None, ..Default::default() };
    let mut runner = TestRunner::new(config);
    let histories = (any::<[u8; 2]>(), vec(any::<[u8; 3]>(), 0..60));
    let [events, ..] = Target::ALL;
    let result = runner.run(&histories, |(head, moves)| {
        let bytes = [&head[..], &moves.concat()].concat();
        events.check(&bytes).map(|_| ()).map_err(proptest::test_runner::TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, smallest)) => panic!("{why}\n{smallest:?}"),
        Err(aborted) => panic!("{aborted}"),
    }
}

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any};
use proptest::test_runner::{TestError, TestRunner};
use tenure_testkit::fuzz;

/// A failure is made as small as it gets, and prints as a trace: put that into `testdata`.
#[test]
fn the_core_does_what_the_oracle_does() {
    let config = ProptestConfig { cases: 20_000, failure_persistence: None, ..Default::default() };
    let mut runner = TestRunner::new(config);
    let histories = (any::<[u8; 2]>(), vec(any::<[u8; 3]>(), 0..60));
    let result = runner.run(&histories, |(head, moves)| {
        let bytes = [&head[..], &moves.concat()].concat();
        fuzz::check(&bytes).map(|_| ()).map_err(proptest::test_runner::TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, smallest)) => panic!("{why}\n{smallest:?}"),
        Err(aborted) => panic!("{aborted}"),
    }
}

#[test]
fn the_fuzzing_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/events");
    let (mut files, mut events) = (0, 0);
    for entry in fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        events += fuzz::check(&bytes).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        files += 1;
    }
    println!("replayed {files} files, {events} events");
    assert!(files >= 10 && events >= 100, "the corpus is gone: {files} files, {events} events");
}

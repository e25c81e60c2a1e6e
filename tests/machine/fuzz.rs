use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tenure_testkit::fuzz::Target;

fn top(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(name)
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn the_fuzzing_corpora_pass() {
    for target in Target::ALL {
        let files = entries(&top("corpus").join(target.name));
        let checked: usize = files
            .iter()
            .map(|path| {
                let checked = target.check(&fs::read(path).unwrap());
                checked.unwrap_or_else(|why| panic!("{}: {why}", path.display()))
            })
            .sum();
        println!("{}: replayed {} files, {checked} checked", target.name, files.len());
        let enough = files.len() >= 10 && checked >= 100;
        assert!(enough, "the corpus is gone: {} files, {checked} checked", files.len());
    }
}

/// Each target is replayed, and each corpus has a target that grows it.
#[test]
fn targets_corpora_and_programs_are_the_same() {
    let names = |directory: &str| -> BTreeSet<String> {
        let stem = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        entries(&top(directory)).iter().map(stem).collect()
    };
    let targets = BTreeSet::from(Target::ALL.map(|target| target.name.to_owned()));
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), targets);
}

use std::path::{Path, PathBuf};

use tenure_testkit::engine::trace;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/engine")
}

/// `REWRITE=1` writes what comes out; read the diff, and keep only what you can explain.
#[test]
fn every_trace_says_what_the_engine_does() {
    let rewrite = std::env::var_os("REWRITE").is_some();
    let files = tenure_testkit::trace::files(&directory()).unwrap();
    let wrong: Vec<String> =
        files.iter().filter_map(|path| trace::check(path, rewrite).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!files.is_empty(), "there are no traces");
}

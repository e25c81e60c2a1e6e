use std::{process::Stdio, thread};

use crate::{
    cargo,
    outcome::{self, Shortfall},
    servers,
};

/// A minute each, and seconds for a premise that is broken, as it shows at once.
const RUNS: [(&str, Option<&str>); 9] = [
    ("etcd", None),
    ("sqlite", None),
    ("forgetful-redis", None),
    ("postgres", None),
    ("redis", None),
    ("valkey", None),
    ("forgetful-redis", Some("no-hold-off")),
    ("sqlite", Some("count-from-reply")),
    ("sqlite", Some("shared-nonce")),
];

/// So many at a time: they wait more than they work.
const AT_ONCE: usize = 3;

/// Puts each store to torture for a minute, and breaks premises, which the rack has to notice.
pub(crate) fn check() -> Result<(), Shortfall> {
    let lacking = servers::lacking();
    let is_there = |store: &str| !lacking.iter().any(|name| store.ends_with(name));
    let left_out: Vec<&str> =
        RUNS.iter().map(|&(store, _)| store).filter(|store| !is_there(store)).collect();
    // As a test builds it, whose dependencies have been built by then.
    cargo::run(&["build", "--package", "tenure-torture", "--package", "tenure"])?;
    let mut failures = Vec::new();
    let runs: Vec<Vec<&str>> = RUNS
        .iter()
        .filter(|(store, _)| is_there(store))
        .map(|(store, control)| {
            let control = control.map(|control| ["--control", control]);
            let common = ["--minutes", "1", "--store", store];
            common.into_iter().chain(control.into_iter().flatten()).collect()
        })
        .collect();
    for some in runs.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let running: Vec<_> = some.iter().map(|run| scope.spawn(move || rack(run))).collect();
            for (run, result) in some.iter().zip(running) {
                // A thread that panicked has said why.
                if !matches!(result.join(), Ok(Ok(()))) {
                    failures.push(run.join(" "));
                }
            }
        });
    }
    outcome::all("did not end well", &failures)?;
    if left_out.is_empty() {
        return Ok(());
    }
    let left_out = left_out.join(", ");
    Err(Shortfall::LeftOut(format!("the torture of {left_out}: see the step servers")))
}

/// Its table comes at its end, in one piece; how far it is, is of no interest here.
fn rack(arguments: &[&str]) -> Result<(), Shortfall> {
    let run = ["run", "--quiet", "--package", "tenure-torture", "--", "--quiet"];
    let mut command = cargo::command([&run[..], arguments].concat());
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if output.status.success() { Ok(()) } else { Err(Shortfall::failed(output.status)) }
}

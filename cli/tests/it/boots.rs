//! Containers on one kernel, each with a boot id of its own.

use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Bench, Process};

/// Says when it begins and ends, and ends when it is told to.
fn script(name: &str) -> String {
    format!(
        "trap 'echo end {name} >>\"$LOG\"; exit' TERM; echo begin {name} >>\"$LOG\"; \
         while sleep 0.05; do :; done"
    )
}

/// As systemd-nspawn and LXC do it: the id is another's, the kernel and its clock are the same.
fn run_in_a_container(bench: &Bench, script: &str) -> Option<Process> {
    let id = bench.path("boot_id");
    std::fs::write(&id, "00000000-0000-4000-8000-000000000000\n").unwrap();
    let mount = "mount --bind \"$BOOT_ID\" /proc/sys/kernel/random/boot_id && exec \"$@\"";
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", mount, "sh"]).args(arguments);
        command.env("BOOT_ID", &id).env("LOG", bench.path("log")).current_dir(bench.path(""));
        command
    };
    if !inside(&["true"]).status().is_ok_and(|status| status.success()) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no mount namespaces");
        eprintln!("left out: the system allows no mount namespace");
        return None;
    }
    let tenure = env!("CARGO_BIN_EXE_tenure");
    let run = ["run", "--store=sqlite:leases.db", "--service=mysql", "--guarantee=1s"];
    Some(Process::start(inside(&[tenure]).args(run).args(["--", "sh", "-c", script])))
}

#[test]
fn commands_in_two_containers_on_one_kernel_never_run_at_once() {
    let bench = Bench::new();
    let first = bench.run(&["--guarantee=1s"], &script("first"));
    bench.until_logged("begin first");
    let Some(second) = run_in_a_container(&bench, &script("second")) else { return };
    // Longer than a lease: time enough for what must not happen.
    thread::sleep(Duration::from_millis(2_500));
    first.signal(Signal::TERM);
    first.ends();
    bench.until_logged("begin second");
    second.signal(Signal::TERM);
    second.ends();
    assert_eq!(bench.log(), ["begin first", "end first", "begin second", "end second"]);
}

//! What a caller leaves behind, or does not.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Bench, Process};

const RUN: [&str; 4] = ["run", "--store=sqlite:leases.db", "--service=mysql", "--"];

/// What `env` in place of `tenure run` makes of a command.
fn as_env_does(bench: &Bench, path: Option<&str>, command: &[&str]) {
    let set = |process: &mut std::process::Command| {
        process.env_clear().current_dir(bench.path(""));
        if let Some(path) = path {
            process.env("PATH", path);
        }
    };
    let mut env = std::process::Command::new("/usr/bin/env");
    env.args(command);
    set(&mut env);
    let mut tenure = bench.tenure(&[&RUN, command].concat());
    set(&mut tenure);
    let [expected, found] = [env, tenure].map(|mut command| Process::start(&mut command).ends());
    assert_eq!(found.status.code(), expected.status.code(), "{path:?} {command:?}: {found:?}");
    assert_eq!(found.stdout, expected.stdout, "{path:?} {command:?}");
}

#[test]
fn a_command_is_found_where_env_finds_it() {
    let bench = Bench::new();
    let put = |name: &str, mode| {
        let path = bench.path(name);
        std::fs::write(&path, "#!/bin/sh\necho here\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    };
    put("mine", 0o755);
    put("plain", 0o644);
    for path in [None, Some(""), Some("/nowhere:"), Some("/bin:/usr/bin")] {
        for command in [&["echo", "found"][..], &["mine"], &["./mine"], &["nonesuch"], &["plain"]] {
            as_env_does(&bench, path, command);
        }
    }
}

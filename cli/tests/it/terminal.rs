//! `tenure run` at a terminal, which script(1) makes.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Bench, Process, until};

/// A shell script at a terminal of its own. `$RUN` is `tenure run` but for its last arguments.
fn at_terminal(bench: &Bench, script: &str) -> Process {
    let own = env!("CARGO_BIN_EXE_tenure");
    let run = format!("{own} run --store=sqlite:leases.db --service=mysql --unit=mysql/0");
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--echo=never", "--command", script, "/dev/null"]);
    command.current_dir(bench.path("")).env("RUN", run).env("SHELL", "/bin/sh");
    command.env_remove("TENURE_LOG").env_remove("TENURE_STORE").stdin(Stdio::piped());
    Process::start(&mut command)
}

fn type_keys(process: &mut Process, keys: &str) {
    process.input.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
}

fn until_shown(process: &Process, text: &str) {
    until(&format!("{text:?}, where is {:?}", process.stdout()), || {
        process.stdout().contains(text)
    });
}

#[test]
fn a_command_in_the_foreground_reads_from_the_terminal_and_gives_it_back() {
    let bench = Bench::new();
    let script = "$RUN --foreground -- sh -c 'echo ready; read line < /dev/tty; echo \"got $line\"
                  read line; echo \"and $line\"; exit 6'
                  echo \"code $?\"; read line < /dev/tty; echo \"then $line\"";
    let mut process = at_terminal(&bench, script);
    until_shown(&process, "ready");
    type_keys(&mut process, "one\n");
    until_shown(&process, "got one");
    type_keys(&mut process, "two\n");
    until_shown(&process, "and two");
    until_shown(&process, "code 6");
    type_keys(&mut process, "three\n");
    until_shown(&process, "then three");
    process.ends().expect(0);
}

#[test]
fn a_command_that_wants_the_terminal_and_may_not_have_it_is_told() {
    let bench = Bench::new();
    let script = "trap : INT; $RUN -- sh -c 'echo ready; read line < /dev/tty; exit 6'
                  echo \"code $?\"";
    let mut process = at_terminal(&bench, script);
    until_shown(&process, "was stopped by SIGTTIN (--foreground gives it the terminal)");
    type_keys(&mut process, "\x03");
    until_shown(&process, "code 130");
    process.ends().expect(0);
}

#[test]
fn a_command_that_is_stopped_in_the_foreground_can_be_ended_by_the_same_keys() {
    let bench = Bench::new();
    let script = "trap : INT; $RUN --foreground -- sh -c 'echo ready; while :; do sleep 0.02; done'
                  echo \"code $?\"";
    let mut process = at_terminal(&bench, script);
    until_shown(&process, "ready");
    type_keys(&mut process, "\x1a");
    until_shown(&process, "was stopped by SIGTSTP; it keeps the leadership");
    type_keys(&mut process, "\x03");
    until_shown(&process, "code 130");
    process.ends().expect(0);
}

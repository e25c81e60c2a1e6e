//! The examples that the runtimes come with.

#[expect(dead_code, reason = "an example, whose main is not called here")]
#[path = "../../../../runtime-smol/examples/daemon.rs"]
mod smol_daemon;

#[expect(dead_code, reason = "an example, whose main is not called here")]
#[path = "../../../../runtime-std/examples/daemon.rs"]
mod std_daemon;

const LINES: &str = "\
work: leads in term 1
cutting the line to the store
work: leadership was given up
store: the line is cut
restoring the line
work: leads in term 2
stopping the engine
work: told to stop
the engine has ended
nobody leads
";

#[test]
fn the_daemon_on_std_says_what_it_does() {
    let mut out = Vec::new();
    std_daemon::run(&mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), LINES);
}

#[test]
fn the_daemon_on_smol_says_what_it_does() {
    let mut out = Vec::new();
    smol_daemon::run(&mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), LINES);
}

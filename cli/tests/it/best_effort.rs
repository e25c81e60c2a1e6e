//! A log that cannot be written changes nothing else.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Bench, Process, until};

const RUN: [&str; 7] =
    ["-vvv", "run", "--store=sqlite:leases.db", "--unit=mysql/0", "--guarantee=2s", "--", "sh"];

/// A command that says when it was asked to end.
const SCRIPT: &str = "exec 2> /dev/null; trap 'echo TERM >> $LOG; exit 5' TERM; echo ready >> $LOG
                      while :; do sleep 0.02; done";

/// A leader that tells all it can, from a shell which sets up `before` for it.
fn leader(bench: &Bench, before: &str, stderr: Stdio) -> Process {
    let tenure = bench.tenure(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before}; exec \"$0\" \"$@\" -c \"$SCRIPT\"")]);
    command.arg(tenure.get_program()).args(RUN).current_dir(bench.path(""));
    command.env("SCRIPT", SCRIPT).env("LOG", bench.path("log")).stdin(Stdio::null());
    Process::start_with(&mut command, stderr)
}

/// What stands in the store's row for the end of the lease: each renewal makes it later.
fn expiry(bench: &Bench) -> i64 {
    let row = "SELECT expires_ms FROM lease";
    bench.meddler().query_row(row, [], |row| row.get(0)).unwrap()
}

/// Three renewals, one of which fails first so that there is a warning to tell.
fn goes_on_leading(bench: &Bench, leader: &mut Process, what: &str) {
    until(&format!("the command with {what}"), || {
        assert!(leader.is_running(), "{what}: tenure has ended");
        bench.log() == ["ready"]
    });
    for round in 0..3 {
        let before = expiry(bench);
        if round == 0 {
            let meddler = bench.meddler();
            meddler.execute_batch("BEGIN IMMEDIATE").unwrap();
            // Longer than the claim may take which falls into it.
            std::thread::sleep(Duration::from_millis(2_100));
            meddler.execute_batch("ROLLBACK").unwrap();
        }
        until(&format!("a renewal with {what}"), || {
            assert!(leader.is_running(), "{what}: tenure has ended");
            expiry(bench) > before
        });
    }
    assert_eq!(bench.log(), ["ready"], "{what}");
    let said = bench.ask(&["status", "--store=sqlite:leases.db", "--service=mysql", "--json"]);
    assert!(said.expect(0).stdout.contains(r#""unit":"mysql/0","term":1,"#), "{what}: {said:?}");
}

fn full_pipe() -> (std::io::PipeReader, OwnedFd) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    // All that a pipe takes: one byte more would block.
    for _ in 0..16 {
        writer.write_all(&[b'\n'; 4096]).unwrap();
    }
    (reader, writer.into())
}

fn full_socket() -> (UnixStream, OwnedFd) {
    let (reader, mut writer) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    loop {
        match writer.write(&[b'\n'; 512]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (reader, writer.into()),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_leader_leads_on_with_a_log_that_cannot_be_written() {
    let full_disk = || File::options().write(true).open("/dev/full").unwrap();
    let no_reader = || std::io::pipe().unwrap().1;
    let (_reader, full_pipe) = full_pipe();
    let (_other, full_socket) = full_socket();
    let large = || {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8 << 20).unwrap();
        // A descriptor of its own, which writes at the end.
        File::options().append(true).open(format!("/proc/self/fd/{}", fd(&file))).unwrap()
    };
    let kinds: [(&str, &str, Stdio); 6] = [
        ("a full disk", "true", full_disk().into()),
        ("a pipe without a reader", "true", no_reader().into()),
        ("a pipe that is full, and blocks", "true", full_pipe.into()),
        ("a socket that is full, and does not block", "true", full_socket.into()),
        ("a file that may not grow", "ulimit -f 8192", large().into()),
        ("nothing open", "exec 0<&- 1>&- 2>&-", Stdio::null()),
    ];
    let leaders = kinds.map(|(what, before, stderr)| {
        std::thread::spawn(move || {
            let bench = Bench::new();
            let mut leader = leader(&bench, before, stderr);
            goes_on_leading(&bench, &mut leader, what);
            for standard in 0..3 {
                let open = std::fs::read_link(format!("/proc/{}/fd/{standard}", leader.id()));
                let open = open.unwrap().to_string_lossy().into_owned();
                assert!(!open.contains("leases.db"), "{what}: the store is descriptor {standard}");
            }
            leader.signal(Signal::TERM);
            leader.ends().expect(5);
            assert_eq!(bench.log(), ["ready", "TERM"], "{what}");
        })
    });
    for leader in leaders {
        leader.join().unwrap();
    }
}

fn fd(file: &File) -> i32 {
    use std::os::fd::AsRawFd;
    file.as_raw_fd()
}

#[test]
fn what_could_not_be_written_is_counted_once_it_can_be() {
    let bench = Bench::new();
    let (mut reader, writer) = full_socket();
    let mut leader = leader(&bench, "true", writer.into());
    until("the command", || {
        assert!(leader.is_running(), "tenure has ended");
        bench.log() == ["ready"]
    });
    let before = expiry(&bench);
    until("a renewal", || expiry(&bench) > before);
    // In lines: a read of the pipe makes room for some.
    let mut said = Vec::new();
    reader.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    until("the count", || {
        let mut buffer = [0; 4096];
        if let Ok(read) = std::io::Read::read(&mut reader, &mut buffer) {
            said.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8_lossy(&said).contains(" lines could not be written here\n")
    });
    assert!(leader.is_running());
}

#[test]
fn an_error_is_no_crash_when_nobody_can_be_told() {
    let bench = Bench::new();
    for arguments in [&["status", "--store=sqlite:none.db", "--service=mysql"][..], &["--nonsense"]]
    {
        let code = if arguments.len() == 1 { 2 } else { 69 };
        let full = File::options().write(true).open("/dev/full").unwrap();
        Process::start_with(&mut bench.tenure(arguments), full.into()).ends().expect(code);
        let (_reader, full) = full_pipe();
        Process::start_with(&mut bench.tenure(arguments), full.into()).ends().expect(code);
    }
}

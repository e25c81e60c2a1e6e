//! Each mistake is told in one line, and leaves nothing behind.

use crate::support::{Bench, names_in};

/// Arguments, the exit code, and the line on standard error.
#[track_caller]
fn refused(bench: &Bench, arguments: &[&str], code: i32, line: &str) {
    let before = bench.files();
    let answer = bench.ask(arguments);
    let line = line.replace("$DIR", bench.path("").to_str().unwrap().trim_end_matches('/'));
    assert_eq!(answer.expect(code).stderr, format!("tenure: {line}\n"));
    assert_eq!(answer.stdout, "");
    assert_eq!(bench.files(), before);
    assert_eq!(names_in(&bench.scratch()), [""; 0]);
}

#[track_caller]
fn run_refused(options: &[&str], command: &[&str], code: i32, line: &str) {
    let bench = Bench::new();
    std::fs::write(bench.path("plain"), "this is no program").unwrap();
    std::fs::create_dir(bench.path("directory")).unwrap();
    refused(&bench, &[&["run"], options, &["--"], command].concat(), code, line);
}

const STORE: &str = "--store=sqlite:leases.db";

#[test]
fn a_guarantee_of_nothing() {
    let line = "invalid value '0s' for '--guarantee <SPAN>': \
                the guarantee has to be longer than zero";
    run_refused(&[STORE, "--service=mysql", "--guarantee=0s"], &["true"], 2, line);
    let bench = Bench::new();
    refused(&bench, &["demo", "--guarantee=0s"], 2, line);
    refused(&bench, &["claim", STORE, "--unit=mysql/0", "--guarantee=0s"], 2, line);
    let line = "invalid value 'soon' for '--guarantee <SPAN>': expected number at 0";
    refused(&bench, &["claim", STORE, "--unit=mysql/0", "--guarantee=soon"], 2, line);
}

#[test]
fn a_store_that_does_not_exist() {
    let line = "store \"$DIR/leases.db\" does not exist";
    let bench = Bench::new();
    for command in ["status", "watch"] {
        refused(&bench, &[command, STORE, "--service=mysql"], 69, line);
    }
    refused(&bench, &["release", STORE, "--unit=mysql/0"], 69, line);
    let line = "cannot open store \"$DIR/nowhere/leases.db\": its directory does not exist";
    let store = "--store=sqlite:nowhere/leases.db";
    run_refused(&[store, "--service=mysql"], &["true"], 69, line);
}

#[test]
fn a_directory_or_some_other_file_as_the_store() {
    let line = "\"$DIR/directory\" cannot be a store: it is a directory";
    run_refused(&["--store=sqlite:directory", "--service=mysql"], &["true"], 69, line);
    let line = "\"$DIR/plain\" is not a SQLite database, or a damaged one";
    run_refused(&["--store=sqlite:plain", "--service=mysql"], &["true"], 69, line);
}

#[test]
fn a_store_of_a_kind_that_there_is_not() {
    let refuse = |url: &str, why: &str| {
        let line = format!("--store: {why}");
        run_refused(&["--store", url, "--service=mysql"], &["true"], 2, &line);
    };
    let known = "this build knows sqlite:PATH, etcd://HOST, postgres://HOST/DATABASE, redis://HOST";
    refuse("zoo:localhost:2181", &format!("there is no kind of store named \"zoo\": {known}"));
    refuse("leases.db", &format!("it does not say which kind of store: {known}"));
    refuse("memory:", &format!("memory is not shared between processes: {known}"));
    refuse("sqlite:", "there is no path after sqlite:");
}

#[test]
fn a_store_that_would_be_another_by_mistake() {
    let bench = Bench::new();
    let said = |url: &str| {
        let mut command = bench.tenure(&["claim", "--unit=mysql/0"]);
        let answer = crate::support::Process::start(command.env("TENURE_STORE", url)).ends();
        assert_eq!(answer.expect(2).stderr.lines().count(), 1, "{answer:?}");
        assert!(answer.stderr.starts_with("tenure: --store: "), "{answer:?}");
        assert_eq!(bench.files(), [""; 0], "{url:?}");
    };
    for base in ["sqlite:leases.db", "etcd://h", "postgres://h/jobs", "redis://h/0"] {
        for more in ["\n", " ", "?mode=rwc", "#1", "//a", "%"] {
            said(&format!("{base}{more}"));
        }
    }
    // What is meant can be said, and is no other file than the one it says.
    let mut command = bench.tenure(&["claim", "--unit=mysql/0"]);
    command.env("TENURE_STORE", "sqlite:leases.db%0A%3F");
    crate::support::Process::start(&mut command).ends().expect(0);
    assert_eq!(bench.files(), ["leases.db\n?"]);
}

#[test]
fn a_file_whose_name_could_be_read_in_two_ways() {
    let bench = Bench::new();
    std::fs::write(bench.path("a%20b.db"), "").unwrap();
    let line = "--store: there is a file \"a%20b.db\", and sqlite:a%20b.db means another: write \
                each % of its name as %25, or rename it";
    refused(&bench, &["claim", "--store=sqlite:a%20b.db", "--unit=mysql/0"], 2, line);
    bench.ask(&["claim", "--store=sqlite:a%2520b.db", "--unit=mysql/0"]).expect(0);
    assert_eq!(bench.files(), ["a%20b.db"]);
}

#[test]
fn clocks_that_leave_nothing_of_the_lease() {
    let line = "--store-slack (8s) and --clock-ratio (1.1) leave too little of the lease of 20s, \
                twice --guarantee (10s): --store-slack may be 6.25s at most, or raise --guarantee";
    run_refused(&[STORE, "--service=mysql", "--store-slack=8s"], &["true"], 2, line);
    let bench = Bench::new();
    let more = ["--guarantee=10s", "--store-slack=8s"];
    refused(&bench, &[&["claim", STORE, "--unit=mysql/0"], &more[..]].concat(), 2, line);
    refused(&bench, &[&["demo", STORE], &more[..]].concat(), 2, line);
    let line = "invalid value '0.9' for '--clock-ratio <RATIO>': it has to be 1 at least, and not \
                more than 4294";
    refused(&bench, &["claim", STORE, "--unit=mysql/0", "--clock-ratio=0.9"], 2, line);
}

#[test]
fn a_name_with_a_newline_at_its_end() {
    let allowed = "only ASCII letters, digits and - _ . : @ can be used";
    let line = format!(
        "invalid value 'mysql/0 ' for '--unit <UNIT>': unit name \"mysql/0\\n\" has '\\n' in it: \
         {allowed}"
    );
    run_refused(&[STORE, "--unit=mysql/0\n"], &["true"], 2, &line);
    let line = format!(
        "invalid value 'mysql ' for '--service <SERVICE>': service name \"mysql\\n\" has '\\n' in \
         it: {allowed}"
    );
    run_refused(&[STORE, "--service=mysql\n"], &["true"], 2, &line);
}

#[test]
fn a_name_with_a_slash_too_many() {
    let line = "invalid value 'mysql/0/1' for '--unit <UNIT>': \
                unit name \"mysql/0/1\" has a slash too many: one is the most";
    run_refused(&[STORE, "--unit=mysql/0/1"], &["true"], 2, line);
    let line = "invalid value 'my/sql' for '--service <SERVICE>': service name \"my/sql\" has '/' \
                in it: only ASCII letters, digits and - _ . : @ can be used";
    run_refused(&[STORE, "--service=my/sql"], &["true"], 2, line);
    let line = "--service is missing, and --unit is not of the form SERVICE/NUMBER";
    run_refused(&[STORE, "--unit=mysql"], &["true"], 2, line);
}

#[test]
fn a_command_that_does_not_exist_or_cannot_be_executed() {
    let line = "command \"nonesuch\" does not exist";
    run_refused(&[STORE, "--service=mysql"], &["nonesuch", "-x"], 127, line);
    let line = "command \"./nonesuch\" does not exist";
    run_refused(&[STORE, "--service=mysql"], &["./nonesuch"], 127, line);
    let line = "command \"./plain\" cannot be executed";
    run_refused(&[STORE, "--service=mysql"], &["./plain"], 126, line);
    let line = "command \"./directory\" cannot be executed";
    run_refused(&[STORE, "--service=mysql"], &["./directory"], 126, line);
}

#[test]
fn a_program_that_the_kernel_refuses() {
    use std::os::unix::fs::PermissionsExt;

    let bench = Bench::new();
    let script = bench.path("script");
    std::fs::write(&script, "#!/nonesuch/interpreter\n").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let answer = bench.ask(&["run", STORE, "--service=mysql", "--", "./script"]);
    let line = "tenure: cannot execute \"./script\": No such file or directory (os error 2)\n";
    assert_eq!(answer.expect(127).stderr, line);
}

#[test]
fn arguments_that_are_missing_or_unknown() {
    let bench = Bench::new();
    let missing = "the following required arguments were not provided:";
    refused(&bench, &["status"], 2, &format!("{missing} --store <URL> --service <SERVICE>"));
    refused(&bench, &["run", STORE], 2, &format!("{missing} <CMD>..."));
    refused(&bench, &["lead"], 2, "unrecognized subcommand 'lead'");
    let line = "invalid value '1' for '--candidates <N>': 1 is not in 2..=9";
    refused(&bench, &["demo", "--candidates=1"], 2, line);
}

#[test]
fn help_and_version_are_no_mistakes() {
    let bench = Bench::new();
    let help = bench.ask(&["--help"]);
    for part in ["Examples:", "Exit codes:", "   75   ", "Environment:", "TENURE_LOG"] {
        assert!(help.expect(0).stdout.contains(part), "{part}: {}", help.stdout);
    }
    for command in ["claim", "demo", "release", "run", "status", "watch"] {
        let help = bench.ask(&[command, "--help"]);
        assert!(help.expect(0).stdout.contains("Usage: tenure"), "{command}");
        assert!(help.stdout.lines().all(|line| line.len() <= 100), "{command}");
    }
    let version = concat!("tenure ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(bench.ask(&["--version"]).expect(0).stdout, version);
    assert_eq!(bench.ask(&[]).expect(2).stdout, "");
}

#[test]
fn a_log_filter_that_makes_no_sense() {
    let bench = Bench::new();
    let arguments = ["status", STORE, "--service=mysql"];
    let mut command = bench.tenure(&arguments);
    let answer = crate::support::Process::start(command.env("TENURE_LOG", "=loud=")).ends();
    assert!(answer.expect(2).stderr.starts_with("tenure: TENURE_LOG=\"=loud=\": "), "{answer:?}");
    assert_eq!(answer.stderr.lines().count(), 1);
    let mut command = bench.tenure(&["-v", "claim", STORE, "--unit=mysql/0"]);
    let answer = crate::support::Process::start(command.env("TENURE_LOG", " \n")).ends();
    answer.expect(0);
}

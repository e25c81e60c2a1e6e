use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tenure_core::{
    AttemptId, ClaimOutcome, Config, Event, Instant, TenureId, Term, Then, TicketKind, WatchId,
};
use tenure_testkit::trace::{self, Cell};

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")
}

/// `REWRITE=1` writes what comes out; read the diff, and keep only what you can explain.
#[test]
fn every_trace_says_what_the_machine_does() {
    let rewrite = std::env::var_os("REWRITE").is_some();
    let files = trace::files(&directory()).unwrap();
    let wrong: Vec<String> =
        files.iter().filter_map(|path| trace::check(path, rewrite).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!files.is_empty(), "there are no traces");
}

/// Every cell of the contract's tables; and no file without which one would still be covered.
#[test]
fn the_traces_cover_the_contract() {
    let visited: Vec<(String, BTreeSet<Cell>)> = trace::files(&directory())
        .unwrap()
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name.clone(), trace::run(&name, &text).unwrap().coverage.visited().clone())
        })
        .collect();
    let all = Cell::all();
    let covered: BTreeSet<Cell> = visited.iter().flat_map(|(_, cells)| cells.clone()).collect();
    let missing: Vec<&Cell> = all.difference(&covered).collect();
    assert!(missing.is_empty(), "no trace visits {missing:#?}");
    let beyond: Vec<&Cell> = covered.difference(&all).collect();
    assert!(beyond.is_empty(), "visited, but thought out of reach: {beyond:#?}");
    for (name, cells) in &visited {
        let others = visited.iter().filter(|(other, _)| other != name);
        let others: BTreeSet<&Cell> = others.flat_map(|(_, cells)| cells).collect();
        let alone = cells.iter().filter(|cell| !others.contains(cell)).count();
        println!("{name}: {} cells, {alone} of them alone", cells.len());
        assert!(alone > 0, "{name} could be removed, and nobody would notice");
    }
    println!("{} cells in all", all.len());
}

#[test]
fn an_error_names_its_file_and_line() {
    let error = |text: &str| trace::run("file.txt", text).unwrap_err();
    let start = "config guarantee=1000 ratio=1\nnew at=0\n----\n\n";
    assert_eq!(error("timer at=0\n----\n"), "file.txt:1: there is no tracker: new at=0");
    assert_eq!(error("# why\nnew\n----\n"), "file.txt:2: new wants a config before it");
    assert_eq!(error(&format!("{start}jump at=3\n----\n")), "file.txt:5: no such command: jump");
    assert_eq!(
        error(&format!("{start}timer at=x\n----\n")),
        "file.txt:5: not a time in ms, nor in ns: x"
    );
    assert_eq!(error(&format!("{start}timer 3\n----\n")), "file.txt:5: timer does not take 3");
    assert_eq!(error(&format!("{start}timer at=1 at=2\n----\n")), "file.txt:5: said twice: at=2");
    assert_eq!(error("timer at=1\n"), "file.txt:1: commands end in a line ----");
    assert_eq!(error("timer at=1\n\n----\n"), "file.txt:2: commands end in a line ----");
    assert_eq!(error("# why\n\n----\n"), "file.txt:3: a block without commands");
    assert_eq!(error(&format!("{start}timer at=+1\n----\n")), {
        "file.txt:5: not a time in ms, nor in ns: +1"
    });
    assert_eq!(error("config guarantee=1 ratio=nan\n----\n"), "file.txt:1: not a ratio: nan");
}

/// However a line ends: what came, run again, gives the same.
#[test]
fn what_ends_a_line_is_not_a_part_of_it() {
    let run = |text: &str| trace::run("file.txt", text).unwrap().text;
    let came = run("config guarantee=1000 \r\r\n----\r\n \t\r\nnew at=0\t\n----  \n");
    let plain = "config guarantee=1000\n----\n\nnew at=0\n----\n";
    assert_eq!(came, run(plain));
    assert_eq!(came, run(&came));
}

/// What a failure prints can be put into a file and run.
#[test]
fn a_history_is_a_trace() {
    let config = Config::builder(Duration::from_nanos(101)).recheck(Duration::from_nanos(u64::MAX));
    let config =
        config.claim_timeout(Duration::from_nanos(23)).min_interval(Duration::from_nanos(7));
    let config = trace::config(
        &config.retry(Duration::from_nanos(3), Duration::from_nanos(5)).build().unwrap(),
    );
    let attempt = AttemptId::new(1);
    let (watch, tenure) = (WatchId::new(2), TenureId::new(3));
    let spans =
        [Duration::ZERO, Duration::from_millis(1500), Duration::from_nanos(1), Duration::MAX];
    let mut outcomes = vec![
        ClaimOutcome::Denied { retry_after: None },
        ClaimOutcome::Fatal,
        ClaimOutcome::Granted { term: Term::new(u64::MAX) },
        ClaimOutcome::Unknown,
    ];
    outcomes.extend(spans.map(|span| ClaimOutcome::Denied { retry_after: Some(span) }));
    let mut events: Vec<Event> =
        outcomes.into_iter().map(|outcome| Event::ClaimFinished { attempt, outcome }).collect();
    events.extend(spans.map(|cool_off| Event::Resign { then: Then::StepDown { cool_off } }));
    events.extend([Event::Resign { then: Then::Stop }, Event::TimerFired]);
    events.extend([Event::Drained { tenure }, Event::ReleaseFinished { tenure }]);
    events.extend([Event::ReleaseObserved { watch }, Event::WatchFailed { watch }]);
    let kinds = [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion];
    events.extend(kinds.map(|kind| Event::TicketRequested { kind }));
    for at in [0, 1, 1_000_000, 1_500_000, u64::MAX].map(Instant::from_nanos) {
        let history: Vec<(Event, Instant)> = events.iter().map(|&event| (event, at)).collect();
        let text = trace::history(&config, Instant::ORIGIN, &history);
        let run = trace::run("history", &text).unwrap();
        assert!(run.text.starts_with(&text), "{}", run.text);
    }
}

#[test]
fn a_trace_that_lies_is_caught_at_its_line() {
    let directory = std::env::temp_dir().join(format!("tenure-traces-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("lie.txt");
    std::fs::write(&path, "config guarantee=1000 ratio=1\nnew at=0\n----\nclaim 2\n").unwrap();
    let error = trace::check(&path, false).unwrap_err();
    assert!(error.starts_with(&format!("{}:4: the trace says", path.display())), "{error}");
    let rewritten = trace::check(&path, true);
    let right = trace::check(&path, false);
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(rewritten.is_ok() && right.is_ok(), "{right:?}");
}

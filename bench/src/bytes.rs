use std::fs;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use smol::LocalExecutor;
use tenure_core::{BlockingClaimer, Claimer, Standing};
use tenure_memory::MemoryStore;

use crate::allocations::Allocated;
use crate::fixtures::{self, Instantly, OnCue};
use crate::table::{Quantity, Row, Target};

/// How many trackers share what is allocated for many at once.
const TRACKERS: usize = 200;
const TICKETS: usize = 10_000;

/// What idle trackers and parked tickets take: bytes of the heap, and threads.
pub(crate) fn run() -> Vec<Row> {
    let executor = LocalExecutor::new();
    let smol = |claimer, unit| idle_on_smol(&executor, move |_| claimer, unit);
    // The timers' thread, and what the executor keeps, are there before anything is counted.
    smol(Instantly::Grant, 0);
    settle();
    let leader = smol(Instantly::Grant, 0);
    let minion = smol(Instantly::Deny, 0);
    let store = MemoryStore::new();
    let over_memory = idle_pairs_on_smol(&executor, &store);
    let std_leader = idle_on_std(Instantly::Grant);
    let std_minion = idle_on_std(Instantly::Deny);
    let small = Target::AtMost(Quantity::Bytes(2_048.0));
    let row = |what, idle: Idle| Row::new(what, Quantity::Bytes(idle.bytes));
    let (of_leader, of_minion) = ("7.4 KB, 1 goroutine", "9.9 KB, 2 goroutines");
    let mut rows = vec![
        row("idle leader, smol: heap", leader).target(small).elsewhere(of_leader),
        row("idle minion, smol: heap", minion).target(small).elsewhere(of_minion),
        row("idle leader and minion over memory, smol: heap, store's too", over_memory),
        row("idle leader, std: heap, without stacks", std_leader).elsewhere(of_leader),
        row("idle minion, std: heap, without stacks", std_minion).elsewhere(of_minion),
    ];
    let resident = |what, idle: Idle| Row::new(what, Quantity::Bytes(idle.resident));
    rows.extend([
        resident("idle leader, std: resident, stacks too", std_leader),
        resident("idle minion, std: resident, stacks too", std_minion),
    ]);
    let threads = |what, idle: Idle| Row::new(what, Quantity::Count(idle.threads));
    let none = Target::AtMost(Quantity::Count(0.0));
    rows.extend([
        threads("idle leader, smol: threads", leader).target(none),
        threads("idle minion, smol: threads", minion).target(none),
        threads("idle leader, std: threads", std_leader),
        threads("idle minion, std: threads", std_minion),
    ]);
    rows.extend(parked_tickets());
    rows
}

/// What one idle tracker takes, on average.
#[derive(Clone, Copy)]
struct Idle {
    bytes: f64,
    resident: f64,
    threads: f64,
}

impl Idle {
    /// Counts what `start` leaves behind, and what that takes when it has come to rest.
    fn count<T>(start: impl FnOnce() -> T) -> (T, Idle) {
        let before = process();
        let (kept, allocated) = Allocated::by(start);
        let after = process();
        let each = |total: f64| total / TRACKERS as f64;
        let idle = Idle {
            bytes: each(allocated.bytes as f64),
            resident: each((after.resident - before.resident) as f64),
            threads: each((after.threads - before.threads) as f64),
        };
        (kept, idle)
    }
}

fn idle_on_smol<C: Claimer>(
    executor: &LocalExecutor<'_>,
    claimer: impl Fn(usize) -> C,
    unit: usize,
) -> Idle {
    let (trackers, idle) = Idle::count(|| start_on_smol(executor, claimer, unit));
    drop(trackers);
    while executor.try_tick() {}
    idle
}

/// A leader and a minion for each service, with the store's records and what its watches take.
fn idle_pairs_on_smol(executor: &LocalExecutor<'_>, store: &MemoryStore) -> Idle {
    let (trackers, idle) = Idle::count(|| {
        let leaders = start_on_smol(executor, |_| store.clone(), 0);
        let minions = start_on_smol(executor, |_| store.clone(), 1);
        assert!(
            leaders.iter().all(|tracker| matches!(tracker.standing(), Standing::Leader { .. }))
        );
        assert!(minions.iter().all(|tracker| tracker.standing() == Standing::Minion));
        (leaders, minions)
    });
    drop(trackers);
    while executor.try_tick() {}
    idle
}

fn start_on_smol<C: Claimer>(
    executor: &LocalExecutor<'_>,
    claimer: impl Fn(usize) -> C,
    unit: usize,
) -> Vec<tenure_smol::Tracker> {
    let trackers = (0..TRACKERS)
        .map(|number| {
            let (service, unit) = (fixtures::service(number), fixtures::unit(number, unit));
            let config = fixtures::config();
            let (tracker, driver) =
                tenure_smol::Tracker::new(claimer(number), service, unit, config);
            executor.spawn(driver.run()).detach();
            tracker
        })
        .collect();
    while executor.try_tick() {}
    settle();
    trackers
}

fn idle_on_std<C: BlockingClaimer + Copy>(claimer: C) -> Idle {
    let ((trackers, drivers), idle) = Idle::count(|| {
        let started: (Vec<_>, Vec<_>) = (0..TRACKERS)
            .map(|number| {
                let (service, unit) = (fixtures::service(number), fixtures::unit(number, 0));
                let config = fixtures::config();
                let (tracker, driver) = tenure_std::Tracker::new(claimer, service, unit, config);
                (tracker, driver.spawn().expect("there is a thread to be had"))
            })
            .unzip();
        settle();
        started
    });
    drop(trackers);
    for driver in drivers {
        driver.join().expect("the driver does not panic");
    }
    idle
}

/// Gives threads the time to do what they were started for, and to end.
fn settle() {
    thread::sleep(Duration::from_millis(300));
}

struct Process {
    resident: i64,
    threads: i64,
}

/// What the kernel says about this process; zeros where there is no `/proc`.
fn process() -> Process {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    Process { resident: number("RssAnon:") * 1_024, threads: number("Threads:") }
}

/// A waker of its own for all the tickets: what a task takes is not the ticket's doing.
struct Silent;

impl Wake for Silent {
    fn wake(self: Arc<Self>) {}
}

fn parked_tickets() -> Vec<Row> {
    let (service, unit) = (fixtures::service(0), fixtures::unit(0, 0));
    let (cue, claimer) = OnCue::new();
    let (on_std, driver) =
        tenure_std::Tracker::new(claimer, service.clone(), unit.clone(), fixtures::config());
    let driver = driver.spawn().expect("there is a thread to be had");
    cue.wait_for_claim();
    settle();
    let (parked, of_std) = Allocated::by(|| {
        let mut parked = Vec::with_capacity(TICKETS);
        parked.extend((0..TICKETS).map(|_| {
            let mut ticket = on_std.wait_leader();
            assert_eq!(ticket.wait_timeout(Duration::ZERO), None);
            ticket
        }));
        parked
    });
    drop((parked, on_std, cue));
    driver.join().expect("the driver does not panic");

    let (_cue, claimer) = OnCue::new();
    let (on_smol, _driver) = tenure_smol::Tracker::new(claimer, service, unit, fixtures::config());
    let waker: Waker = Arc::new(Silent).into();
    settle();
    let (_parked, of_smol) = Allocated::by(|| {
        let mut parked = Vec::with_capacity(TICKETS);
        parked.extend((0..TICKETS).map(|_| {
            let mut ticket = on_smol.wait_leader();
            let mut context = Context::from_waker(&waker);
            assert!(Pin::new(&mut ticket).poll(&mut context).is_pending());
            ticket
        }));
        parked
    });
    let row = |what, allocated: Allocated| {
        Row::new(what, Quantity::Bytes(allocated.bytes as f64 / TICKETS as f64))
            .target(Target::AtMost(Quantity::Bytes(200.0)))
            .elsewhere("2.9 to 3.9 KB")
    };
    vec![
        row("parked ticket, smol, of 10,000: with the ticket", of_smol),
        row("parked ticket, std, of 10,000: with the ticket", of_std),
    ]
}

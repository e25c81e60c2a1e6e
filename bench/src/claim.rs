use std::hint::black_box;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::thread;

use tenure_core::{Outcome, Standing};
use tenure_memory::MemoryStore;
use tenure_runtime::{BootClock, Clock};

use crate::allocations::Allocated;
use crate::fixtures;
use crate::harness::{Samples, interleave, repeat, time_per};
use crate::table::{Quantity, Row, Target};

/// `claim_leader()` on a fresh leader, answered, on both runtimes.
pub(crate) fn run(rounds: usize) -> Vec<Row> {
    let on_smol = smol_leader();
    let on_std = std_leader();
    let operations = 1_000;
    let samples = interleave(
        rounds * 30,
        vec![
            repeat(operations, || BootClock.now()),
            repeat(operations, || ask_smol(&on_smol)),
            repeat(operations, || ask_std(&on_std)),
            repeat(operations, || stand(on_smol.standing())),
            repeat(operations, || stand(on_std.standing())),
        ],
    );
    let [clock, rest @ ..] = &samples[..] else { unreachable!("one for each batch") };
    let what = [
        "claim_leader() answered, smol",
        "claim_leader() answered, std",
        "standing(), smol",
        "standing(), std",
    ];
    let mut rows: Vec<Row> = what
        .into_iter()
        .zip(rest)
        .enumerate()
        .map(|(index, (what, this))| {
            let row = timed(what, this, "clock read", clock);
            let claims = index < 2;
            if claims { row.target(Target::RatioAtMost(1.5)).elsewhere("2,066 ns") } else { row }
        })
        .collect();
    rows.push(two_at_once("claim_leader() by 2 threads at once, smol", rounds, || {
        ask_smol(&on_smol);
    }));
    rows.push(two_at_once("claim_leader() by 2 threads at once, std", rounds, || ask_std(&on_std)));
    rows.push(allocations("allocations by 1,000 claim tickets, smol", || ask_smol(&on_smol)));
    rows.push(allocations("allocations by 1,000 claim tickets, std", || ask_std(&on_std)));
    smol::block_on(on_smol.stop()).expect("stops when asked to");
    on_std.stop().expect("stops when asked to");
    rows
}

/// A row of medians.
pub(crate) fn timed(what: &str, this: &Samples, name: &'static str, yardstick: &Samples) -> Row {
    Row::new(what, Quantity::Nanos(this.median())).in_ratio(
        name,
        Quantity::Nanos(yardstick.median()),
        this.ratio_to(yardstick),
    )
}

/// A leader on smol, whose driver runs on smol's own thread.
pub(crate) fn smol_leader() -> tenure_smol::Tracker {
    let (service, unit) = (fixtures::service(0), fixtures::unit(0, 0));
    let (tracker, driver) =
        tenure_smol::Tracker::new(MemoryStore::new(), service, unit, fixtures::config());
    smol::spawn(driver.run()).detach();
    let outcome = smol::block_on(tracker.wait_leader());
    assert!(matches!(outcome, Outcome::Leader { .. }), "nobody else wants to lead");
    tracker
}

/// A leader on threads.
pub(crate) fn std_leader() -> tenure_std::Tracker {
    let (service, unit) = (fixtures::service(0), fixtures::unit(0, 0));
    let (tracker, driver) =
        tenure_std::Tracker::new(MemoryStore::new(), service, unit, fixtures::config());
    driver.spawn().expect("there is a thread to be had");
    let outcome = tracker.wait_leader().wait();
    assert!(matches!(outcome, Outcome::Leader { .. }), "nobody else wants to lead");
    tracker
}

/// Asks, and gets the answer, as a task would that polls its ticket for the first time.
#[inline(never)]
pub(crate) fn ask_smol(tracker: &tenure_smol::Tracker) {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(tracker.claim_leader()).poll(&mut context) {
        Poll::Ready(Outcome::Leader { term, valid_until }) => {
            black_box(term);
            black_box(valid_until);
        }
        Poll::Ready(Outcome::Minion | Outcome::Stopped) | Poll::Pending => panic!("is no leader"),
    }
}

/// Asks, and waits for the answer.
#[inline(never)]
pub(crate) fn ask_std(tracker: &tenure_std::Tracker) {
    match tracker.claim_leader().wait() {
        Outcome::Leader { term, valid_until } => {
            black_box(term);
            black_box(valid_until);
        }
        Outcome::Minion | Outcome::Stopped => panic!("is no leader"),
    }
}

fn stand(standing: Standing) {
    assert!(matches!(black_box(standing), Standing::Leader { .. }), "is no leader");
}

/// Two threads that ask at the same time, next to one that asks alone: 1 if neither holds the
/// other up.
fn two_at_once(what: &str, rounds: usize, ask: impl Fn() + Sync) -> Row {
    let operations = 5_000;
    let batch = || time_per(operations, || (0..operations).for_each(|_| ask()));
    let barrier = Barrier::new(2);
    let samples = thread::scope(|scope| {
        let (start, end) = (&barrier, &barrier);
        let rounds_of_both = rounds + rounds.div_ceil(10);
        let batch = &batch;
        scope.spawn(move || {
            for _ in 0..rounds_of_both {
                start.wait();
                batch();
                end.wait();
            }
        });
        let both = Box::new(move || {
            start.wait();
            let nanos = batch();
            end.wait();
            nanos
        });
        interleave(rounds, vec![Box::new(batch), both])
    });
    let [alone, both] = &samples[..] else { unreachable!("one for each batch") };
    timed(what, both, "1 thread", alone)
}

fn allocations(what: &str, ask: impl Fn()) -> Row {
    let ((), allocated) = Allocated::by(|| (0..1_000).for_each(|_| ask()));
    Row::new(what, Quantity::Count(allocated.allocations as f64))
        .target(Target::AtMost(Quantity::Count(0.0)))
        .elsewhere("16 each, 520 B")
}

//! How long a service has no leader, beside what the bare store needs for the same, and beside the
//! engine's own election.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use smol::{Timer, future};
use tenure_core::{BlockingClaimer, Candidate, ClaimAnswer, Claimer, Config, Outcome};
use tenure_runtime::{BootClock, CancelToken, Clock};
use tenure_smol::Unblock;
use tenure_std::BlockOn;

use crate::election;
use crate::harness::{Samples, interleave};
use crate::release::{candidate, on_smol, on_std};
use crate::stores::{Kind, Store};
use crate::table::{Quantity, Row, Target};

/// How long whoever begins to wait is given until it does, over a network.
const SETTLE: Duration = Duration::from_millis(30);

/// The lease of whoever crashes: two of etcd's seconds, of which it counts whole ones.
const LEASE: Duration = Duration::from_secs(2);

/// Rows for one store: both ways out, on both runtimes, and the engine's own election.
pub(crate) fn run(store: &Store, rounds: usize) -> Vec<Row> {
    let name = || store.fresh();
    match store.kind {
        Kind::Etcd => {
            let open = || store.etcd(&name());
            measure(store, rounds, open, || BlockOn::new(store.etcd(&name())))
        }
        Kind::Postgres => {
            let open = || store.postgres(&name());
            measure(store, rounds, open, || BlockOn::new(store.postgres(&name())))
        }
        Kind::Redis => {
            let open = || store.redis(&name());
            measure(store, rounds, open, || BlockOn::new(store.redis(&name())))
        }
        Kind::Sqlite => {
            let open = || Unblock::new(store.sqlite(&name()));
            measure(store, rounds, open, || store.sqlite(&name()))
        }
    }
}

fn measure<A: Claimer + Clone, B: BlockingClaimer + Clone>(
    store: &Store,
    rounds: usize,
    mut on_smol_open: impl FnMut() -> A,
    mut on_std_open: impl FnMut() -> B,
) -> Vec<Row> {
    let kind = store.kind;
    // A crash takes a lease to be seen, a release does not.
    let releases = rounds * 5;
    eprintln!("{kind}: releases");
    let smol = on_smol(releases, SETTLE, &mut on_smol_open);
    let std = on_std(releases, SETTLE, &mut on_std_open);
    let mut rows = vec![released(kind, "smol", &smol), released(kind, "std", &std)];
    eprintln!("{kind}: crashes");
    let smol_crash = crash_on_smol(rounds, step(kind), on_smol_open());
    let std_crash = crash_on_std(rounds, step(kind), on_std_open());
    rows.extend([crashed(kind, "smol", &smol_crash), crashed(kind, "std", &std_crash)]);
    eprintln!("{kind}: its own election");
    if let Some(own) = election::of(store, rounds, LEASE) {
        let [release, crash] = [own.release.median(), own.crash.median()];
        let beside = |what: String, this: &Samples, yardstick| {
            Row::new(what, Quantity::Nanos(this.median()))
                .next_to(own.name, Quantity::Nanos(yardstick))
        };
        rows.push(beside(format!("release, {kind}, std"), &std[1], release));
        rows.push(beside(format!("crash, beyond the lease, {kind}, std"), &std_crash[2], crash));
    }
    rows
}

fn released(kind: Kind, runtime: &str, [bare, through]: &[Samples; 2]) -> Row {
    Row::new(format!("release, {kind}, {runtime}"), Quantity::Nanos(through.median()))
        .next_to("bare store", Quantity::Nanos(bare.median()))
        .target(Target::RatioAtMost(1.5))
}

/// The bound is how late the engine is with the news, and one claim and a half.
fn crashed(kind: Kind, runtime: &str, [bare, claim, through]: &[Samples; 3]) -> Row {
    let bound = bare.median() + 0.5 * claim.median();
    let what = format!("crash, beyond the lease, {kind}, {runtime}");
    Row::new(what, Quantity::Nanos(through.median()))
        .next_to("bare store and half a claim", Quantity::Nanos(bound))
        .target(Target::RatioAtMost(1.0))
}

/// A service that nobody has led yet: who leads it first, renews once, and is dead from then on,
/// and who has begun to wait before that.
fn dead(round: &mut u32) -> [Candidate; 2] {
    *round += 1;
    [0, 1].map(|unit| Candidate {
        service: format!("crash-{round}").parse().expect("is a name"),
        ..candidate(unit)
    })
}

/// In nanoseconds; nothing if the `end` was before.
fn nanos_between(start: Instant, end: Instant) -> f64 {
    end.saturating_duration_since(start).as_nanos() as f64
}

fn config() -> Config {
    Config::new(LEASE / 2).expect("is in order")
}

/// How often a store looks at its leases, or to what it rounds: how late it is depends on when in
/// such a span a lease began.
fn step(kind: Kind) -> Duration {
    match kind {
        Kind::Etcd => Duration::from_millis(500),
        Kind::Postgres | Kind::Redis | Kind::Sqlite => Duration::from_millis(1),
    }
}

/// How long it is to the middle of a `step`, where leases are to begin, so that each is as late.
fn to_the_middle(step: Duration) -> Duration {
    let step = u64::try_from(step.as_nanos()).expect("is short");
    let phase = BootClock.now().as_nanos() % step;
    Duration::from_nanos((step / 2 + step - phase) % step)
}

/// What is left of the way to the middle of a `step` after a sleep, which may be longer than asked.
const AWAKE: Duration = Duration::from_millis(2);

/// Goes the rest of that way.
fn spin_to_the_middle(step: Duration) {
    let end = Instant::now() + to_the_middle(step);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// How late a claim is granted to whoever uses the bare store, what that claim takes, and how late
/// the ticket of a tracker is.
fn crash_on_smol<C: Claimer + Clone>(rounds: usize, step: Duration, store: C) -> [Samples; 3] {
    let mut round = 0;
    let claims = std::cell::RefCell::new(Samples::default());
    let claim = |candidate: Candidate| {
        let store = store.clone();
        async move {
            let answer = store.claim(&candidate, LEASE).await.expect("the store works");
            assert!(matches!(answer, ClaimAnswer::Granted { .. }), "nobody else claims");
        }
    };
    // Gives when the lease is over.
    let last_renewal = |dead: Candidate| async {
        Timer::after(SETTLE).await;
        Timer::after(to_the_middle(step).saturating_sub(AWAKE)).await;
        spin_to_the_middle(step);
        let over = Instant::now() + LEASE;
        claim(dead).await;
        over
    };
    let mut trackers = 1_000_000;
    let bare = Box::new(|| {
        let [dead, next] = dead(&mut round);
        smol::block_on(async {
            claim(dead.clone()).await;
            let service = dead.service.clone();
            let told = async {
                store.released(&service).await.expect("the store works");
                Instant::now()
            };
            let (over, told) = future::zip(last_renewal(dead), told).await;
            claim(next).await;
            let led = Instant::now();
            claims.borrow_mut().push(nanos_between(told, led));
            nanos_between(over, led)
        })
    });
    let through = Box::new(|| {
        let [dead, next] = dead(&mut trackers);
        smol::block_on(async {
            claim(dead.clone()).await;
            let (tracker, driver) =
                tenure_smol::Tracker::new(store.clone(), next.service, next.unit, config());
            let led = async {
                let outcome = tracker.wait_leader().await;
                assert!(matches!(outcome, Outcome::Leader { .. }), "nobody else claims");
                Instant::now()
            };
            let rounds = async { Some(future::zip(last_renewal(dead), led).await) };
            let times = future::or(rounds, async {
                let _ = driver.run().await;
                None
            });
            let (over, led) = times.await.expect("nobody stops the tracker");
            nanos_between(over, led)
        })
    });
    let samples = interleave(rounds, vec![bare, through]);
    let [bare, through] = samples.try_into().expect("one for each batch");
    [bare, claims.into_inner(), through]
}

/// As [`crash_on_smol`], on threads. The store blocks: it is called on one thread and waited for on
/// another.
fn crash_on_std<C: BlockingClaimer + Clone>(
    rounds: usize,
    step: Duration,
    store: C,
) -> [Samples; 3] {
    let mut round = 2_000_000;
    let mut trackers = 3_000_000;
    let claims = std::cell::RefCell::new(Samples::default());
    let claim = |candidate: &Candidate| {
        let answer = store.claim(candidate, LEASE).expect("the store works");
        assert!(matches!(answer, ClaimAnswer::Granted { .. }), "nobody else claims");
    };
    // Gives when the lease is over, and what `wait` gives.
    let last_renewal = |dead: &Candidate, wait: &dyn Fn() -> Instant| {
        thread::scope(|scope| {
            let renewal = scope.spawn(|| {
                thread::sleep(SETTLE);
                thread::sleep(to_the_middle(step).saturating_sub(AWAKE));
                spin_to_the_middle(step);
                let over = Instant::now() + LEASE;
                claim(dead);
                over
            });
            let end = wait();
            (renewal.join().expect("the store works"), end)
        })
    };
    let bare = Box::new(|| {
        let [dead, next] = dead(&mut round);
        claim(&dead);
        let (over, led) = last_renewal(&dead, &|| {
            let (sender, receiver) = mpsc::channel();
            thread::scope(|scope| {
                scope.spawn(|| {
                    store.released(&dead.service, &CancelToken::new()).expect("the store works");
                    let told = Instant::now();
                    claim(&next);
                    let claimed = nanos_between(told, Instant::now());
                    sender.send(claimed).expect("somebody waits");
                });
                let claimed = receiver.recv().expect("the store works");
                let led = Instant::now();
                claims.borrow_mut().push(claimed);
                led
            })
        });
        nanos_between(over, led)
    });
    let through = Box::new(|| {
        let [dead, next] = dead(&mut trackers);
        claim(&dead);
        let (tracker, driver) =
            tenure_std::Tracker::new(store.clone(), next.service, next.unit, config());
        driver.spawn().expect("there is a thread to be had");
        let (over, led) = last_renewal(&dead, &|| {
            let outcome = tracker.wait_leader().wait();
            assert!(matches!(outcome, Outcome::Leader { .. }), "nobody else claims");
            Instant::now()
        });
        tracker.stop().expect("the store works");
        nanos_between(over, led)
    });
    let samples = interleave(rounds, vec![bare, through]);
    let [bare, through] = samples.try_into().expect("one for each batch");
    [bare, claims.into_inner(), through]
}

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use smol::future::{or, zip};
use tenure_core::Instant;
use tenure_runtime::{BootClock, Clock};
use tenure_smol::dependency::{Config, Engine, EngineOptions, Manifold, ManifoldState};

use super::bench::{BOUNCE, Bench, ERROR, NONE, Population, obedient};

/// How long anything may take that should be done soon: only a bug makes a test wait this long.
const PATIENCE: Duration = Duration::from_secs(20);

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn a_failed_start_is_tried_again_after_the_delay_on_the_engines_clock() {
    let tries = Arc::new(AtomicUsize::new(0));
    let mut bench = Bench::new();
    let counter = tries.clone();
    bench.install(
        "failing",
        Manifold::without_inputs(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            async { Err("no".into()) }
        }),
    );
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    // Jitter only shortens it, by less than half.
    bench.advance(ERROR / 2 - MILLI);
    thread::sleep(3 * MILLI);
    bench.driver.drive();
    assert_eq!(tries.load(Ordering::SeqCst), 1, "it is not time yet");
    bench.advance(ERROR / 2 + MILLI);
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    bench.finish();
}

/// The timer is smol's, and goes on without the clock: it is to be set again, and again.
#[test]
fn a_bounce_waits_for_the_engines_clock_however_long_it_stands_still() {
    let alive = Population::default();
    let mut bench = Bench::new();
    bench.install("dependent", obedient(["source"], &alive));
    bench.install("source", obedient(NONE, &alive));
    assert_eq!(bench.state("dependent"), ManifoldState::Waiting);
    thread::sleep(3 * BOUNCE);
    bench.driver.drive();
    assert_eq!(bench.state("dependent"), ManifoldState::Waiting);
    bench.advance(BOUNCE);
    assert_eq!(bench.state("dependent"), ManifoldState::Running);
    bench.finish();
}

/// However short the wait is that the timer is set for: it is over at once, and the clock stands.
#[test]
fn a_clock_that_stands_still_just_before_the_time_costs_no_hot_loop() {
    let (sender, done) = mpsc::channel();
    thread::spawn(move || {
        let alive = Population::default();
        let mut bench = Bench::new();
        bench.install("dependent", obedient(["source"], &alive));
        bench.install("source", obedient(NONE, &alive));
        bench.clock.advance(BOUNCE - Duration::from_nanos(1));
        // The timer that was set for all of the delay is over by then.
        thread::sleep(2 * BOUNCE);
        bench.driver.drive();
        assert_eq!(bench.state("dependent"), ManifoldState::Waiting);
        bench.advance(Duration::from_nanos(1));
        assert_eq!(bench.state("dependent"), ManifoldState::Running);
        bench.finish();
        sender.send(()).unwrap();
    });
    done.recv_timeout(PATIENCE).expect("the driver comes to an end of its look");
}

/// A clock that goes at a quarter of the pace of smol's timers, and tells nobody.
#[derive(Debug)]
struct Slow;

impl Clock for Slow {
    fn now(&self) -> Instant {
        Instant::from_nanos(BootClock.now().as_nanos() / 4)
    }
}

#[test]
fn a_timer_that_comes_too_soon_is_set_again() {
    let config = Config::builder().error_delay(5 * MILLI).build().unwrap();
    let options = EngineOptions::new().config(config).clock(Arc::new(Slow));
    let (engine, driver) = Engine::new(options);
    let (sender, tries) = async_channel::unbounded();
    let manifold = Manifold::without_inputs(move |_| {
        sender.try_send(Slow.now()).unwrap();
        async { Err("again".into()) }
    });
    engine.install("failing", manifold).unwrap();
    let four_tries = async {
        let mut last = tries.recv().await.unwrap();
        for _ in 0..3 {
            let next = tries.recv().await.unwrap();
            assert!(next.saturating_duration_since(last) >= 5 * MILLI / 2);
            last = next;
        }
        engine.kill();
    };
    let patience = async {
        smol::Timer::after(PATIENCE).await;
        panic!("it is not tried again");
    };
    let run = async {
        zip(driver.run(), four_tries).await;
    };
    smol::block_on(or(run, patience));
}

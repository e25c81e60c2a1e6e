use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure_smol::dependency::{Manifold, ManifoldState, Started};

use super::bench::{BOUNCE, Bench, ERROR, NONE, Population, obedient};

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn a_failed_start_is_tried_again_after_the_delay_on_the_engines_clock() {
    let tries = Arc::new(AtomicUsize::new(0));
    let mut bench = Bench::new();
    let counter = tries.clone();
    bench.install(
        "failing",
        Manifold::new(NONE, move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            async { Err("no".into()) }
        }),
    );
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    // Jitter only shortens it, by less than half.
    bench.advance(ERROR / 2 - MILLI);
    std::thread::sleep(3 * MILLI);
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
    std::thread::sleep(3 * BOUNCE);
    bench.driver.drive();
    assert_eq!(bench.state("dependent"), ManifoldState::Waiting);
    bench.advance(BOUNCE);
    assert_eq!(bench.state("dependent"), ManifoldState::Running);
    bench.finish();
}

#[test]
fn a_timer_that_is_due_rouses_the_driver_by_itself() {
    let clock = Arc::new(tenure_runtime::BootClock);
    let config = tenure_smol::dependency::Config::builder().error_delay(5 * MILLI).build().unwrap();
    let options = tenure_smol::dependency::EngineOptions::new().config(config).clock(clock);
    let (engine, driver) = tenure_smol::dependency::Engine::new(options);
    let (sender, tries) = async_channel::unbounded();
    let manifold = Manifold::new(NONE, move |_| {
        let tried = sender.try_send(()).is_ok();
        async move { if tried { Err("again".into()) } else { Ok(Started::new(async { Ok(()) })) } }
    });
    engine.install("failing", manifold).unwrap();
    smol::block_on(smol::future::zip(driver.run(), async move {
        for _ in 0..4 {
            tries.recv().await.unwrap();
        }
        drop(engine);
    }));
}

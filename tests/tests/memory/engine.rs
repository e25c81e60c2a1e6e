use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use tenure_smol::dependency::{Engine, EngineOptions, Manifold, ManifoldState, Started};

use crate::threads;

const MANIFOLDS: usize = 50;

/// An engine on smol is one future: it has no threads, however much it runs.
pub(crate) fn on_smol_has_no_threads() {
    let before = threads::count();
    let (engine, driver) = Engine::new(EngineOptions::new());
    for number in 0..MANIFOLDS {
        let input = number.checked_sub(1).map(|number| number.to_string());
        let manifold = Manifold::new(input, |context| async move {
            let stop = context.stop();
            let worker = async move {
                stop.wait().await;
                Ok(())
            };
            Ok(Started::new(worker))
        });
        engine.install(number.to_string(), manifold).unwrap();
    }
    {
        let mut driver = pin!(driver.run());
        let mut look = || driver.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        let running = || {
            let report = engine.report();
            let states = report.manifolds.into_iter().map(|manifold| manifold.state);
            states.filter(|state| *state == ManifoldState::Running).count()
        };
        // A chain: each has been told that the one before it runs, and starts again.
        while running() < MANIFOLDS {
            assert!(!look());
        }
        let threads = threads::count() - before;
        println!("threads of an engine of {MANIFOLDS} manifolds on smol: {threads}");
        assert_eq!(threads, 0);
        engine.kill();
        while !look() {}
    }
    assert_eq!(threads::count(), before);
}

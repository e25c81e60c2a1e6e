//! What the runtimes cost in bytes, allocations and threads: a binary of its own, and one test in
//! it, as all that the process does is counted.
//!
//! `cargo test -p tenure-testkit --test memory -- --nocapture` prints the numbers.
#![forbid(unsafe_code)]

mod claimer;
mod engine;
mod storms;
mod threads;
mod tracker;

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tenure_core::{ClaimAnswer, ClockRatio, Config, Term, TicketKind};

use claimer::Told;
use tracker::{Runtime, Tracked};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How long anything may take that should be done at once: only a bug makes a test wait so long.
const PATIENCE: Duration = Duration::from_secs(30);

const GRANTED: ClaimAnswer = ClaimAnswer::Granted { term: Term::new(1) };
const DENIED: ClaimAnswer = ClaimAnswer::Denied { leader: None, retry_after: None };

fn config() -> Config {
    Config::builder(Duration::from_secs(10)).clock_ratio(ClockRatio::EXACT).build().unwrap()
}

/// Bytes that are allocated now, by all threads.
fn bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// How often anything was allocated so far.
fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

#[test]
fn nothing_costs_more_than_is_promised() {
    // The reactor's thread, which all of smol's timers share, is there before anything is counted.
    smol::block_on(smol::Timer::after(Duration::from_millis(1)));
    idle_on_smol();
    // Before there are any threads that may end while they are counted.
    engine::on_smol_has_no_threads();
    for runtime in [Runtime::Smol, Runtime::Std] {
        the_fast_path_allocates_nothing(runtime);
        for count in [1_000, 100_000] {
            parked_tickets(runtime, count);
        }
        storms::leave_nothing(runtime);
    }
    threads::of_an_idle_leader_on_std();
    threads::on_std();
    threads::on_the_pool_of_smol();
}

fn idle_on_smol() {
    for (name, answer) in [("leader", GRANTED), ("minion that waits", DENIED)] {
        // The second one finds everything warm that they share.
        let idle = [(); 2].map(|()| {
            storms::quiet();
            let (before, threads) = (bytes(), threads::count());
            let (tracker, mut driver) = tracker::by_hand(Told::always(answer.clone()));
            driver.poll();
            // The reactor keeps a place for the timer, which it makes on its own thread.
            storms::quiet();
            let idle = (bytes() - before, threads::count() - threads);
            drop((tracker, driver));
            idle
        });
        let (bytes, threads) = idle[1];
        println!("idle tracker on smol, {name}: {bytes} bytes, {threads} threads");
        assert!(bytes <= 2048, "{bytes} bytes");
        assert_eq!(threads, 0);
    }
}

fn the_fast_path_allocates_nothing(runtime: Runtime) {
    let tracked = Tracked::new(runtime, Told::always(GRANTED));
    tracked.tracker.request(TicketKind::WaitLeader).wait();
    storms::quiet();
    let before = allocations();
    for _ in 0..1_000 {
        let ticket = tracked.tracker.request(TicketKind::ClaimLeader);
        assert!(ticket.is_ready());
        ticket.wait();
        let _ = tracked.tracker.standing();
    }
    let count = allocations() - before;
    println!("claim_leader on a fresh leader on {runtime:?}, 1,000 times: {count} allocations");
    assert_eq!(count, 0);
    tracked.end();
}

fn parked_tickets(runtime: Runtime, count: usize) {
    let tracked = Tracked::new(runtime, Told::always(GRANTED));
    tracked.tracker.request(TicketKind::WaitLeader).wait();
    for polls in [false, true] {
        // Whatever a thread does once is done.
        assert!(tracked.tracker.request(TicketKind::WaitMinion).poll().is_none());
        storms::quiet();
        let before = bytes();
        let mut tickets = Vec::with_capacity(count);
        for _ in 0..count {
            tickets.push(tracked.ask_natively(TicketKind::WaitMinion));
            if polls {
                assert!(tickets.last_mut().unwrap().poll().is_none());
            }
        }
        let each = (bytes() - before) as f64 / count as f64;
        drop(tickets);
        // Others may be in the middle of something of their own.
        storms::until("all of it comes back", || bytes() == before);
        // Only now: what is printed may be kept by whoever captures it.
        println!("{count} parked on {runtime:?}, polled: {polls}: {each:.1} bytes each");
        assert!(each <= 200.0, "{each} bytes");
    }
    tracked.end();
}

//! What a server costs that sends without end: a binary of its own, as all that the process
//! allocates is counted.
//!
//! Each call fails within its limit, says why, and takes [`MEMORY_MAX`] at most.
#![forbid(unsafe_code)]

mod etcd;
mod postgres;
mod redis;

use std::alloc::System;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tenure_core::{Candidate, Claimer, ClaimerError, Nonce};
use tenure_testkit::server::{Flood, Moment};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How much more memory a call may take than there was in use before it.
const MEMORY_MAX: usize = 8 * 1024 * 1024;

/// Far longer than the time limit of any call, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

const LEASE: Duration = Duration::from_secs(3600);

/// One test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn candidate(number: u8) -> Candidate {
    Candidate {
        service: "mysql".parse().unwrap(),
        unit: format!("mysql/{number}").parse().unwrap(),
        nonce: Nonce::from_bytes([number; 16]),
    }
}

/// Bytes that are allocated now, by all threads.
fn bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// What is said without end.
struct Speech {
    what: &'static str,
    head: Vec<u8>,
    body: Vec<u8>,
}

fn speech(what: &'static str, head: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Speech {
    Speech { what, head: head.as_ref().to_vec(), body: body.as_ref().to_vec() }
}

/// A call, by its name.
type Call<C> = (&'static str, fn(&C) -> Result<(), ClaimerError>);

/// The calls that are limited by time.
fn calls<C: Claimer>() -> [Call<C>; 4] {
    [
        ("claim", |claimer| block_on(claimer.claim(&candidate(0), LEASE)).map(drop)),
        ("leader", |claimer| block_on(claimer.leader(&candidate(0).service)).map(drop)),
        ("released", |claimer| block_on(claimer.released(&candidate(0).service))),
        ("release", |claimer| block_on(claimer.release(&candidate(0)))),
    ]
}

/// Which connection a call is made on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum On {
    New,
    /// It has done well so far.
    Used,
}

/// Every call on a claimer, as it is made over `flood`.
fn each_call_fails_in_time<C: Claimer + Clone>(
    flood: &Flood,
    open: impl Fn() -> C,
    connections: &[On],
    speeches: &[Speech],
    words: &[&str],
) {
    for Speech { what, head, body } in speeches {
        for on in connections {
            for (name, call) in calls::<C>() {
                flood.disarm();
                let claimer = open();
                if *on == On::Used {
                    block_on(claimer.claim(&candidate(0), LEASE)).unwrap();
                }
                flood.arm(Moment::NextRequest, head, body);
                fails(&format!("{what} to {name}, {on:?}"), words, move || call(&claimer));
            }
        }
    }
    flood.disarm();
}

/// A wait on a lease that is held, which is told too much.
fn each_wait_fails<C: Claimer + Clone>(
    flood: &Flood,
    open: impl Fn() -> C,
    is_waiting: impl Fn() -> bool,
    speeches: &[Speech],
) {
    for Speech { what, head, body } in speeches {
        flood.disarm();
        let claimer = open();
        block_on(claimer.claim(&candidate(0), LEASE)).unwrap();
        let (waits, ended) = (claimer.clone(), mpsc::channel());
        let says = ended.0;
        thread::spawn(move || says.send(block_on(waits.released(&candidate(0).service))));
        while !is_waiting() {
            thread::sleep(Duration::from_millis(2));
        }
        // It has to hear that it waits, too.
        thread::sleep(Duration::from_millis(100));
        flood.arm(Moment::Now, head, body);
        let end = ended.1;
        fails(&format!("{what} to a wait"), &[], move || end.recv().unwrap());
    }
    flood.disarm();
}

/// Makes `call`, and sees what it costs: its error is Unknown, and has one of these `words`.
#[track_caller]
fn fails(
    what: &str,
    words: &[&str],
    call: impl FnOnce() -> Result<(), ClaimerError> + Send + 'static,
) {
    let before = bytes();
    let (is_over, (says, ended)) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
    let over = is_over.clone();
    let peak = thread::spawn(move || {
        let mut peak = 0;
        while !over.load(Ordering::Relaxed) {
            peak = peak.max(bytes());
            thread::sleep(Duration::from_micros(200));
        }
        peak
    });
    thread::spawn(move || says.send(call()));
    let result = ended.recv_timeout(PATIENCE);
    is_over.store(true, Ordering::Relaxed);
    let growth = peak.join().unwrap().saturating_sub(before);
    let Ok(result) = result else {
        panic!("{what}: no end after {PATIENCE:?}, and {growth} bytes more in use")
    };
    let error = result.expect_err(what);
    let text = error.source().unwrap().to_string();
    println!("{what}: {growth} bytes: {text}");
    assert!(!error.is_fatal(), "{what}: {text}");
    assert!(words.is_empty() || words.iter().any(|word| text.contains(word)), "{what}: {text}");
    assert!(growth <= MEMORY_MAX, "{what}: {growth} bytes");
}

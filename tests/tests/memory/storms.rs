use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant as Deadline};

use tenure_core::{Outcome, Standing, TicketKind};

use crate::claimer::Told;
use crate::tracker::{Ready, Runtime, Ticket, Tracked, Tracker};
use crate::{GRANTED, PATIENCE, bytes, threads};

const THREADS: u64 = 4;
const EACH: u64 = 25_000;

/// 100,000 tickets are asked for and dropped, in any order, by several threads, while a claim is
/// out that is answered in their midst.
pub(crate) fn leave_nothing(runtime: Runtime) {
    let tracked = Tracked::new(runtime, Told::always(GRANTED));
    tracked.tracker.request(TicketKind::WaitLeader).wait();
    // The first round warms up what stays: no round after it may leave anything.
    let after = [1, 2, 3, 4].map(|seed| {
        storm(&tracked, seed);
        bytes()
    });
    println!("storms on {runtime:?}: {after:?} bytes after each");
    // Less it may be: the reactor's thread forgets old timers when it comes to it.
    assert!(after[2..].iter().all(|bytes| *bytes <= after[1]), "{after:?}");
    tracked.end();
}

fn storm(tracked: &Tracked, seed: u64) {
    // A leader that is not fresh any more, with its renewal out.
    tracked.claimer.hold();
    tracked.clock.advance(Duration::from_secs(10));
    until("the claim is out", || tracked.claimer.is_out());
    let middle = Barrier::new(usize::try_from(THREADS).unwrap() + 1);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (tracker, middle) = (&tracked.tracker, &middle);
            scope.spawn(move || {
                // Nobody else's storm costs this one its answer.
                let witness = tracker.request(TicketKind::ClaimLeader);
                drops(tracker, seed * THREADS + thread, EACH / 2);
                middle.wait();
                drops(tracker, seed * THREADS + thread + 1_000, EACH / 2);
                assert!(matches!(witness.wait(), Outcome::Leader { .. }));
            });
        }
        middle.wait();
        tracked.claimer.tell(GRANTED);
    });
    until("it is fresh again", || {
        let now = tenure_runtime::Clock::now(&*tracked.clock);
        let standing = tracked.tracker.standing();
        matches!(standing, Standing::Leader { fresh_until, .. } if now < fresh_until)
    });
    quiet();
}

/// Waits until the threads beside this one have done what they had to: the driver, the reactor's,
/// and on std those that made a call.
pub(crate) fn quiet() {
    until("nothing moves", || {
        let before = bytes();
        thread::sleep(Duration::from_millis(20));
        bytes() == before
    });
}

/// Asks for tickets, holds some, and drops them in any order.
fn drops(tracker: &Tracker, seed: u64, count: u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut held: Vec<(Ticket, Option<Ready>)> = Vec::new();
    for _ in 0..count {
        let kind = match draw(3) {
            0 => TicketKind::ClaimLeader,
            1 => TicketKind::WaitLeader,
            _ => TicketKind::WaitMinion,
        };
        let mut ticket = tracker.request(kind);
        if draw(2) == 0 {
            let _ = ticket.poll();
        }
        let ready = (draw(8) == 0).then(|| ticket.ready());
        held.push((ticket, ready));
        if draw(64) == 0 {
            tracker.wait_in_vain();
        }
        while held.len() > usize::try_from(draw(512)).unwrap() {
            let index = usize::try_from(draw(held.len() as u64)).unwrap();
            drop(held.swap_remove(index));
        }
    }
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Deadline::now() + PATIENCE;
    while !holds() {
        assert!(Deadline::now() < end, "never: {what}\n{:?}", threads::names());
        thread::sleep(Duration::from_micros(200));
    }
}

//! The machine in a program without std, without alloc, and without a runtime.
//!
//! ```text
//! cd core/examples/no-std-link && cargo run --release && echo It led, and it stopped.
//! ```
//!
//! Nothing here can allocate, and nothing can panic: the handler below is not even linked, which
//! `cargo xtask test` checks.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

use core::{ffi::c_int, hint::black_box, panic::PanicInfo, time::Duration};

use tenure_core::{
    Action, Actions, ClaimOutcome, Config, Event, Instant, Outcome, Standing, Term, Then,
    TicketKind, Tracker,
};

/// Exits with 0 if the unit led, heard so, and stopped.
#[expect(unsafe_code, reason = "the C library looks for `main` by its name")]
#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    #[cfg(feature = "panic")]
    assert!(black_box(true), "leaves the handler's mark");
    c_int::from(lead_and_stop() != Some(Seen { led: true, released: true, stopped: true }))
}

#[derive(Default, Eq, PartialEq)]
struct Seen {
    led: bool,
    released: bool,
    stopped: bool,
}

/// Plays a store that grants, and a user who waits for leadership and then stops.
fn lead_and_stop() -> Option<Seen> {
    // Seen through a black box, the config, the events and the time could be any: no part of the
    // machine is optimised away.
    let config = black_box(Config::new(Duration::from_secs(10)).ok()?);
    let mut now = black_box(Instant::ORIGIN);
    let mut seen = Seen::default();
    let (mut tracker, first) = Tracker::new(config, now);
    let asked = tracker.handle(Event::TicketRequested { kind: TicketKind::WaitLeader }, now);
    let mut next = carry_out(first, &mut seen).or(carry_out(asked, &mut seen));
    while let Some(event) = next {
        now = black_box(now.saturating_add(Duration::from_millis(1)));
        next = carry_out(tracker.handle(black_box(event), now), &mut seen);
    }
    seen.stopped = tracker.standing(now) == Standing::Stopped;
    Some(seen)
}

/// Does what the machine wants done, and gives what comes of it.
fn carry_out(actions: Actions, seen: &mut Seen) -> Option<Event> {
    let mut next = None;
    for action in actions {
        match action {
            Action::Claim { attempt, .. } => {
                let outcome = ClaimOutcome::Granted { term: Term::new(1) };
                next = Some(Event::ClaimFinished { attempt, outcome });
            }
            Action::Drain { tenure } => next = Some(Event::Drained { tenure }),
            Action::Release { tenure } => {
                seen.released = true;
                next = Some(Event::ReleaseFinished { tenure });
            }
            Action::Resolve { outcome: Outcome::Leader { .. }, .. } => {
                seen.led = true;
                next = Some(Event::Resign { then: Then::Stop });
            }
            // No call lasts, so there is none to abandon and nothing to be woken for.
            Action::AbandonClaim { .. }
            | Action::AbandonRelease { .. }
            | Action::AbandonWatch { .. }
            | Action::ArmTimer { .. }
            | Action::AwaitRelease { .. }
            | Action::Finish { .. }
            | Action::Notify(_)
            | Action::Resolve { outcome: Outcome::Minion | Outcome::Stopped, .. } => {}
        }
    }
    next
}

/// Never called. Its mark stands in the program if something could call it.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        black_box("no-std-link: a panic");
    }
}

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tenure_core::Outcome;

use crate::claim::timed;
use crate::fixtures::{self, Cue, OnCue};
use crate::harness::{Samples, time_per};
use crate::table::Row;

/// `wait_leader()` parked and answered, with few and with many parked.
pub(crate) fn run(rounds: usize) -> Vec<Row> {
    let sizes = [
        // One ticket takes less time than it takes to read a clock: 16 trackers with one each.
        (16, 1, rounds * 5, ["1 parked", "1 answered"]),
        (1, 1_000, rounds * 5, ["1,000 parked", "1,000 answered"]),
        (1, 100_000, rounds.div_ceil(5), ["100,000 parked", "100,000 answered"]),
    ];
    let mut rows = Vec::new();
    for (trackers, tickets, rounds, [parked, answered]) in sizes {
        let mut rounds_of = [(); 4].map(|()| Stages::default());
        let [on_smol, on_std, channels, threads] = &mut rounds_of;
        for _ in 0..rounds {
            on_smol.push(park_on_smol(trackers, tickets));
            channels.push(channels_in_one_thread(trackers * tickets));
            on_std.push(park_on_std(trackers, tickets));
            threads.push(channels_between_threads(trackers, tickets));
        }
        let row = |what: &str, runtime, this: &Samples, name, yardstick: &Samples| {
            timed(&format!("wait_leader(), {what}, {runtime}"), this, name, yardstick)
        };
        let [on_smol, on_std, channels, threads] = rounds_of;
        rows.extend([
            row(parked, "smol", &on_smol.parked, "channel made", &channels.parked)
                .elsewhere("4,000 ns"),
            row(answered, "smol", &on_smol.answered, "sent, received", &channels.answered)
                .elsewhere("595 ns"),
            row(parked, "std", &on_std.parked, "channel made", &threads.parked)
                .elsewhere("4,000 ns"),
            row(answered, "std", &on_std.answered, "from a thread", &threads.answered)
                .elsewhere("595 ns"),
        ]);
    }
    rows
}

#[derive(Default)]
struct Stages {
    parked: Samples,
    answered: Samples,
}

impl Stages {
    fn push(&mut self, [parked, answered]: [f64; 2]) {
        self.parked.push(parked);
        self.answered.push(answered);
    }
}

/// A waker that counts, as one of a task would be that has to be queued.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// All in one thread, which polls the drivers itself: no executor is measured.
fn park_on_smol(trackers: usize, tickets: usize) -> [f64; 2] {
    let operations = u32::try_from(trackers * tickets).expect("is not many");
    let mut drivers = Vec::new();
    let ready: Vec<_> = (0..trackers)
        .map(|number| {
            let (cue, claimer) = OnCue::new();
            let (service, unit) = (fixtures::service(number), fixtures::unit(number, 0));
            let (tracker, driver) =
                tenure_smol::Tracker::new(claimer, service, unit, fixtures::config());
            drivers.push((cue, Box::pin(driver.run())));
            tracker
        })
        .collect();
    for (_, driver) in &mut drivers {
        assert!(poll(driver.as_mut(), Waker::noop()).is_pending());
    }
    let waker: Waker = Arc::new(Count::default()).into();
    let mut parked = Vec::with_capacity(trackers * tickets);
    let to_park = time_per(operations, || {
        for tracker in &ready {
            for _ in 0..tickets {
                let mut ticket = tracker.wait_leader();
                assert!(poll(Pin::new(&mut ticket), &waker).is_pending());
                parked.push(ticket);
            }
        }
    });
    let to_answer = time_per(operations, || {
        for (cue, driver) in &mut drivers {
            cue.grant();
            assert!(poll(driver.as_mut(), Waker::noop()).is_pending());
        }
        for mut ticket in parked {
            let answer = poll(Pin::new(&mut ticket), &waker);
            assert!(matches!(answer, Poll::Ready(Outcome::Leader { .. })));
        }
    });
    [to_park, to_answer]
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>, waker: &Waker) -> Poll<T> {
    future.poll(&mut Context::from_waker(waker))
}

/// What there would be without the tracker: for each ticket a channel that the answer is sent on.
fn channels_in_one_thread(tickets: usize) -> [f64; 2] {
    let operations = u32::try_from(tickets).expect("is not many");
    let mut channels = Vec::with_capacity(tickets);
    let to_make = time_per(operations, || {
        channels.extend((0..tickets).map(|_| async_channel::bounded::<Outcome>(1)));
    });
    let to_send = time_per(operations, || {
        for (sender, _) in &channels {
            sender.try_send(Outcome::Minion).expect("there is room for one");
        }
        for (_, receiver) in channels {
            receiver.try_recv().expect("was sent");
        }
    });
    [to_make, to_send]
}

/// The claim is answered on the tracker's own thread, so answering takes one to wake another.
fn park_on_std(trackers: usize, tickets: usize) -> [f64; 2] {
    let operations = u32::try_from(trackers * tickets).expect("is not many");
    let mut running: Vec<(Cue, JoinHandle<()>)> = Vec::new();
    let ready: Vec<_> = (0..trackers)
        .map(|number| {
            let (cue, claimer) = OnCue::new();
            let (service, unit) = (fixtures::service(number), fixtures::unit(number, 0));
            let (tracker, driver) =
                tenure_std::Tracker::new(claimer, service, unit, fixtures::config());
            let driver = driver.spawn().expect("there is a thread to be had");
            cue.wait_for_claim();
            running.push((cue, driver));
            tracker
        })
        .collect();
    let mut parked: Vec<_> = ready.iter().map(|_| Vec::with_capacity(tickets)).collect();
    let to_park = time_per(operations, || {
        for (tracker, parked) in ready.iter().zip(&mut parked) {
            for _ in 0..tickets {
                let mut ticket = tracker.wait_leader();
                assert_eq!(ticket.wait_timeout(Duration::ZERO), None);
                parked.push(ticket);
            }
        }
    });
    let to_answer = time_per(operations, || {
        for ((cue, _), parked) in running.iter().zip(parked) {
            cue.grant();
            for ticket in parked {
                assert!(matches!(ticket.wait(), Outcome::Leader { .. }));
            }
        }
    });
    drop(ready);
    for (_, driver) in running {
        driver.join().expect("the driver does not panic");
    }
    [to_park, to_answer]
}

/// What there would be without the tracker: a thread that waits for its cue sends the answers.
fn channels_between_threads(trackers: usize, tickets: usize) -> [f64; 2] {
    let operations = u32::try_from(trackers * tickets).expect("is not many");
    let mut to_make = Vec::new();
    let running: Vec<_> = (0..trackers)
        .map(|_| {
            let mut channels = Vec::with_capacity(tickets);
            to_make.push(time_per(operations, || {
                channels.extend((0..tickets).map(|_| crossbeam_channel::bounded::<Outcome>(1)));
            }));
            let (cue, cued) = crossbeam_channel::bounded::<()>(1);
            let (senders, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
            let thread = thread::spawn(move || {
                cued.recv().expect("the cue comes");
                for sender in &senders {
                    sender.send(Outcome::Minion).expect("is received");
                }
            });
            (cue, receivers, thread)
        })
        .collect();
    // As the trackers' threads do, they wait by now.
    thread::sleep(Duration::from_micros(200));
    let to_send = time_per(operations, || {
        for (cue, receivers, _) in &running {
            cue.send(()).expect("the thread waits for it");
            for receiver in receivers {
                receiver.recv().expect("is sent");
            }
        }
    });
    for (_, _, thread) in running {
        thread.join().expect("sends all");
    }
    [to_make.iter().sum(), to_send]
}

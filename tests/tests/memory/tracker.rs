use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tenure_core::{BlockingClaimer, Claimer, Outcome, Standing, TicketKind};
use tenure_runtime::ManualClock;

use crate::claimer::Told;
use crate::config;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Runtime {
    Smol,
    Std,
}

#[derive(Clone)]
pub(crate) enum Tracker {
    Smol(tenure_smol::Tracker),
    Std(tenure_std::Tracker),
}

pub(crate) enum Ticket {
    Smol(tenure_smol::Ticket),
    Std(tenure_std::Ticket),
}

/// What `ready()` gives.
pub(crate) enum Ready {
    Smol { _channel: async_channel::Receiver<Infallible> },
    Std { _channel: crossbeam_channel::Receiver<Infallible> },
}

impl Tracker {
    pub(crate) fn request(&self, kind: TicketKind) -> Ticket {
        match (self, kind) {
            (Tracker::Smol(tracker), TicketKind::ClaimLeader) => {
                Ticket::Smol(tracker.claim_leader())
            }
            (Tracker::Smol(tracker), TicketKind::WaitLeader) => Ticket::Smol(tracker.wait_leader()),
            (Tracker::Smol(tracker), TicketKind::WaitMinion) => Ticket::Smol(tracker.wait_minion()),
            (Tracker::Std(tracker), TicketKind::ClaimLeader) => Ticket::Std(tracker.claim_leader()),
            (Tracker::Std(tracker), TicketKind::WaitLeader) => Ticket::Std(tracker.wait_leader()),
            (Tracker::Std(tracker), TicketKind::WaitMinion) => Ticket::Std(tracker.wait_minion()),
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        match self {
            Tracker::Smol(tracker) => tracker.standing(),
            Tracker::Std(tracker) => tracker.standing(),
        }
    }

    /// Begins to wait for the end, and thinks better of it.
    pub(crate) fn wait_in_vain(&self) {
        match self {
            Tracker::Smol(tracker) => {
                let mut wait = std::pin::pin!(tracker.wait());
                let mut context = Context::from_waker(Waker::noop());
                assert!(wait.as_mut().poll(&mut context).is_pending());
            }
            // There one cannot.
            Tracker::Std(_) => {}
        }
    }
}

impl Ticket {
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Ticket::Smol(ticket) => ticket.is_ready(),
            Ticket::Std(ticket) => ticket.is_ready(),
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Outcome> {
        match self {
            Ticket::Smol(ticket) => {
                match Pin::new(ticket).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(outcome) => Some(outcome),
                    Poll::Pending => None,
                }
            }
            Ticket::Std(ticket) => ticket.wait_timeout(Duration::ZERO),
        }
    }

    pub(crate) fn ready(&mut self) -> Ready {
        match self {
            Ticket::Smol(ticket) => Ready::Smol { _channel: ticket.ready() },
            Ticket::Std(ticket) => Ready::Std { _channel: ticket.ready() },
        }
    }

    pub(crate) fn wait(self) -> Outcome {
        match self {
            Ticket::Smol(mut ticket) if ticket.is_ready() => {
                match Pin::new(&mut ticket).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => unreachable!("it is ready"),
                }
            }
            Ticket::Smol(ticket) => smol::block_on(ticket),
            Ticket::Std(ticket) => ticket.wait(),
        }
    }
}

/// A tracker whose driver runs on a thread, on a clock that is moved by hand.
pub(crate) struct Tracked {
    pub(crate) tracker: Tracker,
    pub(crate) claimer: Told,
    pub(crate) clock: Arc<ManualClock>,
    driver: JoinHandle<()>,
}

impl Tracked {
    pub(crate) fn new(runtime: Runtime, claimer: Told) -> Tracked {
        let clock = Arc::new(ManualClock::new());
        let (tracker, driver) = match runtime {
            Runtime::Smol => {
                let (tracker, driver) = smol(claimer.clone(), clock.clone());
                let driver = thread::spawn(move || smol::block_on(driver.run()));
                (Tracker::Smol(tracker), driver)
            }
            Runtime::Std => {
                let (tracker, driver) = std(claimer.clone(), clock.clone());
                (Tracker::Std(tracker), driver.spawn().unwrap())
            }
        };
        Tracked { tracker, claimer, clock, driver }
    }

    /// A ticket as the runtime has it, with nothing around it.
    pub(crate) fn ask_natively(&self, kind: TicketKind) -> Ticket {
        self.tracker.request(kind)
    }

    pub(crate) fn end(self) {
        drop(self.tracker);
        self.driver.join().unwrap();
    }
}

pub(crate) fn smol<C: Claimer>(
    claimer: C,
    clock: Arc<ManualClock>,
) -> (tenure_smol::Tracker, tenure_smol::Driver<C>) {
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    tenure_smol::Tracker::with_clock(claimer, service, unit, config(), clock)
}

pub(crate) fn std<C: BlockingClaimer>(
    claimer: C,
    clock: Arc<ManualClock>,
) -> (tenure_std::Tracker, tenure_std::Driver<C>) {
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    tenure_std::Tracker::with_clock(claimer, service, unit, config(), clock)
}

/// A driver that is polled by hand.
pub(crate) struct ByHand(Pin<Box<dyn Future<Output = ()>>>);

impl ByHand {
    pub(crate) fn poll(&mut self) {
        let pending = self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(pending);
    }
}

/// A tracker on smol, on the real clock, that nothing runs.
pub(crate) fn by_hand(claimer: Told) -> (Tracker, ByHand) {
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) = tenure_smol::Tracker::new(claimer, service, unit, config());
    (Tracker::Smol(tracker), ByHand(Box::pin(driver.run())))
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam_channel::TryRecvError;
use tenure_core::{BlockingClaimer, ClaimerError, Config, Instant, Outcome, Standing, TicketKind};
use tenure_runtime::{TrackerError, WorkError};
use tenure_std::{Guard, Ticket, Tracker};

use super::super::clock::Watched;
use super::{Asked, Driving, Finish, Tracking, Working};

pub(super) fn start<C: BlockingClaimer>(
    claimer: C,
    config: Config,
    clock: Arc<Watched>,
) -> (Box<dyn Tracking>, Driving) {
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) = Tracker::with_clock(claimer, service, unit, config, clock);
    (Box::new(tracker), Driving::Thread(driver.spawn().unwrap()))
}

impl Tracking for Tracker {
    fn request(&self, kind: TicketKind) -> Box<dyn Asked> {
        Box::new(match kind {
            TicketKind::ClaimLeader => self.claim_leader(),
            TicketKind::WaitLeader => self.wait_leader(),
            TicketKind::WaitMinion => self.wait_minion(),
        })
    }

    fn another(&self) -> Box<dyn Tracking> {
        Box::new(self.clone())
    }

    fn standing(&self) -> Standing {
        self.standing()
    }

    fn step_down(&self, cool_off: Duration) {
        self.step_down(cool_off);
    }

    fn kill(&self) {
        self.kill();
    }

    fn wait(&self) -> Result<(), TrackerError> {
        self.wait()
    }

    fn last_error(&self) -> Option<Arc<ClaimerError>> {
        self.last_error()
    }

    fn work(&self) -> Box<dyn Working> {
        let desk = Arc::new(Desk::default());
        let (tracker, shared) = (self.clone(), desk.clone());
        thread::spawn(move || {
            let work = |guard: &mut Guard| shared.sit(guard);
            let result = catch_unwind(AssertUnwindSafe(|| tracker.while_leader(work))).ok();
            drop(tracker);
            shared.state.lock().unwrap().result = Some(result);
        });
        Box::new(Seen(desk))
    }
}

impl Asked for Ticket {
    fn is_ready(&self) -> bool {
        self.is_ready()
    }

    fn poll(&mut self) -> Option<Outcome> {
        self.wait_timeout(Duration::ZERO)
    }

    fn ready(&mut self) -> Box<dyn Fn() -> bool> {
        let receiver = self.ready();
        Box::new(move || match receiver.try_recv() {
            Ok(never) => match never {},
            Err(TryRecvError::Disconnected) => true,
            Err(TryRecvError::Empty) => false,
        })
    }
}

/// Where the working thread and the test meet: the thread looks at its guard whenever it is asked.
#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    runs: bool,
    asked: u64,
    seen: Option<Look>,
    finish: Option<Finish>,
    result: Option<Option<Result<u32, WorkError>>>,
}

#[derive(Clone, Copy)]
struct Look {
    asked: u64,
    holds: bool,
    valid_until: Instant,
    lost: bool,
}

impl Desk {
    fn sit(&self, guard: &mut Guard) -> u32 {
        let mut state = self.state.lock().unwrap();
        state.runs = true;
        loop {
            state.seen = Some(Look {
                asked: state.asked,
                holds: guard.holds(),
                valid_until: guard.valid_until(),
                lost: guard.is_lost(),
            });
            self.changed.notify_all();
            if let Some(finish) = state.finish {
                state.runs = false;
                drop(state);
                match finish {
                    Finish::Return(value) => return value,
                    Finish::Panic => std::panic::resume_unwind(Box::new("work panics")),
                }
            }
            state = self.changed.wait(state).unwrap();
        }
    }

    fn look(&self) -> Option<Look> {
        let mut state = self.state.lock().unwrap();
        state.asked += 1;
        self.changed.notify_all();
        while state.runs && state.seen.is_none_or(|look| look.asked < state.asked) {
            state = self.changed.wait(state).unwrap();
        }
        state.seen.filter(|_| state.runs)
    }
}

struct Seen(Arc<Desk>);

impl Working for Seen {
    fn runs(&mut self) -> bool {
        self.0.state.lock().unwrap().runs
    }

    fn guard(&mut self) -> Option<(bool, Instant)> {
        self.0.look().map(|look| (look.holds, look.valid_until))
    }

    fn is_told(&mut self) -> bool {
        self.0.look().is_some_and(|look| look.lost)
    }

    fn finish(&self, how: Finish) {
        self.0.state.lock().unwrap().finish = Some(how);
        self.0.changed.notify_all();
    }

    fn result(&mut self) -> Option<Option<Result<u32, WorkError>>> {
        self.0.state.lock().unwrap().result
    }
}

//! What the runtimes tell `tracing`: one level for each kind of event, values in fields, and
//! nothing for each ticket.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::Instant as Deadline;

use tenure_core::TicketKind;
use tenure_runtime::ManualClock;
use tenure_testkit::scripted::{Call, Reply, Scripted};
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::panics::BREAKS_THE_LOG;
use super::rig::{ByHand, Tracking};
use super::{PATIENCE, SECOND, config, millis};

/// What was told about all services, in order.
static TOLD: Mutex<Vec<Told>> = Mutex::new(Vec::new());

#[derive(Clone, Debug, Eq, PartialEq)]
struct Told {
    level: Level,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.fields.insert(field.name(), value.to_string());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        // What is told of each ticket is told at TRACE.
        let metadata = event.metadata();
        if metadata.target().starts_with("tenure") && *metadata.level() < Level::TRACE {
            let mut told = Told { level: *event.metadata().level(), fields: BTreeMap::new() };
            event.record(&mut told);
            if told.fields.get("service").is_some_and(|service| service == BREAKS_THE_LOG) {
                std::panic::resume_unwind(Box::new("the log panics"));
            }
            if told.fields.get("service").is_some_and(|service| service.starts_with("told-")) {
                TOLD.lock().unwrap().push(told);
            }
        }
    }
}

pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Listener);
        tracing::subscriber::set_global_default(subscriber).expect("nobody else listens");
    });
}

/// What was told of `service`, but for who it was told of, which is checked.
fn told_of(service: &str) -> Vec<String> {
    let told = TOLD.lock().unwrap().clone();
    let about = |told: &Told| told.fields.get("service").is_some_and(|name| name == service);
    let lines = told.into_iter().filter(about).map(|mut told| {
        told.fields.remove("service");
        assert_eq!(told.fields.remove("unit").as_deref(), Some("mysql/0"));
        let message = told.fields.remove("message").expect("a message");
        let fields = told.fields.iter().map(|(name, value)| format!(" {name}={value}"));
        format!("{} {message}{}", told.level, fields.collect::<String>())
    });
    lines.collect()
}

struct Stage {
    service: &'static str,
    tracker: Box<dyn Tracking>,
    claimer: Scripted,
    clock: Arc<ManualClock>,
    driver: Option<ByHand>,
}

impl Stage {
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Deadline::now() + PATIENCE;
        loop {
            if let Some(driver) = &mut self.driver {
                driver.drive();
            }
            if holds(self) {
                return;
            }
            assert!(Deadline::now() < end, "never: {what}\n{:#?}", told_of(self.service));
            thread::yield_now();
        }
    }

    fn finish(&mut self, call: Call, reply: Reply) {
        self.until("a call", |stage| stage.claimer.out(call).len() == 1);
        let before = told_of(self.service).len();
        self.claimer.finish_one(call, reply);
        self.until("it is told", |stage| told_of(stage.service).len() > before);
    }

    fn advance(&mut self, span: std::time::Duration, tells: usize) {
        let before = told_of(self.service).len();
        self.clock.advance(span);
        self.until("it is told", |stage| told_of(stage.service).len() >= before + tells);
    }

    /// Leads, renews, fails, times out, loses, leads again, and stops.
    fn play(mut self) {
        self.finish(Call::Claim, Reply::granted(1));
        self.advance(millis(9_500), 0);
        self.finish(Call::Claim, Reply::granted(1));
        self.advance(millis(9_500), 0);
        self.finish(Call::Claim, Reply::panic("out of cheese"));
        self.advance(SECOND, 0);
        self.until("it tries again", |stage| stage.claimer.out(Call::Claim).len() == 1);
        self.advance(config().claim_timeout(), 1);
        self.claimer.close();
        self.advance(10 * SECOND, 1);
        let demoted = "INFO demoted reason=NotRenewed term=1";
        // Each thread tells of what it did once it holds no lock: of two, either may be first.
        self.until("it is demoted", |stage| {
            told_of(stage.service).iter().any(|line| line == demoted)
        });
        self.tracker.kill();
        self.until("it has ended", |stage| {
            told_of(stage.service).iter().any(|line| line.contains("ended"))
        });
        let told = told_of(self.service);
        let expected = [
            "INFO promoted term=1 valid_until_ns=20000000000",
            "DEBUG renewed term=1 valid_until_ns=29500000000",
            "WARN attempt failed attempt=3 error=the claimer panicked in claim: out of cheese \
             failure=Unknown",
            "WARN attempt failed attempt=4 failure=TimedOut",
        ];
        assert_eq!(told[..4], expected);
        let ended = told.iter().filter(|line| line.contains("ended")).collect::<Vec<_>>();
        assert_eq!(ended, ["INFO ended reason=Resigned"]);
    }

    /// Is a minion whose watch breaks, again and again, and then stands for a while.
    fn watch(mut self) {
        self.until("a claim", |stage| stage.claimer.out(Call::Claim).len() == 1);
        self.claimer.finish_one(Call::Claim, Reply::denied());
        for _ in 0..3 {
            self.finish(Call::Released, Reply::unknown("out of cheese"));
            self.clock.advance(config().retry_max());
        }
        self.until("it watches again", |stage| stage.claimer.out(Call::Released).len() == 1);
        self.clock.advance(config().lease());
        self.finish(Call::Released, Reply::unknown("out of crackers"));
        let told = told_of(self.service);
        let expected = [
            "WARN watch failed, it is begun again error=out of cheese watch=1",
            "DEBUG watch failed again error=out of cheese watch=2",
            "DEBUG watch failed again error=out of cheese watch=3",
            "WARN watch failed, it is begun again error=out of crackers watch=4",
        ];
        assert_eq!(told, expected);
    }

    /// Asks, and is answered, many times.
    fn ask(mut self) {
        self.finish(Call::Claim, Reply::granted(1));
        let before = told_of(self.service);
        for kind in [TicketKind::ClaimLeader, TicketKind::WaitLeader, TicketKind::WaitMinion] {
            for _ in 0..100 {
                drop(self.tracker.request(kind));
            }
        }
        let lost: Vec<_> = (0..100).map(|_| self.tracker.request(TicketKind::WaitMinion)).collect();
        assert_eq!(told_of(self.service), before);
        self.tracker.step_down(SECOND);
        assert!(lost.iter().all(|ticket| ticket.is_ready()));
        assert_eq!(told_of(self.service)[1..], ["INFO demoted reason=Resigned term=1"]);
    }
}

fn on_smol(service: &'static str, play: impl Fn(Stage)) {
    listen();
    let clock = Arc::new(ManualClock::new());
    let claimer = Scripted::new(clock.clone());
    let (name, unit) = (service.parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) =
        tenure_smol::Tracker::with_clock(claimer.clone(), name, unit, config(), clock.clone());
    let driver = Some(ByHand::new(driver.run()));
    play(Stage { service, tracker: Box::new(tracker), claimer, clock, driver });
}

fn on_std(service: &'static str, play: impl Fn(Stage)) {
    listen();
    let clock = Arc::new(ManualClock::new());
    let claimer = Scripted::new(clock.clone());
    let (name, unit) = (service.parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) =
        tenure_std::Tracker::with_clock(claimer.clone(), name, unit, config(), clock.clone());
    let running = driver.spawn().unwrap();
    let tracker = Box::new(tracker);
    play(Stage { service, tracker, claimer: claimer.clone(), clock, driver: None });
    claimer.close();
    running.join().unwrap();
}

#[test]
fn what_happened_is_told_at_its_level_with_its_values() {
    on_smol("told-smol", Stage::play);
    on_std("told-std", Stage::play);
}

/// The first failure is worth a warning; those that follow it at once are not.
#[test]
fn a_watch_that_breaks_is_told_of_once() {
    on_smol("told-watch-smol", Stage::watch);
    on_std("told-watch-std", Stage::watch);
}

#[test]
fn tickets_are_not_told_of() {
    on_smol("told-tickets-smol", Stage::ask);
    on_std("told-tickets-std", Stage::ask);
}

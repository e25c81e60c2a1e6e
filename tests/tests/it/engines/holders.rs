//! Several engines over one store with faults, whose parts come and go: never do two trackers
//! believe at once, and every yes is over before another's begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tenure_core::{ClockRatio, Config, Instant, Outcome, Standing, Term};
use tenure_runtime::dependency::{EngineOptions, ManifoldConfig, WorkerError};
use tenure_runtime::{Clock, ManualClock};

use super::play::{Cue, End, Latest, agent, caller, ended, look, until};
use super::rig::{Begun, Leads, Part, Rig};
use super::store::{Call, Fault, Store, What};

on_both!(no_two_hold_it_whatever_becomes_of_their_engines);

const SECOND: Duration = Duration::from_secs(1);

const UNITS: [&str; 3] = ["unit-mysql-0", "unit-mysql-1", "unit-mysql-2"];

/// At least.
const ROUNDS: usize = 500;

/// One candidate: an engine, and the parts of it that the test ends.
struct Process<R> {
    rig: Arc<R>,
    agent: Latest<Cue>,
    caller: Latest<Cue>,
    leadership: Latest<dyn Leads>,
}

/// A yes, as whoever asked got it.
#[derive(Clone, Debug)]
struct Yes {
    answered_at: Instant,
    valid_until: Instant,
    holder: String,
    term: Term,
}

fn no_two_hold_it_whatever_becomes_of_their_engines<R: Rig>() {
    for seed in [1, 7] {
        history::<R>(seed);
    }
}

fn history<R: Rig>(seed: u64) {
    println!("seed {seed}");
    let clock = Arc::new(ManualClock::new());
    let is_calm = Arc::new(AtomicBool::new(false));
    let store = Store::new(clock.clone(), faults(seed, is_calm.clone()));
    let processes = UNITS.map(|unit| Process::<R>::new(unit, &clock, &store));
    let yeses: Arc<Mutex<Vec<Yes>>> = Arc::default();
    let is_over = Arc::new(AtomicBool::new(false));
    let askers: Vec<_> = processes
        .iter()
        .map(|process| {
            let leadership = process.leadership.clone();
            let (yeses, is_over, clock) = (yeses.clone(), is_over.clone(), clock.clone());
            thread::spawn(move || ask(&leadership, &yeses, &is_over, &clock))
        })
        .collect();

    let mut dice = Dice(seed);
    let (mut collects, mut rounds) = (0, 0);
    // The threads take turns as they like: so it goes on until what has happened shows anything.
    until("enough has happened", || {
        let process = &processes[dice.roll(UNITS.len())];
        match dice.roll(12) {
            0 => process.agent.wait().end(End::Return(Err(WorkerError::Bounce))),
            1 => process.caller.wait().fail("the line is cut"),
            _ => {}
        }
        let span = [10, 300, 1_000, 2_500][dice.roll(4)];
        clock.advance(Duration::from_millis(span));
        for _ in 0..dice.roll(4) {
            thread::yield_now();
        }
        collects += usize::from(check_standings(&processes));
        rounds += 1;
        rounds >= ROUNDS && collects > 100 && has_shown(&yeses.lock().unwrap())
    });

    // Once nothing happens any more, somebody leads.
    is_calm.store(true, Ordering::SeqCst);
    until("somebody leads", || {
        clock.advance(SECOND);
        let latest = processes.iter().filter_map(|process| process.leadership.get());
        latest
            .map(|leads| leads.standing())
            .any(|standing| matches!(standing, Standing::Leader { .. }))
    });
    let starts: u64 = processes.iter().map(|process| look(&*process.rig, "leadership").1).sum();
    is_over.store(true, Ordering::SeqCst);
    for process in &processes {
        process.rig.kill();
    }
    until("all askers have ended", || {
        clock.advance(SECOND);
        askers.iter().all(thread::JoinHandle::is_finished)
    });
    for asker in askers {
        asker.join().unwrap();
    }
    for process in processes {
        ended(Arc::into_inner(process.rig).expect("nobody else has it")).unwrap();
    }
    let yeses = yeses.lock().unwrap().clone();
    let (terms, holders) = check(&yeses, &store);
    println!(
        "{} on seed {seed}: {} yeses of {holders} holders in {terms} terms, {starts} starts of \
         trackers, {collects} looks at a leader",
        R::NAME,
        yeses.len(),
    );
}

/// Whether each has led, and the lead has changed often.
fn has_shown(yeses: &[Yes]) -> bool {
    let terms: BTreeSet<Term> = yeses.iter().map(|yes| yes.term).collect();
    let holders: BTreeSet<&str> = yeses.iter().map(|yes| &*yes.holder).collect();
    terms.len() > 20 && holders.len() == UNITS.len()
}

impl<R: Rig> Process<R> {
    fn new(unit: &'static str, clock: &Arc<ManualClock>, store: &Store) -> Process<R> {
        let config = tenure_dependency::Config::builder().error_delay(SECOND).max_delay(5 * SECOND);
        let options = EngineOptions::new().config(config.build().unwrap()).clock(clock.clone());
        let rig = R::new(options);
        let agents = Latest::default();
        let (cues, part) = (agents.clone(), agent(unit));
        let part = Part::new(move |context| {
            let Begun { outputs, .. } = (part.start)(context)?;
            let cue = Cue::new();
            cues.set(cue.clone());
            Ok(Begun { actor: cue, outputs })
        });
        rig.install("agent", &[], part).unwrap();
        let (part, callers) = caller(store.clone());
        rig.install("api-caller", &[], part).unwrap();
        let config = Config::builder(10 * SECOND).clock_ratio(ClockRatio::EXACT).build().unwrap();
        let config = ManifoldConfig::with_config("agent", "api-caller", config).unwrap();
        rig.install_tracker("leadership", config).unwrap();
        let latest = Latest::default();
        let shows = latest.clone();
        let part = Part::new(move |context| {
            shows.set(context.leadership("leadership")?);
            Ok(Begun::new(Cue::new()))
        });
        rig.install("work", &["leadership"], part).unwrap();
        Process { rig: Arc::new(rig), agent: agents, caller: callers, leadership: latest }
    }
}

/// Asks again and again whether it leads.
fn ask(
    leadership: &Latest<dyn Leads>,
    yeses: &Mutex<Vec<Yes>>,
    is_over: &AtomicBool,
    clock: &ManualClock,
) {
    while !is_over.load(Ordering::SeqCst) {
        let Some(leads) = leadership.get() else {
            thread::yield_now();
            continue;
        };
        match leads.claim() {
            Outcome::Leader { term, valid_until } => {
                let (answered_at, holder) = (clock.now(), leads.unit());
                yeses.lock().unwrap().push(Yes { answered_at, valid_until, holder, term });
                thread::sleep(Duration::from_micros(200));
            }
            Outcome::Minion | Outcome::Stopped => thread::yield_now(),
        }
    }
}

/// Two that lead at one moment are found by looking at each twice: the time stands still, so one
/// that led in the same term at both looks led in between. Whether anybody did.
fn check_standings<R>(processes: &[Process<R>]) -> bool {
    let latest: Vec<_> = processes.iter().filter_map(|process| process.leadership.get()).collect();
    let look = || -> Vec<_> {
        let term = |standing| match standing {
            Standing::Leader { term, .. } => Some(term),
            Standing::Minion | Standing::Stopped => None,
        };
        latest.iter().map(|leads| term(leads.standing())).collect()
    };
    let looks = [look(), look(), look()];
    let at_all = |index: usize| {
        looks[0][index].is_some() && looks.iter().all(|terms| terms[index] == looks[0][index])
    };
    let leaders: Vec<_> = (0..latest.len()).filter(|index| at_all(*index)).collect();
    for leader in &leaders {
        for other in (0..latest.len()).filter(|other| other != leader) {
            assert_eq!(
                looks[1][other],
                None,
                "{} and {} lead at once: {looks:?}",
                latest[*leader].unit(),
                latest[other].unit()
            );
        }
    }
    !leaders.is_empty()
}

/// Each term has one holder, and all its yeses are over, by time or by its release, before one of a
/// later term is given. How many terms and holders there were.
fn check(yeses: &[Yes], store: &Store) -> (usize, usize) {
    // When the holding of a term was given up, as the store has it.
    let mut holdings = BTreeMap::new();
    let mut released: BTreeMap<Term, Instant> = BTreeMap::new();
    for seen in store.log() {
        match seen.what {
            What::Granted(term) => drop(holdings.insert(seen.nonce, term)),
            What::Denied => {}
            What::Release => {
                if let Some(term) = holdings.remove(&seen.nonce) {
                    released.entry(term).or_insert(seen.at);
                }
            }
        }
    }
    let mut terms: BTreeMap<Term, (&str, Instant, Instant)> = BTreeMap::new();
    for yes in yeses {
        let end = released.get(&yes.term).map_or(yes.valid_until, |at| yes.valid_until.min(*at));
        let (holder, first, last) =
            terms.entry(yes.term).or_insert((&*yes.holder, yes.answered_at, end));
        assert_eq!(*holder, yes.holder, "term {} has two holders", yes.term);
        *first = yes.answered_at.min(*first);
        *last = end.max(*last);
    }
    let in_order: Vec<_> = terms.iter().collect();
    for pair in in_order.windows(2) {
        let [(term, (_, _, last)), (next, (_, first, _))] = pair else { continue };
        assert!(last <= first, "term {term} is over at {last:?}, and {next} begins at {first:?}");
    }
    let holders: BTreeSet<_> = terms.values().map(|(holder, ..)| holder).collect();
    (terms.len(), holders.len())
}

/// Faults by chance: of calls in a row, however they come, those with the same number are faulty.
fn faults(seed: u64, is_calm: Arc<AtomicBool>) -> impl Fn(Call) -> Fault + Send + Sync {
    let count = AtomicU64::new(0);
    move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        if is_calm.load(Ordering::SeqCst) {
            return Fault::None;
        }
        let mut dice = Dice(seed.wrapping_mul(1_000_003).wrapping_add(number));
        match dice.roll(40) {
            0..4 => Fault::Lost,
            4..8 => Fault::AnswerLost,
            8 => Fault::Fatal,
            9 => Fault::FatalAfter,
            _ => Fault::None,
        }
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % sides as u64) as usize
    }
}

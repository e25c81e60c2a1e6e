//! Random graphs with random failures: the engine ends when it is killed, whatever its workers do,
//! and nothing is left of them.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tenure_dependency::{Config, InstallError, ManifoldState};
use tenure_runtime::dependency::{EngineOptions, WorkerError};

use super::play::{Cue, End, ended, until};
use super::rig::{Actor, Begun, Given, Part, Rig, Seen};

on_both!(an_engine_that_is_killed_ends_and_nothing_is_left);

/// How something ends.
#[derive(Clone, Copy, Debug)]
enum How {
    Bounce,
    Fail,
    Finish,
    Miss,
    Panic,
    Uninstall,
}

/// What becomes of one start.
#[derive(Clone, Copy, Debug)]
enum Play {
    /// There is no worker.
    NoStart(How),
    /// The worker ends by itself at once.
    EndsAtOnce(How),
    /// It ends so when it is killed, or when the test wants it to.
    Runs(How),
    /// It ends long after it was killed.
    EndsLate(How),
}

#[derive(Clone, Debug)]
struct Node {
    /// Among those before it, so that there is no cycle.
    inputs: Vec<Index>,
    /// Whether it misses inputs that are not there.
    needs_inputs: bool,
    /// For one start after the other, and then again.
    plays: Vec<Play>,
}

#[derive(Clone, Debug)]
enum Step {
    End(Index, How),
    Install(Index),
    Pause,
    Uninstall(Index),
}

#[derive(Clone, Debug)]
struct Plan {
    nodes: Vec<Node>,
    /// The order in which they are installed at first.
    order: Vec<u64>,
    steps: Vec<Step>,
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        Just(How::Bounce),
        Just(How::Fail),
        Just(How::Fail),
        Just(How::Finish),
        Just(How::Miss),
        Just(How::Panic),
        Just(How::Uninstall),
    ]
}

fn play() -> impl Strategy<Value = Play> {
    prop_oneof![
        1 => how().prop_map(Play::NoStart),
        1 => how().prop_map(Play::EndsAtOnce),
        6 => how().prop_map(Play::Runs),
        1 => how().prop_map(Play::EndsLate),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let node = (vec(any::<Index>(), 0..4), any::<bool>(), vec(play(), 1..5));
    let node = node.prop_map(|(inputs, needs_inputs, plays)| Node { inputs, needs_inputs, plays });
    let step = prop_oneof![
        3 => (any::<Index>(), how()).prop_map(|(index, how)| Step::End(index, how)),
        1 => any::<Index>().prop_map(Step::Install),
        3 => Just(Step::Pause),
        1 => any::<Index>().prop_map(Step::Uninstall),
    ];
    let plan = (vec((node, any::<u64>()), 1..=50), vec(step, 0..40));
    plan.prop_map(|(nodes, steps)| {
        let (nodes, order) = nodes.into_iter().unzip();
        Plan { nodes, order, steps }
    })
}

fn an_engine_that_is_killed_ends_and_nothing_is_left<R: Rig>() {
    let mut config = ProptestConfig::with_cases(96);
    config.failure_persistence = None;
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&plan(), |plan| {
            run::<R>(&plan);
            Ok(())
        })
        .unwrap();
}

fn run<R: Rig>(plan: &Plan) {
    static CASES: AtomicUsize = AtomicUsize::new(0);
    // In a thread's name there is room for 15 bytes.
    let prefix = format!("{}{:x}-", &R::NAME[..2], CASES.fetch_add(1, Ordering::SeqCst));
    let millis = Duration::from_millis;
    let config = Config::builder().error_delay(millis(1)).max_delay(millis(4));
    let config = config.bounce_delay(Duration::from_micros(100)).build().unwrap();
    let rig = R::new(EngineOptions::new().config(config));
    let stage = Arc::new(Stage::default());
    let name = |index: usize| format!("{prefix}{index}");
    let install = |index: usize| {
        let node = &plan.nodes[index];
        let inputs: Vec<String> = inputs(node, index).into_iter().map(name).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        rig.install(&name(index), &inputs, part(&stage, index, node, &inputs))
    };
    let mut order: Vec<usize> = (0..plan.nodes.len()).collect();
    order.sort_by_key(|index| plan.order[*index]);
    for index in order {
        install(index).unwrap();
    }
    for step in &plan.steps {
        match step {
            Step::End(index, how) => stage.end(index.index(plan.nodes.len()), *how),
            Step::Install(index) => match install(index.index(plan.nodes.len())) {
                Ok(()) | Err(InstallError::NameTaken { .. }) => {}
                Err(error) => panic!("{error}"),
            },
            Step::Pause => thread::sleep(Duration::from_micros(300)),
            Step::Uninstall(index) => rig.uninstall(&name(index.index(plan.nodes.len()))),
        }
    }
    rig.kill();
    let report = rig.report();
    let running: Vec<usize> = (0..plan.nodes.len())
        .filter(|index| {
            let manifold = report.manifold(&name(*index));
            manifold.is_some_and(|manifold| manifold.state == ManifoldState::Running)
        })
        .collect();
    assert!(matches!(
        rig.install("late", &[], Part::new(|_| Err("".into()))),
        Err(InstallError::Ending { .. })
    ));
    stage.let_late_ones_go();
    ended(rig).unwrap();
    stage.check_that_dependents_ended_first(plan, &running);
    assert_eq!(stage.live(), 0, "every worker has ended");
    assert_eq!(stage.0.lock().unwrap().twice_at_once, 0, "two workers of one manifold");
    until("nothing is kept", || Arc::strong_count(&stage) == 1);
    until("no thread is left", || threads(&prefix) == 0);
}

fn inputs(node: &Node, index: usize) -> Vec<usize> {
    let mut inputs: Vec<usize> = match index {
        0 => Vec::new(),
        _ => node.inputs.iter().map(|input| input.index(index)).collect(),
    };
    inputs.sort_unstable();
    inputs.dedup();
    inputs
}

fn part(stage: &Arc<Stage>, index: usize, node: &Node, inputs: &[&str]) -> Part {
    let inputs: Vec<String> = inputs.iter().map(|input| (*input).to_owned()).collect();
    let (stage, node, starts) = (stage.clone(), node.clone(), AtomicUsize::new(0));
    Part::new(move |context: &dyn Seen| {
        let alive = Alive::new(stage.clone(), index);
        if node.needs_inputs {
            for input in &inputs {
                context.number(input)?;
            }
        }
        let play = node.plays[starts.fetch_add(1, Ordering::SeqCst) % node.plays.len()];
        let cue = match play {
            Play::NoStart(how) => match how.end() {
                End::Panic(message) => resume_unwind(Box::new(message)),
                End::Return(Err(error)) => return Err(error),
                End::Return(Ok(())) => return Err("there is nothing to do".into()),
            },
            Play::EndsAtOnce(how) => {
                let cue = Cue::stubborn();
                cue.end(how.end());
                cue
            }
            Play::Runs(_) | Play::EndsLate(_) => Cue::stubborn(),
        };
        stage.enter(index, &cue);
        let worker = Watched { alive: Mutex::new(Some(alive)), cue, play };
        Ok(Begun::new(Arc::new(worker)).giving(Given::Number(1)))
    })
}

impl How {
    fn end(self) -> End {
        match self {
            How::Bounce => End::Return(Err(WorkerError::Bounce)),
            How::Fail => End::Return(Err("it went wrong".into())),
            How::Finish => End::Return(Ok(())),
            How::Miss => End::Return(Err(WorkerError::Missing("something".into()))),
            How::Panic => End::Panic("it panics"),
            How::Uninstall => End::Return(Err(WorkerError::Uninstall)),
        }
    }
}

/// What has happened, in order.
#[derive(Default)]
struct Stage(Mutex<Log>);

#[derive(Default)]
struct Log {
    events: Vec<(usize, What)>,
    live: BTreeMap<usize, Option<Arc<Cue>>>,
    /// Killed, and to be let go later; until they all are.
    late: Vec<(Arc<Cue>, How)>,
    all_may_go: bool,
    twice_at_once: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Begins,
    Ends,
    Killed,
}

impl Stage {
    fn enter(&self, index: usize, cue: &Arc<Cue>) {
        self.0.lock().unwrap().live.insert(index, Some(cue.clone()));
    }

    fn end(&self, index: usize, how: How) {
        let cue = self.0.lock().unwrap().live.get(&index).cloned().flatten();
        if let Some(cue) = cue {
            cue.end(how.end());
        }
    }

    fn let_go_later(&self, cue: &Arc<Cue>, how: How) {
        let mut log = self.0.lock().unwrap();
        if !log.all_may_go {
            log.late.push((cue.clone(), how));
            return;
        }
        drop(log);
        cue.end(how.end());
    }

    fn let_late_ones_go(&self) {
        let late = {
            let mut log = self.0.lock().unwrap();
            log.all_may_go = true;
            std::mem::take(&mut log.late)
        };
        late.into_iter().for_each(|(cue, how)| cue.end(how.end()));
    }

    fn live(&self) -> usize {
        self.0.lock().unwrap().live.len()
    }

    /// Of those that ran untold when the engine was killed, each was told when its dependents had
    /// ended.
    fn check_that_dependents_ended_first(&self, plan: &Plan, running: &[usize]) {
        let events = &self.0.lock().unwrap().events;
        let last = |index, what| events.iter().rposition(|event| *event == (index, what));
        for index in running {
            let Some(killed) = last(*index, What::Killed) else { continue };
            if last(*index, What::Begins).is_some_and(|begins| begins > killed) {
                continue;
            }
            let dependents = plan.nodes.iter().enumerate();
            let dependents =
                dependents.filter(|(other, node)| inputs(node, *other).contains(index));
            for (dependent, _) in dependents {
                let before = &events[..killed];
                let latest =
                    before.iter().rfind(|event| event.0 == dependent && event.1 != What::Killed);
                let ended = latest.is_none_or(|event| event.1 == What::Ends);
                assert!(ended, "{index} is killed before {dependent} has ended: {events:?}");
            }
        }
    }
}

/// From when a start function is called to the end of its worker.
struct Alive {
    stage: Arc<Stage>,
    index: usize,
}

impl Alive {
    fn new(stage: Arc<Stage>, index: usize) -> Alive {
        let mut log = stage.0.lock().unwrap();
        let other = log.live.insert(index, None);
        log.events.push((index, What::Begins));
        // An assertion here would only be one more panic of a start function.
        log.twice_at_once += usize::from(other.is_some());
        drop(log);
        Alive { stage, index }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut log = self.stage.0.lock().unwrap();
        log.live.remove(&self.index);
        log.events.push((self.index, What::Ends));
    }
}

struct Watched {
    alive: Mutex<Option<Alive>>,
    cue: Arc<Cue>,
    play: Play,
}

impl Actor for Watched {
    fn kill(&self) {
        if let Some(alive) = &*self.alive.lock().unwrap() {
            alive.stage.0.lock().unwrap().events.push((alive.index, What::Killed));
            match self.play {
                Play::NoStart(_) | Play::EndsAtOnce(_) => {}
                Play::Runs(how) => self.cue.end(how.end()),
                Play::EndsLate(how) => alive.stage.let_go_later(&self.cue, how),
            }
        }
    }

    fn poll(&self, waker: &Waker) -> Option<Result<(), WorkerError>> {
        // Whichever way it ends.
        struct Leaves<'a>(&'a Watched, bool);

        impl Drop for Leaves<'_> {
            fn drop(&mut self) {
                if self.1 {
                    drop(self.0.alive.lock().unwrap().take());
                }
            }
        }

        let mut leaves = Leaves(self, true);
        let result = self.cue.poll(waker);
        leaves.1 = result.is_some();
        result
    }
}

/// How many threads there are whose names begin so.
fn threads(prefix: &str) -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let names =
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with(prefix)).count()
}

use std::time::Duration;

use tenure_core::{Event, Instant};

use super::arena::Arena;
use super::checks::Broken;
use super::model::Model;
use super::report::Violation;
use super::state::{Message, World};
use super::steps::Step;
use super::store::Answer;
use super::worker::{Logged, Worker};
use crate::trace;

/// Goes the way of `choices` again, and says what happens on it.
pub(super) fn retell(model: &Model, broken: &Broken, choices: &[u8]) -> Violation {
    let arena = Arena::default();
    let mut worker = Worker::new(model, &arena);
    worker.log = Some(Vec::new());
    let mut told = Vec::new();
    let mut steps = Vec::new();
    let mut at = worker.first();
    for (&choice, left) in choices.iter().zip((0..choices.len()).rev()) {
        let Ok(world) = at else { break };
        worker.steps(&world, &mut steps);
        let Some(&step) = steps.get(usize::from(choice)) else { break };
        told.push(tell(&world, step));
        at = worker.take(&world, step);
        if let (Ok(last), 0) = (&at, left)
            && worker.check(last).is_ok()
            && worker.check_liveness(last).is_ok()
        {
            // What is broken is found later then, or by this.
            let _ = worker.check_succession(&world, last, step);
        }
    }
    Violation {
        invariant: broken.invariant,
        why: broken.why.clone(),
        steps: told,
        afterwards: worker.tale,
        traces: traces(model, &worker.log.unwrap_or_default()),
    }
}

/// A step as a sentence.
pub(super) fn tell(world: &World, step: Step) -> String {
    let now = world.time;
    let what = match step {
        Step::Ask { unit, kind } => format!("unit {unit} is asked {kind:?}"),
        Step::Crash { unit } => format!("unit {unit} crashes"),
        Step::Deliver { message } => tell_message(world, message),
        Step::Duplicate { message } => {
            format!("{}, and will once more", tell_message(world, message))
        }
        Step::Drained { unit } => format!("the work of unit {unit} has wound down"),
        Step::FailClaim { unit } => format!("the claim of unit {unit} ends in an error"),
        Step::FailWatch { unit } => format!("the watch of unit {unit} ends in an error"),
        Step::Forget => "the store forgets everything".to_owned(),
        Step::Lose { message } => format!("lost: {}", tell_message(world, message)),
        Step::ReadBack { unit } => {
            format!("unit {unit} reads that the store names it, and takes that for a grant")
        }
        Step::Restart { unit } => format!("unit {unit} starts again"),
        Step::AskToStepDown { unit } => format!("unit {unit} is told to step down"),
        Step::AskToStop { unit } => format!("unit {unit} is told to stop"),
        Step::Tick => return format!("it is tick {}", now + 1),
        Step::Timer { unit } => format!("the timer of unit {unit} fires"),
    };
    format!("tick {now}: {what}")
}

fn tell_message(world: &World, index: u8) -> String {
    match world.flight.messages()[usize::from(index)] {
        Message::ClaimRequest { unit, nonce, attempt, sent } => format!(
            "claim {attempt} of unit {unit}, sent at {sent} with nonce {nonce}, reaches the store"
        ),
        Message::ReleaseRequest { unit, nonce } => {
            format!("the release of unit {unit} for nonce {nonce} reaches the store")
        }
        Message::ClaimReply { unit, attempt, answer, .. } => match answer {
            Answer::Granted { term } => {
                format!("unit {unit} hears that its claim {attempt} is granted, term {term}")
            }
            Answer::Denied { .. } => {
                format!("unit {unit} hears that its claim {attempt} is denied")
            }
        },
        Message::ReleaseReply { unit, tenure } => {
            format!("unit {unit} hears that its release {tenure} has ended")
        }
        Message::WatchReply { unit, watch } => {
            format!("watch {watch} of unit {unit} says that the lease is free")
        }
    }
}

/// What one process was handed.
struct Process {
    unit: usize,
    start: Instant,
    events: Vec<(Event, Instant)>,
}

/// One trace for each process that ever ran.
fn traces(model: &Model, log: &[(usize, Logged)]) -> Vec<String> {
    let mut processes: Vec<Process> = Vec::new();
    for &(unit, logged) in log {
        match logged {
            Logged::Started { tick } => {
                let start = model.handed(unit, tick);
                processes.push(Process { unit, start, events: Vec::new() });
            }
            Logged::Handled { input, tick } => {
                let latest = processes.iter_mut().rev().find(|process| process.unit == unit);
                if let Some(process) = latest {
                    process.events.push((input.event(model), model.handed(unit, tick)));
                }
            }
        }
    }
    let config = trace::config(&model.config);
    let one = |Process { unit, start, events }: &Process| {
        let tick = Duration::from_nanos(model.rates[*unit].tick_nanos());
        let title = format!("# Unit {unit}, to which a tick is {tick:?}.\n");
        title + &trace::history(&config, *start, events)
    };
    processes.iter().map(one).collect()
}

use std::collections::BTreeSet;

use tenure_dependency::{Event, ManifoldName, Outcome, RunId};

use crate::engine::books::Audited;

/// More than any graph of three manifolds needs.
const STEPS_MAX: u64 = 100;

/// Whether the engine comes to rest: if nobody answers, if every start succeeds, if every start
/// that lacks an input says so, and if it is told to stop. Gives how many inputs it took.
pub(super) fn check(audited: &Audited<u8>) -> Result<u64, String> {
    let mut steps = 0;
    for answers in [Answers::None, Answers::Started, Answers::Demanding] {
        let mut audited = audited.clone();
        let mut missing = BTreeSet::new();
        steps += settle(&mut audited, answers, &mut missing)?;
        if answers != Answers::None {
            check_at_rest(&audited, &missing)?;
        }
    }
    let mut audited = audited.clone();
    audited.handle(Event::Stop, audited.books.now())?;
    steps += settle(&mut audited, Answers::Started, &mut BTreeSet::new())?;
    if audited.books.has_finished() { Ok(steps) } else { Err("does not end".to_owned()) }
}

/// What becomes of the starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answers {
    /// Nobody answers, and no worker stops.
    None,
    /// All succeed.
    Started,
    /// One that lacks an input says so.
    Demanding,
}

fn settle(
    audited: &mut Audited<u8>,
    answers: Answers,
    missing: &mut BTreeSet<ManifoldName>,
) -> Result<u64, String> {
    for step in 0..STEPS_MAX {
        let now = audited.books.now();
        if answers != Answers::None
            && let Some((name, event)) = next_answer(audited, answers)
        {
            if matches!(event, Event::StartFailed { .. }) {
                missing.insert(name);
            } else {
                missing.remove(&name);
            }
            audited.handle(event, now)?;
        } else if let Some(at) = audited.engine.deadline() {
            audited.handle(Event::TimerFired, at)?;
        } else {
            return Ok(step);
        }
    }
    Err("does not come to rest".to_owned())
}

/// What the first of those who have something to answer says.
fn next_answer(audited: &Audited<u8>, answers: Answers) -> Option<(ManifoldName, Event<u8>)> {
    audited.books.out().find_map(|(name, out)| {
        let run: RunId = out.run;
        let event = if out.was_told {
            Event::Stopped { run, outcome: Outcome::Finished }
        } else if out.since.is_some() {
            return None;
        } else if answers == Answers::Demanding && out.given.contains(&None) {
            Event::StartFailed { run, outcome: Outcome::Missing }
        } else {
            Event::Started { run }
        };
        Some((name.clone(), event))
    })
}

/// All that runs has what is there; and who lacks nothing any more was started.
fn check_at_rest(audited: &Audited<u8>, missing: &BTreeSet<ManifoldName>) -> Result<(), String> {
    let books = &audited.books;
    if books.is_ending() {
        return if books.has_finished() { Ok(()) } else { Err("does not end".to_owned()) };
    }
    for (name, out) in books.out() {
        if out.given != books.inputs_now(name) {
            return Err(format!("{name} rests on inputs that have changed"));
        }
    }
    for name in books.idle().filter(|name| missing.contains(name)) {
        if !books.inputs_now(name).contains(&None) {
            return Err(format!("{name} lacks nothing, and rests"));
        }
    }
    Ok(())
}

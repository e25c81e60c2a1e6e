//! A million tickets at once.

use tenure_core::{Instant, Outcome, TicketKind};
use tenure_testkit::scripted::{Call, Reply};

use super::SECOND;
use super::rig::{Rig, Runtime, yes};

const MANY: usize = 1_000_000;

fn kind(number: usize) -> TicketKind {
    match number % 3 {
        0 => TicketKind::ClaimLeader,
        1 => TicketKind::WaitLeader,
        _ => TicketKind::WaitMinion,
    }
}

fn a_million(runtime: Runtime) {
    let mut rig = Rig::new(runtime);
    rig.begun(Call::Claim, 1);
    let mut tickets: Vec<_> = (0..MANY).map(|number| rig.ask(kind(number))).collect();
    rig.settle();
    assert_eq!(rig.claimer.records().len(), 1, "one claim in flight");
    assert!(tickets.iter().all(|ticket| !ticket.is_ready()));
    rig.lead(1);
    let mut answers = [0_usize; 2];
    for (number, ticket) in tickets.iter_mut().enumerate() {
        match ticket.poll() {
            Some(outcome) => {
                assert_eq!(outcome, yes(1, Instant::ORIGIN));
                assert_ne!(kind(number), TicketKind::WaitMinion);
                answers[0] += 1;
            }
            None => assert_eq!(kind(number), TicketKind::WaitMinion),
        }
    }
    rig.advance(40 * SECOND);
    for (number, ticket) in tickets.iter_mut().enumerate() {
        let expected = match kind(number) {
            TicketKind::WaitMinion => Outcome::Minion,
            TicketKind::ClaimLeader | TicketKind::WaitLeader => yes(1, Instant::ORIGIN),
        };
        assert_eq!(ticket.poll(), Some(expected), "an answer stays");
        answers[1] += usize::from(expected == Outcome::Minion);
    }
    assert_eq!(answers.iter().sum::<usize>(), MANY, "{answers:?}");
    rig.claimer.finish_one(Call::Claim, Reply::denied());
}

#[test]
fn a_million_tickets_on_smol_are_answered_once_each() {
    a_million(Runtime::Smol);
}

#[test]
fn a_million_tickets_on_std_are_answered_once_each() {
    a_million(Runtime::Std);
}

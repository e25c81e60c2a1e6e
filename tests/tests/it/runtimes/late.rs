//! A yes that is taken late: it is judged when it is taken.

use tenure_core::{Instant, Outcome, TicketKind};
use tenure_testkit::scripted::{Call, Reply};

use super::rig::{Asked, Rig, on_each, yes};
use super::{SECOND, config, millis};

const KINDS: [TicketKind; 2] = [TicketKind::ClaimLeader, TicketKind::WaitLeader];

/// Two that were parked when the grant came, and two that were asked while the unit led.
fn answered(rig: &mut Rig) -> Vec<(TicketKind, Box<dyn Asked>)> {
    rig.begun(Call::Claim, 1);
    let parked = KINDS.map(|kind| (kind, rig.ask(kind)));
    rig.lead(1);
    let asked = KINDS.map(|kind| (kind, rig.ask(kind)));
    parked.into_iter().chain(asked).collect()
}

#[test]
fn a_yes_that_is_read_after_the_lease_is_not_handed_out() {
    on_each(|rig| {
        let mut tickets = answered(rig);
        rig.advance(40 * SECOND);
        rig.finish(Call::Claim, Reply::denied());
        rig.begun(Call::Released, 1);
        for (kind, ticket) in &mut tickets {
            let expected = (*kind == TicketKind::ClaimLeader).then_some(Outcome::Minion);
            assert_eq!(ticket.is_ready(), expected.is_some(), "{kind:?} on {:?}", rig.runtime);
            assert_eq!(ticket.poll(), expected, "{kind:?} on {:?}", rig.runtime);
        }
        rig.advance(config().recheck());
        let sent = rig.now();
        rig.finish(Call::Claim, Reply::granted(2));
        for (kind, ticket) in &mut tickets {
            let expected = match kind {
                TicketKind::ClaimLeader => Outcome::Minion,
                TicketKind::WaitLeader | TicketKind::WaitMinion => yes(2, sent),
            };
            assert_eq!(ticket.poll(), Some(expected), "it waits on, on {:?}", rig.runtime);
        }
    });
}

#[test]
fn a_yes_that_is_read_late_but_after_a_renewal_is_that_of_the_renewal() {
    on_each(|rig| {
        let mut tickets = answered(rig);
        rig.advance(millis(9_500));
        rig.finish(Call::Claim, Reply::granted(1));
        rig.advance(SECOND);
        let renewed = yes(1, Instant::ORIGIN.saturating_add(millis(9_500)));
        tickets.iter_mut().for_each(|(_, ticket)| assert_eq!(ticket.poll(), Some(renewed)));
        rig.advance(40 * SECOND);
        tickets.iter_mut().for_each(|(_, ticket)| {
            assert_eq!(ticket.poll(), Some(renewed), "what was taken stays");
        });
    });
}

#[test]
fn a_yes_that_is_read_after_a_resignation_is_not_handed_out() {
    on_each(|rig| {
        let mut tickets = answered(rig);
        rig.tracker().kill();
        for (kind, ticket) in &mut tickets {
            let expected = match kind {
                TicketKind::ClaimLeader => Outcome::Minion,
                TicketKind::WaitLeader | TicketKind::WaitMinion => Outcome::Stopped,
            };
            assert_eq!(rig.answer(ticket), expected);
        }
    });
}

/// Whoever has selected on the channel must not be left to wait.
#[test]
fn what_has_been_announced_as_ready_can_be_taken_at_once() {
    on_each(|rig| {
        let mut tickets = answered(rig);
        let channels: Vec<_> = tickets.iter_mut().map(|(_, ticket)| ticket.ready()).collect();
        rig.until("all are closed", |_| channels.iter().all(|closed| closed()));
        let asked = KINDS.map(|kind| (kind, rig.ask(kind)));
        assert!(asked.iter().all(|(_, ticket)| ticket.is_ready()));
        tickets.extend(asked);
        rig.advance(40 * SECOND);
        rig.finish(Call::Claim, Reply::denied());
        for (kind, ticket) in &mut tickets {
            assert!(ticket.is_ready() && ticket.ready()());
            assert_eq!(ticket.poll(), Some(Outcome::Minion), "{kind:?} on {:?}", rig.runtime);
        }
    });
}

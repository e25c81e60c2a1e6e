use std::fmt;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use tenure_core::{Candidate, ClaimAnswer, ClaimerError, ServiceName, Term};

use super::Clause;
use super::client::Client;
use super::ground::{Ground, LONG, Premise, Stop, answered, bid, ensure};

/// Rounds whose winner releases. A claim that is two operations loses a race in a few of them.
const ROUNDS_RELEASED: usize = 30;
/// Rounds whose winner lets its lease lapse, and takes part in the next.
const ROUNDS_LAPSED: usize = 3;

/// One round: all contenders claim the same free lease at once.
pub(super) struct Contest {
    pub(super) answers: Vec<(Candidate, Result<ClaimAnswer, ClaimerError>)>,
}

impl Contest {
    pub(super) fn winners(&self) -> impl Iterator<Item = (&Candidate, Term)> {
        self.answers.iter().filter_map(|(candidate, answer)| match answer {
            Ok(ClaimAnswer::Granted { term }) => Some((candidate, *term)),
            Ok(ClaimAnswer::Denied { .. }) | Err(_) => None,
        })
    }
}

impl fmt::Debug for Contest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers = self.answers.iter().map(|(candidate, answer)| (&candidate.unit, answer));
        formatter.debug_map().entries(answers).finish()
    }
}

/// Plays all rounds, on one service.
pub(super) fn contests(ground: &Ground) -> Result<Vec<Contest>, Stop> {
    let clients: Vec<_> = (0..ground.contenders).map(|_| ground.open()).collect();
    let service = ground.service();
    // Without a race, only one is granted: else a race tells nothing.
    ground.denies_others(&*clients[0])?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS_RELEASED {
        let contest = play(&clients, bids(&service, clients.len()), LONG);
        for (candidate, _) in &contest.answers {
            // All of them: who got no answer may hold it too.
            answered("a release is answered", clients[0].release(candidate))
                .premise(Clause::Release)?;
        }
        let leader = answered("nobody leads after a release", clients[0].leader(&service))?;
        ensure(leader.is_none(), "nobody leads after a release", leader)
            .premise(Clause::Release)?;
        rounds.push(contest);
    }
    // The same ones in each round: the last winner claims beside those who would take over.
    let contenders = bids(&service, clients.len());
    for _ in 0..ROUNDS_LAPSED {
        let began = ground.now();
        let contest = play(&clients, contenders.clone(), ground.short);
        ground.in_time(began, ground.short)?;
        ground.pass_lease();
        rounds.push(contest);
    }
    Ok(rounds)
}

fn bids(service: &ServiceName, count: usize) -> Vec<Candidate> {
    (0..count).map(|number| bid(service, &format!("unit/{number}"))).collect()
}

fn play(clients: &[Arc<dyn Client>], bids: Vec<Candidate>, lease: Duration) -> Contest {
    let start = Barrier::new(bids.len());
    let claim = |client: &Arc<dyn Client>, candidate: &Candidate| {
        start.wait();
        client.claim(candidate, lease)
    };
    let answers = thread::scope(|scope| {
        let contenders: Vec<_> = clients
            .iter()
            .zip(bids)
            .map(|(client, bid)| scope.spawn(move || (bid.clone(), claim(client, &bid))))
            .collect();
        let join = |contender: thread::ScopedJoinHandle<'_, _>| {
            contender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        contenders.into_iter().map(join).collect()
    });
    Contest { answers }
}

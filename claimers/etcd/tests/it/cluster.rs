//! Three members, whose leader dies or stands still.

use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use serde_json::json;
use tenure_core::{ClaimAnswer, Claimer, Config, Outcome};
use tenure_etcd::{EtcdClaimer, EtcdOptions};
use tenure_std::BlockOn;
use tenure_testkit::server::Server;

use crate::support::*;

/// Fast enough for a test, and slow enough for a machine that does much else.
const TIMING: [&str; 4] = ["--heartbeat-interval", "50", "--election-timeout", "500"];

fn members() -> Vec<Server> {
    Server::etcd_cluster(3, &TIMING).unwrap()
}

fn options<'a>(members: impl IntoIterator<Item = &'a Server>) -> EtcdOptions {
    let mut members = members.into_iter().map(|member| endpoint(member.address()));
    let first = EtcdOptions::new(members.next().unwrap());
    members.fold(first, EtcdOptions::endpoint).time_limit(Duration::from_secs(2))
}

/// Which of them leads the others.
fn leading(members: &[Server]) -> usize {
    let ask = |member: &Server| post(member.address(), "/v3/maintenance/status", json!({}));
    let leader = ask(&members[0])["leader"].clone();
    let is_leader = |member| ask(member)["header"]["member_id"] == leader;
    members.iter().position(is_leader).expect("they have a leader")
}

#[test]
fn a_tracker_goes_on_when_the_leader_of_the_cluster_dies() {
    let mut members = members();
    let leading = leading(&members);
    // First to be asked is the one that dies.
    members.swap(0, leading);
    let claimer = BlockOn::new(options(&members).open());
    let config = Config::new(Duration::from_secs(4)).unwrap();
    let (tracker, driver) =
        tenure_std::Tracker::new(claimer, web(), "web/0".parse().unwrap(), config);
    driver.spawn().unwrap();
    let outcome = tracker.wait_leader().wait();
    let Outcome::Leader { term, valid_until } = outcome else { panic!("{outcome:?}") };
    members[0].kill();
    // It has been renewed at another when it is sure for longer than the dead one ever said.
    eventually("it leads on", || {
        let outcome = tracker.claim_leader().wait();
        matches!(outcome, Outcome::Leader { valid_until: now, .. } if now > valid_until)
    });
    // On a busy machine it may have been interrupted; by nobody else in any case.
    let outcome = tracker.wait_leader().wait();
    assert!(matches!(outcome, Outcome::Leader { term: now, .. } if now >= term), "{outcome:?}");
    members[0].restart().unwrap();
    tracker.stop().unwrap();
    assert_eq!(leader(&options(&members).open()), None);
}

#[test]
fn without_a_quorum_nothing_is_known_and_no_lease_is_lost() {
    let mut members = members();
    let holder = unit(0);
    let claimer = options(&members).open();
    let mut term = None;
    eventually("they have a leader", || {
        let answer = claim(&claimer, &holder, LONG);
        term = answer.is_ok().then(|| granted(answer));
        term.is_some()
    });
    members[0].kill();
    members[1].kill();
    unknown(claim(&claimer, &holder, LONG));
    unknown(block_on(claimer.leader(&web())));
    unknown(block_on(claimer.released(&web())));
    // Once the one that is left has noticed, it says so.
    eventually("it says that there is no leader", || {
        let (_, line) = unknown(claim(&claimer, &holder, LONG));
        line.contains("no leader")
    });
    members[0].restart().unwrap();
    eventually("they have a leader again", || claim(&claimer, &holder, LONG).is_ok());
    assert_eq!(Some(granted(claim(&claimer, &holder, LONG))), term);
}

/// Renews for `span`, and says whether it did so in time throughout. As long as it does, its term
/// must stay.
fn renews(claimer: &EtcdClaimer, lease: Duration, span: Duration) -> bool {
    let holder = unit(0);
    let began = Instant::now();
    let mut last: Option<(Instant, u64)> = None;
    while began.elapsed() < span {
        let asked = Instant::now();
        match claim(claimer, &holder, lease) {
            Ok(ClaimAnswer::Granted { term }) => {
                if let Some((before, held)) = last {
                    if asked.duration_since(before) > lease.mul_f64(0.9) {
                        return false;
                    }
                    assert_eq!(term.number(), held, "its lease was taken from it");
                }
                last = Some((asked, term.number()));
            }
            Ok(ClaimAnswer::Denied { leader, .. }) => panic!("{leader:?} has it"),
            // While there is no leader.
            Err(error) => assert!(!error.is_fatal(), "{error:?}"),
        }
        thread::sleep(Duration::from_millis(100));
    }
    true
}

#[test]
fn a_leader_that_stood_still_takes_no_lease_that_was_renewed_meanwhile() {
    let members = members();
    let lease = Duration::from_secs(4);
    let claimer = options(&members).open();
    // A slow machine has some more tries.
    for _ in 0..3 {
        let frozen = leading(&members);
        let renewed = thread::scope(|scope| {
            let renewing = scope.spawn(|| renews(&claimer, lease, lease * 3));
            thread::sleep(lease / 4);
            members[frozen].freeze();
            // By its own clock all the leases are over that it has heard of.
            thread::sleep(lease + lease / 4);
            members[frozen].thaw();
            renewing.join()
        });
        if renewed.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            return;
        }
        thread::sleep(lease * 2);
    }
    panic!("the machine is too slow to renew a lease of {lease:?}");
}

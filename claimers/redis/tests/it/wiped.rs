//! A store that somebody wipes, or takes keys from, under a leader.

use std::error::Error;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future;
use tenure_core::{Candidate, ClaimAnswer, Claimer, Term};
use tenure_redis::{HeldOffCause, RedisClaimer, StoreError};
use tenure_testkit::server::Server;

use crate::support::*;

type Outcome = Result<(), Box<dyn Error>>;

const LEASE: Duration = Duration::from_millis(1_500);
const KEY: &str = "tenure:lease:{mysql}";
const FENCE: &str = "tenure:fence:{mysql}";
const MARKER: &str = "tenure:marker";

/// What takes a leader's lease from the store. There are claims between.
const WIPES: [&[&[&str]]; 7] = [
    &[&["FLUSHALL"]],
    &[&["FLUSHDB"]],
    &[&["SWAPDB", "0", "1"]],
    &[&["DEL", KEY]],
    &[&["DEL", KEY, FENCE]],
    // As a script does that deletes what it finds, one by one.
    &[&["DEL", KEY], &["DEL", FENCE], &["DEL", MARKER]],
    &[&["DEL", FENCE], &["DEL", KEY], &["DEL", MARKER]],
];

fn careful(server: &Server) -> RedisClaimer {
    with_url(&format!("redis://{}", server.address()))
}

/// One that has been in use for long, and forgets nothing by itself.
fn settled() -> Server {
    let server = Server::redis(&[]).unwrap();
    settle(&server, "tenure:");
    server
}

/// When somebody believes that it leads: as a tracker does whose clock runs as fast as the
/// server's.
#[derive(Clone, Copy, Debug)]
struct Reign {
    term: Term,
    from: Instant,
    until: Instant,
}

/// Somebody who claims, and what came of it.
struct Contender {
    claimer: RedisClaimer,
    candidate: Candidate,
    reigns: Mutex<Vec<Reign>>,
}

impl Contender {
    fn new(server: &Server, unit: &str) -> Contender {
        let (claimer, candidate) = (careful(server), candidate(unit));
        Contender { claimer, candidate, reigns: Mutex::default() }
    }

    /// Claims once, and says whether it leads.
    fn claim(&self) -> bool {
        let sent = Instant::now();
        let answer = claim(&self.claimer, &self.candidate, LEASE).unwrap();
        let (now, mut reigns) = (Instant::now(), self.reigns.lock().unwrap());
        match answer {
            ClaimAnswer::Granted { term } => {
                reigns.push(Reign { term, from: now, until: sent + LEASE });
                true
            }
            ClaimAnswer::Denied { .. } => {
                // Who is denied believes no more.
                for reign in reigns.iter_mut() {
                    reign.until = reign.until.min(now);
                }
                false
            }
        }
    }

    fn claims_while(&self, goes_on: impl Fn(bool) -> bool) {
        while goes_on(self.claim()) {
            thread::sleep(Duration::from_millis(30));
        }
    }

    fn reigns(self) -> Vec<Reign> {
        self.reigns.into_inner().unwrap()
    }
}

/// What is wrong with the reigns of one and of the next, if anything is.
fn wrong(first: &[Reign], next: &[Reign]) -> Option<String> {
    let lasted = first.iter().map(|reign| reign.until).max().unwrap();
    let term = first.iter().map(|reign| reign.term).max().unwrap();
    let next = next[0];
    if next.from < lasted {
        return Some(format!("two led for {:?}", lasted - next.from));
    }
    (next.term <= term).then(|| format!("term {} after {term}", next.term))
}

/// Of all the ways to wipe a store, those after which two led, or a term fell.
fn broken(renews: bool) -> Vec<String> {
    let attempt = |wipe: &[&[&str]]| {
        let server = settled();
        let [first, next] = ["mysql/0", "mysql/1"].map(|unit| Contender::new(&server, unit));
        assert!(first.claim());
        for command in wipe {
            cli(&server, command).unwrap();
            next.claim();
        }
        thread::scope(|scope| {
            if renews {
                scope.spawn(|| first.claims_while(|leads| leads));
            }
            next.claims_while(|leads| !leads);
        });
        wrong(&first.reigns(), &next.reigns()).map(|what| format!("{wipe:?}: {what}"))
    };
    thread::scope(|scope| {
        let attempts = WIPES.map(|wipe| scope.spawn(move || attempt(wipe)));
        attempts.into_iter().filter_map(|attempt| attempt.join().unwrap()).collect()
    })
}

#[test]
fn a_wiped_store_has_no_second_leader_while_the_first_believes() {
    assert_eq!(broken(false), Vec::<String>::new());
}

#[test]
fn a_wiped_store_has_no_second_leader_while_the_first_renews() {
    assert_eq!(broken(true), Vec::<String>::new());
}

/// What holds claims of `mysql` off.
fn cause(claimer: &RedisClaimer) -> Option<HeldOffCause> {
    let held_off = future::block_on(claimer.held_off(&service())).unwrap()?;
    assert!(held_off.remaining > LONG / 2, "{held_off:?}");
    let said = held_off.to_string();
    assert!(said.contains(": no lease is granted for another "), "{said}");
    Some(held_off.cause)
}

#[test]
fn the_first_claim_ever_is_held_off_and_says_why() -> Outcome {
    let server = Server::redis(&[])?;
    let claimer = careful(&server);
    let marker = || Some(HeldOffCause::NewOrWiped { marker: MARKER.to_owned() });
    assert_eq!(cause(&claimer), None, "nobody has tried");
    let (leader, after) = denied(&claimer, &candidate("mysql/0"), LONG);
    assert!(leader.is_none() && after > LONG / 2, "{after:?}");
    assert_eq!(cause(&claimer), marker());
    assert_eq!(future::block_on(claimer.leader(&service()))?, None);
    // An operator who knows that it is new.
    settle(&server, "tenure:");
    granted(&claimer, &candidate("mysql/0"), LONG);
    assert_eq!(cause(&claimer), None);
    // Who is still there may be denied, and the others wait.
    cli(&server, &["FLUSHALL"])?;
    denied(&claimer, &candidate("mysql/1"), LONG);
    assert_eq!(cause(&claimer), marker());
    Ok(())
}

#[test]
fn a_lease_that_was_deleted_is_told_from_one_that_ended() -> Outcome {
    let server = settled();
    let claimer = careful(&server);
    let [first, second] = ["mysql/0", "mysql/1"].map(candidate);
    let deleted = || Some(HeldOffCause::Deleted { lease: KEY.to_owned() });
    let term = granted(&claimer, &first, LONG);
    cli(&server, &["DEL", KEY])?;
    denied(&claimer, &first, LONG);
    denied(&claimer, &second, LONG);
    assert_eq!(cause(&claimer), deleted());
    // As far as it goes by the fence, whatever the clock was.
    cli(&server, &["HSET", FENCE, "until_ms", "9007199254740000"])?;
    denied(&claimer, &second, LONG);
    assert_eq!(cause(&claimer), deleted());
    cli(&server, &["HSET", FENCE, "until_ms", "0"])?;
    let next = granted(&claimer, &second, LONG);
    assert!(next > term);
    // One that was released is over at once, and so is one that ran out.
    release(&claimer, &second);
    assert!(granted(&claimer, &first, Duration::from_millis(50)) > next);
    thread::sleep(Duration::from_millis(100));
    granted(&claimer, &second, LONG);
    Ok(())
}

#[test]
fn a_service_that_is_new_in_a_known_store_is_granted_at_once() -> Outcome {
    let server = Server::redis(&[])?;
    let claimer = careful(&server);
    let short = Duration::from_millis(200);
    granted_at_last(&claimer, &candidate("mysql/0"), short);
    let new = Candidate { service: "other".parse()?, ..candidate("other/0") };
    granted(&claimer, &new, short);
    Ok(())
}

#[test]
fn a_marker_that_is_no_marker_of_ours_is_refused_or_made_anew() -> Outcome {
    let server = Server::redis(&[])?;
    let claimer = careful(&server);
    let first = candidate("mysql/0");
    cli(&server, &["SET", MARKER, "theirs"])?;
    let error = refused(claim(&claimer, &first, LONG));
    let StoreError::Foreign { key } = &error else { panic!("{error}") };
    assert!(key.contains(MARKER), "{key}");
    cli(&server, &["DEL", MARKER])?;
    cli(&server, &["HSET", MARKER, "schema", "2"])?;
    let error = fatal(claim(&claimer, &first, LONG));
    let StoreError::NewerSchema { key, .. } = &error else { panic!("{error}") };
    assert_eq!(key, MARKER);
    cli(&server, &["HSET", MARKER, "schema", "1", "since_ms", "long ago"])?;
    denied(&claimer, &first, LONG);
    let since: u64 = cli(&server, &["HGET", MARKER, "since_ms"])?.parse()?;
    assert!(since > 1_600_000_000_000, "{since}");
    Ok(())
}

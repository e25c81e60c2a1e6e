//! What a claim leaves in etcd, and what it makes of what others leave there.

use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_lite::future::block_on;
use serde_json::{Value, json};
use tenure_core::{Candidate, Claimer, Judge};
use tenure_etcd::StoreError;
use tenure_testkit::server::Server;

use crate::support::*;

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The value at the key, as the crate's documentation describes it.
fn value(found: &Value) -> Value {
    serde_json::from_slice(&STANDARD.decode(text(&found["value"])).unwrap()).unwrap()
}

#[test]
fn the_term_is_the_revision_at_which_the_key_was_created() {
    let bench = Bench::new();
    let claimer = bench.open();
    assert_eq!(claimer.judge(), Judge::Server);
    let holder = unit(0);
    let term = granted(claim(&claimer, &holder, LONG)).number();
    let first = bench.found();
    assert_eq!(text(&first["create_revision"]), term.to_string());
    let expected = json!({
        "tenure": 1, "unit": "web/0", "nonce": holder.nonce.to_string(), "lease_s": 600,
    });
    assert_eq!(value(&first), expected);
    assert_eq!(leader(&claimer), Some(("web/0".to_owned(), term)));

    assert_eq!(granted(claim(&claimer, &holder, LONG)).number(), term);
    let second = bench.found();
    assert_eq!(second["create_revision"], first["create_revision"]);
    assert_ne!(second["mod_revision"], first["mod_revision"]);
    assert_ne!(second["lease"], first["lease"], "each claim has a lease of its own");
}

#[test]
fn a_lease_that_etcd_revokes_late_takes_nothing_from_who_renewed() {
    // As a leader does that was paused and does not know of the renewals.
    let bench = Bench::new();
    let claimer = bench.open();
    let holder = unit(0);
    let term = granted(claim(&claimer, &holder, LONG));
    let first = bench.found()["lease"].clone();
    assert_eq!(granted(claim(&claimer, &holder, LONG)), term);
    bench.post("/v3/lease/revoke", json!({ "ID": first }));
    assert_eq!(leader(&claimer), Some(("web/0".to_owned(), term.number())));
    denied(claim(&claimer, &unit(1), LONG));
    // The one that counts is the last one.
    bench.post("/v3/lease/revoke", json!({ "ID": bench.found()["lease"] }));
    assert_eq!(leader(&claimer), None);
}

#[test]
fn seconds_are_rounded_up() {
    let bench = Bench::new();
    let claimer = bench.open();
    granted(claim(&claimer, &unit(0), Duration::from_millis(1_001)));
    assert_eq!(value(&bench.found())["lease_s"], 2);
    let (holder, retry_after) = denied(claim(&claimer, &unit(1), SHORT));
    assert_eq!(holder, "web/0");
    assert!(retry_after <= Duration::from_secs(2), "{retry_after:?}");
}

#[test]
fn any_client_of_the_holders_may_renew_for_longer_or_for_less() {
    let bench = Bench::new();
    let holder = unit(0);
    let remaining = |asked| {
        let term = granted(claim(&bench.open(), &holder, asked));
        let leader = block_on(bench.open().leader(&web())).unwrap().unwrap();
        assert_eq!(leader.term, term);
        leader.remaining
    };
    let first = granted(claim(&bench.open(), &holder, SHORT));
    let longer = remaining(LONG);
    assert!(longer > LONG - PATIENCE, "{longer:?}");
    let less = remaining(SHORT);
    assert!(less > LONG - PATIENCE && less <= LONG, "{less:?}: a renewal never shortens");
    assert_eq!(granted(claim(&bench.open(), &holder, SHORT)), first);
}

#[test]
fn what_etcd_cannot_count_is_refused() {
    let bench = Bench::new();
    let claimer = bench.open();
    for lease in [Duration::MAX, Duration::from_secs(9_000_000_001)] {
        let (error, line) = fatal(claim(&claimer, &unit(0), lease));
        assert!(matches!(error, StoreError::LeaseTooLong { .. }), "{line}");
    }
    granted(claim(&claimer, &unit(0), Duration::from_secs(9_000_000_000)));
}

#[test]
fn what_is_not_ours_is_left_as_it_is() {
    let bench = Bench::new();
    let claimer = bench.open();
    let lease = json!({ "TTL": "600" });
    let lease = bench.post("/v3/lease/grant", lease)["ID"].as_str().unwrap().to_owned();
    let ours =
        r#"{"tenure":1,"unit":"web/0","nonce":"00000000000000000000000000000000","lease_s":9}"#;
    let cases = [
        ("somebody else's", lease.as_str(), "is not a lease of Tenure's: its value is not ours"),
        (ours, "0", "is not a lease of Tenure's: it has no lease"),
        (r#"{"tenure":2,"leaders":[]}"#, lease.as_str(), "was written by a later version"),
    ];
    for (value, lease, expected) in cases {
        bench.put(value, lease);
        let before = bench.found();
        let candidate = unit(0);
        let errors = [
            needs_operator(claim(&claimer, &candidate, LONG)),
            needs_operator(block_on(claimer.release(&candidate))),
            needs_operator(block_on(claimer.leader(&web()))),
            needs_operator(block_on(claimer.released(&web()))),
        ];
        for (_, line) in errors {
            assert!(line.contains(expected) && line.contains(&bench.key()), "{line}");
        }
        assert_eq!(bench.found(), before);
    }
}

#[test]
fn a_prefix_is_a_store_of_its_own() {
    let bench = Bench::new();
    let stores = ["a", "ab", "a/b", "a/"]
        .map(|name| bench.options().prefix(format!("{}/{name}", bench.prefix)).open());
    for (number, store) in stores[..3].iter().enumerate() {
        assert_eq!(leader(store), None);
        granted(claim(store, &unit(number), LONG));
    }
    assert_eq!(leader(&stores[0]).unwrap().0, "web/0");
    assert_eq!(leader(&stores[3]).unwrap().0, "web/0", "a slash at the end is not counted");
}

#[test]
fn looking_makes_nothing() {
    let bench = Bench::new();
    let claimer = bench.open();
    block_on(claimer.check()).unwrap();
    assert_eq!(leader(&claimer), None);
    block_on(claimer.released(&web())).unwrap();
    block_on(claimer.release(&unit(0))).unwrap();
    let [from, to] = ["/", "0"].map(|end| STANDARD.encode(format!("{}{end}", bench.prefix)));
    let all = bench.post("/v3/kv/range", json!({ "key": from, "range_end": to }));
    assert_eq!(all.get("kvs"), None, "{all}");
}

/// How often each kind of request has come, by the server's own count.
pub(crate) fn requests(server: &Server) -> [usize; 5] {
    let metrics = get(server.address(), "/metrics");
    ["Range", "LeaseGrant", "Txn", "LeaseTimeToLive", "Watch"].map(|method| {
        let method = format!("grpc_method=\"{method}\"");
        let started = metrics
            .lines()
            .find(|line| line.starts_with("grpc_server_started_total") && line.contains(&method));
        started.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    })
}

#[test]
fn a_claim_asks_once_for_each_thing_and_writes_in_one_transaction() {
    let server = Server::etcd(&FAST).unwrap();
    let claimer = tenure_etcd::EtcdOptions::new(endpoint(server.address())).open();
    let asked = |what: &str, expected: [usize; 5], call: &dyn Fn()| {
        let before = requests(&server);
        call();
        let after = requests(&server);
        let asked: Vec<_> =
            after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(asked, expected, "{what}");
    };
    let (holder, other) = (unit(0), unit(1));
    asked("a claim", [1, 1, 1, 0, 0], &|| {
        granted(claim(&claimer, &holder, LONG));
    });
    asked("a renewal", [1, 1, 1, 0, 0], &|| {
        granted(claim(&claimer, &holder, LONG));
    });
    asked("a denial", [1, 0, 0, 0, 0], &|| drop(denied(claim(&claimer, &other, LONG))));
    asked("a look", [1, 0, 0, 1, 0], &|| drop(leader(&claimer)));
    asked("another's release", [1, 0, 0, 0, 0], &|| block_on(claimer.release(&other)).unwrap());
    asked("a release", [1, 0, 1, 0, 0], &|| block_on(claimer.release(&holder)).unwrap());
    asked("a second release", [1, 0, 0, 0, 0], &|| block_on(claimer.release(&holder)).unwrap());
}

#[test]
fn of_many_at_once_one_is_granted_and_the_others_are_told_who() {
    let bench = Bench::new();
    for _ in 0..10 {
        let candidates: Vec<Candidate> = (0..8).map(unit).collect();
        let answers: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = candidates
                .iter()
                .map(|candidate| scope.spawn(|| claim(&bench.open(), candidate, LONG)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (winner, _) = leader(&bench.open()).unwrap();
        for (candidate, answer) in candidates.iter().zip(answers) {
            if candidate.unit.as_str() == winner {
                granted(answer);
                block_on(bench.open().release(candidate)).unwrap();
            } else {
                assert_eq!(denied(answer).0, winner);
            }
        }
    }
}

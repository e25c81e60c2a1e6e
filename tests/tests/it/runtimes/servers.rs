//! Trackers over a server, which dies and comes back.

use std::time::Duration;

use tenure_core::{Outcome, Standing, TicketKind};
use tenure_postgres::PostgresOptions;
use tenure_redis::{RedisClaimer, RedisOptions};
use tenure_std::BlockOn;
use tenure_testkit::server::{Server, redis_cli};

use super::rig::Tracking;
use super::stores::{answer, hand_over, smol, smol_for, std, std_for, term_of, until};

/// What trackers are opened for that see their server die: long beside a claim, and soon over.
const GUARANTEE: Duration = Duration::from_secs(2);

/// A leader and one who waits lose their server for as long as the leader believes, and go on
/// when it is back: by themselves, and with the leases from before.
fn outlive_their_server(mut server: Server, open: impl Fn(&Server, &str) -> Box<dyn Tracking>) {
    let first = open(&server, "mysql/0");
    let before = term_of(answer(first.request(TicketKind::WaitLeader)));
    let second = open(&server, "mysql/1");
    assert_eq!(answer(second.request(TicketKind::ClaimLeader)), Outcome::Minion);
    let lost = first.request(TicketKind::WaitMinion);
    server.kill();
    assert_eq!(answer(lost), Outcome::Minion);
    until("both have tried in vain", || {
        first.last_error().is_some() && second.last_error().is_some()
    });
    server.restart().unwrap();
    until("one of them leads", || {
        [&first, &second].iter().any(|tracker| {
            let standing = tracker.standing();
            matches!(standing, Standing::Leader { term, .. } if term >= before)
        })
    });
    // Whoever does not lead yet still waits for it.
    first.kill();
    first.wait().unwrap();
    assert!(term_of(answer(second.request(TicketKind::WaitLeader))) > before);
}

fn postgres(server: &Server) -> tenure_postgres::PostgresClaimer {
    let url = format!("postgres://postgres@{}/postgres?time_limit=1", server.address());
    PostgresOptions::from_url(&url).unwrap().open()
}

#[test]
fn postgres_on_smol_comes_back() {
    let server = Server::postgres(&[]).unwrap();
    outlive_their_server(server, |server, unit| smol_for(GUARANTEE, postgres(server), unit));
}

#[test]
fn postgres_on_std_comes_back() {
    let server = Server::postgres(&[]).unwrap();
    outlive_their_server(server, |server, unit| {
        std_for(GUARANTEE, BlockOn::new(postgres(server)), unit)
    });
}

#[test]
fn candidates_of_both_runtimes_share_a_postgres() {
    let server = Server::postgres(&[]).unwrap();
    hand_over(|unit| match unit {
        "mysql/0" => smol(postgres(&server), unit),
        _ => std(BlockOn::new(postgres(&server)), unit),
    });
}

/// A store that has been there for long: what is new could have been wiped.
fn redis(server: &Server) -> RedisClaimer {
    let marked = ["HSET", "tenure:marker", "schema", "1", "since_ms", "0"];
    redis_cli(server.address(), &marked).unwrap();
    let url = format!("redis://{}/?time_limit=1", server.address());
    RedisOptions::from_url(&url).unwrap().open()
}

#[test]
fn redis_on_smol_comes_back() {
    let server = Server::redis(&[]).unwrap();
    outlive_their_server(server, |server, unit| smol_for(GUARANTEE, redis(server), unit));
}

#[test]
fn redis_on_std_comes_back() {
    let server = Server::redis(&[]).unwrap();
    outlive_their_server(server, |server, unit| {
        std_for(GUARANTEE, BlockOn::new(redis(server)), unit)
    });
}

/// Nobody leads before a lease has passed, and then with a higher term than any before.
#[test]
fn redis_comes_back_with_nothing_but_higher_terms() {
    let server = Server::forgetful_redis(&[]).unwrap();
    outlive_their_server(server, |server, unit| smol_for(GUARANTEE, redis(server), unit));
}

#[test]
fn valkey_comes_back_with_nothing_but_higher_terms() {
    let server = Server::valkey(&["--appendonly", "no"]).unwrap();
    outlive_their_server(server, |server, unit| {
        std_for(GUARANTEE, BlockOn::new(redis(server)), unit)
    });
}

#[test]
fn candidates_of_both_runtimes_share_a_redis() {
    let server = Server::redis(&[]).unwrap();
    hand_over(|unit| match unit {
        "mysql/0" => smol(redis(&server), unit),
        _ => std(BlockOn::new(redis(&server)), unit),
    });
}

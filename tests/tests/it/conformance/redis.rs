//! The store in Redis and Valkey, on real servers, through a proxy that does what networks do.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tenure_core::ServiceName;
use tenure_redis::{RedisClaimer, RedisOptions};
use tenure_std::BlockOn;
use tenure_testkit::conformance::{self, Conformance};
use tenure_testkit::server::{Link, Proxy, Server, redis_cli};

use super::{NOT_BLOCKING, left_out_only};

/// What Redis cannot show: the server's clock is the only one, and no client's is ever read.
const NOT_IN_REDIS: [&str; 1] = ["lease::heeds_no_client_clock"];

/// The checks that need a server which remembers, and so waits for its disk.
const NOT_IN_MEMORY_ALONE: [&str; 2] = ["lease::outlives_a_restart", "terms::outlive_a_restart"];

/// It counts in milliseconds, and a lease is over after the last of them.
const GRANULARITY: Duration = Duration::from_millis(2);

/// A server that nobody waits for but where it is told to be slow.
const FAST: [&str; 2] = ["--appendonly", "no"];

/// A claimer on a server that has just been started: one that forgets would be held off from.
fn open(address: SocketAddr) -> RedisClaimer {
    let url = format!("redis://{address}/?time_limit=2&hold_off=unsafely-never");
    RedisOptions::from_url(&url).unwrap().open()
}

/// How often the server has been asked to do something with a lease.
fn asked(server: SocketAddr) -> usize {
    let statistics = redis_cli(server, &["INFO", "commandstats"]).unwrap();
    let calls = |line: &str| {
        let (command, numbers) = line.split_once(":calls=")?;
        let is_ours = ["eval", "evalsha", "subscribe"].map(|name| format!("cmdstat_{name}"));
        let (calls, _) = numbers.split_once(',')?;
        is_ours.iter().any(|name| name == command).then(|| calls.parse::<usize>().unwrap())
    };
    statistics.lines().filter_map(calls).sum()
}

/// The suite over a server, with what can be done to a store from outside.
fn suite<C: 'static>(
    server: Server,
    make: fn(Box<dyn Fn() -> C>) -> Conformance<C>,
    open: fn(SocketAddr) -> C,
) -> Conformance<C> {
    let address = server.address();
    let proxy = Rc::new(Proxy::new(address).unwrap());
    let [counted, losing, away, holding, held] = std::array::from_fn(|_| proxy.clone());
    make(Box::new(move || open(proxy.address())))
        .granularity(GRANULARITY)
        // Four may be kept though nobody uses them.
        .counting("connections", move || counted.open().max(4))
        .counting_requests(move || asked(address))
        .losing_answers(move |loses| {
            losing.answers(if loses { Link::Lost } else { Link::Passing });
        })
        .holding_up(
            move |holds| match holds {
                true => holding.hold_next(b"EVAL"),
                false => holding.let_go(),
            },
            move || held.is_holding(),
        )
        .unavailable(move |is_away| {
            away.refuse(is_away);
            away.cut();
        })
        // It has the server, which so lasts as long as the suite.
        .exhausting_terms(move |service| exhaust_terms(server.address(), service))
}

fn exhaust_terms(server: SocketAddr, service: &ServiceName) {
    let fence = format!("tenure:fence:{{{service}}}");
    redis_cli(server, &["HSET", &fence, "schema", "1", "term", "9223372036854775807"]).unwrap();
}

fn asynchronous(open: Box<dyn Fn() -> RedisClaimer>) -> Conformance<RedisClaimer> {
    conformance::asynchronous(open)
}

fn on_threads(open: Box<dyn Fn() -> BlockOn<RedisClaimer>>) -> Conformance<BlockOn<RedisClaimer>> {
    conformance::blocking(open)
}

fn keeps_the_contract(server: Server) {
    let report = suite(server, asynchronous, open).check();
    left_out_only(&report, &[&NOT_IN_REDIS, &NOT_IN_MEMORY_ALONE]);
}

fn keeps_the_contract_on_threads(server: Server) {
    let report = suite(server, on_threads, |address| BlockOn::new(open(address))).check();
    left_out_only(&report, &[&NOT_IN_REDIS, &NOT_IN_MEMORY_ALONE, &NOT_BLOCKING]);
}

/// It forgets nothing, and so nothing is held off in a store that has been there for long.
fn keeps_the_contract_over_a_crash(server: Server) {
    let address = server.address();
    redis_cli(address, &["HSET", "tenure:marker", "schema", "1", "since_ms", "0"]).unwrap();
    let server = RefCell::new(server);
    let options = RedisOptions::from_url(&format!("redis://{address}/?time_limit=30")).unwrap();
    conformance::asynchronous(move || options.clone().open())
        .granularity(GRANULARITY)
        .restarting(move || {
            let mut server = server.borrow_mut();
            server.kill();
            server.restart().unwrap();
        })
        .check();
}

#[test]
fn redis_keeps_the_contract() {
    keeps_the_contract(Server::redis(&FAST).unwrap());
}

#[test]
fn redis_keeps_the_contract_on_threads() {
    keeps_the_contract_on_threads(Server::redis(&FAST).unwrap());
}

#[test]
fn redis_keeps_the_contract_over_a_crash() {
    keeps_the_contract_over_a_crash(Server::redis(&[]).unwrap());
}

#[test]
fn valkey_keeps_the_contract() {
    keeps_the_contract(Server::valkey(&FAST).unwrap());
}

#[test]
fn valkey_keeps_the_contract_on_threads() {
    keeps_the_contract_on_threads(Server::valkey(&FAST).unwrap());
}

#[test]
fn valkey_keeps_the_contract_over_a_crash() {
    keeps_the_contract_over_a_crash(Server::valkey(&[]).unwrap());
}

#[test]
fn redis_keeps_the_contract_when_a_process_shares_one_claimer() {
    let server = Server::redis(&FAST).unwrap();
    let claimer = open(server.address());
    conformance::asynchronous(move || claimer.clone()).granularity(GRANULARITY).check();
}

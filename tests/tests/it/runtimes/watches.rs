//! A minion whose watch breaks, by a cut connection or by a server that restarts, is told of a
//! release as before: within a back-off, and with one claim.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure_core::{
    Candidate, ClaimAnswer, Claimer, ClaimerError, Config, Judge, Leader, Outcome, ServiceName,
    TicketKind,
};
use tenure_etcd::EtcdOptions;
use tenure_postgres::PostgresOptions;
use tenure_redis::RedisOptions;
use tenure_std::BlockOn;
use tenure_testkit::server::{Proxy, Server};

use super::rig::Tracking;
use super::stores::{LONG, answer, smol_with, std_with, term_of, until};

/// What a minion claims again after if nobody tells it anything: no test waits for that.
const RECHECK: Duration = Duration::from_secs(3_600);

/// A claimer that counts what is asked of it.
#[derive(Debug)]
struct Counted<C> {
    claimer: C,
    calls: Arc<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    claims: AtomicUsize,
    watches: AtomicUsize,
}

impl<C: Claimer> Claimer for Counted<C> {
    async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        self.calls.claims.fetch_add(1, Ordering::Relaxed);
        self.claimer.claim(candidate, lease).await
    }

    async fn released(&self, service: &ServiceName) -> Result<(), ClaimerError> {
        self.calls.watches.fetch_add(1, Ordering::Relaxed);
        self.claimer.released(service).await
    }

    async fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.claimer.release(candidate).await
    }

    async fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        self.claimer.leader(service).await
    }

    fn judge(&self) -> Judge {
        self.claimer.judge()
    }
}

/// Opens a tracker over a counted claimer.
type Run<C> = fn(Config, Counted<C>, &str) -> Box<dyn Tracking>;

fn on_smol<C: Claimer>(config: Config, claimer: Counted<C>, unit: &str) -> Box<dyn Tracking> {
    smol_with(config, claimer, unit)
}

fn on_std<C: Claimer>(config: Config, claimer: Counted<C>, unit: &str) -> Box<dyn Tracking> {
    std_with(config, BlockOn::new(claimer), unit)
}

/// One leads, and hands over to a second whose connections were cut; and that one to a third, over
/// a server that was restarted.
fn hand_over<C: Claimer>(mut server: Server, open: impl Fn(SocketAddr) -> C, run: Run<C>) {
    let config = Config::builder(LONG).recheck(RECHECK).build().unwrap();
    let tracker = |address, unit| {
        let calls = Arc::new(Calls::default());
        let claimer = Counted { claimer: open(address), calls: calls.clone() };
        (run(config.clone(), claimer, unit), calls)
    };
    let minion = |address, unit| {
        let (tracker, calls) = tracker(address, unit);
        assert_eq!(answer(tracker.request(TicketKind::ClaimLeader)), Outcome::Minion);
        until("it watches", || calls.watches.load(Ordering::Relaxed) == 1);
        (tracker, calls)
    };
    let (first, _) = tracker(server.address(), "mysql/0");
    let mut term = term_of(answer(first.request(TicketKind::WaitLeader)));

    let proxy = Proxy::new(server.address()).unwrap();
    let (second, calls) = minion(proxy.address(), "mysql/1");
    until("it is connected", || proxy.open() > 0);
    proxy.refuse(true);
    proxy.cut();
    until("its watch has failed", || second.last_error().is_some());
    proxy.refuse(false);
    let before = term;
    term = hands_over(&*first, &*second, &calls);
    assert!(term > before);
    second.kill();
    second.wait().unwrap();
    drop(proxy);

    let (third, _) = tracker(server.address(), "mysql/2");
    term = term_of(answer(third.request(TicketKind::WaitLeader))).max(term);
    let (fourth, calls) = minion(server.address(), "mysql/3");
    server.stop();
    until("its watch has failed", || fourth.last_error().is_some());
    server.restart().unwrap();
    assert!(hands_over(&*third, &*fourth, &calls) > term);
}

/// The leader stops politely, and the minion leads: it has claimed once for that, and waits for no
/// recheck.
fn hands_over(leader: &dyn Tracking, minion: &dyn Tracking, calls: &Calls) -> tenure_core::Term {
    let leads = minion.request(TicketKind::WaitLeader);
    leader.kill();
    leader.wait().unwrap();
    let term = term_of(answer(leads));
    let [claims, watches] = [&calls.claims, &calls.watches].map(|of| of.load(Ordering::Relaxed));
    assert_eq!(claims, 2, "one that was denied, and one that was granted");
    assert!(watches > 1, "it has watched again");
    term
}

fn etcd(run: Run<tenure_etcd::EtcdClaimer>) {
    let open = |address| {
        let url = format!("etcd://{address}");
        EtcdOptions::from_url(&url).unwrap().time_limit(Duration::from_secs(1)).open()
    };
    hand_over(Server::etcd(&[]).unwrap(), open, run);
}

fn postgres(run: Run<tenure_postgres::PostgresClaimer>) {
    let open = |address| {
        let url = format!("postgres://postgres@{address}/postgres?time_limit=1");
        PostgresOptions::from_url(&url).unwrap().open()
    };
    hand_over(Server::postgres(&[]).unwrap(), open, run);
}

fn redis(server: Server, run: Run<tenure_redis::RedisClaimer>) {
    let open = |address| {
        let url = format!("redis://{address}/?time_limit=1");
        RedisOptions::from_url(&url).unwrap().open()
    };
    hand_over(server, open, run);
}

#[test]
fn etcd_tells_again_on_smol() {
    etcd(on_smol);
}

#[test]
fn etcd_tells_again_on_std() {
    etcd(on_std);
}

#[test]
fn postgres_tells_again_on_smol() {
    postgres(on_smol);
}

#[test]
fn postgres_tells_again_on_std() {
    postgres(on_std);
}

#[test]
fn redis_tells_again_on_smol() {
    redis(Server::redis(&[]).unwrap(), on_smol);
}

#[test]
fn redis_tells_again_on_std() {
    redis(Server::redis(&[]).unwrap(), on_std);
}

#[test]
fn valkey_tells_again_on_smol() {
    redis(Server::valkey(&[]).unwrap(), on_smol);
}

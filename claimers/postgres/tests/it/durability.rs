//! A grant is what the server has on its disk, and on its standbys' if it has to wait for them.

use std::process::Command;
use std::thread;

use futures_lite::future::block_on;
use tenure_core::Claimer;
use tenure_postgres::StoreError;
use tenure_testkit::server::{Server, psql};

use crate::support::{
    Bench, LEASE, Own, claim, denied, eventually, granted, leader, open, unit, unknown,
};

/// A server that waits for a standby that never comes, and whose clients would neither wait for it
/// nor be warned, if they were let.
fn waits_for_nobody() -> Bench<Own> {
    let settings = ["synchronous_commit=local", "client_min_messages=error"];
    let bench = Bench::alone(&settings);
    granted(claim(&bench.claimer(), 0, LEASE));
    bench.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    bench.sql("SELECT pg_reload_conf()");
    eventually("it is to wait", || bench.sql("SHOW synchronous_standby_names") == "nobody");
    bench
}

#[test]
fn a_commit_that_no_standby_acknowledges_is_no_grant() {
    let bench = waits_for_nobody();
    let claimer = open(&bench.url("&time_limit=1"));
    let error = unknown(claim(&claimer, 0, LEASE));
    assert!(matches!(error, StoreError::TimedOut { .. }), "{error}");
    // It waits still, and so does whoever renews next, but not for ever. Others see the lease that
    // was acknowledged.
    eventually("it waits", || bench.waiting_for("SyncRep") == "1");
    let error = unknown(claim(&claimer, 0, LEASE));
    assert!(matches!(error, StoreError::Busy { .. } | StoreError::TimedOut { .. }), "{error}");
    denied(claim(&claimer, 1, LEASE));
}

#[test]
fn a_commit_that_was_told_to_wait_no_longer_is_no_grant() {
    let bench = waits_for_nobody();
    let claimer = open(&bench.url("&time_limit=60"));
    let claiming = thread::spawn({
        let claimer = claimer.clone();
        move || claim(&claimer, 0, LEASE)
    });
    eventually("it waits", || bench.waiting_for("SyncRep") == "1");
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    assert_eq!(bench.sql(cancel), "t");
    let error = unknown(claiming.join().unwrap());
    assert!(matches!(error, StoreError::Unacknowledged { .. }), "{error:?}");
    assert!(error.to_string().contains("synchronous replication"), "{error}");
    // It is there for all to see: the very thing that nobody must conclude anything from.
    assert_eq!(leader(&claimer), Some(("mysql/0".to_owned(), 1)));
}

/// A server that waits for its standby, and that standby.
fn followed() -> (Bench<Own>, Server) {
    let bench = Bench::alone(&[]);
    let standby = Server::postgres_standby(&bench.server.0, &[]).unwrap();
    bench.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    bench.sql("SELECT pg_reload_conf()");
    let state = "SELECT sync_state FROM pg_stat_replication";
    eventually("it is to wait for its standby", || bench.sql(state) == "sync");
    (bench, standby)
}

/// The primary is killed, and its standby takes its place.
fn fail_over(bench: &mut Bench<Own>, standby: &Server) {
    bench.server.0.kill();
    assert_eq!(psql(standby.address(), "SELECT pg_promote()").unwrap(), "t");
}

#[test]
fn a_fail_over_to_a_standby_that_acknowledges_forgets_no_grant() {
    let (mut bench, standby) = followed();
    let both = format!("postgres@{},", standby.address());
    let claimer = open(&bench.url("").replace("postgres@", &both));
    let term = granted(claim(&claimer, 0, LEASE));
    fail_over(&mut bench, &standby);
    eventually("it is answered", || claim(&claimer, 1, LEASE).is_ok());
    assert_eq!(denied(claim(&claimer, 1, LEASE)).0, "mysql/0");
    assert_eq!(granted(claim(&claimer, 0, LEASE)), term);
}

/// As a fail-over may lose it.
#[test]
fn what_a_standby_has_not_received_is_no_grant() {
    let (mut bench, standby) = followed();
    let term = granted(claim(&bench.claimer(), 0, LEASE));
    block_on(bench.claimer().release(&unit(0))).unwrap();
    let sender = bench.sql("SELECT pid FROM pg_stat_replication");
    let stop = format!("kill -STOP {sender}");
    assert!(Command::new("sh").args(["-c", &stop]).status().unwrap().success());
    let error = unknown(claim(&open(&bench.url("&time_limit=1")), 0, LEASE));
    assert!(matches!(error, StoreError::TimedOut { .. }), "{error}");
    fail_over(&mut bench, &standby);
    let (primary, standby) = (bench.server.0.address(), standby.address());
    let claimer = open(&bench.url("").replace(&primary.to_string(), &standby.to_string()));
    assert!(granted(claim(&claimer, 1, LEASE)) > term);
}

#[test]
fn a_server_that_syncs_nothing_is_warned_of_once() {
    let warned = Warned::default();
    let bench = Bench::alone(&["fsync=off"]);
    tracing::subscriber::with_default(warned.clone(), || {
        let claimer = bench.claimer();
        block_on(claimer.check()).unwrap();
        granted(claim(&claimer, 0, LEASE));
        bench.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'tenure'",
        );
        eventually("it is answered", || claim(&claimer, 0, LEASE).is_ok());
    });
    assert_eq!(warned.count(), 1);
}

use warned::Warned;

mod warned {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    /// Counts the warnings of this crate.
    #[derive(Clone, Default)]
    pub(super) struct Warned(Arc<AtomicUsize>);

    impl Warned {
        pub(super) fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Subscriber for Warned {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == Level::WARN && metadata.target().starts_with("tenure_postgres")
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }
}

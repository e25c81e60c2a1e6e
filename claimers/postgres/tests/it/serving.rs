//! A server that warns of something else, or takes no notifications, serves all the same.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use tenure_core::Claimer;
use tenure_postgres::StoreError;

use crate::support::{
    Bench, LEASE, Own, claim, denied, eventually, granted, leader, open, service, unit, unknown,
};

/// A server whose transaction ids are nearly used up, as those of one are that was not vacuumed
/// for two billion transactions.
fn near_wraparound() -> Bench<Own> {
    let mut bench = Bench::alone(&[]);
    granted(claim(&bench.claimer(), 0, LEASE));
    bench.sql("CREATE DATABASE lost");
    let lost = bench.sql("SELECT oid FROM pg_database WHERE datname = 'lost'");
    let server = &mut bench.server.0;
    let program = fs::read_link(format!("/proc/{}/exe", server.id().unwrap())).unwrap();
    server.stop();
    let data = server.directory().join("data");
    // Without its files it cannot be vacuumed, so the server goes on to warn of it.
    fs::remove_dir_all(data.join("base").join(lost)).unwrap();
    let owner = fs::metadata(&data).unwrap();
    // It warns of the last 40 million, and takes no more writes at the last 3. A segment of the
    // commit log begins there.
    let next = (2029_u32 * (1 << 20)).to_string();
    let output = Command::new(program.with_file_name("pg_resetwal"))
        .args(["--next-transaction-id", &next])
        .arg(&data)
        .uid(owner.uid())
        .gid(owner.gid())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    server.restart().unwrap();
    bench
}

/// How often the server has warned of that.
fn warned(bench: &Bench<Own>) -> usize {
    let log = fs::read_to_string(bench.server.0.directory().join("log")).unwrap();
    log.lines().filter(|line| line.contains("must be vacuumed within")).count()
}

#[test]
fn a_server_that_warns_of_its_transaction_ids_serves() {
    let bench = near_wraparound();
    let claimer = bench.claimer();
    let before = warned(&bench);
    let term = granted(claim(&claimer, 0, LEASE));
    assert!(warned(&bench) > before, "the renewal was warned of");
    denied(claim(&claimer, 1, LEASE));
    block_on(claimer.release(&unit(0))).unwrap();
    assert!(granted(claim(&claimer, 1, LEASE)) > term);
}

/// Has whoever notifies fail when it commits, as it does where the server's queue of notifications
/// is full. It holds eight gigabytes, so it is not filled here: the table's own trigger says what
/// the server would, in the same phase of the commit.
fn fill_queue(bench: &Bench) {
    bench.sql(
        "CREATE FUNCTION {table}_full() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN IF current_query() LIKE ''%pg_notify%'' THEN \
         RAISE EXCEPTION ''too many notifications in the NOTIFY queue'' \
         USING ERRCODE = ''program_limit_exceeded''; END IF; RETURN NULL; END'; \
         CREATE CONSTRAINT TRIGGER is_full AFTER INSERT OR UPDATE ON {table} \
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {table}_full()",
    );
}

#[test]
fn a_full_queue_of_notifications_fails_no_claim_and_no_release() {
    let bench = Bench::new();
    let claimer = bench.claimer();
    block_on(claimer.check()).unwrap();
    fill_queue(&bench);
    let term = granted(claim(&claimer, 0, LEASE));
    assert_eq!(granted(claim(&claimer, 0, LEASE)), term);
    denied(claim(&claimer, 1, LEASE));
    block_on(claimer.release(&unit(0))).unwrap();
    assert_eq!(leader(&claimer), None);
    assert_eq!(granted(claim(&claimer, 1, LEASE)).number(), term.number() + 1);
}

#[test]
fn what_fails_without_its_notification_too_is_asked_no_third_time() {
    let bench = Bench::new();
    let claimer = bench.claimer();
    granted(claim(&claimer, 0, LEASE));
    fill_queue(&bench);
    bench.sql(
        "CREATE OR REPLACE FUNCTION {table}_full() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN RAISE EXCEPTION USING ERRCODE = ''program_limit_exceeded''; END'",
    );
    let before = bench.asked();
    let error = unknown(claim(&claimer, 0, LEASE));
    assert!(matches!(&error, StoreError::Server { code, .. } if code == "54000"), "{error}");
    assert_eq!(bench.asked() - before, 2);
}

#[test]
fn who_waits_learns_of_a_release_that_is_not_told_when_the_lease_would_be_over() {
    let bench = Bench::new();
    let holder = bench.claimer();
    block_on(holder.check()).unwrap();
    fill_queue(&bench);
    granted(claim(&holder, 0, Duration::from_millis(800)));
    let claimer = open(&bench.url("&heartbeat=3600"));
    let waiting = thread::spawn(move || block_on(claimer.released(&service("mysql"))));
    eventually("it listens", || {
        let listens = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tenure' \
                       AND query LIKE '%remaining_us FROM \"{table}\"%' \
                       AND query NOT LIKE '%INSERT%'";
        bench.sql(listens) == "1" || waiting.is_finished()
    });
    // Neither is a renewal told, so it looks once more before the lease is over.
    granted(claim(&holder, 0, Duration::from_millis(1600)));
    block_on(holder.release(&unit(0))).unwrap();
    eventually("the wait ends", || waiting.is_finished());
    waiting.join().unwrap().unwrap();
}

#[test]
fn a_user_who_may_not_notify_leads() {
    let bench = Bench::alone(&[]);
    block_on(bench.claimer().check()).unwrap();
    bench.sql(
        "CREATE ROLE {table}_user LOGIN; GRANT SELECT, INSERT, UPDATE ON {table} TO {table}_user; \
         REVOKE EXECUTE ON FUNCTION pg_notify FROM PUBLIC",
    );
    let claimer = open(&bench.url("").replace("postgres@", &format!("{}_user@", bench.table)));
    granted(claim(&claimer, 0, LEASE));
    denied(claim(&claimer, 1, LEASE));
    block_on(claimer.release(&unit(0))).unwrap();
    granted(claim(&claimer, 1, LEASE));
}

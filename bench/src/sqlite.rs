use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tenure_core::BlockingClaimer;
use tenure_runtime::CancelToken;
use tenure_sqlite::SqliteClaimer;

use crate::claim::timed;
use crate::harness::{Batch, interleave, repeat};
use crate::release::{LEASE, SETTLE, candidate};
use crate::table::Row;

/// The SQLite store without a tracker.
pub(crate) fn run(rounds: usize) -> Vec<Row> {
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    let path = directory.path().join("leases.db");
    let claimer = SqliteClaimer::open(path).expect("there is room for a small file");
    let connection = bare(&directory.path().join("bare.db")).expect("SQLite works");
    let leader = candidate(0);
    let claim = || claimer.claim(&leader, LEASE).expect("the store works");
    let samples = interleave(
        rounds * 10,
        vec![
            repeat(20, || write_bare(&connection).expect("SQLite works")),
            repeat(20, || {
                claim();
                claimer.release(&leader).expect("the store works");
            }),
        ],
    );
    let [two, both] = &samples[..] else { unreachable!("one for each batch") };
    claim();
    let samples = interleave(
        rounds * 10,
        vec![repeat(20, || write_bare(&connection).expect("SQLite works")), repeat(20, claim)],
    );
    let [_, renewal] = &samples[..] else { unreachable!("one for each batch") };
    claimer.release(&leader).expect("the store works");
    let name = "2 bare writes";
    let mut rows = vec![
        timed("SQLite: claim and release", both, name, two),
        timed("SQLite: renewal", renewal, name, &samples[0]),
    ];
    let samples = interleave(rounds * 5, vec![wake_thread(), wake_waiter(claimer.clone())]);
    let [channel, waiter] = &samples[..] else { unreachable!("one for each batch") };
    rows.push(timed("SQLite: release to the end of released()", waiter, "a channel", channel));
    rows
}

/// A file of SQLite's with one row, written as safely as the store writes.
fn bare(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
         CREATE TABLE row (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
         INSERT INTO row VALUES ('service-0', 0);",
    )?;
    Ok(connection)
}

/// Two transactions with one write each.
fn write_bare(connection: &Connection) -> rusqlite::Result<()> {
    for _ in 0..2 {
        let behavior = TransactionBehavior::Immediate;
        let transaction = rusqlite::Transaction::new_unchecked(connection, behavior)?;
        transaction
            .prepare_cached("UPDATE row SET number = number + 1 WHERE name = 'service-0'")?
            .execute([])?;
        transaction.commit()?;
    }
    Ok(())
}

/// How long after a release whoever waits for it is roused, in another thread.
fn wake_waiter(claimer: SqliteClaimer) -> Batch<'static> {
    let leader = Arc::new(candidate(0));
    Box::new(move || {
        claimer.claim(&leader, LEASE).expect("the store works");
        let waiter = {
            let (claimer, leader) = (claimer.clone(), leader.clone());
            thread::spawn(move || {
                claimer.released(&leader.service, &CancelToken::new()).expect("the store works");
                Instant::now()
            })
        };
        thread::sleep(SETTLE);
        claimer.release(&leader).expect("the store works");
        let released = Instant::now();
        since(released, waiter.join().expect("does not panic"))
    })
}

fn wake_thread() -> Batch<'static> {
    Box::new(|| {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let waiter = thread::spawn(move || {
            receiver.recv().expect("is sent");
            Instant::now()
        });
        thread::sleep(Duration::from_millis(1));
        let released = Instant::now();
        sender.send(()).expect("is received");
        since(released, waiter.join().expect("does not panic"))
    })
}

fn since(earlier: Instant, later: Instant) -> f64 {
    later.saturating_duration_since(earlier).as_nanos() as f64
}

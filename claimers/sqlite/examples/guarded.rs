//! Does some work as the leader, guarded against the leader's own lateness.
//!
//! `cargo run --package tenure-sqlite --example guarded`
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};
use tenure_core::{BlockingClaimer, Candidate, ClaimAnswer, Term};
use tenure_sqlite::{SqliteClaimer, guard_sql};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let store = directory.path().join("leases.db");
    let claimer = SqliteClaimer::open(&store)?;
    let mut own = open(&directory.path().join("reports.db"), &store)?;

    let first = claim(&claimer, "report/0")?;
    println!("report/0 leads, term {first}: wrote its report: {}", write(&mut own, first)?);

    // It stands still, its lease runs out, and another takes over. Then it goes on.
    let second = loop {
        if let Ok(term) = claim(&claimer, "report/1") {
            break term;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    println!("report/1 leads, term {second}: wrote its report: {}", write(&mut own, second)?);
    println!("report/0 thaws, term {first}: wrote its report: {}", write(&mut own, first)?);
    Ok(())
}

/// The program's own database, with the store beside it.
fn open(path: &Path, store: &Path) -> Result<Connection, Box<dyn Error>> {
    let own = Connection::open(path)?;
    own.busy_timeout(Duration::from_secs(1))?;
    own.execute("ATTACH ?1 AS leases", [store.to_str().ok_or("a path that is no text")?])?;
    own.execute_batch("CREATE TABLE report (term INTEGER NOT NULL, text TEXT NOT NULL)")?;
    Ok(own)
}

fn claim(claimer: &SqliteClaimer, unit: &str) -> Result<Term, Box<dyn Error>> {
    let candidate = Candidate {
        service: "report".parse()?,
        unit: unit.parse()?,
        nonce: tenure_runtime::fresh_nonce(),
    };
    match claimer.claim(&candidate, Duration::from_millis(200))? {
        ClaimAnswer::Granted { term } => Ok(term),
        ClaimAnswer::Denied { .. } => Err("somebody else leads".into()),
    }
}

/// Writes a report, unless `term` is over: says which.
fn write(own: &mut Connection, term: Term) -> Result<bool, Box<dyn Error>> {
    let term = i64::try_from(term.number())?;
    // Nobody takes over before this ends.
    let transaction = own.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let stands = transaction.prepare(&guard_sql("leases"))?.exists(params!["report", term])?;
    if stands {
        transaction.execute("INSERT INTO report VALUES (?1, 'all is well')", [term])?;
    }
    transaction.commit()?;
    Ok(stands)
}

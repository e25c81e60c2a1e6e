//! Does some work as the leader, guarded against the leader's own lateness.
//!
//! `cargo run --package tenure-postgres --example guarded -- postgres://localhost/postgres`
//!
//! The leader's own writes go through the client that it has anyway: here it is `psql`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use futures_lite::future::block_on;
use tenure_core::{Candidate, ClaimAnswer, Claimer};
use tenure_postgres::PostgresOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(url) = std::env::args().nth(1) else {
        println!("name a store: postgres://localhost/postgres");
        return Ok(());
    };
    let claimer = PostgresOptions::from_url(&url)?.open();
    let candidate = Candidate {
        service: "report".parse()?,
        unit: "report/0".parse()?,
        nonce: tenure_runtime::fresh_nonce(),
    };
    let ClaimAnswer::Granted { term } =
        block_on(claimer.claim(&candidate, Duration::from_secs(20)))?
    else {
        println!("somebody else leads");
        return Ok(());
    };
    // However long this takes, even longer than the lease: what is written is the leader's.
    let report = format!("as of term {}", term.number());

    // With a client that has parameters, the service and the term are two of them.
    let guard = claimer.guard_sql().replace("$1", "'report'");
    let guard = guard.replace("$2", &term.number().to_string());
    let written = Command::new("psql")
        .args([&url, "--no-psqlrc", "--quiet", "--tuples-only"])
        .args(["--command", "CREATE TABLE IF NOT EXISTS report (text text)"])
        .args([
            "--command",
            &format!(
                "WITH guard AS ({guard}) INSERT INTO report SELECT '{report}' FROM guard \
                 RETURNING 'written: ' || text"
            ),
        ])
        .output()?;
    match String::from_utf8(written.stdout)?.trim() {
        "" => println!("nothing was written: {}", String::from_utf8(written.stderr)?),
        text => println!("{text}"),
    }
    block_on(claimer.release(&candidate))?;
    Ok(())
}

//! Does some work as the leader, guarded against the leader's own lateness.
//!
//! `cargo run --package tenure-etcd --example guarded -- etcd://localhost:2379/example`
#![forbid(unsafe_code)]

use std::error::Error;
use std::time::Duration;

use futures_lite::future::block_on;
use tenure_core::{Candidate, ClaimAnswer, Claimer};
use tenure_etcd::{EtcdOptions, GuardedWrite};

fn main() -> Result<(), Box<dyn Error>> {
    let Some(url) = std::env::args().nth(1) else {
        println!("name a store: etcd://localhost:2379/example");
        return Ok(());
    };
    let claimer = EtcdOptions::from_url(&url)?.open();
    let candidate = Candidate {
        service: "report".parse()?,
        unit: "report/0".parse()?,
        nonce: tenure_runtime::fresh_nonce(),
    };
    block_on(async {
        let answer = claimer.claim(&candidate, Duration::from_secs(20)).await?;
        let ClaimAnswer::Granted { term } = answer else {
            println!("somebody else leads: {answer:?}");
            return Ok(());
        };
        // However long this takes, even longer than the lease: what is written is the leader's.
        let report = format!("as of term {term}");
        match claimer.put_guarded(&candidate.service, term, "/example/report", report).await? {
            GuardedWrite::Done { revision } => println!("written at revision {revision}"),
            GuardedWrite::Refused => println!("term {term} is over: nothing was written"),
        }
        claimer.release(&candidate).await?;
        Ok(())
    })
}

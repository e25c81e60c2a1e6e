//! Does some work as the leader, guarded against the leader's own lateness.
//!
//! `cargo run --package tenure-redis --example guarded -- redis://localhost`; without a URL it
//! starts a server of its own.
//!
//! Who leads is asleep for longer than its lease, and then goes on as if nothing had happened.
#![forbid(unsafe_code)]

use std::error::Error;
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use tenure_core::{Candidate, ClaimAnswer, Claimer, Term};
use tenure_redis::{Guarded, HoldOff, RedisClaimer, RedisOptions};
use tenure_testkit::server::Server;

const LEASE: Duration = Duration::from_millis(300);

fn main() -> Result<(), Box<dyn Error>> {
    let (_server, options) = match std::env::args().nth(1) {
        Some(url) => (None, RedisOptions::from_url(&url)?),
        None => match Server::redis(&["--appendonly", "no"]) {
            // It has just been started, and held no leases before.
            Ok(server) => {
                let options = RedisOptions::from_url(&format!("redis://{}", server.address()))?;
                (Some(server), options.hold_off(HoldOff::UnsafelyNever))
            }
            Err(error) => {
                println!("name a server: {error}");
                return Ok(());
            }
        },
    };
    let claimer = options.open();
    let old = lead(&claimer, "report/0")?;
    println!("report/0 leads with term {old}, and falls asleep");
    thread::sleep(2 * LEASE);
    let new = lead(&claimer, "report/1")?;
    println!("report/1 leads with term {new}");

    // What is in the same Redis is written only while the term stands.
    for (unit, term) in [("report/1", new), ("report/0", old)] {
        let script = "return redis.call('SET', KEYS[1], ARGV[1], 'EX', '60')";
        let (keys, arguments) = (["report"], [unit.as_bytes()]);
        let service = "report".parse()?;
        match block_on(claimer.guarded_eval(&service, term, script, &keys, &arguments))? {
            Guarded::Done(_) => println!("{unit} has written to Redis"),
            Guarded::Refused => println!("{unit} has not: it is too late"),
        }
    }

    // What is elsewhere keeps the highest term that it has seen, and refuses a lower one.
    let mut archive = Archive::default();
    for (unit, term) in [("report/1", new), ("report/0", old)] {
        match archive.write(term, unit) {
            true => println!("{unit} has written to the archive"),
            false => println!("{unit} has not: it is too late"),
        }
    }
    println!("the archive has {:?}", archive.content);
    Ok(())
}

/// Claims until it leads.
fn lead(claimer: &RedisClaimer, unit: &str) -> Result<Term, Box<dyn Error>> {
    let candidate = Candidate {
        service: "report".parse()?,
        unit: unit.parse()?,
        nonce: tenure_runtime::fresh_nonce(),
    };
    loop {
        match block_on(claimer.claim(&candidate, LEASE))? {
            ClaimAnswer::Granted { term } => return Ok(term),
            ClaimAnswer::Denied { retry_after, .. } => {
                thread::sleep(retry_after.unwrap_or(LEASE));
            }
        }
    }
}

/// Something that knows nothing of Redis.
#[derive(Default)]
struct Archive {
    highest: Option<Term>,
    content: String,
}

impl Archive {
    fn write(&mut self, term: Term, content: &str) -> bool {
        let is_late = self.highest > Some(term);
        if !is_late {
            self.highest = Some(term);
            content.clone_into(&mut self.content);
        }
        !is_late
    }
}

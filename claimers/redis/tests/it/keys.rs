//! What is in the store, and what is made of it.

use std::error::Error;
use std::time::Duration;

use futures_lite::future;
use tenure_core::{Claimer, Term};
use tenure_redis::StoreError;

use crate::support::*;

type Outcome = Result<(), Box<dyn Error>>;

const LEASE: &str = "tenure:lease:{mysql}";
const FENCE: &str = "tenure:fence:{mysql}";

#[test]
fn the_keys_are_as_they_are_documented() -> Outcome {
    let server = fast();
    let claimer = open(server.address(), "");
    let first = candidate("mysql/0");
    let term = granted(&claimer, &first, LONG);
    let holder = format!("{} mysql/0", first.nonce);
    assert_eq!(cli(&server, &["GET", LEASE])?, holder);
    let left: u64 = cli(&server, &["PTTL", LEASE])?.parse()?;
    assert!(left <= 600_000, "{left}");
    let fence = cli(&server, &["HMGET", FENCE, "schema", "term", "longest_ms", "since_ms"])?;
    assert_eq!(fence, format!("1\n{term}\n600000\n0"));
    let until: u64 = cli(&server, &["HGET", FENCE, "until_ms"])?.parse()?;
    assert!(until > term.number() + 500_000, "{until}");
    assert_eq!(cli(&server, &["PTTL", FENCE])?, "-1");
    release(&claimer, &first);
    assert_eq!(cli(&server, &["KEYS", "*"])?, FENCE);
    assert_eq!(cli(&server, &["HGET", FENCE, "until_ms"])?, "0");
    // One that holds off marks the store.
    denied(&with_url(&format!("redis://{}", server.address())), &first, LONG);
    let marker = cli(&server, &["HMGET", "tenure:marker", "schema", "since_ms", FENCE])?;
    let since = cli(&server, &["HGET", FENCE, "marker_ms"])?;
    assert_eq!(marker, format!("1\n{since}\n1"));
    assert_eq!(cli(&server, &["PTTL", "tenure:marker"])?, "-1");
    Ok(())
}

#[test]
fn prefixes_and_databases_are_apart() -> Outcome {
    let server = fast();
    let address = server.address();
    for url in [
        format!("redis://{address}/?hold_off=unsafely-never"),
        format!("redis://{address}/0?hold_off=unsafely-never&prefix=jobs:"),
        format!("redis://{address}/3?hold_off=unsafely-never"),
    ] {
        granted(&with_url(&url), &candidate("mysql/0"), LONG);
    }
    denied(&open(address, ""), &candidate("mysql/1"), LONG);
    assert_eq!(cli(&server, &["-n", "3", "EXISTS", LEASE])?, "1");
    assert_eq!(cli(&server, &["EXISTS", "jobs:lease:{mysql}"])?, "1");
    Ok(())
}

#[test]
fn a_term_is_exact_where_a_double_is_not() -> Outcome {
    let server = fast();
    let claimer = open(server.address(), "");
    let first = candidate("mysql/0");
    let beyond: u64 = (1 << 53) + 1;
    for term in [beyond, i64::MAX as u64 - 2] {
        cli(&server, &["HSET", FENCE, "schema", "1", "term", &term.to_string()])?;
        assert_eq!(granted(&claimer, &first, LONG), Term::new(term + 1));
        assert_eq!(granted(&claimer, &first, LONG), Term::new(term + 1));
        let leader = future::block_on(claimer.leader(&service()))?.ok_or("it leads")?;
        assert_eq!(leader.term, Term::new(term + 1));
        release(&claimer, &first);
    }
    granted(&claimer, &first, LONG);
    release(&claimer, &first);
    let error = fatal(claim(&claimer, &first, LONG));
    assert!(matches!(error, StoreError::TermExhausted { .. }), "{error}");
    assert_eq!(future::block_on(claimer.leader(&service()))?, None);
    Ok(())
}

#[test]
fn terms_go_on_above_those_that_were_forgotten() -> Outcome {
    let server = fast();
    let claimer = open(server.address(), "");
    let mut last = granted(&claimer, &candidate("mysql/0"), LONG);
    for unit in ["mysql/1", "mysql/2", "mysql/3"] {
        cli(&server, &["FLUSHALL"])?;
        let term = granted(&claimer, &candidate(unit), LONG);
        assert!(term > last, "{term} after {last}");
        last = term;
    }
    Ok(())
}

#[test]
fn a_lease_is_rounded_up_and_one_that_is_too_long_is_refused() -> Outcome {
    let server = fast();
    let claimer = open(server.address(), "");
    let first = candidate("mysql/0");
    granted(&claimer, &first, Duration::ZERO);
    granted(&claimer, &first, Duration::from_micros(600_000_000 - 1));
    assert_eq!(cli(&server, &["HGET", FENCE, "longest_ms"])?, "600000");
    granted(&claimer, &first, Duration::from_millis(1 << 52));
    for lease in [Duration::from_millis((1 << 52) + 1), Duration::MAX] {
        let error = fatal(claim(&claimer, &first, lease));
        assert!(matches!(error, StoreError::LeaseTooLong { .. }), "{error}");
    }
    Ok(())
}

/// Sets the keys, and says what a claim and a look then fail with.
#[track_caller]
fn with_keys(commands: &[&[&str]]) -> [Option<StoreError>; 2] {
    let server = fast();
    let claimer = open(server.address(), "");
    for command in commands {
        cli(&server, command).unwrap();
    }
    let claimed = claim(&claimer, &candidate("mysql/0"), LONG);
    let looked = future::block_on(claimer.leader(&service()));
    [claimed.err().map(needs_operator), looked.err().map(needs_operator)]
}

#[test]
fn keys_of_somebody_else_are_refused() {
    for commands in [
        &[&["SET", LEASE, "something of theirs"][..]][..],
        &[&["HSET", LEASE, "something", "else"]],
        &[&["SET", FENCE, "something"]],
    ] {
        let [claimed, _] = with_keys(commands);
        let Some(StoreError::Foreign { key }) = claimed else {
            panic!("{commands:?}: {claimed:?}")
        };
        assert!(key.contains(LEASE), "{key}");
    }
}

#[test]
fn keys_that_make_no_sense_are_refused() {
    let holder = format!("{} mysql/9", candidate("mysql/9").nonce);
    let held = ["SET", LEASE, &holder, "PX", "100000"];
    let [claimed, looked] = with_keys(&[&["HSET", FENCE, "schema", "1", "term", "many"]]);
    assert!(matches!(claimed, Some(StoreError::Damaged { .. })), "{claimed:?}");
    assert!(looked.is_none(), "{looked:?}");
    // A lease whose fence somebody deleted runs out.
    let [claimed, looked] = with_keys(&[&held]);
    assert!(claimed.is_none() && looked.is_none(), "{claimed:?} {looked:?}");
    let fence = ["HSET", FENCE, "schema", "1", "term", "7"];
    let [claimed, looked] = with_keys(&[&fence, &["SET", LEASE, "nobody", "PX", "100000"]]);
    assert!(claimed.is_none(), "{claimed:?}");
    assert!(matches!(looked, Some(StoreError::Damaged { .. })), "{looked:?}");
}

#[test]
fn keys_of_a_later_version_are_refused() {
    let errors = with_keys(&[&["HSET", FENCE, "schema", "2", "term", "7"]]);
    for error in errors {
        let Some(StoreError::NewerSchema { found, known: 1, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(found, "2");
    }
}

#[test]
fn a_fence_that_was_deleted_under_a_leader_is_another_ones_after_its_lease() -> Outcome {
    let server = fast();
    let claimer = open(server.address(), "");
    let first = candidate("mysql/0");
    let term = granted(&claimer, &first, LONG);
    cli(&server, &["DEL", FENCE])?;
    let (leader, after) = denied(&claimer, &first, LONG);
    assert!(leader.is_none() && after > LONG / 2, "{after:?}");
    assert_eq!(future::block_on(claimer.leader(&service()))?, None);
    cli(&server, &["PEXPIRE", LEASE, "1"])?;
    assert!(granted_at_last(&claimer, &first, LONG) > term);
    Ok(())
}

#[test]
fn a_server_that_has_lost_its_scripts_is_given_them_again() -> Outcome {
    let server = fast();
    let claimer = open(server.address(), "");
    let first = candidate("mysql/0");
    let term = granted(&claimer, &first, LONG);
    cli(&server, &["SCRIPT", "FLUSH"])?;
    assert_eq!(granted(&claimer, &first, LONG), term);
    assert_eq!(calls(&server, "eval"), 2);
    Ok(())
}

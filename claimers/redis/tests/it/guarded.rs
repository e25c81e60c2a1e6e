//! Writes that are made only while a term stands.

use std::error::Error;
use std::thread;
use std::time::Duration;

use futures_lite::future;
use tenure_core::{Candidate, Term};
use tenure_redis::{Guarded, RedisClaimer, StoreError, Value};

use crate::support::*;

type Outcome = Result<(), Box<dyn Error>>;

fn write(claimer: &RedisClaimer, term: Term, what: &str) -> Guarded {
    let script = "redis.call('SET', KEYS[1], ARGV[1])\nreturn redis.call('GET', KEYS[1])";
    let arguments = [what.as_bytes()];
    future::block_on(claimer.guarded_eval(&service(), term, script, &["job"], &arguments)).unwrap()
}

fn done(what: &str) -> Guarded {
    Guarded::Done(Value::BulkString(what.into()))
}

#[test]
fn a_leader_that_slept_through_its_lease_writes_nothing() -> Outcome {
    let server = fast();
    let claimer = open(server.address(), "");
    let [first, second]: [Candidate; 2] = ["mysql/0", "mysql/1"].map(candidate);
    let old = granted(&claimer, &first, Duration::from_millis(100));
    // It is frozen here: its lease runs out, and another takes over.
    let new = granted_at_last(&claimer, &second, LONG);
    assert_eq!(write(&claimer, old, "late"), Guarded::Refused);
    assert_eq!(write(&claimer, new, "in time"), done("in time"));
    assert_eq!(cli(&server, &["GET", "job"])?, "in time");
    Ok(())
}

#[test]
fn a_term_ends_with_its_lease_though_nobody_has_taken_over() {
    let server = fast();
    let claimer = open(server.address(), "");
    let first = candidate("mysql/0");
    let term = granted(&claimer, &first, Duration::from_millis(50));
    thread::sleep(Duration::from_millis(100));
    assert_eq!(write(&claimer, term, "expired"), Guarded::Refused);
    let term = granted(&claimer, &first, LONG);
    assert_eq!(write(&claimer, term, "held"), done("held"));
    release(&claimer, &first);
    assert_eq!(write(&claimer, term, "released"), Guarded::Refused);
    assert_eq!(cli(&server, &["GET", "job"]).unwrap(), "held");
}

#[test]
fn a_server_that_forgot_the_lease_refuses() {
    let server = fast();
    let claimer = open(server.address(), "");
    let term = granted(&claimer, &candidate("mysql/0"), LONG);
    cli(&server, &["FLUSHALL"]).unwrap();
    assert_eq!(write(&claimer, term, "forgotten"), Guarded::Refused);
}

#[test]
fn a_script_is_as_one_by_itself() {
    let server = fast();
    let claimer = open(server.address(), "");
    let term = granted(&claimer, &candidate("mysql/0"), LONG);
    let eval = |script, keys: &[&str], arguments: &[&[u8]]| {
        future::block_on(claimer.guarded_eval(&service(), term, script, keys, arguments))
    };
    let counts = eval("return {#KEYS, #ARGV, KEYS[2], ARGV[1]}", &["a", "b"], &[b"x"]).unwrap();
    let text = |text: &str| Value::BulkString(text.into());
    let expected = vec![Value::Int(2), Value::Int(1), text("b"), text("x")];
    assert_eq!(counts, Guarded::Done(Value::Array(expected)));
    assert_eq!(eval("-- nothing", &[], &[]).unwrap(), Guarded::Done(Value::Nil));

    // What is wrong with it is no fault of the store's.
    cli(&server, &["SET", "text", "x"]).unwrap();
    for script in ["return redis.call('INCR', KEYS[1])", "return redis.call('LPUSH', KEYS[1], 1)"] {
        let error = unknown(eval(script, &["text"], &[]));
        assert!(matches!(error, StoreError::Server { .. }), "{error}");
    }
    let error = unknown(eval("this is no script", &[], &[]));
    assert!(error.to_string().contains("ompil"), "{error}");
}

//! The table: made on first use, and never somebody else's.

use std::thread;
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use tenure_core::{ClaimAnswer, Claimer, ClaimerError};
use tenure_postgres::{PostgresOptions, StoreError};

use crate::support::{Bench, LEASE, claim, denied, fatal, granted, leader, open, refused, unit};

#[test]
fn a_table_is_made_by_the_first_claim_and_by_no_look() {
    let bench = Bench::new();
    let claimer = bench.claimer();
    let exists = || bench.sql("SELECT to_regclass('{table}') IS NOT NULL");
    assert_eq!(leader(&claimer), None);
    block_on(claimer.released(&unit(0).service)).unwrap();
    block_on(claimer.release(&unit(0))).unwrap();
    assert_eq!(exists(), "f");
    granted(claim(&claimer, 0, LEASE));
    assert_eq!(exists(), "t");
    // The connection from before the table was there finds it, too.
    assert_eq!(leader(&claimer), Some(("mysql/0".to_owned(), 1)));
}

#[test]
fn many_may_make_it_at_once() {
    for _ in 0..5 {
        let bench = Bench::new();
        let answers: Vec<ClaimAnswer> = thread::scope(|scope| {
            let claims: Vec<_> = (0..8)
                .map(|number| {
                    let claimer = bench.claimer();
                    scope.spawn(move || claim(&claimer, number, LEASE).unwrap())
                })
                .collect();
            claims.into_iter().map(|claim| claim.join().unwrap()).collect()
        });
        let granted = |answer: &&ClaimAnswer| matches!(answer, ClaimAnswer::Granted { .. });
        assert_eq!(answers.iter().filter(granted).count(), 1, "{answers:?}");
    }
}

#[test]
fn the_first_claims_of_one_claimer_at_once_are_all_answered() {
    let mut bench = Bench::alone(&["max_connections=60"]);
    for round in 0..6 {
        bench.table = format!("lease_of_round_{round}");
        let claimer = bench.claimer();
        let answers: Vec<_> = thread::scope(|scope| {
            let claimer = &claimer;
            let claims: Vec<_> =
                (0..40).map(|number| scope.spawn(move || claim(claimer, number, LEASE))).collect();
            claims.into_iter().map(|claim| claim.join().unwrap()).collect()
        });
        // A server with much to do may be late; but it never says that there is no store.
        let is_refused = |answer: &&Result<_, ClaimerError>| {
            let Err(ClaimerError::Unknown(source) | ClaimerError::Fatal(source)) = answer else {
                return false;
            };
            source.downcast_ref().is_none_or(StoreError::needs_operator)
        };
        let failed: Vec<_> = answers.iter().filter(is_refused).collect();
        assert!(failed.is_empty(), "round {round}: {failed:?}");
        let granted = |answer: &&_| matches!(answer, Ok(ClaimAnswer::Granted { .. }));
        assert!(answers.iter().filter(granted).count() <= 1, "round {round}: {answers:?}");
    }
}

#[test]
fn a_look_from_before_the_table_was_made_does_not_say_that_it_was_dropped() {
    let bench = Bench::new();
    let claimer = bench.claimer();
    let early = unit(0);
    block_on(async {
        // It does nothing while it is not polled: it has asked whether there is a table, and reads
        // the answer later.
        let mut early = Box::pin(claimer.claim(&early, LEASE));
        while bench.asked() == 0 {
            assert!(poll_once(&mut early).await.is_none());
            async_io::Timer::after(Duration::from_millis(50)).await;
        }
        granted(claimer.claim(&unit(1), LEASE).await);
        denied(early.await);
    });
}

#[test]
fn what_was_made_by_hand_does_as_well_and_in_a_schema_of_its_own() {
    let mut bench = Bench::new();
    bench.sql("CREATE SCHEMA \"My {table}\"");
    bench.table = format!("My {}.Lease \"1\"", bench.table);
    let encoded = bench.table.replace(' ', "%20").replace('"', "%22");
    let url = bench.url("").replace(&bench.table, &encoded);
    bench.sql(&PostgresOptions::from_url(&url).unwrap().schema_sql());
    let claimer = open(&url);
    granted(claim(&claimer, 0, LEASE));
    block_on(claimer.check()).unwrap();
}

#[test]
fn who_may_make_none_uses_one_that_is_there() {
    let bench = Bench::new();
    bench.sql("CREATE ROLE {table}_user LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let url = bench.url("").replace("postgres@", &format!("{}_user@", bench.table));
    let claimer = open(&url);
    let may_not = |error: StoreError| {
        assert!(matches!(error, StoreError::Permission { .. }), "{error}");
        error.to_string()
    };
    let error = may_not(refused(claim(&claimer, 0, LEASE)));
    assert!(error.ends_with("permission denied for schema public"), "{error}");
    may_not(refused(block_on(claimer.check())));
    assert_eq!(leader(&claimer), None, "who only looks needs no table");

    block_on(bench.claimer().check()).unwrap();
    may_not(refused(block_on(claimer.leader(&unit(0).service))));
    bench.sql("GRANT SELECT ON {table} TO {table}_user");
    assert_eq!(leader(&claimer), None);
    may_not(refused(block_on(claimer.check())));
    bench.sql("GRANT INSERT ON {table} TO {table}_user");
    may_not(refused(block_on(claimer.check())));
    may_not(refused(claim(&claimer, 0, LEASE)));
    bench.sql("GRANT UPDATE ON {table} TO {table}_user");
    block_on(claimer.check()).unwrap();
    granted(claim(&claimer, 0, LEASE));
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let columns = "service text PRIMARY KEY, unit text, nonce bytea, term bigint, \
                   expires_at timestamptz, UNIQUE (service, term)";
    let comment = "COMMENT ON TABLE {table} IS 'Tenure''s leases, schema 1'";
    let cases = [
        (format!("CREATE TABLE {{table}} ({columns})"), "comment"),
        (format!("CREATE TABLE {{table}} ({columns}); {comment}x"), "comment"),
        (format!("CREATE UNLOGGED TABLE {{table}} ({columns}); {comment}"), "a crash empties it"),
        ("CREATE VIEW {table} AS SELECT 1".to_owned(), "it is not a plain table"),
        (
            format!("CREATE TABLE {{table}} ({}); {comment}", columns.replace("unit text, ", "")),
            "unit",
        ),
        (
            format!(
                "CREATE TABLE {{table}} ({}); {comment}",
                columns.replace("UNIQUE (service, term)", "UNIQUE (service, unit)")
            ),
            "lacks the key",
        ),
        (
            format!("CREATE TABLE {{table}} ({}); {comment}", columns.replace("PRIMARY KEY", "")),
            "lacks the key",
        ),
        (
            format!("CREATE TABLE {{table}} ({}); {comment}", columns.replace("bigint", "text")),
            "text",
        ),
    ];
    for (sql, reason) in cases {
        let bench = Bench::new();
        bench.sql(&sql.replace("schema 1'x", "schema 1x'"));
        let claimer = bench.claimer();
        for error in [refused(block_on(claimer.check())), refused(claim(&claimer, 0, LEASE))] {
            assert!(matches!(error, StoreError::NotOurs { .. }), "{error:?}");
            assert!(error.to_string().contains(reason), "{error}");
        }
        assert_eq!(
            bench.sql("SELECT count(*) FROM {table}"),
            if reason.contains("plain") { "1" } else { "0" }
        );
    }
}

#[test]
fn a_later_version_is_refused() {
    let bench = Bench::new();
    block_on(bench.claimer().check()).unwrap();
    bench.sql("COMMENT ON TABLE {table} IS 'Tenure''s leases, schema 2'");
    let error = fatal(claim(&bench.claimer(), 0, LEASE));
    assert!(matches!(error, StoreError::NewerSchema { found: 2, known: 1, .. }), "{error}");
}

#[test]
fn a_table_that_is_dropped_in_use_is_not_made_anew() {
    let bench = Bench::new();
    let claimer = bench.claimer();
    granted(claim(&claimer, 0, LEASE));
    bench.sql("DROP TABLE {table}");
    let error = refused(claim(&claimer, 1, LEASE));
    assert!(matches!(error, StoreError::Dropped { .. }), "{error}");
    let error = refused(block_on(claimer.leader(&unit(0).service)));
    assert!(matches!(error, StoreError::Dropped { .. }), "{error}");
    assert_eq!(bench.sql("SELECT to_regclass('{table}') IS NULL"), "t");
}

//! What a row means, and what becomes of it: no file, no clock.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tenure_core::{Candidate, Instant, ServiceName, Term};

use crate::host::Boot;

const NS_PER_MS: u64 = 1_000_000;

/// What the first term after a reboot skips.
///
/// With `synchronous=NORMAL` a crash of the host may lose the last commits. Their holders are dead,
/// but what they wrote to may have seen their terms. A checkpoint, which syncs, comes every
/// thousand pages or so, and a term costs at least one: this is far more than can be lost.
pub(crate) const TERMS_SKIPPED_AFTER_REBOOT: i64 = 1 << 20;

/// The lease of one service, as the store keeps it. It is never deleted: the term lives in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) unit: String,
    nonce: Vec<u8>,
    term: i64,
    boot: String,
    written_ms: i64,
    expires_ms: i64,
}

/// What becomes of a claim.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    Grant(Row),
    Deny {
        unit: String,
        remaining: Duration,
    },
    /// The term cannot rise any more.
    Exhausted,
}

/// Decides what a claim made at `now` gets, given what the store has.
pub(crate) fn decide(
    found: Option<&Row>,
    candidate: &Candidate,
    lease: Duration,
    now: Instant,
    boot: &Boot,
) -> Decision {
    let grant = |term, expires_ms| {
        Decision::Grant(Row {
            unit: candidate.unit.as_str().to_owned(),
            nonce: candidate.nonce.as_bytes().to_vec(),
            term,
            boot: boot.as_str().to_owned(),
            written_ms: floor_ms(now),
            expires_ms,
        })
    };
    let expires_ms = ceil_ms(now.saturating_add(lease));
    let Some(row) = found else { return grant(1, expires_ms) };
    let same_boot = row.is_of(boot, now);
    if same_boot && row.is_held_by(candidate) {
        return grant(row.term, expires_ms.max(row.expires_ms));
    }
    if let Some(remaining) = row.remaining(now, boot) {
        return Decision::Deny { unit: row.unit.clone(), remaining };
    }
    let rise = if same_boot { 1 } else { 1 + TERMS_SKIPPED_AFTER_REBOOT };
    match row.term.checked_add(rise) {
        Some(term) => grant(term, expires_ms),
        None => Decision::Exhausted,
    }
}

impl Row {
    /// The row of `service`, if it was ever claimed.
    pub(crate) fn read(
        connection: &Connection,
        service: &ServiceName,
    ) -> rusqlite::Result<Option<Row>> {
        let mut statement = connection.prepare_cached(
            "SELECT unit, nonce, term, boot, written_ms, expires_ms FROM lease WHERE service = ?1",
        )?;
        statement
            .query_row([service.as_str()], |row| {
                Ok(Row {
                    unit: row.get(0)?,
                    nonce: row.get(1)?,
                    term: row.get(2)?,
                    boot: row.get(3)?,
                    written_ms: row.get(4)?,
                    expires_ms: row.get(5)?,
                })
            })
            .optional()
    }

    /// Puts the row into the store, in place of the one that is there.
    pub(crate) fn write(
        &self,
        connection: &Connection,
        service: &ServiceName,
    ) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO lease (service, unit, nonce, term, boot, written_ms, expires_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (service) DO UPDATE SET
                 unit = excluded.unit, nonce = excluded.nonce, term = excluded.term,
                 boot = excluded.boot, written_ms = excluded.written_ms,
                 expires_ms = excluded.expires_ms",
        )?;
        statement.execute(params![
            service.as_str(),
            self.unit,
            self.nonce,
            self.term,
            self.boot,
            self.written_ms,
            self.expires_ms
        ])?;
        Ok(())
    }

    /// Frees the lease if it is `candidate`'s own, and says whether there was anything to free.
    pub(crate) fn free(connection: &Connection, candidate: &Candidate) -> rusqlite::Result<bool> {
        let mut statement = connection.prepare_cached(
            "UPDATE lease SET expires_ms = 0
             WHERE service = ?1 AND unit = ?2 AND nonce = ?3 AND expires_ms > 0",
        )?;
        let freed = statement.execute(params![
            candidate.service.as_str(),
            candidate.unit.as_str(),
            candidate.nonce.as_bytes()
        ])?;
        Ok(freed > 0)
    }

    /// How long the lease still lasts; `None` if it is free. Never zero.
    pub(crate) fn remaining(&self, now: Instant, boot: &Boot) -> Option<Duration> {
        let expires = u64::try_from(self.expires_ms).unwrap_or(0).saturating_mul(NS_PER_MS);
        let remaining = Instant::from_nanos(expires).saturating_duration_since(now);
        (self.is_of(boot, now) && !remaining.is_zero()).then_some(remaining)
    }

    pub(crate) fn term(&self) -> Term {
        Term::new(u64::try_from(self.term).unwrap_or(0))
    }

    fn is_held_by(&self, candidate: &Candidate) -> bool {
        self.unit == candidate.unit.as_str() && self.nonce == candidate.nonce.as_bytes()
    }

    fn is_of(&self, boot: &Boot, now: Instant) -> bool {
        self.boot == boot.as_str() && (boot.is_known() || self.written_ms <= floor_ms(now))
    }
}

fn floor_ms(instant: Instant) -> i64 {
    signed(instant.as_nanos() / NS_PER_MS)
}

/// Rounded up, so that a grant lasts at least as long as was asked.
fn ceil_ms(instant: Instant) -> i64 {
    signed(instant.as_nanos().div_ceil(NS_PER_MS))
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::Nonce;

    const LEASE: Duration = Duration::from_secs(20);

    fn candidate(unit: &str, nonce: u8) -> Candidate {
        Candidate {
            service: "mysql".parse().unwrap(),
            unit: unit.parse().unwrap(),
            nonce: Nonce::from_bytes([nonce; 16]),
        }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * NS_PER_MS)
    }

    fn boot(id: &str) -> Boot {
        Boot(id.into())
    }

    fn granted(found: Option<&Row>, candidate: &Candidate, now: Instant, boot: &Boot) -> Row {
        match decide(found, candidate, LEASE, now, boot) {
            Decision::Grant(row) => row,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_grant_is_rounded_so_that_it_lasts_at_least_as_long_as_asked() {
        let (mine, boot) = (candidate("mysql/0", 1), boot("a"));
        // One nanosecond into a millisecond: to count from its start would take some away.
        for nanos in [1, NS_PER_MS - 1, NS_PER_MS, NS_PER_MS + 1, 7 * NS_PER_MS + 123] {
            let now = Instant::from_nanos(nanos);
            let row = granted(None, &mine, now, &boot);
            let lasts = row.remaining(now, &boot).unwrap();
            assert!(lasts >= LEASE && lasts < LEASE + Duration::from_millis(1), "{lasts:?}");
            let last_ns =
                Instant::from_nanos(nanos).saturating_add(LEASE - Duration::from_nanos(1));
            let other = decide(Some(&row), &candidate("mysql/1", 2), LEASE, last_ns, &boot);
            assert!(matches!(other, Decision::Deny { .. }), "{other:?}");
        }
    }

    #[test]
    fn a_lease_is_given_away_at_the_very_instant_that_a_denial_named() {
        let (mine, other, boot) = (candidate("mysql/0", 1), candidate("mysql/1", 2), boot("a"));
        let row = granted(None, &mine, at(10), &boot);
        let asked = at(10).saturating_add(Duration::from_micros(1_234_567));
        let Decision::Deny { unit, remaining } = decide(Some(&row), &other, LEASE, asked, &boot)
        else {
            panic!("the lease is held");
        };
        assert_eq!(unit, "mysql/0");
        let due = asked.saturating_add(remaining);
        assert_eq!(due, at(20_010));
        assert_eq!(granted(Some(&row), &other, due, &boot).term, 2);
        assert_eq!(row.remaining(due, &boot), None);
    }

    #[test]
    fn a_renewal_never_shortens_and_keeps_its_term() {
        let (mine, boot) = (candidate("mysql/0", 1), boot("a"));
        let row = granted(None, &mine, at(10), &boot);
        let short = Duration::from_millis(1);
        let Decision::Grant(renewed) = decide(Some(&row), &mine, short, at(11), &boot) else {
            panic!("a holder renews");
        };
        assert_eq!((renewed.term, renewed.expires_ms), (1, 20_010));
        let later = granted(Some(&renewed), &mine, at(5_000), &boot);
        assert_eq!((later.term, later.expires_ms), (1, 25_000));
    }

    #[test]
    fn a_unit_with_another_nonce_is_another_holder() {
        let boot = boot("a");
        let row = granted(None, &candidate("mysql/0", 1), at(10), &boot);
        let twin = candidate("mysql/0", 2);
        let denied = decide(Some(&row), &twin, LEASE, at(11), &boot);
        assert!(matches!(denied, Decision::Deny { .. }), "{denied:?}");
        assert_eq!(granted(Some(&row), &twin, at(20_010), &boot).term, 2);
    }

    #[test]
    fn a_lease_of_another_boot_is_void_and_lost_terms_are_skipped() {
        let (mine, other) = (candidate("mysql/0", 1), candidate("mysql/1", 2));
        let row = granted(None, &mine, at(10), &boot("a"));
        assert_eq!(row.remaining(at(11), &boot("b")), None);
        let taken = granted(Some(&row), &other, at(11), &boot("b"));
        assert_eq!(taken.term, 2 + TERMS_SKIPPED_AFTER_REBOOT);
        // The old expiry is on a clock that is no more: it must not lengthen this lease.
        let again = granted(Some(&row), &mine, at(1), &boot("b"));
        assert_eq!((again.term, again.expires_ms), (2 + TERMS_SKIPPED_AFTER_REBOOT, 20_001));
    }

    #[test]
    fn without_boot_ids_a_clock_that_started_anew_tells_of_another_boot() {
        let (mine, other, none) = (candidate("mysql/0", 1), candidate("mysql/1", 2), boot(""));
        let row = granted(None, &mine, at(1_000), &none);
        let denied = decide(Some(&row), &other, LEASE, at(1_000), &none);
        assert!(matches!(denied, Decision::Deny { .. }), "{denied:?}");
        assert_eq!(row.remaining(at(999), &none), None);
        let known = boot("a");
        let row = granted(None, &mine, at(1_000), &known);
        assert!(row.remaining(at(999), &known).is_some(), "an id is believed, not the clock");
    }

    #[test]
    fn a_term_at_its_end_does_not_wrap() {
        let (mine, other, boot) = (candidate("mysql/0", 1), candidate("mysql/1", 2), boot("a"));
        let mut row = granted(None, &mine, at(10), &boot);
        row.term = i64::MAX - 1;
        assert_eq!(granted(Some(&row), &other, at(20_010), &boot).term, i64::MAX);
        row.term = i64::MAX;
        assert_eq!(decide(Some(&row), &other, LEASE, at(20_010), &boot), Decision::Exhausted);
        assert_eq!(granted(Some(&row), &mine, at(11), &boot).term, i64::MAX, "no new term needed");
        row.term = i64::MAX - 5;
        let rebooted = decide(Some(&row), &mine, LEASE, at(11), &Boot("b".into()));
        assert_eq!(rebooted, Decision::Exhausted);
    }

    #[test]
    fn a_lease_without_end_is_the_longest_that_can_be_written() {
        let (mine, boot) = (candidate("mysql/0", 1), boot("a"));
        let decision = decide(None, &mine, Duration::MAX, at(10), &boot);
        let Decision::Grant(row) = decision else { panic!("{decision:?}") };
        assert_eq!(row.expires_ms, i64::try_from(u64::MAX.div_ceil(NS_PER_MS)).unwrap());
        assert!(row.remaining(Instant::from_nanos(u64::MAX - 1), &boot).is_some());
    }
}

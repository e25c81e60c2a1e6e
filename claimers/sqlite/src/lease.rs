//! What a row means, and what becomes of it: no file, no clock.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tenure_core::{Candidate, Instant, ServiceName, Term};

use crate::host::Boot;

const NS_PER_MS: u64 = 1_000_000;

/// By how much a clock may seem to have gone back, from one processor to another, say, and still be
/// taken for the same. No reboot is that quick.
const BACKWARD_STEP_MAX_MS: i64 = 100;

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
    let grant = |term, expires| {
        Decision::Grant(Row {
            unit: candidate.unit.as_str().to_owned(),
            nonce: candidate.nonce.as_bytes().to_vec(),
            term,
            boot: boot.as_str().to_owned(),
            written_ms: floor_ms(now),
            expires_ms: ceil_ms(expires),
        })
    };
    let expires = now.saturating_add(lease);
    let Some(row) = found else { return grant(1, expires) };
    let remaining = row.remaining(now);
    // Of another boot, or only of a container on this one: terms may have been lost.
    let is_of_this_boot = row.boot == boot.as_str() && !row.is_ahead_of(now);
    let expires = match remaining {
        Some(remaining) if row.is_held_by(candidate) => expires.max(now.saturating_add(remaining)),
        Some(remaining) => return Decision::Deny { unit: row.unit.clone(), remaining },
        None => expires,
    };
    if is_of_this_boot && row.is_held_by(candidate) {
        return grant(row.term, expires);
    }
    let rise = if is_of_this_boot { 1 } else { 1 + TERMS_SKIPPED_AFTER_REBOOT };
    match row.term.checked_add(rise) {
        Some(term) => grant(term, expires),
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
    ///
    /// The clock decides, whatever the id of the boot says: a container may call the boot that it
    /// is in by a name of its own, and another boot may have the name of the one before. While the
    /// kernel runs its clock only goes forward, and every process has the same. So a row that was
    /// written later than now is of another boot, and its holder is dead. One that was not may be
    /// of this boot, and its lease lasts as it says. If it is of another boot after all, it is
    /// waited for in vain, but for no longer than the lease was.
    pub(crate) fn remaining(&self, now: Instant) -> Option<Duration> {
        if self.is_ahead_of(now) {
            return None;
        }
        let remaining = instant(self.expires_ms).saturating_duration_since(now);
        let remaining = remaining.min(self.length());
        (!remaining.is_zero()).then_some(remaining)
    }

    /// Whether the row was written later than now: before the clock started anew.
    fn is_ahead_of(&self, now: Instant) -> bool {
        self.written_ms.saturating_sub(floor_ms(now)) > BACKWARD_STEP_MAX_MS
    }

    /// How long the lease was when it was written. No lease ever lasts longer from now on.
    fn length(&self) -> Duration {
        instant(self.expires_ms).saturating_duration_since(instant(self.written_ms))
    }

    pub(crate) fn term(&self) -> Term {
        Term::new(u64::try_from(self.term).unwrap_or(0))
    }

    fn is_held_by(&self, candidate: &Candidate) -> bool {
        self.unit == candidate.unit.as_str() && self.nonce == candidate.nonce.as_bytes()
    }
}

fn floor_ms(instant: Instant) -> i64 {
    signed(instant.as_nanos() / NS_PER_MS)
}

/// Rounded up, so that a grant lasts at least as long as was asked.
fn ceil_ms(instant: Instant) -> i64 {
    signed(instant.as_nanos().div_ceil(NS_PER_MS))
}

fn instant(ms: i64) -> Instant {
    Instant::from_nanos(u64::try_from(ms).unwrap_or(0).saturating_mul(NS_PER_MS))
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
            let lasts = row.remaining(now).unwrap();
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
        assert_eq!(row.remaining(due), None);
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

    /// What becomes of a claim on a row that was written at 10 s, by somebody else's and by ours.
    fn at_another_boot(id: &str, now_ms: u64) -> [Decision; 2] {
        let (mine, other) = (candidate("mysql/0", 1), candidate("mysql/1", 2));
        let row = granted(None, &mine, at(10_000), &boot("a"));
        [&other, &mine].map(|who| decide(Some(&row), who, LEASE, at(now_ms), &boot(id)))
    }

    #[test]
    fn the_clock_tells_of_another_boot_whatever_the_id_says() {
        const SKIPPED: i64 = 2 + TERMS_SKIPPED_AFTER_REBOOT;
        for id in ["a", "b"] {
            // The clock started anew: the old expiry must not lengthen this lease.
            for decision in at_another_boot(id, 9_899) {
                let Decision::Grant(row) = decision else { panic!("{decision:?}") };
                assert_eq!((row.term, row.expires_ms), (SKIPPED, 29_899));
            }
            for (now_ms, expected_ms) in [(9_900, 20_000), (10_000, 20_000), (29_999, 1)] {
                let [other, mine] = at_another_boot(id, now_ms);
                let Decision::Deny { remaining, .. } = other else { panic!("{other:?}") };
                assert_eq!(remaining, Duration::from_millis(expected_ms));
                let Decision::Grant(row) = mine else { panic!("{mine:?}") };
                assert_eq!(row.term, if id == "a" { 1 } else { SKIPPED });
            }
            let [other, _] = at_another_boot(id, 30_000);
            let Decision::Grant(row) = other else { panic!("{other:?}") };
            assert_eq!(row.term, if id == "a" { 2 } else { SKIPPED });
        }
    }

    #[test]
    fn a_renewal_under_another_boot_id_does_not_shorten() {
        let mine = candidate("mysql/0", 1);
        let row = granted(None, &mine, at(10_000), &boot("a"));
        let short = decide(Some(&row), &mine, Duration::from_millis(1), at(10_001), &boot("b"));
        let Decision::Grant(row) = short else { panic!("{short:?}") };
        assert_eq!(row.expires_ms, 30_000);
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
        assert!(row.remaining(Instant::from_nanos(u64::MAX - 1)).is_some());
    }
}

//! What is asked of the server: texts only, no connection.
//!
//! Each is one message of the simple protocol, and so one round trip and one transaction, which
//! brings its own settings with it. Nothing rests on what an earlier message has left behind in a
//! session, so that a pooler may hand each of them to another.

use std::time::Duration;

use tenure_core::{Candidate, ServiceName};

use crate::table::TableName;

/// What the table's comment starts with; the schema version follows.
pub(crate) const COMMENT: &str = "Tenure's leases, schema ";
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// The longest lease: later, the calendar of the server ends (in the year 294276).
pub(crate) const LEASE_MAX: Duration = Duration::from_secs(100_000 * 365 * 24 * 3600);

/// What a lease's own (unit, nonce) is recognised by, while another claims.
const OURS: &str = "held.unit = claimed.unit AND held.nonce = claimed.nonce";

/// What is told of a release: which table's, what term, and of which service. Of a grant it is
/// told besides for how many microseconds.
const NOTICE: &str = "concat_ws(' ', tableoid, term, service)";

/// What is left of a lease, in microseconds.
const REMAINING_US: &str =
    "ceil(extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint";

/// Whether those who wait are told of a change, in the transaction that makes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Telling {
    Waiters,
    Nobody,
}

/// The statements about one table.
#[derive(Clone, Debug)]
pub(crate) struct Statements {
    /// In quotes.
    table: String,
}

impl Statements {
    pub(crate) fn new(table: &TableName) -> Statements {
        Statements { table: table.quoted() }
    }

    /// Claims, and tells those who wait how long they have to. A grant gives a row `granted`; then
    /// comes the row of whoever holds the lease.
    ///
    /// A service that has no row gets one first, which the claim then renews: unless another was
    /// quicker. Who takes over and had to wait for another claim goes by the row, and by the clock,
    /// as they are after the wait. A renewal leaves the term as it is, so it waits
    /// for no guard. Where somebody else's lease lasts, nothing is locked, and nothing is written
    /// that would have to reach a disk.
    pub(crate) fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
        left: Duration,
        telling: Telling,
    ) -> String {
        let Statements { table } = self;
        let Candidate { service, unit, nonce } = candidate;
        let told = match telling {
            Telling::Waiters => {
                notify(service, &format!("concat_ws(' ', {NOTICE}, {REMAINING_US})"))
            }
            Telling::Nobody => "NULL".to_owned(),
        };
        let (service, unit) = (service.as_str(), unit.as_str());
        let claimed = format!("'{service}', '{unit}', decode('{nonce}', 'hex')");
        let until = format!("clock_timestamp() + {}", interval(lease));
        let look = self.row(&candidate.service);
        let settings = settings(left);
        format!(
            "{settings}INSERT INTO {table} (service, unit, nonce, term, expires_at) \
             SELECT {claimed}, 1, {until} \
             WHERE NOT EXISTS (SELECT FROM {table} WHERE service = '{service}') \
             ON CONFLICT DO NOTHING; \
             WITH granted AS (UPDATE {table} AS held SET \
             unit = claimed.unit, nonce = claimed.nonce, \
             term = held.term + CASE WHEN {OURS} THEN 0 ELSE 1 END, \
             expires_at = CASE WHEN {OURS} THEN greatest(held.expires_at, {until}) \
             ELSE {until} END \
             FROM (VALUES ({claimed})) AS claimed (service, unit, nonce) \
             WHERE held.service = claimed.service \
             AND (({OURS}) OR held.expires_at <= clock_timestamp()) \
             RETURNING held.tableoid, held.term, held.service, held.expires_at) \
             SELECT term AS granted, {told} AS told FROM granted; {look}"
        )
    }

    /// Frees the candidate's own lease, and tells those who wait.
    pub(crate) fn release(
        &self,
        candidate: &Candidate,
        left: Duration,
        telling: Telling,
    ) -> String {
        let Statements { table } = self;
        let Candidate { service, unit, nonce } = candidate;
        let told = match telling {
            Telling::Waiters => notify(service, NOTICE),
            Telling::Nobody => "NULL".to_owned(),
        };
        let (service, unit) = (service.as_str(), unit.as_str());
        let settings = settings(left);
        format!(
            "{settings}WITH freed AS (UPDATE {table} SET expires_at = 'epoch' \
             WHERE service = '{service}' AND unit = '{unit}' AND nonce = decode('{nonce}', 'hex') \
             AND expires_at > 'epoch' RETURNING tableoid, term, service) \
             SELECT {told} AS told FROM freed"
        )
    }

    /// Reads who holds the lease, and for how long still.
    pub(crate) fn look(&self, service: &ServiceName, left: Duration) -> String {
        format!("{}{}", settings(left), self.row(service))
    }

    /// What is to be known of a server before anything else is asked of it.
    ///
    /// Names are looked up as they are at that moment, but rows are read as they were when the
    /// statement began. So a table is there only if its row is: one that is made meanwhile has a
    /// name already, and nothing else yet.
    pub(crate) fn greeting(&self, left: Duration) -> String {
        let table = literal(&self.table);
        let settings = settings(left);
        format!(
            "{settings}SELECT pg_is_in_recovery() AS in_recovery, \
             current_setting('server_version_num') AS version, \
             current_setting('fsync') AS fsync, \
             current_setting('transaction_read_only') AS read_only, \
             kind.oid IS NOT NULL AS exists, kind.relkind AS kind, \
             kind.relpersistence AS persistence, \
             obj_description(found.oid, 'pg_class') AS comment, \
             ARRAY(SELECT (SELECT string_agg(attname::text, ', ' ORDER BY attname) \
             FROM pg_catalog.pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey)) \
             FROM pg_catalog.pg_index WHERE indrelid = found.oid \
             AND indisunique AND indimmediate AND indisvalid AND indpred IS NULL \
             AND indexprs IS NULL AND indnatts = indnkeyatts) \
             @> ARRAY['service', 'service, term'] AS keyed \
             FROM (SELECT to_regclass({table})::oid) AS found(oid) \
             LEFT JOIN pg_catalog.pg_class AS kind ON kind.oid = found.oid"
        )
    }

    /// Makes the table. Fails, and changes nothing, if it is there: whoever else made it meanwhile
    /// is waited for.
    pub(crate) fn create(&self, left: Duration) -> String {
        format!("{}{}", settings(left), self.schema())
    }

    /// What makes the table.
    pub(crate) fn schema(&self) -> String {
        let Statements { table } = self;
        // What a renewal changes is in no index, so that the server can change the row in its
        // place. Because of the second key, whoever changes the term waits for guards.
        format!(
            "CREATE TABLE {table} (\n    \
             service text PRIMARY KEY,\n    \
             unit text NOT NULL,\n    \
             nonce bytea NOT NULL CHECK (length(nonce) = 16),\n    \
             term bigint NOT NULL CHECK (term > 0),\n    \
             expires_at timestamptz NOT NULL,\n    \
             UNIQUE (service, term)\n\
             );\n\
             COMMENT ON TABLE {table} IS {};\n",
            literal(&format!("{COMMENT}{SCHEMA_VERSION}"))
        )
    }

    /// Whether all may be done that a claimer does, and the columns are there.
    pub(crate) fn rehearsal(&self, left: Duration) -> String {
        let table = &self.table;
        let settings = settings(left);
        format!(
            "{settings}SELECT service, unit, nonce, term, expires_at FROM {table} LIMIT 0; \
             UPDATE {table} SET unit = unit || '', nonce = nonce || ''::bytea, \
             term = term + 1, expires_at = expires_at + interval '1 second' WHERE false; \
             INSERT INTO {table} (service, unit, nonce, term, expires_at) \
             SELECT '', '', ''::bytea, 1::bigint, clock_timestamp() WHERE false \
             ON CONFLICT (service) DO NOTHING"
        )
    }

    /// As [`PostgresClaimer::guard_sql`](crate::PostgresClaimer::guard_sql) has it.
    pub(crate) fn guard(&self) -> String {
        format!("SELECT 1 FROM {} WHERE service = $1 AND term = $2 FOR KEY SHARE", self.table)
    }

    fn row(&self, service: &ServiceName) -> String {
        format!(
            "SELECT unit, term, tableoid, {REMAINING_US} AS remaining_us \
             FROM {} WHERE service = '{}'",
            self.table,
            service.as_str()
        )
    }
}

/// Notifies those who listen to `service` of `payload`.
fn notify(service: &ServiceName, payload: &str) -> String {
    format!("pg_notify('{}', {payload})", channel(service))
}

/// Has the session told when `service` is granted, renewed or released.
pub(crate) fn listen(service: &ServiceName) -> String {
    format!("LISTEN \"{}\"", channel(service))
}

/// Has the session told nothing more.
pub(crate) const UNLISTEN: &str = "UNLISTEN *; ";

/// The channel of a service. Some long names have one in common: who waits looks anyway.
fn channel(service: &ServiceName) -> String {
    // Longer names of channels are refused. All that is in a service's name is ASCII.
    format!("tenure:{:.56}", service.as_str())
}

/// What holds for one message: its isolation, time limits, and that its commit is on disk, and
/// with the standbys if there are any to wait for, before it is told.
///
/// The limits end before `left` does, so that what a client has given up does not stay behind in
/// the server, waiting for a lock.
fn settings(left: Duration) -> String {
    let statement_ms = millis(left * 9 / 10);
    let lock_ms = millis(left * 8 / 10);
    format!(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET LOCAL statement_timeout = {statement_ms}; SET LOCAL lock_timeout = {lock_ms}; \
         SET LOCAL client_min_messages = warning; \
         SELECT set_config('synchronous_commit', \
         CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on' \
         ELSE current_setting('synchronous_commit') END, true) AS setting; "
    )
}

/// Zero would be no limit at all.
fn millis(span: Duration) -> u128 {
    span.as_millis().clamp(1, i32::MAX as u128)
}

/// Rounded up to the microsecond, so that a grant lasts at least as long as was asked.
///
/// In hours and smaller: days would be the calendar's, which are 23 and 25 hours long in some
/// time zones.
fn interval(span: Duration) -> String {
    let micros = span.as_nanos().div_ceil(1_000);
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, seconds) = (seconds / 3_600, seconds % 3_600);
    format!("interval '{hours} hours {seconds} seconds {micros} microseconds'")
}

/// A text as SQL has it, whether or not the server takes backslashes for something special.
fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''").replace('\\', "\\\\");
    let mark = if text.contains('\\') { " E" } else { "" };
    format!("{mark}'{quoted}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_rounded_up_to_the_microsecond() {
        let of = |nanos| interval(Duration::from_nanos(nanos));
        assert_eq!(of(1), "interval '0 hours 0 seconds 1 microseconds'");
        assert_eq!(of(1_000), "interval '0 hours 0 seconds 1 microseconds'");
        assert_eq!(of(3_601_000_000_001), "interval '1 hours 1 seconds 1 microseconds'");
    }

    #[test]
    fn limits_are_below_what_is_left_and_never_nothing() {
        let settings_of = |left| settings(left);
        let second = settings_of(Duration::from_secs(1));
        assert!(second.contains("statement_timeout = 900;"), "{second}");
        assert!(second.contains("lock_timeout = 800;"), "{second}");
        let none = settings_of(Duration::ZERO);
        assert!(none.contains("statement_timeout = 1; "), "{none}");
        let ages = settings_of(Duration::from_secs(1 << 40));
        assert!(ages.contains("statement_timeout = 2147483647; "), "{ages}");
    }

    #[test]
    fn channels_are_short_enough_for_the_server() {
        let long: ServiceName = "x".repeat(ServiceName::MAX_LEN).parse().unwrap();
        assert_eq!(channel(&long).len(), 63);
        assert_eq!(channel(&"mysql".parse().unwrap()), "tenure:mysql");
    }

    #[test]
    fn texts_stay_in_their_quotes() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), " E'a\\\\''b'");
    }
}

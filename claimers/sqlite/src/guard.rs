/// A query that gives a row as long as a term stands.
///
/// Its parameters are the service (`?1`, a text) and the term (`?2`, an integer). `schema` is what
/// the store goes by on the connection that asks: `main` if it has opened the store itself, and
/// otherwise the name that the store was attached under.
///
/// Made in the same transaction as a leader's own writes, it makes these impossible for one whose
/// term is over: it finds no row then. That transaction begins with `BEGIN IMMEDIATE`, which locks
/// every file that is attached. Without that, another could take over between the look and the
/// commit, and write before it. While it lasts nobody claims, renews or releases, so keep it much
/// shorter than the [busy timeout](crate::SqliteOptions::busy_timeout). `examples/guarded.rs` shows
/// it.
///
/// A program's own tables may be in the store's file, or in one of their own that the store is
/// attached to. Open the store's file with the same SQLite that this crate has (`rusqlite`'s
/// `bundled`): two of them in one process undo each other's locks.
///
/// ```
/// assert_eq!(
///     tenure_sqlite::guard_sql("leases"),
///     "SELECT 1 FROM \"leases\".lease WHERE service = ?1 AND term = ?2"
/// );
/// ```
pub fn guard_sql(schema: &str) -> String {
    let schema = schema.replace('"', "\"\"");
    format!("SELECT 1 FROM \"{schema}\".lease WHERE service = ?1 AND term = ?2")
}

use redis::Value;

use crate::error::StoreError;

/// What a server says of itself when it is connected to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Facts {
    /// The id of its run, which is another after each restart.
    pub(crate) run: String,
    /// When that began, or at the latest when it took over from another server, by its own clock:
    /// milliseconds since 1970, rather too late than too early.
    pub(crate) started_ms: u64,
    /// Whether it remembers each grant, whatever happens to it.
    pub(crate) is_durable: bool,
    /// How it drops keys to get memory, if it does.
    pub(crate) eviction: Option<String>,
}

impl Facts {
    /// Reads the replies to `INFO`, to `CONFIG GET *append*`, and to `TIME`.
    ///
    /// # Errors
    ///
    /// If it is no server to keep leases on.
    pub(crate) fn read(info: &str, config: &Value, time: &Value) -> Result<Facts, StoreError> {
        let field = |name: &str| {
            let value =
                |line: &'_ str| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned);
            info.lines().find_map(value).unwrap_or_default()
        };
        // Valkey calls it so from some version on.
        if [field("redis_mode"), field("server_mode")].contains(&"sentinel".to_owned()) {
            return Err(StoreError::Sentinel);
        }
        if field("cluster_enabled") == "1" {
            return Err(StoreError::Cluster);
        }
        if field("loading") == "1" {
            return Err(StoreError::Loading);
        }
        if field("role") == "slave" {
            return Err(StoreError::Replica);
        }
        let (run, uptime) = (field("run_id"), field("uptime_in_seconds").parse::<u64>());
        let (Ok(uptime), Some(now)) = (uptime, seconds(time)) else {
            return Err(StoreError::NotRedis);
        };
        // It gives up its memory only where it has a limit.
        let evicts = !["", "0"].contains(&field("maxmemory").as_str())
            && field("maxmemory_policy") != "noeviction";
        // One that was a replica has what had come over by then.
        let was_replica = field("master_replid2").contains(|digit| digit != '0');
        let started = if was_replica { now } else { now.saturating_sub(uptime) };
        Ok(Facts {
            run,
            // Both are cut to whole seconds.
            started_ms: started.saturating_add(1).saturating_mul(1_000),
            is_durable: syncs_always(config) && !was_replica,
            eviction: evicts.then(|| field("maxmemory_policy")),
        })
    }
}

/// The server's time, in whole seconds since 1970.
fn seconds(time: &Value) -> Option<u64> {
    let [seconds, _] = time.as_sequence()? else { return None };
    text(seconds)?.parse().ok()
}

/// Whether every command is on the disk before its answer. One that does not tell may forget.
fn syncs_always(config: &Value) -> bool {
    let Some(config) = config.as_sequence() else { return false };
    let is = |name: &str, wanted: &str| {
        config.chunks_exact(2).any(|pair| {
            text(&pair[0]).as_deref() == Some(name) && text(&pair[1]).as_deref() == Some(wanted)
        })
    };
    let always = is("appendonly", "yes") && is("appendfsync", "always");
    always && is("no-appendfsync-on-rewrite", "no")
}

/// A text that a server has sent.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_mode:standalone\r\nrun_id:ab12\r\nuptime_in_seconds:5\r\n\
        loading:0\r\nrole:master\r\nmaster_replid2:0000\r\nmaxmemory:0\r\n\
        maxmemory_policy:noeviction\r\ncluster_enabled:0\r\n";

    fn list(texts: &[&str]) -> Value {
        Value::Array(texts.iter().map(|text| Value::BulkString(text.as_bytes().into())).collect())
    }

    fn read(changes: &[(&str, &str)], config: &[&str]) -> Result<Facts, StoreError> {
        let mut info = INFO.to_owned();
        for (from, to) in changes {
            assert!(info.contains(from), "{from}");
            info = info.replace(from, to);
        }
        Facts::read(&info, &list(config), &list(&["100", "999999"]))
    }

    #[test]
    fn a_server_that_is_alone_will_do() {
        let at_rewrites = ["no-appendfsync-on-rewrite", "no"];
        let durable = [&["appendonly", "yes", "appendfsync", "always"][..], &at_rewrites].concat();
        let facts = read(&[], &durable).unwrap();
        let expected =
            Facts { run: "ab12".into(), started_ms: 96_000, is_durable: true, eviction: None };
        assert_eq!(facts, expected);
        // What came last may not have come over before it took over, which may have been just now.
        let promoted = read(&[("master_replid2:0000", "master_replid2:00a0")], &durable).unwrap();
        assert_eq!((promoted.is_durable, promoted.started_ms), (false, 101_000));
        for (setting, other) in [(1, "no"), (3, "everysec"), (5, "yes")] {
            let mut config = durable.clone();
            config[setting] = other;
            assert!(!read(&[], &config).unwrap().is_durable, "{config:?}");
        }
        assert!(!read(&[], &[]).unwrap().is_durable);
    }

    #[test]
    fn a_server_that_will_not_do_is_refused_as_what_it_is() {
        let refusal = |from, to| read(&[(from, to)], &[]).unwrap_err();
        assert!(matches!(refusal("standalone", "sentinel"), StoreError::Sentinel));
        let valkey = refusal("redis_mode:standalone", "server_mode:sentinel");
        assert!(matches!(valkey, StoreError::Sentinel));
        assert!(matches!(refusal("enabled:0", "enabled:1"), StoreError::Cluster));
        assert!(matches!(refusal("loading:0", "loading:1"), StoreError::Loading));
        assert!(matches!(refusal("role:master", "role:slave"), StoreError::Replica));
        assert!(matches!(refusal("uptime", "downtime"), StoreError::NotRedis));
    }

    #[test]
    fn a_server_drops_keys_only_where_it_has_a_limit() {
        let policy = ("noeviction", "allkeys-lru");
        assert_eq!(read(&[policy], &[]).unwrap().eviction, None);
        let facts = read(&[policy, ("maxmemory:0", "maxmemory:1")], &[]).unwrap();
        assert_eq!(facts.eviction.as_deref(), Some("allkeys-lru"));
    }
}

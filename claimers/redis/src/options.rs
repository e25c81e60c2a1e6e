use std::time::Duration;

use tenure_net::{Endpoint, Endpoints, Idle, Secret, StoreUrl, Tls, TlsOptions, UrlError};

use crate::claimer::RedisClaimer;
use crate::scripts::Scripts;
use crate::session::Login;
use crate::store::{IDLE_MAX, Store};

/// How a [`RedisClaimer`] reaches its store.
///
/// ```
/// use std::time::Duration;
/// use tenure_redis::RedisOptions;
///
/// let options = RedisOptions::from_url("redis://tenure:secret@one,two:6380/0")?
///     .time_limit(Duration::from_secs(2))
///     .prefix("jobs:");
/// assert!(!format!("{options:?}").contains("secret"));
/// let claimer = options.open();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `open`"]
pub struct RedisOptions {
    endpoints: Vec<Endpoint>,
    login: Login,
    tls: Option<TlsOptions>,
    prefix: String,
    hold_off: HoldOff,
    time_limit: Duration,
    heartbeat: Duration,
}

/// When nobody is granted a lease, unless it is a renewal, for one lease after the server may have
/// forgotten some.
///
/// That a store is new, or was wiped, counts as well, unless this is
/// [`UnsafelyNever`](HoldOff::UnsafelyNever).
///
/// A server that is killed forgets its last second or two, or everything, and with that who leads.
/// Whoever it had granted a lease still believes in it. So a lease must pass before anybody else
/// is granted one: the longest that was ever granted of the service, as far as the server knows.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum HoldOff {
    /// After each restart, whatever the server is set to.
    Always,
    /// After a restart of a server that does not sync every command to its disk before it answers
    /// (`appendonly yes`, `appendfsync always`, `no-appendfsync-on-rewrite no`), that does not let
    /// us see its settings (`CONFIG GET`), or that was the replica of another.
    #[default]
    WhenForgetful,
    /// Never. **After a restart there may be two leaders**, unless the server forgets nothing, and
    /// after a wipe in any case. For tests, to show just that.
    UnsafelyNever,
}

/// What a URL's query may have in it.
const URL_OPTIONS: &[&str] =
    &["authority", "certificate", "heartbeat", "hold_off", "key", "prefix", "time_limit"];

impl RedisOptions {
    /// The port of a server that is named without one.
    pub const DEFAULT_PORT: u16 = 6379;

    /// The default of [`prefix`](RedisOptions::prefix).
    pub const DEFAULT_PREFIX: &str = "tenure:";

    /// The default of [`time_limit`](RedisOptions::time_limit).
    pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(5);

    /// The default of [`heartbeat`](RedisOptions::heartbeat).
    pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(30);

    /// A store on these servers, one of which takes writes. The others are its replicas.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> RedisOptions {
        RedisOptions {
            endpoints: endpoints.into_iter().collect(),
            login: Login::default(),
            tls: None,
            prefix: RedisOptions::DEFAULT_PREFIX.to_owned(),
            hold_off: HoldOff::default(),
            time_limit: RedisOptions::DEFAULT_TIME_LIMIT,
            heartbeat: RedisOptions::DEFAULT_HEARTBEAT,
        }
    }

    /// Reads `redis://user:password@host:port,host:port/database?option=value&option=value`;
    /// `valkey://` is the same, and `rediss://` and `valkeys://` mean TLS.
    ///
    /// Whatever may be left out is as [`new`](RedisOptions::new) has it. The database is a number.
    /// What may be encoded, and what is refused, is as [`StoreUrl`] says. The options:
    ///
    /// | option | what |
    /// | --- | --- |
    /// | `prefix` | [`prefix`](RedisOptions::prefix) |
    /// | `hold_off` | `always`, `when-forgetful` or `unsafely-never`: [`HoldOff`] |
    /// | `time_limit` | [`time_limit`](RedisOptions::time_limit), in seconds; `0.5`, say |
    /// | `heartbeat` | [`heartbeat`](RedisOptions::heartbeat), in seconds |
    /// | `authority` | with TLS: a file with the authorities to trust, not the system's (PEM) |
    /// | `certificate`, `key` | with TLS: the files of our own certificate and its key (PEM) |
    ///
    /// # Errors
    ///
    /// What is wrong with the URL. A password is never shown.
    ///
    /// ```
    /// use tenure_redis::RedisOptions;
    ///
    /// let error = RedisOptions::from_url("redis://cache/zero").unwrap_err();
    /// assert_eq!(error.to_string(), "the URL's path: \"zero\" is not the number of a database");
    /// ```
    pub fn from_url(url: &str) -> Result<RedisOptions, UrlError> {
        let url = StoreUrl::parse(url, RedisOptions::DEFAULT_PORT)?;
        let is_secure = match url.scheme.as_str() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            scheme => {
                let reason = format!("{scheme:?} is none of redis, rediss, valkey, valkeys");
                return Err(refused("scheme", reason));
            }
        };
        let mut options = RedisOptions::new(url.endpoints.clone());
        if !url.path.is_empty() {
            let reason = || format!("{:?} is not the number of a database", url.path);
            options.login.database = url.path.parse().map_err(|_| refused("path", reason()))?;
        }
        if url.user.is_some() && url.password.is_none() {
            return Err(refused("user", "there is no password with it".to_owned()));
        }
        options.login.user = url.user.clone();
        options.login.password = url.password.clone();
        let mut files = UrlFiles::default();
        url.each_option(URL_OPTIONS, |option, value| {
            let refuse = |reason: String| refused(option, reason);
            match option {
                "prefix" => value.clone_into(&mut options.prefix),
                "hold_off" => options.hold_off = hold_off(value).map_err(refuse)?,
                "time_limit" => options.time_limit = seconds(value).map_err(refuse)?,
                "heartbeat" => options.heartbeat = seconds(value).map_err(refuse)?,
                _ if !is_secure => {
                    return Err(refuse("it is of no use without TLS: rediss://".to_owned()));
                }
                "authority" => files.authority = Some(value.to_owned()),
                "certificate" => files.certificate = Some(value.to_owned()),
                _ => files.key = Some(value.to_owned()),
            }
            Ok(())
        })?;
        if is_secure {
            options.tls = Some(files.options()?);
        }
        Ok(options)
    }

    /// Who to be, by the server's access control list, and the proof of it. Without a user, it is
    /// the default user, whose password is set by `requirepass`.
    pub fn credentials(
        mut self,
        user: Option<impl Into<String>>,
        password: impl Into<String>,
    ) -> RedisOptions {
        self.login.user = user.map(Into::into);
        self.login.password = Some(Secret::new(password));
        self
    }

    /// Which database the keys are in. Number 0, unless set.
    pub fn database(mut self, database: u32) -> RedisOptions {
        self.login.database = database;
        self
    }

    /// When to wait for a lease because the server may have forgotten some.
    pub fn hold_off(self, hold_off: HoldOff) -> RedisOptions {
        RedisOptions { hold_off, ..self }
    }

    /// What the names of all keys and channels begin with. `tenure:`, unless set.
    ///
    /// All the candidates of a service need the same one, and the same database.
    pub fn prefix(self, prefix: impl Into<String>) -> RedisOptions {
        RedisOptions { prefix: prefix.into(), ..self }
    }

    /// Speaks TLS, and to nobody whose certificate is not good for the host that was named. Unless
    /// set, nothing is encrypted.
    pub fn tls(self, tls: TlsOptions) -> RedisOptions {
        RedisOptions { tls: Some(tls), ..self }
    }

    /// How long a call may take, before it is
    /// [`Unknown`](tenure_core::ClaimerError::Unknown). Five seconds, unless set. For
    /// [`released`](tenure_core::Claimer::released) it is the limit of each question that it asks,
    /// not of its wait.
    ///
    /// More than the runtimes' `claim_timeout` is of no use: by then they have given the claim up.
    pub fn time_limit(self, time_limit: Duration) -> RedisOptions {
        RedisOptions { time_limit, ..self }
    }

    /// How often one who waits looks at the store, though nobody told it anything. Thirty seconds,
    /// unless set; once in a millisecond at most.
    ///
    /// One who waits is told of each renewal and release, and looks when the lease is over, so a
    /// heartbeat that is longer than the lease never comes. It is for what nobody tells of: a
    /// connection that has died without a sign, a machine that was suspended.
    pub fn heartbeat(self, heartbeat: Duration) -> RedisOptions {
        RedisOptions { heartbeat, ..self }
    }

    /// A claimer on this store. The server need not be there yet.
    ///
    /// # Blocking
    ///
    /// With TLS, on reading the certificates that were named, or the system's. If that fails, each
    /// call says so until it succeeds. Otherwise there is no I/O.
    pub fn open(self) -> RedisClaimer {
        let tls = self.tls.as_ref().map(Tls::deferred);
        RedisClaimer::new(Store {
            endpoints: Endpoints::new(self.endpoints),
            login: self.login,
            tls,
            prefix: self.prefix,
            hold_off: self.hold_off,
            time_limit: self.time_limit,
            heartbeat: self.heartbeat,
            scripts: Scripts::new(),
            idle: Idle::new(IDLE_MAX),
        })
    }
}

/// What a URL says of TLS.
#[derive(Debug, Default)]
struct UrlFiles {
    authority: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl UrlFiles {
    fn options(self) -> Result<TlsOptions, UrlError> {
        let mut tls = TlsOptions::new();
        if let Some(path) = self.authority {
            tls = tls.authority(path);
        }
        match (self.certificate, self.key) {
            (None, None) => Ok(tls),
            (Some(certificate), Some(key)) => Ok(tls.identity(certificate, key)),
            (Some(_), None) => Err(refused("certificate", "it is of no use without key".into())),
            (None, Some(_)) => Err(refused("key", "it is of no use without certificate".into())),
        }
    }
}

fn hold_off(value: &str) -> Result<HoldOff, String> {
    match value {
        "always" => Ok(HoldOff::Always),
        "when-forgetful" => Ok(HoldOff::WhenForgetful),
        "unsafely-never" => Ok(HoldOff::UnsafelyNever),
        _ => Err(format!("{value:?} is none of always, when-forgetful, unsafely-never")),
    }
}

fn seconds(value: &str) -> Result<Duration, String> {
    let seconds = value.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.ok_or_else(|| format!("{value:?} is not a number of seconds above 0"))
}

fn refused(part: &str, reason: String) -> UrlError {
    UrlError::Refused { part: part.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_all_that_can_be_set() {
        let url = "rediss://me:s3cret@one,two:7/3?prefix=jobs:&hold_off=always&time_limit=0.5\
                   &heartbeat=9&authority=/a&certificate=/c&key=/k";
        let options = RedisOptions::from_url(url).unwrap();
        let endpoints: Vec<_> = options.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(endpoints, ["one:6379", "two:7"]);
        assert_eq!(options.login.user.as_deref(), Some("me"));
        assert_eq!(options.login.password, Some(Secret::new("s3cret")));
        assert_eq!((options.login.database, options.prefix.as_str()), (3, "jobs:"));
        assert_eq!(options.hold_off, HoldOff::Always);
        assert_eq!(options.time_limit, Duration::from_millis(500));
        assert_eq!(options.heartbeat, Duration::from_secs(9));
        assert_eq!(options.tls, Some(TlsOptions::new().authority("/a").identity("/c", "/k")));
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_left_out_is_as_it_starts() {
        let options = RedisOptions::from_url("valkey://:pass@h").unwrap();
        assert_eq!(options.login.user, None);
        assert_eq!((options.login.database, options.prefix.as_str()), (0, "tenure:"));
        assert_eq!((options.hold_off, options.tls), (HoldOff::WhenForgetful, None));
        assert_eq!(RedisOptions::from_url("valkeys://h").unwrap().tls, Some(TlsOptions::new()));
    }

    #[test]
    fn what_makes_no_sense_is_named_and_no_password_is_shown() {
        let cases = [
            ("http://u:pass@h", "the URL's scheme: \"http\" is none of "),
            ("redis://u@h", "the URL's user: there is no password with it"),
            ("redis://u:pass@h/-1", "the URL's path: \"-1\" is not the number of a database"),
            ("redis://u:pass@h?hold_off=no", "the URL's hold_off: \"no\" is none of always, "),
            ("redis://u:pass@h?time_limit=0", "the URL's time_limit: \"0\" is not a number of "),
            ("redis://u:pass@h?heartbeat=inf", "the URL's heartbeat: \"inf\" is not a number "),
            ("redis://u:pass@h?authority=/a", "the URL's authority: it is of no use without TLS"),
            ("rediss://u:pass@h?key=/k", "the URL's key: it is of no use without certificate"),
            ("rediss://u:pass@h?certificate=/c", "the URL's certificate: it is of no use without"),
            ("redis://u:pass@h?table=t", "the URL has an option \"table\", which is none of "),
        ];
        for (url, expected) in cases {
            let said = RedisOptions::from_url(url).unwrap_err().to_string();
            assert!(said.starts_with(expected) && !said.contains("pass@"), "{url}: {said}");
        }
    }
}

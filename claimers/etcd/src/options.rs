use std::sync::Arc;
use std::time::Duration;

use tenure_net::{Endpoint, Endpoints, Idle, Secret, StoreUrl, Tls, TlsOptions, UrlError};

use crate::claimer::EtcdClaimer;
use crate::store::{Credentials, Memory, Store};

/// How an [`EtcdClaimer`] finds its store.
///
/// ```
/// use std::time::Duration;
/// use tenure_etcd::{Endpoint, EtcdOptions};
///
/// let endpoint = |host: &str| Endpoint { host: host.to_owned(), port: 2379 };
/// let claimer = EtcdOptions::new(endpoint("etcd-0.example"))
///     .endpoint(endpoint("etcd-1.example"))
///     .endpoint(endpoint("etcd-2.example"))
///     .credentials("tenure", "a password")
///     .prefix("/jobs")
///     .time_limit(Duration::from_secs(2))
///     .open();
/// # drop(claimer);
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `open`"]
pub struct EtcdOptions {
    credentials: Option<Credentials>,
    endpoints: Vec<Endpoint>,
    heartbeat: Duration,
    prefix: String,
    time_limit: Duration,
    tls: Option<Tls>,
}

impl EtcdOptions {
    /// Where etcd listens for its clients unless told otherwise.
    pub const DEFAULT_PORT: u16 = 2379;

    /// The default of [`heartbeat`](EtcdOptions::heartbeat).
    pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(30);

    /// The default of [`prefix`](EtcdOptions::prefix).
    pub const DEFAULT_PREFIX: &'static str = "/tenure";

    /// The default of [`time_limit`](EtcdOptions::time_limit).
    pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(5);

    /// A cluster that has a member at `endpoint`.
    pub fn new(endpoint: Endpoint) -> EtcdOptions {
        EtcdOptions::with_endpoints(vec![endpoint])
    }

    /// Reads `etcd://user:password@host:port,host:port/prefix?option=value&option=value`.
    ///
    /// All but the scheme and one host may be left out. A host without a port has
    /// [2379](EtcdOptions::DEFAULT_PORT), and the prefix starts as
    /// [`/tenure`](EtcdOptions::DEFAULT_PREFIX). What may be encoded, and what is
    /// refused, is as [`StoreUrl`] says. The options:
    ///
    /// | option | what |
    /// | --- | --- |
    /// | `tls` | `on` or `off`: whether to go through TLS. `on` if one of the next is given |
    /// | `ca` | a file with the authorities to trust (PEM), instead of the system's |
    /// | `cert`, `key` | files with a certificate to show, and its key (PEM) |
    ///
    /// # Errors
    ///
    /// What is wrong with the URL, or with a file that it names. A password is never shown.
    ///
    /// # Blocking
    ///
    /// On the file system, if TLS is on.
    ///
    /// ```
    /// use tenure_etcd::EtcdOptions;
    ///
    /// let options = EtcdOptions::from_url("etcd://me:s%2Fcret@one,two:4001/jobs")?;
    /// assert!(!format!("{options:?}").contains("cret"));
    ///
    /// let error = EtcdOptions::from_url("etcd://one/jobs?tsl=on").unwrap_err();
    /// let message = "the URL has an option \"tsl\", which is none of tls, ca, cert, key";
    /// assert_eq!(error.to_string(), message);
    /// # Ok::<(), tenure_etcd::UrlError>(())
    /// ```
    pub fn from_url(url: &str) -> Result<EtcdOptions, UrlError> {
        let url = StoreUrl::parse(url, EtcdOptions::DEFAULT_PORT)?;
        let refused = |part: &str, reason: &str| {
            Err(UrlError::Refused { part: part.to_owned(), reason: reason.to_owned() })
        };
        if url.scheme != "etcd" {
            return refused("scheme", "an etcd store's is etcd://");
        }
        let tls = tls(&url)?;
        let mut options = EtcdOptions::with_endpoints(url.endpoints);
        options.tls = tls;
        options.credentials = match (url.user, url.password) {
            (None, None) => None,
            (Some(user), Some(password)) => Some(Credentials { user, password }),
            (Some(_), None) => return refused("password", "a user has one: user:password@"),
            (None, Some(_)) => return refused("user", "a password has one: user:password@"),
        };
        Ok(match url.path.as_str() {
            "" => options,
            path => options.prefix(format!("/{path}")),
        })
    }

    fn with_endpoints(endpoints: Vec<Endpoint>) -> EtcdOptions {
        EtcdOptions {
            credentials: None,
            endpoints,
            heartbeat: EtcdOptions::DEFAULT_HEARTBEAT,
            prefix: EtcdOptions::DEFAULT_PREFIX.to_owned(),
            time_limit: EtcdOptions::DEFAULT_TIME_LIMIT,
            tls: None,
        }
    }

    /// Who to be, where etcd's authentication is enabled. Starts as nobody.
    pub fn credentials(
        mut self,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> EtcdOptions {
        let password = Secret::new(password);
        self.credentials = Some(Credentials { user: user.into(), password });
        self
    }

    /// Where another member of the same cluster is.
    pub fn endpoint(mut self, endpoint: Endpoint) -> EtcdOptions {
        self.endpoints.push(endpoint);
        self
    }

    /// How long [`released`](tenure_core::Claimer::released) trusts a watch that says nothing.
    /// Starts at [30 seconds](EtcdOptions::DEFAULT_HEARTBEAT).
    ///
    /// The watch says when the lease is renewed or released, so it is silent for long only if the
    /// lease is long or the connection is dead. After this long, or once the lease must be over if
    /// that comes first, the key is looked at again.
    pub fn heartbeat(mut self, heartbeat: Duration) -> EtcdOptions {
        self.heartbeat = heartbeat;
        self
    }

    /// What the store's keys begin with. Starts as [`/tenure`](EtcdOptions::DEFAULT_PREFIX).
    ///
    /// Slashes at its end are not counted. Two stores are two prefixes.
    pub fn prefix(mut self, prefix: impl AsRef<str>) -> EtcdOptions {
        self.prefix = prefix.as_ref().trim_end_matches('/').to_owned();
        self
    }

    /// How long a call may take. Starts at [5 seconds](EtcdOptions::DEFAULT_TIME_LIMIT).
    ///
    /// All the endpoints that are tried share it. Of
    /// [`released`](tenure_core::Claimer::released), it limits each look and the start of the
    /// watch, not the wait.
    pub fn time_limit(mut self, limit: Duration) -> EtcdOptions {
        self.time_limit = limit;
        self
    }

    /// Goes through TLS, to all endpoints. Starts without.
    pub fn tls(mut self, tls: Tls) -> EtcdOptions {
        self.tls = Some(tls);
        self
    }

    /// A claimer on this store. It connects when it is first called.
    pub fn open(self) -> EtcdClaimer {
        let EtcdOptions { credentials, endpoints, heartbeat, prefix, time_limit, tls } = self;
        EtcdClaimer::new(Arc::new(Store {
            endpoints: Endpoints::new(endpoints),
            tls,
            credentials,
            prefix,
            time_limit,
            heartbeat,
            idle: Idle::new(IDLE_MAX),
            memory: Memory::default(),
        }))
    }
}

/// Connections that are kept for later calls: a tracker has one call out at a time, or two.
const IDLE_MAX: usize = 2;

fn tls(url: &StoreUrl) -> Result<Option<Tls>, UrlError> {
    let refused = |part: &str, reason: String| UrlError::Refused { part: part.to_owned(), reason };
    let mut is_on = None;
    let mut options = TlsOptions::new();
    let (mut authority, mut certificate, mut key) = (None, None, None);
    url.each_option(&["tls", "ca", "cert", "key"], |option, value| {
        match option {
            "tls" if value == "on" => is_on = Some(true),
            "tls" if value == "off" => is_on = Some(false),
            "tls" => return Err(refused("tls", format!("{value:?} is neither on nor off"))),
            "ca" => authority = Some(value.to_owned()),
            "cert" => certificate = Some(value.to_owned()),
            _ => key = Some(value.to_owned()),
        }
        Ok(())
    })?;
    let is_named = authority.is_some() || certificate.is_some() || key.is_some();
    if let Some(authority) = authority {
        options = options.authority(authority);
    }
    match (certificate, key) {
        (None, None) => {}
        (Some(certificate), Some(key)) => options = options.identity(certificate, key),
        _ => return Err(refused("cert", "a certificate and its key go together".to_owned())),
    }
    match is_on.unwrap_or(is_named) {
        false if is_named => Err(refused("tls", "it is off, but has files named".to_owned())),
        false => Ok(None),
        true => match Tls::new(&options) {
            Ok(tls) => Ok(Some(tls)),
            Err(error) => Err(refused("tls", error.to_string())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_it_all() {
        let url = "etcd://me:secret@one,two:4001/a/b/";
        let options = EtcdOptions::from_url(url).unwrap();
        let endpoints: Vec<_> = options.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(endpoints, ["one:2379", "two:4001"]);
        assert_eq!(options.prefix, "/a/b");
        let credentials = options.credentials.as_ref().unwrap();
        assert_eq!(credentials.user, "me");
        assert_eq!(credentials.password.expose(), "secret");
        assert!(options.tls.is_none());
        assert!(!format!("{options:?} {:?}", options.clone().open()).contains("secret"));
        let least = EtcdOptions::from_url("etcd://one").unwrap();
        assert_eq!(least.prefix, "/tenure");
        assert!(least.credentials.is_none());
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named() {
        for (url, part) in [
            ("redis://one", "the URL's scheme: "),
            ("etcd://me@one", "the URL's password: "),
            ("etcd://:secret@one", "the URL's user: "),
            ("etcd://one?tls=maybe", "the URL's tls: \"maybe\" is neither on nor off"),
            ("etcd://one?cert=/x", "the URL's cert: "),
            ("etcd://one?tls=off&ca=/x", "the URL's tls: it is off"),
            ("etcd://one?ca=/no/such/file", "the URL's tls: cannot use /no/such/file"),
        ] {
            let error = EtcdOptions::from_url(url).unwrap_err().to_string();
            assert!(error.starts_with(part), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}

use std::env;
use std::time::Duration;

use tenure_net::{Endpoint, Secret, StoreUrl, Tls, TlsOptions, UrlError};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::claimer::PostgresClaimer;
use crate::sql::Statements;
use crate::store::Store;
use crate::table::TableName;

/// How a [`PostgresClaimer`] reaches its store.
///
/// ```
/// use std::time::Duration;
/// use tenure_postgres::PostgresOptions;
///
/// let options = PostgresOptions::from_url("postgres://tenure:secret@one,two:5433/jobs")?
///     .time_limit(Duration::from_secs(2))
///     .table("tenure.lease".parse()?);
/// assert!(!format!("{options:?}").contains("secret"));
/// let claimer = options.open();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `open`"]
pub struct PostgresOptions {
    endpoints: Vec<Endpoint>,
    user: Option<String>,
    password: Option<Secret>,
    database: Option<String>,
    table: TableName,
    tls: Option<TlsOptions>,
    time_limit: Duration,
    heartbeat: Duration,
}

/// What a URL's query may have in it.
const URL_OPTIONS: &[&str] =
    &["heartbeat", "sslcert", "sslkey", "sslmode", "sslrootcert", "table", "time_limit"];

impl PostgresOptions {
    /// The port of a server that is named without one.
    pub const DEFAULT_PORT: u16 = 5432;

    /// The default of [`time_limit`](PostgresOptions::time_limit).
    pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(5);

    /// The default of [`heartbeat`](PostgresOptions::heartbeat).
    pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(30);

    /// A store on these servers, one of which takes writes. The others are its standbys.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> PostgresOptions {
        PostgresOptions {
            endpoints: endpoints.into_iter().collect(),
            user: None,
            password: None,
            database: None,
            table: TableName::default(),
            tls: None,
            time_limit: PostgresOptions::DEFAULT_TIME_LIMIT,
            heartbeat: PostgresOptions::DEFAULT_HEARTBEAT,
        }
    }

    /// Reads `postgres://user:password@host:port,host:port/database?option=value&option=value`;
    /// `postgresql://` is the same.
    ///
    /// Whatever may be left out is as [`new`](PostgresOptions::new) has it. What may be
    /// encoded, and what is refused, is as [`StoreUrl`] says. The options:
    ///
    /// | option | what |
    /// | --- | --- |
    /// | `table` | [`table`](PostgresOptions::table) |
    /// | `time_limit` | [`time_limit`](PostgresOptions::time_limit) in seconds; `0.5`, say |
    /// | `heartbeat` | [`heartbeat`](PostgresOptions::heartbeat) in seconds |
    /// | `sslmode` | `disable`, or `verify-full`: see [`tls`](PostgresOptions::tls) |
    /// | `sslrootcert` | a file with the authorities to trust in place of the system's (PEM) |
    /// | `sslcert`, `sslkey` | the files of the client's own certificate and its key (PEM) |
    ///
    /// With one of the last three, `sslmode` is `verify-full` unless it is given. `require` is the
    /// same as `verify-full` here: what is not verified protects from nobody who can listen.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL. A password is never shown.
    ///
    /// ```
    /// use tenure_postgres::PostgresOptions;
    ///
    /// let error = PostgresOptions::from_url("postgres://db/jobs?sslmode=prefer").unwrap_err();
    /// assert!(error.to_string().starts_with("the URL's sslmode: "));
    /// ```
    pub fn from_url(url: &str) -> Result<PostgresOptions, UrlError> {
        let url = StoreUrl::parse(url, PostgresOptions::DEFAULT_PORT)?;
        if !["postgres", "postgresql"].contains(&url.scheme.as_str()) {
            let reason = format!("{:?} is not postgres", url.scheme);
            return Err(refused("scheme", reason));
        }
        if url.path.contains('/') {
            return Err(refused("path", "it names one database, without a slash".to_owned()));
        }
        let mut options = PostgresOptions::new(url.endpoints.clone());
        let mut tls = UrlTls::default();
        url.each_option(URL_OPTIONS, |option, value| {
            let refuse = |reason: String| refused(option, reason);
            match option {
                "table" => {
                    options.table = value.parse().map_err(|error| refuse(format!("{error}")))?;
                }
                "time_limit" => options.time_limit = seconds(value).map_err(refuse)?,
                "heartbeat" => options.heartbeat = seconds(value).map_err(refuse)?,
                _ => tls.take(option, value),
            }
            Ok(())
        })?;
        Ok(PostgresOptions {
            user: url.user,
            password: url.password,
            database: Some(url.path).filter(|path| !path.is_empty()),
            tls: tls.options()?,
            ..options
        })
    }

    /// Who to be. Unless set, `PGUSER` from the environment, and else the user of this process.
    pub fn user(self, user: impl Into<String>) -> PostgresOptions {
        PostgresOptions { user: Some(user.into()), ..self }
    }

    /// The proof of it. Unless set, `PGPASSWORD` from the environment.
    ///
    /// There is no password file. SCRAM, MD5 and clear text are known, and certificates as of
    /// [`tls`](PostgresOptions::tls).
    pub fn password(self, password: impl Into<String>) -> PostgresOptions {
        PostgresOptions { password: Some(Secret::new(password)), ..self }
    }

    /// Which database the table is in. Unless set, that of the user's name.
    pub fn database(self, database: impl Into<String>) -> PostgresOptions {
        PostgresOptions { database: Some(database.into()), ..self }
    }

    /// Which table the leases are in. `tenure_lease`, unless set.
    pub fn table(self, table: TableName) -> PostgresOptions {
        PostgresOptions { table, ..self }
    }

    /// Speaks TLS, and to nobody whose certificate is not good for the host that was named. Unless
    /// set, nothing is encrypted.
    pub fn tls(self, tls: TlsOptions) -> PostgresOptions {
        PostgresOptions { tls: Some(tls), ..self }
    }

    /// How long a call may take, before it is
    /// [`Unknown`](tenure_core::ClaimerError::Unknown). Five seconds, unless set. For
    /// [`released`](tenure_core::Claimer::released) it is the limit of each question that it asks,
    /// not of its wait.
    ///
    /// The server gets limits too (`lock_timeout`, `statement_timeout`), a little shorter, so that
    /// it does not go on with what nobody waits for. More than the runtimes' `claim_timeout` is of
    /// no use: by then they have given the claim up.
    pub fn time_limit(self, time_limit: Duration) -> PostgresOptions {
        PostgresOptions { time_limit, ..self }
    }

    /// How often one who waits looks at the store, though nobody told it anything. Thirty seconds,
    /// unless set; once in a millisecond at most.
    ///
    /// One who waits is told of a release, and looks when the lease is over, so a heartbeat that
    /// is longer than the lease never comes. It is for what nobody tells of: a connection that has
    /// died without a sign, a pooler that swallows notifications, a machine that was suspended.
    pub fn heartbeat(self, heartbeat: Duration) -> PostgresOptions {
        PostgresOptions { heartbeat, ..self }
    }

    /// What makes the table, for whoever lets the candidates make none.
    ///
    /// Run both statements in one transaction (`psql --single-transaction`) if candidates may be
    /// running: a table that does not have its comment yet is refused, for good.
    ///
    /// ```
    /// use tenure_postgres::PostgresOptions;
    ///
    /// let sql = PostgresOptions::from_url("postgres://db/jobs?table=tenure.lease")?.schema_sql();
    /// assert!(sql.starts_with("CREATE TABLE \"tenure\".\"lease\" ("));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn schema_sql(&self) -> String {
        Statements::new(&self.table).schema()
    }

    /// A claimer on this store. The server need not be there yet.
    ///
    /// # Blocking
    ///
    /// With TLS, on reading the certificates that were named, or the system's. If that fails, each
    /// call says so until it succeeds. Otherwise there is no I/O.
    pub fn open(self) -> PostgresClaimer {
        let mut config = Config::new();
        // What goes through TLS does so below the client, which knows nothing of it.
        config.ssl_mode(SslMode::Disable).application_name("tenure");
        if let Some(user) = self.user.or_else(|| env::var("PGUSER").ok()) {
            config.user(user);
        }
        if let Some(password) = &self.password {
            config.password(password.expose());
        } else if let Ok(password) = env::var("PGPASSWORD") {
            config.password(password);
        }
        if let Some(database) = self.database {
            config.dbname(database);
        }
        let tls = self.tls.as_ref().map(Tls::deferred);
        let limits = (self.time_limit, self.heartbeat);
        PostgresClaimer::new(Store::new(self.endpoints, tls, config, self.table, limits))
    }
}

/// What a URL says of TLS.
#[derive(Debug, Default)]
struct UrlTls {
    mode: Option<String>,
    authority: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl UrlTls {
    fn take(&mut self, option: &str, value: &str) {
        let place = match option {
            "sslcert" => &mut self.certificate,
            "sslkey" => &mut self.key,
            "sslrootcert" => &mut self.authority,
            _ => &mut self.mode,
        };
        *place = Some(value.to_owned());
    }

    fn options(self) -> Result<Option<TlsOptions>, UrlError> {
        let has_files = self.authority.is_some() || self.certificate.is_some();
        match self.mode.as_deref() {
            None if !has_files && self.key.is_none() => return Ok(None),
            None | Some("require" | "verify-full") => {}
            Some("disable") if !has_files && self.key.is_none() => return Ok(None),
            Some("disable") => {
                let reason = "disable makes no use of the certificates that are named";
                return Err(refused("sslmode", reason.to_owned()));
            }
            Some(mode) => {
                let reason = format!("{mode:?} is none of disable, require, verify-full");
                return Err(refused("sslmode", reason));
            }
        }
        let mut tls = TlsOptions::new();
        if let Some(path) = self.authority {
            tls = tls.authority(path);
        }
        match (self.certificate, self.key) {
            (None, None) => Ok(Some(tls)),
            (Some(certificate), Some(key)) => Ok(Some(tls.identity(certificate, key))),
            (Some(_), None) => Err(refused("sslcert", "it is of no use without sslkey".to_owned())),
            (None, Some(_)) => Err(refused("sslkey", "it is of no use without sslcert".to_owned())),
        }
    }
}

fn refused(part: &str, reason: String) -> UrlError {
    UrlError::Refused { part: part.to_owned(), reason }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.filter(|span| !span.is_zero()).ok_or_else(|| format!("{text:?} is no number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(query: &str) -> PostgresOptions {
        PostgresOptions::from_url(&format!("postgres://me:s3cret@one,two:7/jobs?{query}")).unwrap()
    }

    #[test]
    fn a_url_says_all_that_can_be_set() {
        let read = options(
            "table=tenure.lease&time_limit=0.5&heartbeat=2&sslmode=verify-full\
             &sslrootcert=/ca.pem&sslcert=/me.pem&sslkey=/me.key",
        );
        assert_eq!(
            read.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["one:5432", "two:7"]
        );
        assert_eq!((read.user.as_deref(), read.database.as_deref()), (Some("me"), Some("jobs")));
        assert_eq!(read.password.as_ref().map(Secret::expose), Some("s3cret"));
        assert_eq!(read.table, "tenure.lease".parse().unwrap());
        let limits = (read.time_limit, read.heartbeat);
        assert_eq!(limits, (Duration::from_millis(500), Duration::from_secs(2)));
        let tls = TlsOptions::new().authority("/ca.pem").identity("/me.pem", "/me.key");
        assert_eq!(read.tls, Some(tls));

        let bare = PostgresOptions::from_url("postgresql://one").unwrap();
        assert_eq!((bare.user, bare.database, bare.tls), (None, None, None));
        assert_eq!(bare.table, TableName::default());
    }

    #[test]
    fn certificates_mean_tls_unless_it_is_refused() {
        let system = Some(TlsOptions::new());
        assert_eq!(options("sslmode=require").tls, system);
        assert_eq!(options("sslmode=verify-full").tls, system);
        assert_eq!(options("sslmode=disable").tls, None);
        assert_eq!(options("sslrootcert=/ca").tls, Some(TlsOptions::new().authority("/ca")));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named_and_no_password_is_shown() {
        for (url, part) in [
            ("mysql://me:s3cret@h/x", "the URL's scheme"),
            ("postgres://me:s3cret@h/x/y", "the URL's path"),
            ("postgres://me:s3cret@h/x?table=a.b.c", "the URL's table"),
            ("postgres://me:s3cret@h/x?time_limit=soon", "the URL's time_limit"),
            ("postgres://me:s3cret@h/x?time_limit=0", "the URL's time_limit"),
            ("postgres://me:s3cret@h/x?heartbeat=-1", "the URL's heartbeat"),
            ("postgres://me:s3cret@h/x?sslmode=prefer", "the URL's sslmode"),
            ("postgres://me:s3cret@h/x?sslmode=disable&sslrootcert=/ca", "the URL's sslmode"),
            ("postgres://me:s3cret@h/x?sslcert=/me", "the URL's sslcert"),
            ("postgres://me:s3cret@h/x?sslkey=/me", "the URL's sslkey"),
            ("postgres://me:s3cret@h/x?colour=red", "the URL has an option \"colour\""),
        ] {
            let error = PostgresOptions::from_url(url).unwrap_err().to_string();
            assert!(error.starts_with(part), "{url}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}

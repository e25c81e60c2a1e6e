use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use blocking::unblock;
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{self, ClientConfig, RootCertStore};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::budget::Metered;

/// Whom to trust, and who to be.
///
/// A server's certificate is always checked, and its name too. Starts with the certificate
/// authorities that the system trusts, and without a certificate of one's own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use = "nothing is read before `Tls::new`"]
pub struct TlsOptions {
    authority: Option<PathBuf>,
    identity: Option<[PathBuf; 2]>,
}

impl TlsOptions {
    /// As it starts.
    pub fn new() -> TlsOptions {
        TlsOptions::default()
    }

    /// Trusts the authorities whose certificates are in the file at `path` (PEM), and no others.
    pub fn authority(mut self, path: impl Into<PathBuf>) -> TlsOptions {
        self.authority = Some(path.into());
        self
    }

    /// Shows the server a certificate: the files of its chain and of its key (PEM).
    pub fn identity(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> TlsOptions {
        self.identity = Some([certificate.into(), key.into()]);
        self
    }
}

/// TLS as a client speaks it: versions 1.2 and 1.3. All clones are one.
///
/// The files that its options name are looked at before each connection, and read again if they
/// have changed: a certificate that was renewed needs no restart. If they make no sense then, a
/// half-written one or a certificate without its key, what was read last stays in use, and a
/// warning says so; the next connection tries again. The system's authorities are read again after
/// a connection that TLS has refused.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    options: TlsOptions,
    loaded: Mutex<Loaded>,
}

/// What was read last.
#[derive(Default)]
struct Loaded {
    /// None if none was good yet.
    config: Option<Arc<ClientConfig>>,
    /// The files as they were then.
    stamps: Vec<Option<Stamp>>,
    /// The files as they were when they were last found to be of no use.
    warned_of: Option<Vec<Option<Stamp>>>,
    /// Whether TLS has refused a connection since.
    is_suspect: bool,
}

/// What shows that a file has changed.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    /// Its number, and when anything about it changed: also its owner, or who may read it.
    inode: [i64; 3],
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Tls").field(&self.0.options).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files that `options` name.
    ///
    /// # Errors
    ///
    /// If one cannot be read, or makes no sense.
    ///
    /// # Blocking
    ///
    /// On the file system.
    pub fn new(options: &TlsOptions) -> Result<Tls, TlsError> {
        let tls = Tls::empty(options);
        tls.0.read()?;
        Ok(tls)
    }

    /// As [`new`](Tls::new), but if a file is of no use now, each connection says so until it is.
    ///
    /// # Blocking
    ///
    /// On the file system.
    pub fn deferred(options: &TlsOptions) -> Tls {
        let tls = Tls::empty(options);
        // Whatever is wrong is said by the first connection, if it still is.
        let _ = tls.0.read();
        tls
    }

    fn empty(options: &TlsOptions) -> Tls {
        Tls(Arc::new(Shared { options: options.clone(), loaded: Mutex::default() }))
    }

    /// Reads the files again if they have changed.
    ///
    /// # Errors
    ///
    /// An `io::Error` with a [`TlsError`] inside, if they are of no use and never were.
    pub(crate) async fn refresh(&self) -> io::Result<Arc<ClientConfig>> {
        let shared = self.0.clone();
        let refreshed = unblock(move || shared.refresh()).await;
        refreshed.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, Arc::new(error)))
    }

    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: Metered,
    ) -> io::Result<TlsStream<Metered>> {
        let config = self.refresh().await?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        if connected.is_err() {
            self.0.lock().is_suspect = true;
        }
        connected
    }
}

impl Shared {
    fn refresh(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let (config, is_suspect) = {
            let loaded = self.lock();
            let is_as_read = loaded.stamps == self.options.stamps();
            let is_suspect = loaded.is_suspect && self.options.authority.is_none();
            match &loaded.config {
                Some(config) if is_as_read && !is_suspect => return Ok(config.clone()),
                config => (config.clone(), is_suspect),
            }
        };
        match (self.read(), config) {
            (Ok(config), _) => Ok(config),
            (Err(error), None) => Err(error),
            (Err(error), Some(config)) => {
                let stamps = Some(self.options.stamps());
                let mut loaded = self.lock();
                if loaded.warned_of != stamps && !is_suspect {
                    loaded.warned_of = stamps;
                    drop(loaded);
                    tracing::warn!(
                        error = %error,
                        "certificates have changed, and are of no use now: those that were read \
                         before stay in use"
                    );
                }
                Ok(config)
            }
        }
    }

    fn read(&self) -> Result<Arc<ClientConfig>, TlsError> {
        // Looked at before they are read: what changes in between is read once more.
        let stamps = self.options.stamps();
        let config = Arc::new(self.options.read()?);
        let (warned_of, is_suspect) = (None, false);
        *self.lock() = Loaded { config: Some(config.clone()), stamps, warned_of, is_suspect };
        Ok(config)
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TlsOptions {
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let files = self.authority.iter().chain(self.identity.iter().flatten());
        files.map(|path| Stamp::of(path)).collect()
    }

    fn read(&self) -> Result<ClientConfig, TlsError> {
        let roots = match &self.authority {
            Some(path) => authorities(path)?,
            None => trusted_by_the_system()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Refused)?
            .with_root_certificates(roots);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some([certificate, key]) => {
                let chain = certificates(certificate)?;
                let unreadable = |source| TlsError::File { path: key.clone(), source };
                let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable)?;
                builder.with_client_auth_cert(chain, key).map_err(TlsError::Refused)
            }
        }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let file = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            [file.ino().cast_signed(), file.ctime(), file.ctime_nsec()]
        };
        #[cfg(not(unix))]
        let inode = [0; 3];
        Some(Stamp { len: file.len(), modified: file.modified().ok(), inode })
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(TlsError::Refused)?;
    }
    Ok(roots)
}

fn trusted_by_the_system() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Every system has some that are too old to be of use.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(TlsError::NoAuthority) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::File { path: path.to_owned(), source };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if found.is_empty() { Err(unreadable(pem::Error::NoItemsFound)) } else { Ok(found) }
}

/// Why TLS cannot be set up.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or is not what it should be.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The system trusts no authority, and none was given.
    NoAuthority,
    /// The certificates or the key make no sense.
    Refused(rustls::Error),
}

impl TlsError {
    /// The one that is inside of `error`, if that is why a connection could not be made.
    pub fn inside(error: &io::Error) -> Option<Arc<TlsError>> {
        error.get_ref()?.downcast_ref::<Arc<TlsError>>().cloned()
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::File { path, source } => {
                write!(formatter, "cannot use {}: {source}", path.display())
            }
            TlsError::NoAuthority => formatter.write_str(
                "the system trusts no certificate authority: name a file with one that you trust",
            ),
            TlsError::Refused(error) => write!(formatter, "cannot use these certificates: {error}"),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TlsError::File { source, .. } => Some(source),
            TlsError::NoAuthority => None,
            TlsError::Refused(error) => Some(error),
        }
    }
}

use std::error::Error;
use std::fmt;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_io::Async;
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{self, ClientConfig, RootCertStore};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

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
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Tls").finish_non_exhaustive()
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
        let roots = match &options.authority {
            Some(path) => authorities(path)?,
            None => trusted_by_the_system()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Refused)?
            .with_root_certificates(roots);
        let config = match &options.identity {
            None => builder.with_no_client_auth(),
            Some([certificate, key]) => {
                let chain = certificates(certificate)?;
                let unreadable = |source| TlsError::File { path: key.clone(), source };
                let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable)?;
                builder.with_client_auth_cert(chain, key).map_err(TlsError::Refused)?
            }
        };
        Ok(Tls(Arc::new(config)))
    }

    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: Async<TcpStream>,
    ) -> io::Result<TlsStream<Async<TcpStream>>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(self.0.clone()).connect(name, stream).await
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

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyPair,
};
use tempfile::TempDir;

use super::ServerError;

/// Issues certificates for tests, into a temporary directory that goes with it.
///
/// ```
/// use tenure_testkit::server::Authority;
///
/// let authority = Authority::new()?;
/// let server = authority.certificate("localhost")?;
/// assert!(authority.path().exists() && server.certificate.exists() && server.key.exists());
/// # Ok::<(), tenure_testkit::server::ServerError>(())
/// ```
#[derive(Debug)]
pub struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as files in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// One that nobody knows yet.
    ///
    /// # Errors
    ///
    /// If its files cannot be written.
    pub fn new() -> Result<Authority, ServerError> {
        let directory = tempfile::Builder::new().prefix("tenure-authority-").tempdir()?;
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        // Each has a name of its own, or one could be taken for another.
        let name = directory.path().file_name().unwrap_or_default().to_string_lossy();
        params.distinguished_name.push(DnType::CommonName, name.as_ref());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).map_err(failed)?;
        fs::write(directory.path().join(ROOT), certificate.pem())?;
        Ok(Authority { directory, issuer: Issuer::new(params, key) })
    }

    /// The file with its own certificate: for whoever is to trust it.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(ROOT)
    }

    /// The directory that its files are in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Issues a certificate for `name`: a host, an address or a user.
    ///
    /// A server's certificate is for `localhost` or `127.0.0.1`; one for another name is one that
    /// clients refuse.
    ///
    /// # Errors
    ///
    /// If the files cannot be written, or the name makes no sense.
    pub fn certificate(&self, name: &str) -> Result<Certificate, ServerError> {
        self.issue(name, name, true, &[Usage::ServerAuth, Usage::ClientAuth])
    }

    /// As [`certificate`](Authority::certificate), but good for a server alone.
    ///
    /// # Errors
    ///
    /// As [`certificate`](Authority::certificate).
    pub fn server_certificate(&self, name: &str) -> Result<Certificate, ServerError> {
        self.issue(name, &format!("{name}.server"), true, &[Usage::ServerAuth])
    }

    /// As [`certificate`](Authority::certificate), but without a common name.
    ///
    /// # Errors
    ///
    /// As [`certificate`](Authority::certificate).
    pub fn certificate_without_common_name(&self, name: &str) -> Result<Certificate, ServerError> {
        let usages = [Usage::ServerAuth, Usage::ClientAuth];
        self.issue(name, &format!("{name}.nameless"), false, &usages)
    }

    fn issue(
        &self,
        name: &str,
        stem: &str,
        is_common_name: bool,
        usages: &[Usage],
    ) -> Result<Certificate, ServerError> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new([name.to_owned()]).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        if is_common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.extended_key_usages = usages.to_vec();
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let file = |kind: &str| self.directory.path().join(format!("{stem}.{kind}.pem"));
        let files = Certificate { certificate: file("certificate"), key: file("key") };
        fs::write(&files.certificate, certificate.pem())?;
        fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }
}

const ROOT: &str = "authority.pem";

fn failed(error: rcgen::Error) -> ServerError {
    ServerError::Io(std::io::Error::other(error))
}

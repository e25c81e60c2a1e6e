//! Who claims, kept in a file between one `tenure claim` and the next.
//!
//! A store knows a holder by its unit and its nonce. The file keeps the nonce, and for which store,
//! service and unit it was drawn. Who has it open holds its lock, so that of two calls at once one
//! waits; it is never replaced or removed, as the lock would go with it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tenure_core::{Candidate, Nonce};
use tenure_runtime::fresh_nonce;

use crate::failure::{self, Failure};

/// A session file that is open and locked.
#[derive(Debug)]
pub(crate) struct Session {
    file: File,
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Content {
    store: String,
    service: String,
    unit: String,
    nonce: String,
}

/// Whose session: the store by its canonical name.
#[derive(Debug)]
pub(crate) struct Key<'a> {
    pub(crate) store: &'a str,
    pub(crate) service: &'a str,
    pub(crate) unit: &'a str,
}

impl Session {
    /// Opens the session of `key`, and starts one if there is none.
    pub(crate) fn open(key: &Key<'_>, chosen: Option<&Path>) -> Result<Session, Failure> {
        let path = match chosen {
            Some(path) => path.to_owned(),
            None => directory()?.join(key.file_name()),
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| refused(&path, &error))?;
        Session::lock(file, path, key)
    }

    /// Opens the session of `key`, if there is one.
    pub(crate) fn open_existing(
        key: &Key<'_>,
        chosen: Option<&Path>,
    ) -> Result<Option<Session>, Failure> {
        let path = match chosen {
            Some(path) => path.to_owned(),
            None => directory()?.join(key.file_name()),
        };
        match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => Session::lock(file, path, key).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(refused(&path, &error)),
        }
    }

    fn lock(mut file: File, path: PathBuf, key: &Key<'_>) -> Result<Session, Failure> {
        let refused = |error: &io::Error| refused(&path, error);
        check_private(&file.metadata().map_err(|error| refused(&error))?)
            .map_err(|error| refused(&error))?;
        file.lock().map_err(|error| refused(&error))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| refused(&error))?;
        if text.is_empty() {
            let content = key.content();
            let mut session = Session { file, path, content };
            session.write()?;
            return Ok(session);
        }
        let content: Content = serde_json::from_str(&text)
            .ok()
            .filter(|content: &Content| content.nonce.parse::<Nonce>().is_ok())
            .ok_or_else(|| refused(&io::Error::other("it is not a session of tenure's")))?;
        if !key.is_of(&content) {
            let Content { store, service, unit, .. } = content;
            return Err(Failure::new(
                failure::USAGE,
                format_args!("session file {path:?} is that of {unit} for {service} in {store}"),
            ));
        }
        Ok(Session { file, path, content })
    }

    /// Whom the session is for. `candidate` has the names, and gets the nonce.
    pub(crate) fn nonce(&self) -> Result<Nonce, Failure> {
        self.content.nonce.parse().map_err(|error| refused(&self.path, &io::Error::other(error)))
    }

    /// Draws a new nonce: what comes is another holder.
    pub(crate) fn renew(&mut self) -> Result<(), Failure> {
        self.content.nonce = fresh_nonce().to_string();
        self.write()
    }

    fn write(&mut self) -> Result<(), Failure> {
        let written =
            serde_json::to_string(&self.content).map_err(io::Error::other).and_then(|mut text| {
                text.push('\n');
                self.file.rewind()?;
                // All sessions of one key are of one length, but for a file that was empty.
                self.file.write_all(text.as_bytes())?;
                self.file.sync_data()
            });
        written.map_err(|error| refused(&self.path, &error))
    }
}

impl Key<'_> {
    pub(crate) fn of<'a>(store: &'a str, candidate: &'a Candidate) -> Key<'a> {
        Key { store, service: candidate.service.as_str(), unit: candidate.unit.as_str() }
    }

    fn content(&self) -> Content {
        Content {
            store: self.store.to_owned(),
            service: self.service.to_owned(),
            unit: self.unit.to_owned(),
            nonce: fresh_nonce().to_string(),
        }
    }

    fn is_of(&self, content: &Content) -> bool {
        (self.store, self.service, self.unit) == (&content.store, &content.service, &content.unit)
    }

    /// The service, for people, and a hash of all three names.
    fn file_name(&self) -> String {
        // FNV-1a: it has to be the same in each version of this program, and not more than that.
        let text = format!("{}\n{}\n{}", self.store, self.service, self.unit);
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{}-{hash:016x}.session", self.service)
    }
}

/// The directory for session files, which is made if it does not exist.
fn directory() -> Result<PathBuf, Failure> {
    let uid = rustix::process::geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
    let parent = match runtime {
        Some(path) => Some(PathBuf::from(path)),
        None => Some(PathBuf::from(format!("/run/user/{uid}"))).filter(|path| path.is_dir()),
    };
    let path = match parent {
        Some(parent) => parent.join("tenure"),
        None => std::env::temp_dir().join(format!("tenure-{uid}")),
    };
    let made = match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // Others can write to a temporary directory: what is there may be somebody else's.
        Ok(()) | Err(_) => fs::symlink_metadata(&path).and_then(|found| match found.is_dir() {
            true => check_private(&found),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }),
    };
    made.map_err(|error| {
        Failure::new(failure::SYSTEM, format_args!("cannot use {path:?} for sessions: {error}"))
    })?;
    Ok(path)
}

/// Refuses what is not ours alone: who reads a nonce can release and renew as we can.
fn check_private(found: &fs::Metadata) -> io::Result<()> {
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(io::Error::other("others than its owner may use it"));
    }
    Ok(())
}

fn refused(path: &Path, error: &io::Error) -> Failure {
    Failure::new(failure::SYSTEM, format_args!("session file {path:?}: {error}"))
}

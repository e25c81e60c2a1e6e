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

/// The environment's way to say where session files are.
const VARIABLE: &str = "TENURE_SESSIONS";

impl Session {
    /// Opens the session of `key`, and starts one if there is none.
    pub(crate) fn open(key: &Key<'_>, chosen: Option<&Path>) -> Result<Session, Failure> {
        let place = Place::of(key, chosen)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&place.path)
            .map_err(|error| refused(&place.path, &error))?;
        Session::lock(file, place, key)
    }

    /// Opens the session of `key`, if there is one.
    pub(crate) fn open_existing(
        key: &Key<'_>,
        chosen: Option<&Path>,
    ) -> Result<Option<Session>, Failure> {
        let place = Place::of(key, chosen)?;
        match OpenOptions::new().read(true).write(true).open(&place.path) {
            Ok(file) => Session::lock(file, place, key).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match place.old_nonce(key).is_some() {
                    true => Session::open(key, chosen).map(Some),
                    false => Ok(None),
                }
            }
            Err(error) => Err(refused(&place.path, &error)),
        }
    }

    fn lock(mut file: File, place: Place, key: &Key<'_>) -> Result<Session, Failure> {
        let path = place.path.clone();
        let refused = |error: &io::Error| refused(&path, error);
        check_private(&file.metadata().map_err(|error| refused(&error))?)
            .map_err(|error| refused(&error))?;
        file.lock().map_err(|error| refused(&error))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| refused(&error))?;
        if text.is_empty() {
            let nonce = place.old_nonce(key).unwrap_or_else(fresh_nonce);
            let content = key.content(nonce);
            let mut session = Session { file, path, content };
            session.write()?;
            return Ok(session);
        }
        let content = Content::parse(&text)
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

    /// Where it is kept.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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

impl Content {
    fn parse(text: &str) -> Option<Content> {
        let content: Content = serde_json::from_str(text).ok()?;
        content.nonce.parse::<Nonce>().is_ok().then_some(content)
    }
}

impl Key<'_> {
    pub(crate) fn of<'a>(store: &'a str, candidate: &'a Candidate) -> Key<'a> {
        Key { store, service: candidate.service.as_str(), unit: candidate.unit.as_str() }
    }

    fn content(&self, nonce: Nonce) -> Content {
        Content {
            store: self.store.to_owned(),
            service: self.service.to_owned(),
            unit: self.unit.to_owned(),
            nonce: nonce.to_string(),
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

/// Where a session file is.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Where earlier versions of this program kept it.
    old: Vec<PathBuf>,
}

impl Place {
    fn of(key: &Key<'_>, chosen: Option<&Path>) -> Result<Place, Failure> {
        if let Some(path) = chosen {
            return Ok(Place { path: path.to_owned(), old: Vec::new() });
        }
        let name = key.file_name();
        let old = old_directories().into_iter().map(|old| old.join(&name)).collect();
        Ok(Place { path: directory()?.join(&name), old })
    }

    /// The nonce of a session that an earlier version left, if it is that of `key`, and nobody
    /// else can have written it.
    fn old_nonce(&self, key: &Key<'_>) -> Option<Nonce> {
        self.old.iter().find_map(|path| {
            check_directory(path.parent()?).ok()?;
            let mut file = File::open(path).ok()?;
            let found = file.metadata().ok()?;
            check_private(&found).ok()?;
            // Where the new one is: its lock is ours.
            if fs::metadata(&self.path).is_ok_and(|new| is_same(&new, &found)) {
                return None;
            }
            file.lock().ok()?;
            let mut text = String::new();
            file.read_to_string(&mut text).ok()?;
            let content = Content::parse(&text).filter(|content| key.is_of(content))?;
            tracing::info!(?path, "a session of an earlier version goes on");
            content.nonce.parse().ok()
        })
    }
}

/// The directory for session files, which is made if it does not exist.
///
/// It is the same whoever is logged in and whatever the environment is: a job's claims come from
/// cron, a login and a service, and have to be one holder's. So it depends on the user alone, and
/// is on the disk. A home would be no better: system users have none, and some are there during a
/// login only.
fn directory() -> Result<PathBuf, Failure> {
    let uid = rustix::process::geteuid();
    let path = match std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => {
            let text = path.to_string_lossy();
            if text.trim() != text || text.contains(char::is_control) {
                let why = "it has a blank at an end, or a control character";
                let why = format!("{VARIABLE}={text:?}: {why}");
                return Err(Failure::new(failure::USAGE, why));
            }
            PathBuf::from(path)
        }
        None if uid.is_root() => PathBuf::from("/var/lib/tenure"),
        None => PathBuf::from(format!("/var/tmp/tenure-{}", uid.as_raw())),
    };
    let made = match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // Others can write to a temporary directory: what is there may be somebody else's.
        Ok(()) | Err(_) => check_directory(&path),
    };
    made.map_err(|error| {
        Failure::new(
            failure::SYSTEM,
            format_args!(
                "cannot use {path:?} for sessions: {error}: name a file with --session, or a \
                 directory in {VARIABLE}"
            ),
        )
    })?;
    Ok(path)
}

/// The directories of version 0.1.
fn old_directories() -> Vec<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
    let runtime = runtime.map(|path| PathBuf::from(path).join("tenure"));
    let others = [
        PathBuf::from(format!("/run/user/{uid}/tenure")),
        std::env::temp_dir().join(format!("tenure-{uid}")),
    ];
    runtime.into_iter().chain(others).collect()
}

/// Refuses a directory that is not ours alone, or that others could put another in the place of.
fn check_directory(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    check_private(&found)?;
    let parent = fs::metadata(path.join(".."))?;
    // In a sticky directory nobody can rename or remove what is another's.
    match parent.mode() & 0o1002 {
        0o0002 => Err(io::Error::other("others than its owner may replace it")),
        _ => Ok(()),
    }
}

fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
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

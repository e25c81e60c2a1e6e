//! The file itself: which one it is, and whether a store can live in it.
//!
//! Nothing here opens the file. SQLite's locks are POSIX record locks, which a process loses when
//! it closes any descriptor of the file that it locked.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::{OpenError, StoreError};

/// How often a second name of the file is looked at again: a store that is just being made has
/// two for an instant.
const LINK_ATTEMPTS: u32 = 20;

/// SQLite's smallest page. A database has at least one, and SQLite takes less for none at all.
const PAGE_LEN_MIN: u64 = 512;

/// Which file it is, under whatever name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(path: &Path) -> io::Result<Identity> {
        fs::metadata(path).map(|metadata| Identity::from(&metadata))
    }
}

impl From<&fs::Metadata> for Identity {
    fn from(metadata: &fs::Metadata) -> Identity {
        Identity { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Where the store is, and where SQLite keeps what belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// As it was given, made absolute. A symbolic link in it may come to point elsewhere.
    pub(crate) store: PathBuf,
    /// What that was when the store was opened, with every link resolved.
    pub(crate) database: PathBuf,
    pub(crate) wal: PathBuf,
    pub(crate) shm: PathBuf,
    /// While SQLite makes it.
    pub(crate) journal: PathBuf,
}

/// What is at a path where a store should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    Nothing,
    Empty,
    Content,
}

impl Paths {
    /// Makes `path` absolute, and looks at what is there.
    pub(crate) fn inspect(path: &Path) -> Result<(Paths, Found), OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let store = std::path::absolute(path).map_err(io)?;
        let (parent, name) = match (store.parent(), store.file_name()) {
            (Some(parent), Some(name)) => (parent, name),
            _ => return Err(OpenError::NotAFile { path: store, what: "a directory" }),
        };
        let parent = fs::canonicalize(parent).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                OpenError::NoDirectory { path: store.clone() }
            }
            _ => OpenError::Io { path: store.clone(), source },
        })?;
        let metadata = match fs::metadata(&store) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if store.is_symlink() {
                    return Err(OpenError::NotAFile { path: store, what: "a link to nothing" });
                }
                return Ok((Paths::new(store.clone(), parent.join(name)), Found::Nothing));
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(OpenError::NoDirectory { path: store });
            }
            Err(source) => return Err(OpenError::Io { path: store, source }),
        };
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a directory" } else { "not a regular file" };
            return Err(OpenError::NotAFile { path: store, what });
        }
        let database = fs::canonicalize(&store).map_err(io)?;
        let found = match metadata.len() {
            0 => Found::Empty,
            1..PAGE_LEN_MIN => return Err(OpenError::NotADatabase { path: store }),
            PAGE_LEN_MIN.. => Found::Content,
        };
        Ok((Paths::new(store, database), found))
    }

    pub(crate) fn new(store: PathBuf, database: PathBuf) -> Paths {
        let [wal, shm, journal] =
            ["-wal", "-shm", "-journal"].map(|suffix| beside(&database, suffix));
        Paths { store, database, wal, shm, journal }
    }

    /// What is at the path, where `found` is what was there a moment ago.
    ///
    /// Refuses a store that was deleted while its log was left: that log is somebody's, and what
    /// it says would be lost.
    pub(crate) fn confirm(&self, found: Found) -> Result<Found, OpenError> {
        if found == Found::Content || !self.wal.exists() {
            return Ok(found);
        }
        // A store is there before its log. So another process may have made it, and opened it,
        // since it was looked for: then it is there now.
        match Paths::inspect(&self.store)? {
            (_, Found::Content) => Ok(Found::Content),
            (_, Found::Empty | Found::Nothing) => {
                Err(OpenError::Orphaned { path: self.store.clone(), wal: self.wal.clone() })
            }
        }
    }

    /// Refuses a file that goes by two names: SQLite keeps its log beside each of them, and
    /// processes that came by different names would not see each other's leases.
    pub(crate) fn check_one_name(&self) -> Result<(), OpenError> {
        let aliased = |how| OpenError::Aliased { path: self.store.clone(), how };
        for _ in 0..LINK_ATTEMPTS {
            match fs::metadata(&self.database) {
                Ok(metadata) if metadata.nlink() > 1 => thread::sleep(Duration::from_millis(5)),
                Ok(_) if is_mount_point(&self.database) => {
                    return Err(aliased("is a mount point of its own"));
                }
                Ok(_) => return Ok(()),
                Err(source) => return Err(OpenError::Io { path: self.store.clone(), source }),
            }
        }
        Err(aliased("has several hard links"))
    }
}

/// The files of one connection, as they were when it was opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files {
    database: Identity,
    /// The log and its index. `None` for a look at a store that nobody has open.
    log: Option<(Identity, Identity)>,
}

impl Files {
    /// The files that a connection which was just opened works on.
    ///
    /// `None` when they are not, or no longer, those that the paths lead to.
    pub(crate) fn opened(paths: &Paths, before: Identity, log: bool) -> io::Result<Option<Files>> {
        let database = Identity::of(&paths.store)?;
        let log = match log {
            true => Some((Identity::of(&paths.wal)?, Identity::of(&paths.shm)?)),
            false => None,
        };
        let ours = log.is_none_or(|(wal, shm)| has_open(&[database, wal, shm]));
        Ok((database == before && ours).then_some(Files { database, log }))
    }

    pub(crate) fn database(&self) -> Identity {
        self.database
    }

    /// Refuses to go on when a path leads to another file than the one that is open: whoever
    /// opens the store now would not see what is written here.
    pub(crate) fn check(&self, paths: &Paths) -> Result<(), StoreError> {
        check_identity(&paths.store, self.database)?;
        if let Some((wal, shm)) = self.log {
            check_identity(&paths.wal, wal)?;
            check_identity(&paths.shm, shm)?;
        }
        Ok(())
    }
}

fn check_identity(path: &Path, expected: Identity) -> Result<(), StoreError> {
    let path = || path.to_owned();
    match Identity::of(&path()) {
        Ok(found) if found == expected => Ok(()),
        Ok(_) => Err(StoreError::Replaced { path: path() }),
        Err(source) => match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Err(StoreError::Deleted { path: path() })
            }
            _ => Err(StoreError::Io { path: path(), source }),
        },
    }
}

/// Whether this process has all of these files open, as far as the system says.
///
/// SQLite does not tell which file it opened. A path may have led to another one a moment later.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn has_open(files: &[Identity]) -> bool {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else { return true };
    let open: Vec<Identity> = descriptors
        .flatten()
        .filter_map(|descriptor| Identity::of(&descriptor.path()).ok())
        .collect();
    files.iter().all(|file| open.contains(file))
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn has_open(_files: &[Identity]) -> bool {
    true
}

/// SQLite's own way to name the files beside a database.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(suffix);
    name.into()
}

/// A file that is mounted alone (a container's volume, say) has another directory around it than
/// the same file has elsewhere, and so another log beside it.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn is_mount_point(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

    statx(CWD, path, AtFlags::empty(), StatxFlags::empty()).is_ok_and(|found| {
        let mask = found.stx_attributes_mask & found.stx_attributes;
        mask.contains(StatxAttributes::MOUNT_ROOT)
    })
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn is_mount_point(_path: &Path) -> bool {
    false
}

/// Refuses a file system that other machines may share: their SQLite, their clock and their boot
/// are others.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) fn check_file_system(paths: &Paths) -> Result<(), OpenError> {
    let directory = paths.database.parent().unwrap_or(&paths.database);
    let found = rustix::fs::statfs(directory)
        .map_err(|error| OpenError::Io { path: paths.store.clone(), source: error.into() })?;
    // Its type has another width and sign on each architecture; every number fits 32 bits.
    match shared_file_system(found.f_type as u32) {
        Some(kind) => Err(OpenError::SharedFileSystem { path: paths.store.clone(), kind }),
        None => Ok(()),
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(crate) fn check_file_system(_paths: &Paths) -> Result<(), OpenError> {
    Ok(())
}

/// The kernel's numbers, from `statfs(2)` and `linux/magic.h`.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn shared_file_system(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x0102_1997 => "9p",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x1983_0326 => "BeeGFS",
        0x00C3_6400 => "Ceph",
        0x7375_7245 => "Coda",
        0x6573_5546 => "FUSE",
        0x0116_1970 => "GFS2",
        0x4750_4653 => "GPFS",
        0x0BD0_0BD0 => "Lustre",
        0x564C => "NCP",
        0x6969 => "NFS",
        0x7461_636F => "OCFS2",
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB",
        0x786F_4256 => "VirtualBox shared folder",
        0xBACB_ACBC => "VMware shared folder",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(any(target_os = "android", target_os = "linux"))]
    fn file_systems_of_several_machines_are_told_from_local_ones() {
        for (magic, kind) in [(0x6969, "NFS"), (0xFE53_4D42, "SMB"), (0x0102_1997, "9p")] {
            assert_eq!(shared_file_system(magic), Some(kind));
        }
        // ext4, tmpfs, btrfs, xfs, overlayfs.
        for magic in [0xEF53, 0x0102_1994, 0x9123_683E, 0x5846_5342, 0x794C_7630] {
            assert_eq!(shared_file_system(magic), None, "{magic:x}");
        }
    }

    #[test]
    #[cfg(any(target_os = "android", target_os = "linux"))]
    fn a_process_knows_which_files_it_has_open() {
        let held = tempfile::NamedTempFile::new().unwrap();
        let closed = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let identities = [held.path(), &closed].map(|path| Identity::of(path).unwrap());
        assert!(has_open(&identities[..1]));
        assert!(!has_open(&identities));
    }
}

//! Who may open what, and what forbids it: SQLite does not say.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::error::OpenError;
use crate::file::Paths;

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const ALL_WRITE: u32 = 0o002;

fn check(path: &Path, access: Access) -> Result<(), Errno> {
    accessat(CWD, path, access, AtFlags::EACCESS)
}

/// Whether the store itself may be read, or written to as well.
pub(crate) fn check_database(paths: &Paths, write: bool) -> io::Result<()> {
    let access = if write { Access::READ_OK | Access::WRITE_OK } else { Access::READ_OK };
    Ok(check(&paths.database, access)?)
}

/// Whether files may be made beside the store.
pub(crate) fn check_directory(paths: &Paths) -> io::Result<()> {
    Ok(check(directory_of(paths), Access::WRITE_OK | Access::EXEC_OK)?)
}

fn directory_of(paths: &Paths) -> &Path {
    paths.database.parent().unwrap_or(&paths.database)
}

/// Why a store that can be read cannot be written to.
pub(crate) fn read_only(paths: &Paths) -> OpenError {
    let refusals = [paths.database.as_path(), directory_of(paths)]
        .map(|path| (path, check(path, Access::WRITE_OK)));
    let found = refusals.into_iter().find_map(|(path, checked)| Some((path, checked.err()?)));
    let cause = match found {
        Some((_, Errno::ROFS)) => "its file system is mounted read-only".to_owned(),
        Some((path, errno)) => {
            let refusal = io::Error::from(errno);
            let (user, owner) = (geteuid().as_raw(), fs::metadata(path));
            let owner = owner.map_or_else(
                |_| String::new(),
                |found| format!(", which belongs to user {}", shown(&found)),
            );
            format!("user {user} may not write to {path:?}{owner}: {refusal}")
        }
        None => "SQLite could open it for reading only".to_owned(),
    };
    OpenError::ReadOnly { path: paths.store.clone(), cause }
}

/// The owner, and the permissions.
fn shown(metadata: &Metadata) -> String {
    format!("{} (mode {:o})", metadata.uid(), metadata.mode() & 0o7777)
}

/// The file beside the store that keeps this process from writing to it, if one does.
pub(crate) fn foreign(paths: &Paths) -> Option<OpenError> {
    let directory = fs::metadata(directory_of(paths)).ok()?;
    let (user, setting) = (geteuid().as_raw(), protected_regular());
    [&paths.wal, &paths.shm].into_iter().find_map(|file| {
        // A link is not followed by SQLite either.
        let found = fs::symlink_metadata(file).ok()?;
        let owners =
            format!("belongs to user {}, and this process runs as user {user}", shown(&found),);
        let remedy = format!(
            "let user {} run \"tenure status\" on the store, which takes away what a process that \
             was killed has left",
            found.uid(),
        );
        let cause = if !found.is_file() {
            "is not a regular file: move it away".to_owned()
        } else if check(file, Access::READ_OK | Access::WRITE_OK) == Err(Errno::ACCESS) {
            format!("{owners}: {remedy}")
        } else if is_protected(setting, user, &Owned::from(&found), &Owned::from(&directory)) {
            format!(
                "{owners}: in a sticky directory that others can write to, \
                 fs.protected_regular={setting} allows only its owner to open it. Have the store \
                 in another directory; or {remedy}"
            )
        } else {
            return None;
        };
        Some(OpenError::Foreign { path: paths.store.clone(), file: file.clone(), cause })
    })
}

/// Linux's `fs.protected_regular`. SQLite opens its log and the index of it with `O_CREAT`.
fn protected_regular() -> u8 {
    let setting = fs::read_to_string("/proc/sys/fs/protected_regular").unwrap_or_default();
    setting.trim().parse().unwrap_or(0)
}

#[derive(Clone, Copy, Debug)]
struct Owned {
    user: u32,
    mode: u32,
}

impl From<&Metadata> for Owned {
    fn from(metadata: &Metadata) -> Owned {
        Owned { user: metadata.uid(), mode: metadata.mode() }
    }
}

/// The kernel's `may_create_in_sticky`, which heeds no privilege.
fn is_protected(setting: u8, user: u32, file: &Owned, directory: &Owned) -> bool {
    let is_shared = match setting {
        0 => false,
        1 => directory.mode & ALL_WRITE != 0,
        2.. => directory.mode & (ALL_WRITE | GROUP_WRITES) != 0,
    };
    let is_sticky = directory.mode & STICKY != 0;
    is_shared && is_sticky && file.user != directory.user && file.user != user
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_a_sticky_directory_is_its_owners_and_the_directorys() {
        let protected = |setting, user, file, mode: u32| {
            let (file, directory) = (Owned { user: file, mode: 0o666 }, Owned { user: 0, mode });
            is_protected(setting, user, &file, &directory)
        };
        // Privilege does not help: root is kept out as well.
        for user in [0, 1002] {
            assert!(protected(1, user, 1001, 0o1777));
            assert!(protected(2, user, 1001, 0o1777));
            assert!(protected(2, user, 1001, 0o1775));
            assert!(!protected(1, user, 1001, 0o1775));
            assert!(!protected(0, user, 1001, 0o1777));
            assert!(!protected(2, user, 1001, 0o1755), "nobody else can write to it");
            assert!(!protected(2, user, 1001, 0o777), "it is not sticky");
            assert!(!protected(2, user, user, 0o1777), "it is our own");
            assert!(!protected(2, user, 0, 0o1777), "it is the directory's owner's");
        }
    }
}

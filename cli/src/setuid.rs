//! Programs that may become another user's, and so out of reach of tenure's signals.
//!
//! A process may signal another if its real or effective user is the other's real or saved one. A
//! program that is setuid starts with the real user of whoever runs it, so it can be killed until
//! it changes that too, as sudo and su do. Nothing tells beforehand whether a program will.

use std::path::Path;

/// Why `program` may become a process that this one cannot kill.
///
/// `None` also where that cannot be known: of what a script runs, for one.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) fn may_escape(program: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::StatVfsMountFlags;
    use rustix::process::{geteuid, getuid};
    use rustix::thread::{CapabilitySet, capabilities, no_new_privs};

    let may_kill_all = capabilities(None)
        .is_ok_and(|capabilities| capabilities.effective.contains(CapabilitySet::KILL));
    let is_mounted_nosuid = rustix::fs::statvfs(program)
        .is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOSUID));
    if may_kill_all || is_mounted_nosuid || no_new_privs().unwrap_or(false) {
        return None;
    }
    let found = std::fs::metadata(program).ok()?;
    let owner = found.uid();
    let is_ours = owner == getuid().as_raw() || owner == geteuid().as_raw();
    if found.mode() & 0o4000 != 0 && !is_ours {
        return Some(format!("is setuid and belongs to user {owner}"));
    }
    has_cap_setuid(program).then(|| "has the capability CAP_SETUID".to_owned())
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(crate) fn may_escape(program: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    let (own, found) = (rustix::process::getuid(), std::fs::metadata(program).ok()?);
    let is_foreign = found.mode() & 0o4000 != 0 && found.uid() != own.as_raw();
    (is_foreign && !own.is_root()).then(|| "is setuid and belongs to another user".to_owned())
}

/// Whether it is among the file's permitted capabilities: see `struct vfs_cap_data`.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn has_cap_setuid(program: &Path) -> bool {
    const CAP_SETUID: u32 = 7;
    let mut data = [0_u8; 64];
    let Ok(len) = rustix::fs::getxattr(program, "security.capability", &mut data) else {
        return false;
    };
    let permitted = data.get(4..8).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    len >= 8 && permitted.is_some_and(|bytes| u32::from_le_bytes(bytes) >> CAP_SETUID & 1 == 1)
}

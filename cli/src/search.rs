//! Where a command's program is: as execvp(3) and env(1) look for it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Where to look without a `PATH`: what execvp(3) takes.
const DEFAULT: &str = "/bin:/usr/bin";

/// Why there is no program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoProgram {
    /// Something of that name is there, but it cannot be executed.
    NotExecutable,
    /// Nothing is there.
    NotFound,
}

/// The path to `name`, by this process's `PATH`. It has a slash in it.
pub(crate) fn find(name: &OsStr) -> Result<PathBuf, NoProgram> {
    find_in(name, std::env::var_os("PATH").as_deref(), Path::new("."))
}

fn find_in(name: &OsStr, path: Option<&OsStr>, here: &Path) -> Result<PathBuf, NoProgram> {
    if name.is_empty() {
        return Err(NoProgram::NotFound);
    }
    let is_path = name.as_encoded_bytes().contains(&b'/');
    let directories: Vec<PathBuf> = match path {
        _ if is_path => vec![here.to_owned()],
        path => std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT)))
            // One that is empty, also at an end, is the current directory.
            .map(|found| here.join(found))
            .collect(),
    };
    let candidates = || directories.iter().map(|directory| directory.join(name));
    let is_executable = |path: &PathBuf| which::which_in(path, None::<OsString>, here).is_ok();
    if let Some(found) = candidates().find(is_executable) {
        return Ok(found);
    }
    // What is in a directory that cannot be searched may be there: execvp says so as well.
    let is_denied = |path: PathBuf| match path.symlink_metadata() {
        Ok(_) => path.exists(),
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    };
    match candidates().any(is_denied) {
        true => Err(NoProgram::NotExecutable),
        false => Err(NoProgram::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_program_is_found_where_env_finds_it() {
        let here = tempfile::tempdir().unwrap();
        let put = |name: &str, mode| {
            let path = here.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        };
        put("mine", 0o755);
        put("a/tool", 0o644);
        put("b/tool", 0o755);
        put("a/plain", 0o644);
        let find = |name: &str, path: Option<&str>| {
            let found = find_in(OsStr::new(name), path.map(OsStr::new), here.path())?;
            Ok(found.strip_prefix(here.path()).unwrap_or(&found).to_str().unwrap().to_owned())
        };
        let found = |path: &str| Ok(path.to_owned());
        assert_eq!(find("sh", None), found("/bin/sh"), "without a PATH");
        assert_eq!(find("mine", Some("")), found("mine"), "an empty PATH is the current directory");
        for path in ["/nowhere:", ":/nowhere", "/nowhere::/bin"] {
            assert_eq!(find("mine", Some(path)), found("mine"), "{path}");
        }
        assert_eq!(find("mine", Some("/nowhere")), Err(NoProgram::NotFound));
        assert_eq!(find("mine", None), Err(NoProgram::NotFound));
        assert_eq!(find("tool", Some("a:b")), found("b/tool"), "the first that can be executed");
        assert_eq!(find("plain", Some("a:b")), Err(NoProgram::NotExecutable));
        assert_eq!(find("./b/tool", Some("/bin")), found("b/tool"));
        assert_eq!(find("./a/tool", Some("/bin")), Err(NoProgram::NotExecutable));
        assert_eq!(find("", Some("/bin")), Err(NoProgram::NotFound));
    }
}

//! What a demo that is killed leaves behind, and who takes it away.
//!
//! The candidates are killed with the demo. A directory is not: so one more process waits for the
//! end of the demo, by a pipe that only the demo can write to, and removes it.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::args::JanitorOptions;
use crate::child::own_command;
use crate::failure::Failure;
use crate::signals;

/// The store's file in the directory.
const STORE: &str = "leases.db";
/// All that can be in the directory.
const FILES: [&str; 3] = [STORE, "leases.db-shm", "leases.db-wal"];

/// A directory for one demo. To drop it removes it; so does to be killed.
#[derive(Debug)]
pub(crate) struct Directory {
    // Removed first, by this process.
    directory: Option<TempDir>,
    janitor: Child,
}

impl Directory {
    pub(crate) fn new() -> Result<Directory, Failure> {
        let directory = tempfile::Builder::new()
            .prefix("tenure-demo-")
            .tempdir()
            .map_err(|error| Failure::system("cannot make a temporary directory", &error))?;
        let janitor = own_command()?
            .arg("janitor")
            .arg("--directory")
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::system("cannot start a process", &error))?;
        Ok(Directory { directory: Some(directory), janitor })
    }

    /// Where the store is to be.
    pub(crate) fn store(&self) -> std::path::PathBuf {
        let path = self.directory.as_ref().map(TempDir::path);
        path.unwrap_or(Path::new("")).join(STORE)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.directory = None;
        self.janitor.stdin = None;
        let _ = self.janitor.wait();
    }
}

/// The hidden subcommand. It knows what it may remove, and removes nothing else.
pub(crate) fn janitor(options: &JanitorOptions) -> Result<u8, Failure> {
    signals::disregard(&signals::ENDING)?;
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
    // The candidates may not quite have gone.
    for _ in 0..100 {
        for name in FILES {
            let _ = std::fs::remove_file(options.directory.join(name));
        }
        let _ = std::fs::remove_dir(&options.directory);
        if !options.directory.exists() {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(0)
}

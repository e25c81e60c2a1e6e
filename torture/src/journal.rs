//! What happens, for whoever watches, and for whoever wants to know all of it afterwards.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tenure_core::Instant;
use tenure_runtime::{BootClock, Clock};

#[derive(Debug)]
pub(crate) struct Journal {
    begun: Instant,
    directory: Option<PathBuf>,
    file: Option<BufWriter<File>>,
}

impl Journal {
    pub(crate) fn new(directory: Option<&Path>) -> io::Result<Journal> {
        let mut file = None;
        if let Some(directory) = directory {
            fs::create_dir_all(directory)?;
            file = Some(BufWriter::new(File::create(directory.join("rack.log"))?));
        }
        let directory = directory.map(Path::to_path_buf);
        Ok(Journal { begun: BootClock.now(), directory, file })
    }

    /// Seconds since the rack began.
    pub(crate) fn secs(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.begun).as_secs_f64()
    }

    /// Into the file, if there is one. That it cannot be written is no reason to stop.
    pub(crate) fn note(&mut self, at: Instant, what: impl FnOnce() -> String) {
        let secs = self.secs(at);
        if let Some(file) = &mut self.file {
            let _ = writeln!(file, "{secs:11.6} {}", what());
        }
    }

    /// Also to whoever watches.
    pub(crate) fn tell(&mut self, what: &str) {
        let now = BootClock.now();
        self.note(now, || what.to_owned());
        eprintln!("{:8.2} s  {what}", self.secs(now));
    }

    /// Where the candidate in `place` is to say what troubles it.
    pub(crate) fn stderr(&self, place: usize) -> io::Result<Stdio> {
        let Some(directory) = &self.directory else {
            // Some find their log's disk full from the first line on, and the others when the
            // rack's is.
            let path = match place % 3 {
                1 => PathBuf::from("/dev/full"),
                _ => std::env::temp_dir().join(format!("candidate-{place}.log")),
            };
            // That disk may also be read-only.
            let file = File::options().create(true).append(true).open(path);
            return Ok(file.map_or_else(|_| Stdio::null(), Stdio::from));
        };
        let path = directory.join(format!("candidate-{place}.log"));
        Ok(File::options().create(true).append(true).open(path)?.into())
    }
}

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tenure_core::Instant;
use tenure_runtime::{BootClock, Clock};
use tenure_testkit::server::Server;

/// Where Debian has it. The one for programs with threads.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The wall clock of a server, as libfaketime shows it.
#[derive(Debug)]
pub(super) struct ServerClock {
    file: PathBuf,
    /// How far it is ahead, in milliseconds.
    ahead_ms: i64,
    guarantee: Duration,
    slack: Duration,
    set_forward: Option<Instant>,
}

impl ServerClock {
    /// Starts `server` anew, with a clock that can be set; or says why that cannot be.
    pub(super) fn new(
        server: &mut Server,
        guarantee: Duration,
        slack: Duration,
    ) -> Result<Result<ServerClock, String>, Box<dyn Error>> {
        let mut libraries = fs::read_dir("/usr/lib")?.flatten();
        let Some(library) = libraries
            .find_map(|entry| Some(entry.path().join(LIBRARY)).filter(|path| path.exists()))
        else {
            return Ok(Err("it needs libfaketime: it is in the package faketime".to_owned()));
        };
        let file = server.directory().join("clock");
        let clock = ServerClock { file, ahead_ms: 0, guarantee, slack, set_forward: None };
        clock.write()?;
        let text = |path: &Path| path.display().to_string();
        server.environment("LD_PRELOAD", text(&library));
        server.environment("FAKETIME_TIMESTAMP_FILE", text(&clock.file));
        server.environment("FAKETIME_NO_CACHE", "1");
        server.environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        server.stop();
        server.restart()?;
        Ok(Ok(clock))
    }

    /// Sets it forward by what the candidates reckon with, but once during two leases at most; or
    /// back by more than that.
    pub(super) fn set(&mut self, forward: bool, way: usize) -> Result<(), Box<dyn Error>> {
        let now = BootClock.now();
        let span = if forward {
            let again = self.set_forward.map(|at| at.saturating_add(4 * self.guarantee));
            if again.is_some_and(|again| now < again) {
                return Ok(());
            }
            self.set_forward = Some(now);
            // A millisecond less, as the server counts in them.
            self.slack.saturating_sub(Duration::from_millis(1))
        } else {
            self.guarantee / [1, 2, 4, 8][way % 4]
        };
        let span_ms = i64::try_from(span.as_millis())?;
        self.ahead_ms += if forward { span_ms } else { -span_ms };
        self.write()
    }

    /// At once for whoever reads it meanwhile.
    fn write(&self) -> Result<(), Box<dyn Error>> {
        let next = self.file.with_extension("next");
        let sign = if self.ahead_ms < 0 { '-' } else { '+' };
        let (secs, millis) = (self.ahead_ms.abs() / 1_000, self.ahead_ms.abs() % 1_000);
        fs::write(&next, format!("{sign}{secs}.{millis:03}\n"))?;
        Ok(fs::rename(next, &self.file)?)
    }
}

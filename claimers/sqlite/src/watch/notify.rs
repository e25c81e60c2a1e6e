//! Is told by the kernel (inotify) when the file or its log was written to.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

use crate::file::Paths;
use crate::watch::{Bells, FALLBACK_INTERVAL, Started, Stop};

/// When to ring again after an event, counted from the ring before.
///
/// A writer first writes to the log, which is when the event comes, and then makes that visible.
/// Who looks in between sees nothing new. A release also touches the file when all is visible;
/// this is for a writer that is killed before it does, and for other changes.
const AFTERMATH: [Duration; 3] =
    [Duration::from_millis(1), Duration::from_millis(10), Duration::from_millis(50)];

pub(crate) fn start(paths: &Paths) -> io::Result<Started> {
    let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    // Who waits looks at the store after this. So what changes from now on must be seen.
    let mut complete = arm(&inotify, paths);
    let run = {
        let (stop, paths) = (stop.clone(), paths.clone());
        move |bells: &Bells| {
            let mut aftermath = AFTERMATH.iter();
            loop {
                let next = aftermath.next().copied();
                let timeout = next.or((!complete).then_some(FALLBACK_INTERVAL));
                let waited = wait(&inotify, &stop, timeout);
                if bells.is_stopped() {
                    return;
                }
                match waited {
                    Ok(true) => aftermath = AFTERMATH.iter(),
                    Ok(false) => {}
                    // It cannot be waited for: then it is looked at, at a bounded rate.
                    Err(_) => std::thread::sleep(FALLBACK_INTERVAL),
                }
                // The log may be another file than it was. A watch that is there already stays.
                complete = arm(&inotify, &paths);
                bells.ring();
            }
        }
    };
    Ok((Box::new(stop), Box::new(run)))
}

impl Stop for Arc<OwnedFd> {
    fn rouse(&self) {
        // It can only fail by being full, and then the thread is roused already.
        let _ = rustix::io::write(&**self, &1_u64.to_ne_bytes());
    }
}

/// Has the kernel tell of every change to the store and its log; says whether it will.
fn arm(inotify: &OwnedFd, paths: &Paths) -> bool {
    let flags =
        WatchFlags::ATTRIB | WatchFlags::DELETE_SELF | WatchFlags::MODIFY | WatchFlags::MOVE_SELF;
    let watch = |path: &Path| add_watch(inotify, path, flags).is_ok();
    // Both, whatever becomes of the first.
    watch(&paths.database) & watch(&paths.wal)
}

/// Waits for an event, and takes all that are there. False if there was none until `timeout`.
fn wait(inotify: &OwnedFd, stop: &OwnedFd, timeout: Option<Duration>) -> io::Result<bool> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    });
    let mut ready = [PollFd::new(inotify, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
    match poll(&mut ready, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    // What the events say does not matter, only that there were some.
    let mut buffer = [0; 4096];
    let mut any = false;
    loop {
        match rustix::io::read(inotify, &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(any),
            Ok(_) => any = true,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

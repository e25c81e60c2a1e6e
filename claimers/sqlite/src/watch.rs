//! Who waits for a change of the file is roused by a watcher: one a file, however many wait.

#[cfg(any(target_os = "android", target_os = "linux"))]
mod notify;
mod poll;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::bell::Bell;
use crate::file::{Identity, Paths};
use crate::options::Watch;

/// How often the file is looked at where the system cannot tell of changes, though it was asked to.
const FALLBACK_INTERVAL: Duration = Duration::from_millis(50);

/// The watchers of this process.
static WATCHERS: Mutex<BTreeMap<Key, Weak<Watcher>>> = Mutex::new(BTreeMap::new());

type Key = (Identity, Watch);

/// A place among those that a watcher rouses. The last one to leave ends the watcher.
#[derive(Debug)]
pub(crate) struct Subscription {
    watcher: Arc<Watcher>,
    bell: Arc<Bell>,
    awaits_end: bool,
}

impl Subscription {
    /// Has `bell` rung whenever the store has changed, or may have, from now on.
    pub(crate) fn new(
        identity: Identity,
        paths: &Paths,
        watch: Watch,
        bell: Arc<Bell>,
    ) -> io::Result<Subscription> {
        let key = (identity, watch);
        let mut watchers = lock(&WATCHERS);
        let watcher = match watchers.get(&key).and_then(Weak::upgrade) {
            Some(watcher) => watcher,
            None => {
                let watcher = Arc::new(Watcher::start(key, paths)?);
                watchers.insert(key, Arc::downgrade(&watcher));
                watcher
            }
        };
        drop(watchers);
        lock(&watcher.bells.0).push(bell.clone());
        Ok(Subscription { watcher, bell, awaits_end: true })
    }
}

impl Subscription {
    /// Leaves without waiting for the watcher to end, if this was the last one.
    ///
    /// The kernel takes some milliseconds to close an inotify descriptor. Who was told of a release
    /// has better things to do.
    pub(crate) fn leave(mut self) {
        self.awaits_end = false;
    }
}

/// Waits for the watcher to end, if this was the last one: nothing is left behind then.
impl Drop for Subscription {
    fn drop(&mut self) {
        self.watcher.is_awaited.store(self.awaits_end, Ordering::SeqCst);
        lock(&self.watcher.bells.0).retain(|bell| !Arc::ptr_eq(bell, &self.bell));
    }
}

/// A thread that rings bells.
struct Watcher {
    key: Key,
    bells: Arc<Bells>,
    /// Whether whoever drops it waits for the thread to end.
    is_awaited: AtomicBool,
    stop: Box<dyn Stop>,
    thread: Option<JoinHandle<()>>,
}

/// The bells that a watcher rings.
#[derive(Debug, Default)]
struct Bells(Mutex<Vec<Arc<Bell>>>, AtomicBool);

impl Bells {
    fn ring(&self) {
        for bell in &*lock(&self.0) {
            bell.ring();
        }
    }

    fn is_stopped(&self) -> bool {
        self.1.load(Ordering::SeqCst)
    }
}

/// Rouses a watcher's thread, which then sees that it should end.
trait Stop: Send + Sync {
    fn rouse(&self);
}

type Started = (Box<dyn Stop>, Box<dyn FnOnce(&Bells) + Send>);

impl Watcher {
    /// Changes made after this returns are seen.
    fn start(key: Key, paths: &Paths) -> io::Result<Watcher> {
        let bells = Arc::new(Bells::default());
        let (stop, run) = started(key.1, paths);
        let thread = thread::Builder::new().name("tenure-sqlite".to_owned()).spawn({
            let bells = bells.clone();
            move || run(&bells)
        })?;
        let is_awaited = AtomicBool::new(true);
        Ok(Watcher { key, bells, is_awaited, stop, thread: Some(thread) })
    }
}

#[cfg(any(target_os = "android", target_os = "linux"))]
fn started(watch: Watch, paths: &Paths) -> Started {
    match watch {
        // The system may have none to give: a user has 128, by default.
        Watch::Notify => {
            notify::start(paths).unwrap_or_else(|_| poll::start(paths, FALLBACK_INTERVAL))
        }
        Watch::Poll(interval) => poll::start(paths, interval),
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn started(watch: Watch, paths: &Paths) -> Started {
    match watch {
        Watch::Notify => poll::start(paths, FALLBACK_INTERVAL),
        Watch::Poll(interval) => poll::start(paths, interval),
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut watchers = lock(&WATCHERS);
        // Another may have taken its place by now.
        if watchers.get(&self.key).is_some_and(|watcher| watcher.strong_count() == 0) {
            watchers.remove(&self.key);
        }
        drop(watchers);
        self.bells.1.store(true, Ordering::SeqCst);
        self.stop.rouse();
        if let Some(thread) = self.thread.take()
            && self.is_awaited.load(Ordering::SeqCst)
        {
            // It holds no lock while it waits, and never drops a watcher: it ends at once.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watcher").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What a panic elsewhere leaves behind is whole: the lists change by one call each.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

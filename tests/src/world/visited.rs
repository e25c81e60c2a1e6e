use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The worlds met so far, as fingerprints, and how each was come by.
///
/// 17 bytes of table and 5 of history for a world: fifty million are a gigabyte and a half. In
/// shards, so that threads seldom wait for each other.
pub(super) struct Visited {
    shards: Vec<Mutex<Shard>>,
    len: AtomicU64,
}

#[derive(Default)]
struct Shard {
    fingerprints: HashSet<u128, BuildHasherDefault<AsItIs>>,
    parents: Vec<Origin>,
    choices: Vec<u8>,
}

/// The number of a world that was met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Origin(u32);

impl Origin {
    /// What the first world comes from.
    pub(super) const NONE: Origin = Origin(u32::MAX);
}

const SHARD_BITS: u32 = 6;

impl Visited {
    pub(super) fn new() -> Visited {
        let shards = (0..1 << SHARD_BITS).map(|_| Mutex::default()).collect();
        Visited { shards, len: AtomicU64::new(0) }
    }

    /// Takes note of a world. `None` if it was met before.
    pub(super) fn insert(&self, fingerprint: u128, parent: Origin, choice: u8) -> Option<Origin> {
        let index = (fingerprint >> (128 - SHARD_BITS)) as u32;
        let mut shard = self.lock(index);
        if !shard.fingerprints.insert(fingerprint) {
            return None;
        }
        let place = shard.parents.len() as u32;
        shard.parents.push(parent);
        shard.choices.push(choice);
        drop(shard);
        self.len.fetch_add(1, Ordering::Relaxed);
        Some(Origin(place << SHARD_BITS | index))
    }

    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// The choices that led from the first world to this one.
    pub(super) fn path(&self, mut to: Origin) -> Vec<u8> {
        let mut path = Vec::new();
        loop {
            let shard = self.lock(to.0 & ((1 << SHARD_BITS) - 1));
            let place = (to.0 >> SHARD_BITS) as usize;
            let parent = shard.parents[place];
            if parent == Origin::NONE {
                path.reverse();
                return path;
            }
            path.push(shard.choices[place]);
            to = parent;
        }
    }

    fn lock(&self, index: u32) -> MutexGuard<'_, Shard> {
        self.shards[index as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fingerprint is as good as a hash of it.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Little-endian or not: any part of a fingerprint will do.
        for (place, byte) in bytes.iter().take(8).enumerate() {
            self.0 |= u64::from(*byte) << (8 * place);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }
}

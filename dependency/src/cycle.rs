use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use crate::ManifoldName;

/// The cycle that a new manifold `name` with `inputs` would close, from `name` back to it. The
/// graph so far, which `inputs_of` describes, has none; an input need not be in it.
pub(crate) fn find_cycle<'a>(
    name: &'a ManifoldName,
    inputs: &'a [ManifoldName],
    inputs_of: impl Fn(&ManifoldName) -> Option<&'a [ManifoldName]>,
) -> Option<Vec<ManifoldName>> {
    let mut seen = BTreeSet::new();
    let mut path = vec![name];
    // What is still to be looked at, for each manifold on the path.
    let mut left = vec![inputs.iter()];
    while let Some(inputs) = left.last_mut() {
        let Some(input) = inputs.next() else {
            left.pop();
            path.pop();
            continue;
        };
        if input == name {
            path.push(name);
            return Some(path.into_iter().cloned().collect());
        }
        if seen.insert(input) {
            path.push(input);
            left.push(inputs_of(input).unwrap_or_default().iter());
        }
    }
    None
}

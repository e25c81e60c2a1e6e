use std::collections::BTreeSet;
use std::hash::Hash;

use tenure_dependency::{InstallError, ManifoldName};

use super::Books;

/// What must not be installed.
impl<E: Clone + Eq + Hash> Books<E> {
    /// Why a manifold has to be refused.
    pub(super) fn refusal(&self, name: &ManifoldName, inputs: &[ManifoldName]) -> Option<Refusal> {
        if self.contains(name) {
            return Some(Refusal::NameTaken);
        }
        if self.is_ending() {
            return Some(Refusal::Ending);
        }
        // All that it would depend on, by adding inputs until there are no more.
        let mut all: BTreeSet<ManifoldName> = inputs.iter().cloned().collect();
        loop {
            let found: BTreeSet<ManifoldName> = all
                .iter()
                .filter_map(|name| self.entries.get(name))
                .flat_map(|entry| entry.inputs.clone())
                .collect();
            if found.is_subset(&all) {
                break;
            }
            all.extend(found);
        }
        all.contains(name).then_some(Refusal::Cycle)
    }

    pub(super) fn check_refusal(
        &self,
        wanted: Option<Refusal>,
        error: &InstallError,
        new: &ManifoldName,
        new_inputs: &[ManifoldName],
    ) -> Result<(), String> {
        let same = match error {
            InstallError::Cycle { cycle } => {
                let inputs_of = |name: &ManifoldName| match self.entries.get(name) {
                    Some(entry) if name != new => entry.inputs.clone(),
                    Some(_) | None if name == new => new_inputs.to_vec(),
                    Some(_) | None => Vec::new(),
                };
                let ends = cycle.len() > 1 && [cycle.first(), cycle.last()] == [Some(new); 2];
                if !ends || cycle.windows(2).any(|pair| !inputs_of(&pair[0]).contains(&pair[1])) {
                    return Err(format!("what is named is no cycle: {error}"));
                }
                wanted == Some(Refusal::Cycle)
            }
            InstallError::Ending { name } => name == new && wanted == Some(Refusal::Ending),
            InstallError::NameTaken { name } => name == new && wanted == Some(Refusal::NameTaken),
            _ => false,
        };
        if same { Ok(()) } else { Err(format!("refused for the wrong reason: {error}")) }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    Cycle,
    Ending,
    NameTaken,
}

use std::{path::Path, process::Command};

use crate::{cargo, outcome::Shortfall};

/// The files below `root` that are in the repository or about to be, by their names from there.
pub(crate) fn files(root: &Path) -> Result<Vec<String>, Shortfall> {
    let mut command = Command::new("git");
    command.current_dir(root);
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let names = cargo::output(&mut command)?;
    Ok(names.split_terminator('\0').map(str::to_owned).collect())
}

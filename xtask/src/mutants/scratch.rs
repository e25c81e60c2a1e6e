use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::mutant::Mutant;
use crate::{cargo, outcome::Shortfall, tree};

/// A copy of the tree that mutants are tried in. It is kept, so that each build goes on from the
/// last one.
#[derive(Debug)]
pub(crate) struct Scratch {
    copy: PathBuf,
    target: PathBuf,
    /// What the files that a mutant changed said before, the first change first.
    changed: Vec<(String, String)>,
}

impl Scratch {
    /// Makes the copy in `directory` the same as the tree at `root`.
    pub(crate) fn of(root: &Path, directory: &Path) -> Result<Scratch, Shortfall> {
        let (copy, target) = (directory.join("tree"), directory.join("build"));
        fs::create_dir_all(&copy)?;
        let scratch = Scratch { copy, target, changed: Vec::new() };
        let wanted = tree::files(root)?;
        // A file that was deleted and not yet committed is listed all the same.
        let wanted: Vec<&String> = wanted.iter().filter(|name| root.join(name).is_file()).collect();
        for stale in files_below(&scratch.copy, Path::new(""))? {
            if !wanted.iter().any(|name| Path::new(name) == stale) {
                fs::remove_file(scratch.copy.join(stale))?;
            }
        }
        for name in wanted {
            let text = fs::read(root.join(name))?;
            scratch.write(name, &text)?;
        }
        Ok(scratch)
    }

    /// Puts a mutant in.
    pub(crate) fn break_by(&mut self, mutant: &Mutant) -> Result<(), Shortfall> {
        for edit in &mutant.edits {
            let path = self.copy.join(&edit.file);
            let text = fs::read_to_string(&path)
                .map_err(|error| Shortfall::Failed(format!("{}: {error}", edit.file)))?;
            let broken = edit.apply(&text).map_err(Shortfall::Failed)?;
            self.write(&edit.file, broken.as_bytes())?;
            self.changed.push((edit.file.clone(), text));
        }
        Ok(())
    }

    /// Takes the mutant out again.
    pub(crate) fn mend(&mut self) -> Result<(), Shortfall> {
        while let Some((name, text)) = self.changed.pop() {
            self.write(&name, text.as_bytes())?;
        }
        Ok(())
    }

    /// The cargo that runs us, in the copy.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo::command(arguments);
        build_in(&self.target, command.current_dir(&self.copy));
        command
    }

    /// Writes a file, unless it says that already: what is not written is not built again.
    fn write(&self, name: &str, text: &[u8]) -> Result<(), Shortfall> {
        let path = self.copy.join(name);
        if fs::read(&path).is_ok_and(|before| before == text) {
            return Ok(());
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        Ok(fs::write(path, text)?)
    }
}

/// Has cargo build in `target`, as mutants are built: they may leave something unused behind them,
/// and nobody will debug them.
pub(crate) fn build_in(target: &Path, command: &mut Command) {
    command.env("CARGO_TARGET_DIR", target);
    command.env("RUSTFLAGS", "--cap-lints=allow").env("CARGO_PROFILE_DEV_DEBUG", "0");
}

fn files_below(top: &Path, below: &Path) -> Result<Vec<PathBuf>, Shortfall> {
    let mut files = Vec::new();
    for entry in fs::read_dir(top.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            files.extend(files_below(top, &name)?);
        } else {
            files.push(name);
        }
    }
    Ok(files)
}

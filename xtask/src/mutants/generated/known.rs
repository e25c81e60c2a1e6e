use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

/// The mutants that need not be tried any more, by name. It is kept in files beside what
/// cargo-mutants leaves, so that a run which was stopped can be gone on with.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) caught: Vec<String>,
    pub(super) timed_out: Vec<String>,
    pub(super) unviable: Vec<String>,
}

impl Known {
    /// What the files in `directory` say, and what cargo-mutants had found out there when it was
    /// stopped.
    pub(super) fn read(directory: &Path) -> io::Result<Known> {
        let mut known = Known::default();
        for (list, file) in known.lists() {
            *list = lines(&directory.join(file))?;
        }
        known.learn(directory)?;
        Ok(known)
    }

    /// Adds what cargo-mutants has found out in `directory`, and writes it down there.
    pub(super) fn learn(&mut self, directory: &Path) -> io::Result<()> {
        for (list, file) in self.lists() {
            list.extend(lines(&directory.join("mutants.out").join(file))?);
            list.sort();
            list.dedup();
            fs::write(
                directory.join(file),
                list.iter().map(|name| format!("{name}\n")).collect::<String>(),
            )?;
        }
        Ok(())
    }

    /// Each list, and its file: cargo-mutants gives its own the same names.
    fn lists(&mut self) -> [(&mut Vec<String>, &'static str); 3] {
        [
            (&mut self.caught, "caught.txt"),
            (&mut self.timed_out, "timeout.txt"),
            (&mut self.unviable, "unviable.txt"),
        ]
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        [&self.caught, &self.timed_out, &self.unviable].into_iter().flatten()
    }

    /// Those of `all` that are still to be tried.
    pub(super) fn open<'a>(&self, all: &'a [String]) -> Vec<&'a String> {
        all.iter().filter(|name| self.names().all(|known| known != *name)).collect()
    }
}

/// The lines of a file; none if there is no such file.
fn lines(path: &Path) -> io::Result<Vec<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_where_the_last_one_was_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let all = ["a", "b", "c", "d"].map(str::to_owned);
        let found = |file: &str, names: &str| {
            fs::create_dir_all(directory.path().join("mutants.out")).unwrap();
            fs::write(directory.path().join("mutants.out").join(file), names).unwrap();
        };
        assert_eq!(Known::read(directory.path()).unwrap().open(&all).len(), 4);
        found("caught.txt", "c\na\n");
        assert_eq!(Known::read(directory.path()).unwrap().open(&all), ["b", "d"]);
        // The next round of cargo-mutants leaves new lists in the place of the old ones.
        found("caught.txt", "");
        found("timeout.txt", "d\n");
        assert_eq!(Known::read(directory.path()).unwrap().open(&all), ["b"]);
        found("timeout.txt", "");
        found("unviable.txt", "b\n");
        assert!(Known::read(directory.path()).unwrap().open(&all).is_empty());
    }
}

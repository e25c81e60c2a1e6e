use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::outcome::Shortfall;

/// A small change that breaks something, and the checks that must find it.
///
/// A file tells of one:
///
/// ```text
/// What is broken, and what comes of it.
///
/// file core/src/tracker.rs
///  a line that stays
/// -a line that goes
/// +a line that comes
///
/// caught by tenure-machine-tests/machine traces:: oracle::
/// seen by tenure-testkit/it runtimes::
/// ```
///
/// There may be several changes. The lines of one, those that stay and those that go, must be in
/// the file exactly once. A check is a package, a test binary of it (`lib` for its unit tests), and
/// what the names of the tests begin with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mutant {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) edits: Vec<Edit>,
    pub(crate) checks: Vec<Check>,
}

/// A change of one place in one file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Edit {
    pub(crate) file: String,
    old: String,
    new: String,
}

/// Tests that look at a mutant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Check {
    pub(crate) binary: Binary,
    /// What the names of the tests begin with.
    pub(crate) tests: String,
    /// Whether one of them has to fail. Of the others the table tells whether one did.
    pub(crate) must_catch: bool,
}

/// A test binary.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Binary {
    pub(crate) package: String,
    /// `lib` for the unit tests, `bin` for those of a program.
    pub(crate) target: String,
}

impl Mutant {
    /// Reads all the mutants in the directories below `directory`. Those of one file come one after
    /// the other: then the least is built anew for each.
    pub(crate) fn read_all(directory: &Path) -> Result<Vec<Mutant>, Shortfall> {
        let mut mutants = Vec::new();
        for group in sorted(directory)? {
            for file in sorted(&group)? {
                let name = file.file_stem().unwrap_or_default().to_string_lossy();
                let text = fs::read_to_string(&file)?;
                let mutant = Mutant::parse(&name, &text);
                mutants
                    .push(mutant.map_err(|wrong| Shortfall::Failed(format!("{name}: {wrong}")))?);
            }
        }
        mutants.sort_by(|one: &Mutant, other| one.place().cmp(other.place()));
        Ok(mutants)
    }

    pub(crate) fn parse(name: &str, text: &str) -> Result<Mutant, String> {
        let mut mutant = Mutant { name: name.to_owned(), ..Mutant::default() };
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(file) = line.strip_prefix("file ") {
                mutant.edits.push(Edit { file: file.to_owned(), ..Edit::default() });
            } else if let Some(checks) = line.strip_prefix("caught by ") {
                mutant.checks.extend(parse_checks(checks, true)?);
            } else if let Some(checks) = line.strip_prefix("seen by ") {
                mutant.checks.extend(parse_checks(checks, false)?);
            } else if let Some(edit) = mutant.edits.last_mut() {
                edit.add(line)?;
            } else {
                let space = if mutant.about.is_empty() { "" } else { " " };
                mutant.about.push_str(&format!("{space}{line}"));
            }
        }
        if mutant.edits.is_empty() {
            return Err("changes nothing".to_owned());
        }
        if !mutant.checks.iter().any(|check| check.must_catch) {
            return Err("names no check that must catch it".to_owned());
        }
        Ok(mutant)
    }

    /// Where it is, in a word.
    pub(crate) fn place(&self) -> &str {
        self.edits.first().map_or("", |edit| &edit.file)
    }
}

fn sorted(directory: &Path) -> Result<Vec<PathBuf>, Shortfall> {
    let mut paths = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, Shortfall>>()?;
    paths.sort();
    Ok(paths)
}

fn parse_checks(text: &str, must_catch: bool) -> Result<Vec<Check>, String> {
    let mut words = text.split_whitespace();
    let binary = words.next().and_then(|word| word.split_once('/'));
    let Some((package, target)) = binary else {
        return Err(format!("no package and test binary in: {text}"));
    };
    let binary = Binary { package: package.to_owned(), target: target.to_owned() };
    let check = |tests: &str| Check { binary: binary.clone(), tests: tests.to_owned(), must_catch };
    let checks: Vec<Check> = words.map(check).collect();
    if checks.is_empty() { Err(format!("no tests in: {text}")) } else { Ok(checks) }
}

impl Edit {
    /// Takes one more line of the change.
    fn add(&mut self, line: &str) -> Result<(), String> {
        let (goes, comes) = match line.split_at_checked(1) {
            Some((" ", line)) => (Some(line), Some(line)),
            Some(("-", line)) => (Some(line), None),
            Some(("+", line)) => (None, Some(line)),
            Some(_) | None => return Err(format!("neither stays, goes nor comes: {line}")),
        };
        for (text, line) in [(&mut self.old, goes), (&mut self.new, comes)] {
            if let Some(line) = line {
                text.push_str(line);
                text.push('\n');
            }
        }
        Ok(())
    }

    /// The text of the file with the change.
    pub(crate) fn apply(&self, text: &str) -> Result<String, String> {
        if self.old.is_empty() || self.old == self.new {
            return Err(format!("the change of {} changes nothing", self.file));
        }
        // Lines are found as a whole: the first one is at the start of one.
        let starts = text.match_indices(&self.old).map(|(start, _)| start);
        let starts: Vec<usize> =
            starts.filter(|&start| start == 0 || text[..start].ends_with('\n')).collect();
        match starts[..] {
            [start] => {
                let (before, after) = (&text[..start], &text[start + self.old.len()..]);
                Ok(format!("{before}{}{after}", self.new))
            }
            _ => {
                Err(format!("{} has it {} times, not once:\n{}", self.file, starts.len(), self.old))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo;

    const TEXT: &str = "Breaks it,\nand how.\n\nfile a.rs\n x\n-y\n+z\n\nfile b.rs\n-q\n\n\
                        caught by a/lib m:: n::\nseen by b/it o::\n";

    #[test]
    fn a_file_tells_what_changes_and_who_must_see_it() {
        let mutant = Mutant::parse("name", TEXT).unwrap();
        assert_eq!(mutant.about, "Breaks it, and how.");
        assert_eq!(mutant.place(), "a.rs");
        assert_eq!(mutant.edits[0].apply("w\nx\ny\n").unwrap(), "w\nx\nz\n");
        assert_eq!(mutant.edits[1].apply("q\n").unwrap(), "");
        let checks: Vec<_> = mutant
            .checks
            .iter()
            .map(|check| (&*check.binary.package, &*check.tests, check.must_catch))
            .collect();
        assert_eq!(checks, [("a", "m::", true), ("a", "n::", true), ("b", "o::", false)]);
    }

    #[test]
    fn what_cannot_be_applied_exactly_once_is_an_error() {
        let mutant = Mutant::parse("name", TEXT).unwrap();
        let wrong = |text| mutant.edits[0].apply(text).unwrap_err();
        assert_eq!(wrong("x\nz\n"), "a.rs has it 0 times, not once:\nx\ny\n");
        assert_eq!(wrong("xx\ny\n"), "a.rs has it 0 times, not once:\nx\ny\n", "no whole line");
        assert_eq!(wrong("x\ny\nx\ny\n"), "a.rs has it 2 times, not once:\nx\ny\n");
        let same = Mutant::parse("name", "file a.rs\n x\n\ncaught by a/lib m::\n").unwrap();
        assert_eq!(same.edits[0].apply("x\n").unwrap_err(), "the change of a.rs changes nothing");
    }

    #[test]
    fn a_file_that_says_too_little_is_refused() {
        let wrong = |text| Mutant::parse("name", text).unwrap_err();
        assert_eq!(wrong("Nothing.\n"), "changes nothing");
        assert_eq!(wrong("file a\n-x\n\nseen by a/lib m::\n"), "names no check that must catch it");
        assert_eq!(wrong("file a\nx\n"), "neither stays, goes nor comes: x");
        assert_eq!(wrong("caught by a m::\n"), "no package and test binary in: a m::");
        assert_eq!(wrong("caught by a/b\n"), "no tests in: a/b");
    }

    /// Whoever changes a line that a mutant breaks has to break the new one too.
    #[test]
    fn every_mutant_can_be_applied_to_the_tree() {
        let mutants = Mutant::read_all(&cargo::root().join("xtask/mutants")).unwrap();
        assert!(mutants.len() >= 31, "the list has 21 at least, and ten were planted");
        for mutant in mutants {
            assert!(!mutant.about.is_empty(), "{} does not say what it breaks", mutant.name);
            for edit in mutant.edits {
                let text = fs::read_to_string(cargo::root().join(&edit.file)).unwrap();
                edit.apply(&text).unwrap_or_else(|wrong| panic!("{}: {wrong}", mutant.name));
            }
        }
    }
}

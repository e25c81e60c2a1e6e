use std::{fs, path::Path};

use crate::{cargo, no_std, outcome::Shortfall, packages, tree};

/// Reads the whole tree, and prints what breaks a house rule that shows in the text.
pub(crate) fn check(other_workspaces: &[&str]) -> Result<(), Shortfall> {
    let mut findings = Vec::new();
    for name in tree::files(cargo::root())? {
        // What is not text, or was deleted and not yet committed, is not ours to read.
        if let Ok(text) = fs::read_to_string(cargo::root().join(&name)) {
            findings.extend(read(&name, &text).into_iter().map(|found| format!("{name}{found}")));
        }
    }
    for member in packages::members("Cargo.toml")? {
        let manifest = fs::read_to_string(&member.manifest)?;
        if !manifest.contains("[lints]\nworkspace = true\n") {
            let manifest = name_of(&member.manifest);
            findings.push(format!("{manifest}: does not take the workspace's lints"));
        }
        check_roots(&member, &mut findings)?;
    }
    for manifest in other_workspaces {
        for member in packages::members(manifest)? {
            check_roots(&member, &mut findings)?;
        }
    }
    findings.iter().for_each(|finding| println!("{finding}"));
    match findings.len() {
        0 => Ok(()),
        number => Err(Shortfall::Failed(format!("{number} places break a house rule"))),
    }
}

fn check_roots(package: &packages::Package, findings: &mut Vec<String>) -> Result<(), Shortfall> {
    for root in &package.roots {
        let name = name_of(root);
        // It must give `main` a name that the C library finds.
        let level = if name == no_std::PROGRAM { "deny" } else { "forbid" };
        let wanted = format!("#![{level}(unsafe_code)]");
        if !fs::read_to_string(root)?.lines().any(|line| line == wanted) {
            findings.push(format!("{name}: lacks {wanted}"));
        }
    }
    Ok(())
}

fn name_of(path: &Path) -> String {
    path.strip_prefix(cargo::root()).unwrap_or(path).to_string_lossy().into_owned()
}

/// The rules that each file is read for: `:line: what` for each place that breaks one.
fn read(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if !(text.is_empty() || text.ends_with('\n') || name.contains("corpus/")) {
        findings.push(": the last line does not end".to_owned());
    }
    let is_code = name.ends_with(".rs");
    for (index, line) in text.lines().enumerate() {
        let mut find = |what: &str| findings.push(format!(":{}: {what}", index + 1));
        // Cargo writes where it found a package into its lock file.
        if !name.ends_with("Cargo.lock") && hosts().iter().any(|host| line.contains(host)) {
            find("names the host of a package registry");
        }
        if is_code {
            if line.chars().count() > 100 {
                find("is longer than 100 columns");
            }
            for word in unfinished().iter().filter(|word| line.contains(*word)) {
                find(&format!("has {word}"));
            }
            if allows().iter().any(|allow| line.contains(allow)) {
                find("allows where it could expect, with a reason");
            }
        }
    }
    findings
}

// Written in pieces, so that this file keeps the rules that it checks.

fn hosts() -> [String; 7] {
    [
        ["crates", "io"],
        ["pypi", "org"],
        ["pythonhosted", "org"],
        ["npmjs", "org"],
        ["deb.debian", "org"],
        ["archive.ubuntu", "com"],
        ["proxy.golang", "org"],
    ]
    .map(|parts| parts.join("."))
}

fn unfinished() -> [String; 3] {
    ["dbg", "todo", "unimplemented"].map(|name| format!("{name}!"))
}

fn allows() -> [String; 2] {
    ["#", "#!"].map(|start| format!("{start}[allow("))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_the_rules_passes() {
        assert_eq!(read("a.rs", "#[expect(dead_code, reason = \"x\")]\nfn a() {}\n"), [""; 0]);
        assert_eq!(read("empty.txt", ""), [""; 0]);
        assert_eq!(read("a.rs", &format!("{}\n", "ü".repeat(100))), [""; 0]);
    }

    #[test]
    fn each_rule_is_found_where_it_is_broken() {
        for host in hosts() {
            assert_eq!(read("a.md", &format!("\n{host}\n")).len(), 1, "{host}");
            assert_eq!(read("Cargo.lock", &format!("\n{host}\n")), [""; 0]);
        }
        for word in unfinished() {
            assert_eq!(read("a.rs", &format!("fn a() {{ {word}() }}\n")).len(), 1, "{word}");
            assert_eq!(read("a.md", &format!("{word}\n")), [""; 0]);
        }
        for allow in allows() {
            assert_eq!(read("a.rs", &format!("{allow}dead_code)]\n")).len(), 1, "{allow}");
        }
        let long = format!("fn a() {{}}\n{}\n", "x".repeat(101));
        assert_eq!(read("a.rs", &long), [":2: is longer than 100 columns"]);
        assert_eq!(read("a.md", "no end"), [": the last line does not end"]);
    }
}

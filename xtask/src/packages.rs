use std::path::PathBuf;

use serde_json::Value;

use crate::{cargo, outcome::Shortfall};

/// A package, as cargo sees it.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) examples: Vec<String>,
    pub(crate) features: Vec<String>,
    pub(crate) manifest: PathBuf,
    pub(crate) name: String,
    /// The first file of each crate in it.
    pub(crate) roots: Vec<PathBuf>,
    /// The oldest Rust that it claims to build with.
    pub(crate) rust_version: Option<String>,
}

/// The packages of the workspace that `manifest` (below the top) belongs to.
pub(crate) fn members(manifest: &str) -> Result<Vec<Package>, Shortfall> {
    read(&["--no-deps", "--manifest-path", manifest])
}

/// The workspace's packages, and all that they depend on here.
pub(crate) fn with_dependencies() -> Result<Vec<Package>, Shortfall> {
    let host = cargo::output(&mut cargo::command(["-vV"]))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Shortfall::failed("`cargo -vV` names no host"))?;
    read(&["--filter-platform", host])
}

fn read(arguments: &[&str]) -> Result<Vec<Package>, Shortfall> {
    let mut command = cargo::command(["metadata", "--quiet", "--format-version", "1"]);
    let text = cargo::output(command.args(arguments))?;
    let metadata: Value = serde_json::from_str(&text).map_err(Shortfall::failed)?;
    Ok(items(&metadata["packages"]).map(package).collect())
}

fn package(json: &Value) -> Package {
    let targets = || items(&json["targets"]);
    let is_example = |target: &&Value| items(&target["kind"]).any(|kind| kind == "example");
    Package {
        examples: targets().filter(is_example).map(|target| text(&target["name"])).collect(),
        features: json["features"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect(),
        manifest: text(&json["manifest_path"]).into(),
        name: text(&json["name"]),
        roots: targets().map(|target| text(&target["src_path"]).into()).collect(),
        rust_version: json["rust_version"].as_str().map(str::to_owned),
    }
}

fn items(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

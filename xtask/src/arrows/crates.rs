//! The crates of the workspace: the other crates that each depends on, and its size.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::modules::source_files;

/// The crates that each crate below the command may depend on. Those that are not listed (the command, and
/// the thin layers over engine and dataset) may depend on all but the command.
const MAY_KNOW: [(&str, &[&str]); 19] = [
    ("wsi-types", &[]),
    ("native", &[]),
    ("whole-file", &[]),
    ("dicom-file", &["wsi-types"]),
    ("wsi-reader", &["dicom-file", "native", "openslide-sys", "wsi-types"]),
    ("tiler", &["wsi-reader", "wsi-types"]),
    ("detector", &["native", "wsi-types"]),
    ("merger", &["whole-file", "wsi-types"]),
    ("eval", &["merger", "wsi-types"]),
    ("convert", &["dataset", "dicom-file", "eval", "merger", "whole-file", "wsi-types"]),
    ("measures", &["wsi-types"]),
    ("painted", &["eval", "whole-file", "wsi-types"]),
    ("dataset", &["merger", "whole-file", "wsi-types"]),
    ("report", &["dataset", "eval", "measures", "whole-file", "wsi-reader", "wsi-types"]),
    (
        "engine",
        &["dataset", "detector", "merger", "native", "tiler", "whole-file", "wsi-reader", "wsi-types"],
    ),
    // Of jobs it knows what its trait says: it builds and passes its tests without ONNX Runtime.
    ("service", &["dataset", "whole-file"]),
    ("viewer", &["merger", "whole-file", "wsi-reader", "wsi-types"]),
    ("live", &["detector", "merger", "tiler", "viewer", "wsi-reader", "wsi-types"]),
    ("xtask", &["native"]),
];
/// The command, on which no crate may depend.
const COMMAND: &str = "slidemill";

/// A crate of the workspace.
pub(super) struct Package {
    pub(super) name: String,
    /// The crates of the workspace that it depends on, tests and benches left out; in order.
    pub(super) knows: Vec<String>,
    /// The folder of its sources.
    pub(super) source: PathBuf,
    /// Lines of its sources, tests within them included.
    pub(super) lines: usize,
    /// Number of closures that were given a name.
    pub(super) closures: usize,
}

/// Returns all crates of the workspace under `root`, by name.
///
/// # Errors
/// When a manifest or a source cannot be read.
pub(super) fn packages(root: &Path) -> Result<Vec<Package>> {
    let manifest = read(&root.join("Cargo.toml"))?;
    let folders = quoted(section_after(&manifest, "members = ["));
    let mut packages = Vec::new();
    for folder in folders {
        let manifest = read(&root.join(&folder).join("Cargo.toml"))?;
        let Some(name) = name_of(&manifest) else { continue };
        let source = root.join(if folder == "." { "cli".into() } else { format!("{folder}/src") });
        let files = source_files(&source)?;
        packages.push(Package {
            name,
            knows: dependencies(&manifest),
            lines: files.iter().map(|(_, text)| text.lines().count()).sum(),
            closures: files.iter().map(|(_, text)| named_closures(text)).sum(),
            source,
        });
    }
    let ours: Vec<String> = packages.iter().map(|package| package.name.clone()).collect();
    for package in &mut packages {
        package.knows.retain(|name| ours.contains(name));
        package.knows.sort();
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

/// Describes forbidden dependencies, each in words.
pub(super) fn forbidden(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for Package { name, knows, .. } in packages {
        let may = MAY_KNOW.iter().find(|(listed, _)| listed == name).map(|(_, may)| *may);
        for other in knows {
            if other == COMMAND || may.is_some_and(|may| !may.contains(&other.as_str())) {
                problems.push(format!("{name} knows {other}"));
            }
        }
    }
    problems
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Returns the text from `start` to the bracket that ends it.
fn section_after<'t>(text: &'t str, start: &str) -> &'t str {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    rest.split_once(']').map_or("", |(section, _)| section)
}

fn quoted(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn name_of(manifest: &str) -> Option<String> {
    let package = manifest.split_once("[package]")?.1;
    let line = package.lines().find(|line| line.starts_with("name = "))?;
    quoted(line).pop()
}

/// Returns the names under `[dependencies]`, those of single systems included.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]" || line.ends_with(".dependencies]");
            inside &= line != "[workspace.dependencies]";
        } else if inside && let Some(end) = line.find([' ', '.', '=']) {
            names.push(line[..end].to_owned());
        }
    }
    names
}

/// Returns the number of closures that are bound to a name.
fn named_closures(text: &str) -> usize {
    let is_named = |line: &&str| {
        let line = line.trim_start();
        let value = line.strip_prefix("let ").and_then(|rest| rest.split_once(" = ")).map(|(_, value)| value);
        value.is_some_and(|value| value.starts_with('|') || value.starts_with("move |"))
    };
    text.lines().filter(is_named).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, knows: &[&str]) -> Package {
        let knows = knows.iter().map(|&name| name.to_owned()).collect();
        Package { name: name.into(), knows, source: PathBuf::new(), lines: 1, closures: 0 }
    }

    #[test]
    fn an_arrow_that_points_up_is_named() {
        let packages = [
            package("merger", &["whole-file", "wsi-types"]),
            package("dataset", &["engine", "merger"]),
            package("bench", &["engine", "slidemill"]),
        ];
        assert_eq!(forbidden(&packages), ["dataset knows engine", "bench knows slidemill"]);
    }

    #[test]
    fn manifests_are_read() {
        let manifest = "[package]\nname = \"a\"\n\n[dependencies]\nb.workspace = true\nc = { path = \"c\" }\n\n\
                        [dev-dependencies]\nd.workspace = true\n\n[target.'cfg(unix)'.dependencies]\ne = \"1\"\n";
        assert_eq!(name_of(manifest).as_deref(), Some("a"));
        assert_eq!(dependencies(manifest), ["b", "c", "e"]);
        assert_eq!(
            quoted(section_after("members = [\n \".\",\n \"x/y\",\n]\n", "members = [")),
            [".", "x/y"]
        );
    }

    #[test]
    fn a_closure_with_a_name_is_counted_and_one_that_is_passed_is_not() {
        let text = "let f = |x| x;\n    let g = move || 1;\nlet h = list.map(|x| x);\n";
        assert_eq!(named_closures(text), 2);
    }
}

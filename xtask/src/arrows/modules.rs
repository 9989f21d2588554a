//! The imports between the files of a crate, read from the paths in them.
//!
//! A file that another one declares (`mod x;`) and re-exports (`pub use x::…`) does not count as imported by
//! it: that one is its face. The root of a crate is left out for the same reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A module as its path from the root of its crate.
type Module = Vec<String>;

/// Returns the Rust files under a folder, in order, each with its text.
///
/// # Errors
/// When one cannot be read.
pub(super) fn source_files(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text =
                    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                files.push((path, text));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Returns the circles of imports between the files of a crate, the longest first; each as module paths.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn circles(source: &Path) -> Result<Vec<Vec<String>>> {
    let mut texts: BTreeMap<Module, String> = BTreeMap::new();
    for (path, text) in source_files(source)? {
        if let Some(module) = module_of(path.strip_prefix(source)?) {
            texts.insert(module, code_of(&text));
        }
    }
    let known: BTreeSet<Module> = texts.keys().cloned().collect();
    let imports: BTreeMap<&Module, BTreeSet<Module>> =
        texts.iter().map(|(module, text)| (module, imports_of(module, text, &known))).collect();
    Ok(circles_of(&imports))
}

/// Returns the module of a file; `None` for the root of the crate.
fn module_of(path: &Path) -> Option<Module> {
    let mut module: Module =
        path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|name| name == "mod") {
        module.pop();
    }
    let is_root = module.is_empty() || module == ["lib"] || module == ["main"];
    (!is_root).then_some(module)
}

/// Returns the code without comments, and without the tests at its end.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn imports_of(module: &Module, text: &str, known: &BTreeSet<Module>) -> BTreeSet<Module> {
    let mut found: BTreeSet<Module> = paths_in(text, "crate")
        .into_iter()
        .map(|path| path[1..].to_vec())
        .chain(paths_in(text, "super").into_iter().map(|path| from_parent(module, &path)))
        .filter_map(|path| deepest_known(&path, known))
        .collect();
    let own = without_faces(text);
    for child in known.iter().filter(|other| other.len() == module.len() + 1 && other.starts_with(module)) {
        if !paths_in(&own, &child[module.len()]).is_empty() {
            found.insert(child.clone());
        }
    }
    found.remove(module);
    found
}

/// Returns a path that begins with `super`, written from the root of the crate.
fn from_parent(module: &Module, path: &[String]) -> Module {
    let up = path.iter().take_while(|part| *part == "super").count();
    let kept = module.len().saturating_sub(up);
    module[..kept].iter().chain(&path[up..]).cloned().collect()
}

/// Returns the file that a path leads into.
fn deepest_known(path: &[String], known: &BTreeSet<Module>) -> Option<Module> {
    (1..=path.len()).rev().map(|length| path[..length].to_vec()).find(|start| known.contains(start))
}

/// Returns the text without the statements that re-export.
fn without_faces(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(start) =
        ["pub use ", "pub(crate) use ", "pub(super) use "].iter().filter_map(|word| rest.find(word)).min()
    {
        kept.push_str(&rest[..start]);
        rest = rest[start..].split_once(';').map_or("", |(_, after)| after);
    }
    kept + rest
}

/// Returns every path in `text` that begins with the word `first`, groups in braces taken apart.
fn paths_in(text: &str, first: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, _) in text.match_indices(&format!("{first}::")) {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        take_path(&text[at..], Vec::new(), &mut paths);
    }
    paths
}

/// Takes one path, or a group of them, off the front of `text`; returns the rest.
fn take_path<'t>(text: &'t str, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) -> &'t str {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        let mut rest = group.trim_start();
        while !rest.is_empty() && !rest.starts_with('}') {
            rest = take_path(rest, path.clone(), paths);
            // A new name (`as x`) and the comma after it.
            rest = rest.find([',', '}']).map_or("", |end| &rest[end..]);
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        return rest.strip_prefix('}').unwrap_or(rest);
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    path.push(text[..end].to_owned());
    match text[end..].strip_prefix("::") {
        Some(rest) if end > 0 && !rest.starts_with('<') => take_path(rest, path, paths),
        _ => {
            paths.push(path);
            &text[end..]
        }
    }
}

fn circles_of(imports: &BTreeMap<&Module, BTreeSet<Module>>) -> Vec<Vec<String>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|&module| (module, reached_from(module, imports))).collect();
    let mut seen: BTreeSet<&Module> = BTreeSet::new();
    let mut circles = Vec::new();
    for (&module, reach) in &reached {
        if !reach.contains(module) || seen.contains(module) {
            continue;
        }
        let circle: Vec<&Module> =
            reach.iter().copied().filter(|other| reached[other].contains(module)).collect();
        seen.extend(&circle);
        circles.push(circle.iter().map(|module| module.join("::")).collect());
    }
    circles.sort_by_key(|circle: &Vec<String>| std::cmp::Reverse(circle.len()));
    circles
}

/// Returns all modules that one leads to by its imports; itself only in a circle.
fn reached_from<'m>(
    start: &Module,
    imports: &'m BTreeMap<&Module, BTreeSet<Module>>,
) -> BTreeSet<&'m Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Module> = imports.get(start).into_iter().flatten().collect();
    while let Some(module) = open.pop() {
        if reached.insert(module) {
            open.extend(imports.get(module).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(path: &str) -> Module {
        path.split("::").map(str::to_owned).collect()
    }

    fn imports(module_path: &str, text: &str) -> Vec<String> {
        let known = ["a", "b", "b::c", "b::d"].map(module).into();
        let found = imports_of(&module(module_path), &code_of(text), &known);
        found.iter().map(|module| module.join("::")).collect()
    }

    #[test]
    fn paths_lead_to_files() {
        assert_eq!(
            imports("a", "use crate::{\n    b::{self, c::X as Y},\n    unknown::Z,\n};"),
            ["b", "b::c"]
        );
        assert_eq!(imports("b::c", "fn f() { super::d::g(super::h()) }"), ["b", "b::d"]);
        assert_eq!(imports("a", "// crate::b\n#[cfg(test)]\nmod tests { use crate::b; }"), [""; 0]);
        assert_eq!(
            imports("b", "mod c;\nmod d;\npub use c::X;\nfn f() { d::g() }"),
            ["b::d"],
            "a face is none"
        );
    }

    #[test]
    fn files_that_lead_back_to_themselves_are_a_circle() {
        let (a, b, c) = (module("a"), module("b"), module("c"));
        let imports = BTreeMap::from([
            (&a, BTreeSet::from([b.clone()])),
            (&b, BTreeSet::from([a.clone(), c.clone()])),
            (&c, BTreeSet::new()),
        ]);
        assert_eq!(circles_of(&imports), [["a", "b"]]);
    }
}

//! The places to search, in order of precedence. Only lists them; [`crate::look`] searches them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::environment::{Environment, Platform};
use crate::library::{Library, Version};

/// The variable that names a folder holding both libraries.
pub(crate) const FOLDER_VARIABLE: &str = "SLIDEMILL_NATIVE_DIR";

/// Folder of the libraries in slidemill's wheel, under `site-packages`.
const OWN_PACKAGE: &str = "slidemill/native";

/// Reason to search a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The library's own variable, named here, gives the file.
    FileVariable(&'static str),
    /// A variable, named here, gives a folder of libraries.
    FolderVariable(&'static str),
    /// Beside the program.
    Program,
    /// A Python package under the program's prefix.
    ProgramPython,
    /// In slidemill's own Python package under the program's prefix.
    OwnPython,
    /// `.native` in a checkout.
    Checkout,
    /// Under the environment that this variable names.
    PythonEnvironment(&'static str),
    /// A folder of the system's loader.
    System,
}

impl Source {
    /// `true` if the place ends the search even if it holds nothing: the user named it.
    pub(crate) fn decides(self) -> bool {
        matches!(self, Self::FileVariable(_) | Self::FolderVariable(_))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileVariable(name) | Self::FolderVariable(name) | Self::PythonEnvironment(name) => {
                f.write_str(name)
            }
            Self::Program => f.write_str("beside the program"),
            Self::ProgramPython => f.write_str("Python package beside the program"),
            Self::OwnPython => f.write_str("in slidemill's own Python package"),
            Self::Checkout => f.write_str("checkout"),
            Self::System => f.write_str("system"),
        }
    }
}

/// A file or folder to search, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Reason to search it.
    pub source: Source,
    /// The folder that may hold the library; for [`Source::FileVariable`] the library's file itself.
    pub path: PathBuf,
}

/// All places for `library`, first to last.
pub(crate) fn places(library: Library, environment: &Environment) -> Vec<Place> {
    let mut places = Vec::new();
    let mut add = |source, paths: Vec<PathBuf>| {
        places.extend(paths.into_iter().map(|path| Place { source, path }));
    };
    let file = library.file_variable();
    add(Source::FileVariable(file), named_by(file, environment));
    add(Source::FolderVariable(FOLDER_VARIABLE), named_by(FOLDER_VARIABLE, environment));
    add(Source::Program, beside_program(environment));
    let prefix = environment.prefix();
    add(
        Source::ProgramPython,
        prefix.map_or_else(Vec::new, |prefix| python_folders(prefix, library.site_folder())),
    );
    // After the packages: a user who installs an ONNX Runtime for a GPU wants that one.
    add(Source::OwnPython, prefix.map_or_else(Vec::new, |prefix| python_folders(prefix, OWN_PACKAGE)));
    let checkouts = environment.checkouts();
    add(Source::Checkout, checkouts.into_iter().map(|root| root.join(".native")).collect());
    for name in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        add(Source::PythonEnvironment(name), environment_folders(name, library, environment));
    }
    add(Source::System, environment.loader_folders());
    places
}

fn named_by(variable: &str, environment: &Environment) -> Vec<PathBuf> {
    environment.variable(variable).map(PathBuf::from).into_iter().collect()
}

fn beside_program(environment: &Environment) -> Vec<PathBuf> {
    let folder = environment.program.as_deref().and_then(Path::parent);
    let beside = folder.map(|folder| vec![folder.to_path_buf(), folder.join("native")]);
    let under_prefix = environment.prefix().map(|prefix| prefix.join("lib/slidemill"));
    beside.into_iter().flatten().chain(under_prefix).collect()
}

/// The library's Python package under an environment's root, then the folder of its plain libraries
/// (conda keeps both there).
fn environment_folders(variable: &str, library: Library, environment: &Environment) -> Vec<PathBuf> {
    let Some(root) = environment.variable(variable).map(Path::new) else { return Vec::new() };
    let mut folders = python_folders(root, library.site_folder());
    folders.push(match environment.platform {
        Platform::Windows => root.join("Library/bin"),
        _ => root.join("lib"),
    });
    folders
}

/// Folders of `package` under `prefix`, newest Python first.
///
/// Debian says `dist-packages`, Fedora `lib64`, and Windows has no folder per version. The list is empty
/// without a Python.
fn python_folders(prefix: &Path, package: &str) -> Vec<PathBuf> {
    let unix = ["lib", "lib64"].into_iter().flat_map(|lib| pythons_in(&prefix.join(lib)));
    let windows = [prefix.join("Lib")].into_iter().filter(|folder| folder.join("site-packages").is_dir());
    unix.chain(windows)
        .flat_map(|python| ["site-packages", "dist-packages"].map(|packages| python.join(packages)))
        .filter(|packages| packages.is_dir())
        .map(|packages| packages.join(package))
        .collect()
}

/// The `python3.N` folders of `lib`, newest first.
fn pythons_in(lib: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(lib).into_iter().flatten().flatten();
    let mut pythons: Vec<(Version, PathBuf)> = entries
        .filter_map(|entry| Some((python_version(entry.file_name().to_str()?)?, entry.path())))
        .collect();
    pythons.sort();
    pythons.into_iter().rev().map(|(_, path)| path).collect()
}

/// Version of a folder: 3.12 for `python3.12` (or `python3.13t`), and 3 for Debian's `python3`.
fn python_version(name: &str) -> Option<Version> {
    let numbers = name.strip_prefix("python")?.trim_end_matches('t');
    let parts = numbers.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>()?;
    (parts.first() == Some(&3)).then_some(Version(parts))
}

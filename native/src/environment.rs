//! All values on which the search depends, so that tests can describe any machine.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// A way of naming dynamic libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// `libname.so.1.2.3`: Linux, and every other Unix but macOS.
    Linux,
    /// `libname.1.2.3.dylib`.
    MacOs,
    /// `name.dll` or `name-1.dll`.
    Windows,
}

impl Platform {
    /// The platform that this program was built for.
    pub const HERE: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::MacOs
    } else {
        Self::Linux
    };

    /// The variable by which users add folders to the loader's search.
    fn loader_variable(self) -> &'static str {
        match self {
            Self::Linux => "LD_LIBRARY_PATH",
            Self::MacOs => "DYLD_LIBRARY_PATH",
            Self::Windows => "PATH",
        }
    }
}

/// The variables, the program's file and the platform: all facts that decide where libraries are searched.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Variables that are set. Empty ones count as not set.
    pub variables: BTreeMap<OsString, OsString>,
    /// The program's own file, free of symbolic links; `None` if the system does not tell it.
    pub program: Option<PathBuf>,
    /// Folders of the system's own libraries, in order, beside those that the loader's variable adds.
    pub system_folders: Vec<PathBuf>,
    /// Naming of libraries.
    pub platform: Platform,
}

impl Environment {
    /// The environment of this process.
    pub fn of_this_process() -> Self {
        let program = env::current_exe().ok();
        Self {
            variables: env::vars_os().collect(),
            program: program.map(|path| path.canonicalize().unwrap_or(path)),
            system_folders: system_folders(Platform::HERE, env::consts::ARCH),
            platform: Platform::HERE,
        }
    }

    /// The value of a variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The folder that holds the program's `bin`: `/usr` for `/usr/bin/slidemill`.
    pub(crate) fn prefix(&self) -> Option<&Path> {
        self.program.as_deref()?.parent()?.parent()
    }

    /// Folders with a `Cargo.toml` above the program or above the package that cargo runs, nearest first.
    ///
    /// Cargo sets `CARGO_MANIFEST_DIR` for programs it runs; that covers a target folder outside the
    /// checkout.
    pub(crate) fn checkouts(&self) -> Vec<PathBuf> {
        let manifest = self.variable("CARGO_MANIFEST_DIR").map(Path::new);
        let mut found = Vec::new();
        for start in [self.program.as_deref(), manifest].into_iter().flatten() {
            for folder in start.ancestors().filter(|folder| folder.join("Cargo.toml").is_file()) {
                if !found.iter().any(|seen| seen == folder) {
                    found.push(folder.to_path_buf());
                }
            }
        }
        found
    }

    /// The folders that the loader searches: those of its variable, then the system's own.
    ///
    /// Windows keeps an `onnxruntime.dll` of its own, without a version in its name, under the system's
    /// root; that folder is left out there.
    pub(crate) fn loader_folders(&self) -> Vec<PathBuf> {
        let added = self.variable(self.platform.loader_variable()).map(env::split_paths);
        let windows =
            self.variable("SystemRoot").map(Path::new).filter(|_| self.platform == Platform::Windows);
        let folders = added.into_iter().flatten().chain(self.system_folders.iter().cloned());
        folders
            .filter(|folder| folder.is_absolute())
            .filter(|folder| !windows.is_some_and(|root| folder.starts_with(root)))
            .collect()
    }
}

/// Folders in which each system keeps added libraries, then those of its own.
fn system_folders(platform: Platform, arch: &str) -> Vec<PathBuf> {
    let folders: Vec<String> = match platform {
        Platform::Windows => Vec::new(),
        Platform::MacOs => {
            ["/opt/homebrew/lib", "/usr/local/lib", "/opt/local/lib"].map(str::to_owned).into()
        }
        Platform::Linux => {
            let triplet = format!("{arch}-linux-gnu");
            ["/usr/local", "/usr", ""]
                .iter()
                .flat_map(|root| {
                    [format!("{root}/lib/{triplet}"), format!("{root}/lib64"), format!("{root}/lib")]
                })
                .collect()
        }
    };
    folders.into_iter().map(PathBuf::from).collect()
}

#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod environment;
mod library;
mod look;
mod places;

use std::fmt;
use std::path::PathBuf;

pub use environment::{Environment, Platform};
pub use library::{Library, Version};
pub use look::{Looked, Outcome};
pub use places::{Place, Source};

/// The file of `library` to open, found in the environment of this process.
///
/// # Errors
/// [`NotFound`] when a variable names nothing usable, or when no place holds the library. Its text lists the
/// places searched and the command that helps.
pub fn find(library: Library) -> Result<PathBuf, NotFound> {
    find_in(library, &Environment::of_this_process())
}

/// The contents of every place, in order of precedence, for diagnostics: unlike [`find`] it does not stop at
/// the first hit.
pub fn find_all(library: Library) -> Vec<Looked> {
    find_all_in(library, &Environment::of_this_process())
}

/// [`find`] in a given environment. It only reads the file system.
///
/// # Errors
/// As [`find`].
pub fn find_in(library: Library, environment: &Environment) -> Result<PathBuf, NotFound> {
    let mut looked = Vec::new();
    for place in places::places(library, environment) {
        let decides = place.source.decides();
        let look = Looked::at(place, library, environment.platform);
        if let Outcome::Found(path) = &look.outcome {
            tracing::debug!(%library, source = %look.place.source, path = %path.display(), "native library");
            return Ok(path.clone());
        }
        looked.push(look);
        if decides {
            break;
        }
    }
    Err(NotFound::new(library, looked, environment))
}

/// [`find_all`] in a given environment.
pub fn find_all_in(library: Library, environment: &Environment) -> Vec<Looked> {
    places::places(library, environment)
        .into_iter()
        .map(|place| Looked::at(place, library, environment.platform))
        .collect()
}

/// A native library was not found in any place.
///
/// The text's first line names the library, its file and the remedy; one line per place follows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NotFound {
    /// The library that is missing.
    pub library: Library,
    /// Every place searched, in order, with its contents.
    pub looked: Vec<Looked>,
    /// The file name sought, for example `libonnxruntime.so`.
    pub file_name: &'static str,
    /// `true` if the program runs from a checkout, where `cargo xtask natives` helps.
    pub in_checkout: bool,
}

impl NotFound {
    fn new(library: Library, looked: Vec<Looked>, environment: &Environment) -> Self {
        let file_name = library.file_name(environment.platform);
        let in_checkout = !environment.checkouts().is_empty();
        Self { library, looked, file_name, in_checkout }
    }

    /// The variable that decided, if one did: it is set, and names nothing usable.
    pub fn variable(&self) -> Option<&'static str> {
        self.looked.iter().find_map(|look| match look.place.source {
            Source::FileVariable(name) | Source::FolderVariable(name) => Some(name),
            _ => None,
        })
    }

    /// The missing library and the remedy, in one line: the text without the list of places.
    pub fn summary(&self) -> String {
        format!("cannot find {} ({}): {}", self.library, self.file_name, self.remedy())
    }

    /// The command that fixes it.
    pub fn remedy(&self) -> String {
        let package = self.library.python_package();
        match (self.variable(), self.in_checkout) {
            (Some(name), _) => format!("correct or unset {name}"),
            (None, true) => "run `cargo xtask natives` in the checkout".to_owned(),
            (None, false) => format!(
                "run `pip install {package}` where slidemill is installed, or set {} to the file",
                self.library.file_variable()
            ),
        }
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; looked at:", self.summary())?;
        self.looked.iter().try_for_each(|look| write!(f, "\n  {look}"))
    }
}

#[cfg(test)]
mod tests;

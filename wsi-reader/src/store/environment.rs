//! Settings for stores, as this process was given them.

use std::{borrow::Cow, collections::BTreeMap, env, fs, io::ErrorKind, path::Path, path::PathBuf};

use super::fault::StoreFault;

/// The variables that a kind of store asks for, and the user's folder.
#[derive(Default)]
pub(super) struct Environment {
    pub(super) variables: BTreeMap<&'static str, String>,
    pub(super) home: Option<PathBuf>,
}

impl Environment {
    /// That of this process, as far as it is asked for.
    pub(super) fn of_process(names: &[&'static str]) -> Self {
        let given = names.iter().filter_map(|&name| Some((name, env::var_os(name)?)));
        let variables = given.map(|(name, value)| (name, value.to_string_lossy().into_owned()));
        Self { variables: variables.collect(), home: env::home_dir() }
    }

    /// A variable that says something.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The first of several variables that says something, with its name.
    pub(super) fn first(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        names.iter().find_map(|&name| Some((name, self.get(name)?)))
    }

    /// The text of the file that a variable names, else of the usual one; `None` if none is named and that is not there.
    pub(super) fn file(
        &self,
        named_by: &str,
        usual: Option<PathBuf>,
        words: &FileInWords,
    ) -> Result<Option<String>, StoreFault> {
        let named = self.get(named_by).map(|file| Cow::Borrowed(Path::new(file)));
        let is_named = named.is_some();
        let Some(file) = named.or(usual.map(Cow::Owned)) else { return Ok(None) };
        match fs::read(file) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound && !is_named => Ok(None),
            Err(error) => {
                let which = if is_named { format!(", which {named_by} names,") } else { String::new() };
                let FileInWords { what, instead } = words;
                let why = error.kind();
                Err(StoreFault::lasting(format!(
                    "{what}{which} cannot be read ({why}); make it readable, or {instead}"
                )))
            }
        }
    }
}

/// How a file of credentials is spoken of.
pub(super) struct FileInWords {
    pub(super) what: &'static str,
    /// What can be given in its place.
    pub(super) instead: &'static str,
}

#[cfg(test)]
impl Environment {
    /// One without a user's folder.
    pub(super) fn of(variables: &[(&'static str, &str)]) -> Self {
        let variables = variables.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        Self { variables, home: None }
    }
}

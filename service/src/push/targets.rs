//! Servers that results may be sent to. A request names one; it never gives an address.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use crate::{
    error::ServiceError,
    named_lines::{self, NamedLine, check_name},
};

/// Servers that results may be sent to, by name.
#[derive(Debug, Clone, Default)]
pub struct Targets(Vec<Target>);

/// A server that takes DICOM instances by STOW-RS.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) url: String,
    secret: Option<Secret>,
}

/// Where the value of the header `Authorization` is.
#[derive(Clone)]
enum Secret {
    File(PathBuf),
    Variable(String),
}

/// Shows no address: it may be nobody's business.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Targets {
    /// Reads a file of lines `name url` or `name url SECRET`, where SECRET is `file:PATH` or `env:VARIABLE`: what is there is
    /// the header `Authorization`. Lines that are empty or begin with `#` are left out.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Targets`] with the number of the line that is wrong.
    pub fn read(path: &Path) -> Result<Self, ServiceError> {
        let read = named_lines::read(path).map(Self);
        read.map_err(|reason| ServiceError::Targets { reason, path: path.to_owned() })
    }

    /// `true` if there is one of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|target| target.name == name)
    }

    /// All names, for people.
    #[must_use]
    pub fn names(&self) -> String {
        match self.0.is_empty() {
            true => "none (the operator gives them by --push-targets)".to_owned(),
            false => self.0.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", "),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Target> {
        self.0.iter()
    }
}

impl NamedLine for Target {
    const WHAT: &str = "target";
    const EXAMPLE: &str = "pacs https://HOST/studies";

    fn name(&self) -> &str {
        &self.name
    }

    fn parse(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, url, secret) = match words.as_slice() {
            [name, url] => (*name, *url, None),
            [name, url, secret] => (*name, *url, Some(*secret)),
            // None of them is shown: one may be a secret.
            _ => {
                return Err(format!(
                    "it has {} words, expected two or three: name, address, file:PATH or env:VARIABLE",
                    words.len()
                ));
            }
        };
        check_name(name)?;
        if !is_stow_address(url) {
            return Err(
                "the address is not as expected: https://HOST/PATH/studies, without user, query and fragment"
                    .to_owned(),
            );
        }
        let secret = secret.map(Secret::parse).transpose()?;
        let target = Self { name: name.to_owned(), url: url.to_owned(), secret };
        // Said before anybody waits for it.
        target.authorization()?;
        Ok(target)
    }
}

impl Target {
    /// The header `Authorization`, as it is now: secrets are renewed.
    pub(crate) fn authorization(&self) -> Result<Option<String>, String> {
        self.secret.as_ref().map(Secret::read).transpose()
    }
}

fn is_stow_address(url: &str) -> bool {
    let rest = ["https://", "http://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let Some((host, path)) = rest.and_then(|rest| rest.split_once('/')) else { return false };
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.contains(['?', '#']);
    let is_studies = path == "studies" || path.ends_with("/studies");
    !host.is_empty() && !host.contains('@') && is_plain && is_studies
}

impl Secret {
    fn parse(word: &str) -> Result<Self, String> {
        match word.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Variable(name.to_owned())),
            // It may be the secret itself.
            _ => Err("the third word is not file:PATH or env:VARIABLE; the secret itself has no place here"
                .to_owned()),
        }
    }

    fn read(&self) -> Result<String, String> {
        let (text, place) = match self {
            Self::File(path) => {
                let text = fs::read_to_string(path);
                (text.map_err(|error| error.kind().to_string()), "its file")
            }
            Self::Variable(name) => {
                (env::var(name).map_err(|_| format!("{name} is not set")), "its variable")
            }
        };
        let text =
            text.map_err(|reason| format!("the authorization cannot be read from {place}: {reason}"))?;
        let value = text.trim();
        if value.is_empty() || !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(format!(
                "{place} holds no header, expected one line such as `Basic dXNlcjpwYXNz` or `Bearer TOKEN`"
            ));
        }
        Ok(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Targets, String> {
        named_lines::parse(text).map(Targets)
    }

    #[test]
    fn lines_are_targets_and_their_secrets_are_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "Basic c2VjcmV0\n").unwrap();
        let text = format!(
            "# ours\n\npacs https://pacs.example/dicom-web/studies file:{}\nlocal http://127.0.0.1:8042/studies\n",
            secret.display()
        );
        let targets = parse(&text).unwrap();
        let [pacs, local] = [0, 1].map(|place| targets.iter().nth(place).unwrap().authorization());
        assert_eq!((pacs.unwrap().as_deref(), local.unwrap()), (Some("Basic c2VjcmV0"), None));
        assert_eq!(
            (targets.names().as_str(), targets.has("pacs"), targets.has("x")),
            ("pacs, local", true, false)
        );
        assert!(!format!("{targets:?}").contains("example"));
        fs::write(&secret, "Bearer new").unwrap();
        assert_eq!(targets.iter().next().unwrap().authorization().unwrap().as_deref(), Some("Bearer new"));
        fs::write(&secret, "two\nlines").unwrap();
        assert!(parse(&text).unwrap_err().contains("line 3: its file holds no header"));
    }

    #[test]
    fn lines_that_are_none_are_refused_without_a_secret() {
        for (bad, said) in [
            ("", "no target"),
            ("pacs", "1 words"),
            ("pacs https://h/studies Basic hunter2", "4 words"),
            ("pacs https://h/studies hunter2", "no place here"),
            ("pacs ftp://hunter2/studies", "https://HOST"),
            ("pacs https://user:hunter2@host/studies", "https://HOST"),
            ("pacs https://host/studies?token=hunter2", "https://HOST"),
            ("pacs https://hunter2/dicom-web", "https://HOST"),
            ("pa/cs https://hunter2/studies", "other letters"),
            ("pacs https:///studies", "https://HOST"),
            ("pacs https://h/studies env:SLIDEMILL_TEST_NOT_SET", "NOT_SET is not set"),
            ("pacs https://h/studies\npacs https://h/studies", "line 2: the name pacs is there already"),
        ] {
            let refused = parse(bad).unwrap_err();
            assert!(!refused.contains("hunter2") && refused.contains(said), "{bad}: {refused}");
        }
    }
}

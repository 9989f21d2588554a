//! Credentials for a store, from where Amazon's own programs look for them.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    env, fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::super::fault::StoreFault;

pub(super) const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
pub(super) const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

const ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN: &str = "AWS_SESSION_TOKEN";
const FILE: &str = "AWS_SHARED_CREDENTIALS_FILE";
const PROFILE: &str = "AWS_PROFILE";

/// Settings for stores, as this process was given them.
#[derive(Default)]
pub(in super::super) struct Environment {
    pub(in super::super) variables: BTreeMap<&'static str, String>,
    pub(in super::super) home: Option<PathBuf>,
}

impl Environment {
    pub(in super::super) fn of_process() -> Self {
        let names = [ID, SECRET, TOKEN, FILE, PROFILE].into_iter().chain(ENDPOINTS).chain(REGIONS);
        let variables =
            names.filter_map(|name| Some((name, env::var_os(name)?.to_string_lossy().into_owned())));
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
}

/// An access key with its secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    /// Goes with keys that hold for a time.
    pub(super) token: Option<String>,
}

/// Tells nothing.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

/// What requests are signed with, if anything.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) keys: Option<Keys>,
    /// Where they were found, in words.
    pub(super) source: String,
}

impl Credentials {
    /// Those of the environment, else those of the shared file, else none.
    pub(super) fn find(environment: &Environment) -> Result<Self, StoreFault> {
        if environment.get(ID).is_some() || environment.get(SECRET).is_some() {
            let names = [ID, SECRET, TOKEN];
            return Self::at("the environment", names, names.map(|name| environment.get(name)));
        }
        let profile = environment.get(PROFILE);
        let Some(text) = shared_file(environment)? else {
            return match profile {
                Some(profile) => Err(StoreFault::lasting(format!(
                    "{PROFILE} asks for the profile {profile:?}, but there is no shared credentials file; make it, or \
                     set {ID} and {SECRET}"
                ))),
                None => Ok(Self::none()),
            };
        };
        let of_profile = section(&text, profile.unwrap_or("default"));
        match (of_profile, profile) {
            (Some(values), _) => Self::of_profile(&values, profile.unwrap_or("default")),
            (None, None) => Ok(Self::none()),
            (None, Some(profile)) => Err(StoreFault::lasting(format!(
                "{PROFILE} asks for the profile {profile:?}, which the shared credentials file does not have"
            ))),
        }
    }

    fn of_profile(values: &BTreeMap<&str, &str>, profile: &str) -> Result<Self, StoreFault> {
        let place = format!("the profile {profile:?} of the shared credentials file");
        let names = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
        let given = names.map(|name| values.get(name).copied().filter(|value| !value.is_empty()));
        Self::at(&place, names, given)
    }

    /// Those with these names at a place.
    fn at(place: &str, names: [&str; 3], given: [Option<&str>; 3]) -> Result<Self, StoreFault> {
        Ok(Self { keys: Some(keys(place, names, given)?), source: format!("those of {place}") })
    }

    fn none() -> Self {
        Self {
            keys: None,
            source: format!(
                "none: neither {ID} nor a profile \"default\" of a shared credentials file is there"
            ),
        }
    }
}

fn keys(place: &str, names: [&str; 3], given: [Option<&str>; 3]) -> Result<Keys, StoreFault> {
    let missing = names.iter().zip(given).take(2).find(|(_, value)| value.is_none());
    if let Some((name, _)) = missing {
        return Err(StoreFault::lasting(format!(
            "the credentials are not complete: {name} is missing in {place}; only keys written out are read, not \
             those of roles or single sign-on"
        )));
    }
    let unusable =
        names.iter().zip(given).find(|(_, value)| !value.unwrap_or_default().bytes().all(is_of_a_key));
    if let Some((name, _)) = unusable {
        return Err(StoreFault::lasting(format!(
            "{name} in {place} holds characters that no key has, such as spaces"
        )));
    }
    let [id, secret, token] = given.map(|value| value.map(str::to_owned));
    Ok(Keys { id: id.unwrap_or_default(), secret: secret.unwrap_or_default(), token })
}

fn is_of_a_key(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

/// The text of the shared credentials file; `None` if there is none and none was named.
fn shared_file(environment: &Environment) -> Result<Option<String>, StoreFault> {
    let named = environment.get(FILE).map(|file| Cow::Borrowed(Path::new(file)));
    let usual = environment.home.as_ref().map(|home| Cow::Owned(home.join(".aws/credentials")));
    let is_named = named.is_some();
    let Some(file) = named.or(usual) else { return Ok(None) };
    match fs::read(file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound && !is_named => Ok(None),
        Err(error) => {
            let which = if is_named { format!(", which {FILE} names,") } else { String::new() };
            Err(StoreFault::lasting(format!(
                "the shared credentials file{which} cannot be read ({}); make it readable, or set {ID} and {SECRET}",
                error.kind()
            )))
        }
    }
}

/// The values of a section of an INI file, the last where one is given twice; `None` if it has no such section.
fn section<'a>(text: &'a str, name: &str) -> Option<BTreeMap<&'a str, &'a str>> {
    let mut values = None;
    let mut is_in = false;
    for line in text.lines().map(|line| line.trim_matches(['\u{feff}', ' ', '\t', '\r'])) {
        if let Some(header) = line.strip_prefix('[') {
            is_in = header.split(']').next().is_some_and(|header| header.trim() == name);
            if is_in {
                values.get_or_insert_with(BTreeMap::new);
            }
        } else if let (true, false, Some((key, value))) =
            (is_in, line.starts_with(['#', ';']), line.split_once('='))
        {
            values.get_or_insert_with(BTreeMap::new).insert(key.trim(), value.trim());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = "# mine\r\n[default]\r\naws_access_key_id = AK1\r\naws_secret_access_key=open=sesame\r\n\n\
                          [lab]\n; old\n  aws_access_key_id=AK2\naws_secret_access_key = two\naws_session_token = t\n\
                          [sso]\nsso_session = x\n";

    /// Credentials as found by a process with these variables and this shared file.
    fn found(variables: &[(&'static str, &str)], shared: Option<&str>) -> Result<Credentials, String> {
        let home = tempfile::tempdir().unwrap();
        if let Some(text) = shared {
            fs::create_dir(home.path().join(".aws")).unwrap();
            fs::write(home.path().join(".aws/credentials"), text).unwrap();
        }
        let variables = variables.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        let environment = Environment { variables, home: Some(home.path().to_owned()) };
        Credentials::find(&environment).map_err(|fault| {
            assert!(!fault.is_passing && !fault.what.contains("sesame"), "{fault}");
            fault.what
        })
    }

    fn id_and_source(found: Credentials) -> (String, String) {
        (found.keys.map_or_else(String::new, |keys| keys.id), found.source)
    }

    #[test]
    fn keys_are_looked_for_in_amazons_order() {
        for (variables, shared, expected) in [
            (
                vec![(ID, "AK0"), (SECRET, "sesame\n"), (TOKEN, ""), (PROFILE, "lab")],
                Some(SHARED),
                ("AK0", "those of the environment"),
            ),
            (vec![], Some(SHARED), ("AK1", "the profile \"default\" of the shared credentials file")),
            (vec![(PROFILE, "lab")], Some(SHARED), ("AK2", "the profile \"lab\"")),
            (vec![], None, ("", "none")),
            (vec![(ID, "")], Some("[other]\n"), ("", "none")),
        ] {
            let (id, source) = id_and_source(found(&variables, shared).unwrap());
            assert!(id == expected.0 && source.contains(expected.1), "{id} {source}");
        }
        let keys = found(&[], Some(SHARED)).unwrap().keys.unwrap();
        assert_eq!((keys.secret.as_str(), &keys.token), ("open=sesame", &None));
        assert_eq!(format!("{keys:?}"), "Keys");
        let lab = found(&[(PROFILE, "lab")], Some(SHARED)).unwrap().keys.unwrap();
        assert_eq!(lab.token.as_deref(), Some("t"));
    }

    #[test]
    fn what_was_asked_for_and_is_not_there_is_told() {
        for (variables, shared, expected) in [
            (vec![(ID, "AK0")], None, "AWS_SECRET_ACCESS_KEY is missing in the environment"),
            (vec![(SECRET, "sesame")], None, "AWS_ACCESS_KEY_ID is missing in the environment"),
            (vec![(PROFILE, "x")], None, "there is no shared credentials file"),
            (vec![(PROFILE, "x")], Some(SHARED), "\"x\", which the shared credentials file does not have"),
            (vec![(PROFILE, "sso")], Some(SHARED), "aws_access_key_id is missing in the profile \"sso\""),
            (
                vec![(FILE, "/nowhere/at/all")],
                None,
                "which AWS_SHARED_CREDENTIALS_FILE names, cannot be read",
            ),
            (vec![(ID, "AK 0"), (SECRET, "sesame")], None, "holds characters that no key has"),
            (
                vec![(ID, "AK0"), (SECRET, "sesame"), (TOKEN, "a\nsesame")],
                None,
                "AWS_SESSION_TOKEN in the env",
            ),
        ] {
            let told = found(&variables, shared).unwrap_err();
            assert!(told.contains(expected), "{told}");
        }
    }
}

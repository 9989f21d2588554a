//! Credentials for a store, from where Amazon's own programs look for them.

use std::collections::BTreeMap;

use super::super::{
    environment::{Environment, FileInWords},
    fault::StoreFault,
    secret::Secret,
};

/// All that is asked for.
pub(in super::super) const VARIABLES: [&str; 9] =
    [ID, SECRET, TOKEN, FILE, PROFILE, ENDPOINTS[0], ENDPOINTS[1], REGIONS[0], REGIONS[1]];

pub(super) const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
pub(super) const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

const ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN: &str = "AWS_SESSION_TOKEN";
const FILE: &str = "AWS_SHARED_CREDENTIALS_FILE";
const PROFILE: &str = "AWS_PROFILE";

/// An access key with its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: Secret,
    pub(super) secret: Secret,
    /// Goes with keys that hold for a time.
    pub(super) token: Option<Secret>,
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
    let ([id_name, secret_name, token_name], [id, secret, token]) = (names, given);
    Ok(Keys {
        id: needed(id, id_name, place)?,
        secret: needed(secret, secret_name, place)?,
        token: token.map(|token| Secret::new(token, token_name, place)).transpose()?,
    })
}

fn needed(value: Option<&str>, name: &str, place: &str) -> Result<Secret, StoreFault> {
    let value = value.ok_or_else(|| {
        StoreFault::lasting(format!(
            "the credentials are not complete: {name} is missing in {place}; only keys written out are read, not \
             those of roles or single sign-on"
        ))
    });
    Secret::new(value?, name, place)
}

/// The text of the shared credentials file; `None` if there is none and none was named.
fn shared_file(environment: &Environment) -> Result<Option<String>, StoreFault> {
    let usual = environment.home.as_ref().map(|home| home.join(".aws/credentials"));
    let words = FileInWords {
        what: "the shared credentials file",
        instead: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    };
    environment.file(FILE, usual, &words)
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
    use std::fs;

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
        (found.keys.map_or_else(String::new, |keys| keys.id.tell().to_owned()), found.source)
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
        assert_eq!((keys.secret.tell(), &keys.token), ("open=sesame", &None));
        assert!(!format!("{keys:?}").contains("sesame"));
        let lab = found(&[(PROFILE, "lab")], Some(SHARED)).unwrap().keys.unwrap();
        assert_eq!(lab.token.as_ref().map(Secret::tell), Some("t"));
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

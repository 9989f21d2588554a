//! Credentials for Google's store, from where Google's own programs look for them.

use std::{path::PathBuf, sync::Arc};

use serde::Deserialize;

use super::super::{
    environment::{Environment, FileInWords},
    fault::StoreFault,
    said::plain,
    secret::Secret,
};
use super::{
    grant::{Account, Grant, Person, Proof},
    token::Tokens,
};

pub(super) const EMULATOR: &str = "STORAGE_EMULATOR_HOST";
const TOKENS: [&str; 2] = ["GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN"];
const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const FOLDER: &str = "CLOUDSDK_CONFIG";
/// The folder of a user's settings on Windows.
const SETTINGS: &str = "APPDATA";

/// All that is asked for.
pub(in super::super) const VARIABLES: [&str; 6] = [EMULATOR, TOKENS[0], TOKENS[1], FILE, FOLDER, SETTINGS];

/// Who asks for objects.
#[derive(Debug)]
pub(super) enum Who {
    /// Nobody in particular, as public buckets allow.
    Anybody,
    /// Who has this token.
    Token(Secret),
    /// Who is given tokens.
    Granted(Arc<Tokens>),
}

/// Who asks, and where that was found, in words.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) who: Who,
    pub(super) source: String,
}

impl Credentials {
    /// A token of the environment, else the file that it names, else the usual file, else none.
    pub(super) fn find(environment: &Environment) -> Result<Self, StoreFault> {
        if let Some((name, token)) = environment.first(&TOKENS) {
            let token = Secret::new(token, name, "the environment")?;
            return Ok(Self { who: Who::Token(token), source: format!("the token of {name}") });
        }
        let words = FileInWords {
            what: "the file of application default credentials",
            instead: "set GOOGLE_OAUTH_ACCESS_TOKEN",
        };
        let Some(text) = environment.file(FILE, usual_file(environment), &words)? else {
            return Ok(Self { who: Who::Anybody, source: none() });
        };
        let place = match environment.get(FILE) {
            Some(_) => format!("the file that {FILE} names"),
            None => "the file of gcloud's application default credentials".to_owned(),
        };
        let written: Written = serde_json::from_str(&text).map_err(|_| {
            // What the parser says may quote the file.
            StoreFault::lasting(format!(
                "{place} is not as expected: a JSON object with a type and texts; have it made anew"
            ))
        })?;
        let kind = written.kind.clone().unwrap_or_default();
        let grant = written.grant(&place)?;
        Ok(Self { who: Who::Granted(Tokens::of(grant)), source: format!("those of {place} ({kind})") })
    }
}

fn none() -> String {
    format!(
        "none: neither {} nor {FILE} is set, and gcloud has no application default credentials; the metadata server of \
         Google's machines is not asked, there set {}=$(gcloud auth print-access-token)",
        TOKENS[0], TOKENS[0]
    )
}

/// Where gcloud writes them.
fn usual_file(environment: &Environment) -> Option<PathBuf> {
    let folder = match environment.get(FOLDER) {
        Some(folder) => PathBuf::from(folder),
        None if cfg!(windows) => PathBuf::from(environment.get(SETTINGS)?).join("gcloud"),
        None => environment.home.as_ref()?.join(".config/gcloud"),
    };
    Some(folder.join("application_default_credentials.json"))
}

/// What is read of a file of credentials.
#[derive(Deserialize)]
struct Written {
    #[serde(rename = "type")]
    kind: Option<String>,
    client_email: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
    token_uri: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    refresh_token: Option<String>,
}

impl Written {
    fn grant(self, place: &str) -> Result<Grant, StoreFault> {
        let proof = match self.kind.as_deref() {
            Some("service_account") => Proof::Account(Account::new(
                &needed(self.client_email, "client_email", place)?,
                &needed(self.private_key, "private_key", place)?,
                self.private_key_id,
                place,
            )?),
            Some("authorized_user") => Proof::Person(Person {
                client_id: needed(self.client_id, "client_id", place)?,
                client_secret: secret(self.client_secret, "client_secret", place)?,
                refresh_token: secret(self.refresh_token, "refresh_token", place)?,
            }),
            other => {
                let kind = other.and_then(plain_kind).unwrap_or_else(|| "not told".to_owned());
                return Err(StoreFault::lasting(format!(
                    "the kind of {place} is {kind}, expected service_account or authorized_user; set {}=$(gcloud auth \
                     print-access-token), which gives a token for an hour",
                    TOKENS[0]
                )));
            }
        };
        Grant::new(proof, self.token_uri.as_deref(), place)
    }
}

/// The name of a kind, which has words joined by `_`.
fn plain_kind(kind: &str) -> Option<String> {
    plain(&kind.replace('_', "-")).map(|kind| kind.replace('-', "_"))
}

fn secret(value: Option<String>, name: &str, place: &str) -> Result<Secret, StoreFault> {
    Secret::new(&needed(value, name, place)?, name, place)
}

fn needed(value: Option<String>, name: &str, place: &str) -> Result<String, StoreFault> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| StoreFault::lasting(format!("{name} is missing in {place}; have the file made anew")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PERSON: &str = r#"{"type": "authorized_user", "client_id": "id", "client_secret": "sesame",
        "refresh_token": "1//sesame", "account": "", "quota_project_id": "p"}"#;

    /// Who asks, by a process with these variables and gcloud's file with this text.
    fn found(variables: &[(&'static str, &str)], text: Option<&str>) -> Result<Credentials, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("application_default_credentials.json");
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        let mut environment = Environment::of(variables);
        environment.variables.entry(FOLDER).or_insert_with(|| folder.path().to_str().unwrap().to_owned());
        if environment.get(FILE) == Some("here") {
            environment.variables.insert(FILE, file.to_str().unwrap().to_owned());
        }
        let found = Credentials::find(&environment);
        assert!(!format!("{found:?}").contains("sesame"), "{found:?}");
        found.map_err(|fault| fault.what)
    }

    #[test]
    fn tokens_and_files_are_looked_for_in_order() {
        for (variables, text, expected) in [
            (
                vec![(TOKENS[1], "b"), (TOKENS[0], " a\n")],
                Some(PERSON),
                "the token of GOOGLE_OAUTH_ACCESS_TOKEN",
            ),
            (vec![(TOKENS[1], "b")], Some(PERSON), "the token of CLOUDSDK_AUTH_ACCESS_TOKEN"),
            (
                vec![(FILE, "here")],
                Some(PERSON),
                "the file that GOOGLE_APPLICATION_CREDENTIALS names (authorized_user)",
            ),
            (vec![], Some(PERSON), "the file of gcloud's application default credentials (authorized_user)"),
            (vec![(TOKENS[0], "")], None, "none: neither GOOGLE_OAUTH_ACCESS_TOKEN nor"),
        ] {
            let found = found(&variables, text).unwrap();
            assert!(found.source.contains(expected), "{}", found.source);
        }
    }

    #[test]
    fn the_usual_file_lies_where_gcloud_writes_it() {
        let mut environment = Environment { home: Some("/home/me".into()), ..Environment::default() };
        environment.variables.insert(SETTINGS, "/settings".to_owned());
        let usual = if cfg!(windows) { "/settings/gcloud" } else { "/home/me/.config/gcloud" };
        let file = PathBuf::from(usual).join("application_default_credentials.json");
        assert_eq!(usual_file(&environment), Some(file));
    }

    #[test]
    fn what_cannot_be_used_is_told_without_what_it_holds() {
        let key = r#"{"type": "service_account", "client_email": "a@b", "private_key": "sesame"}"#;
        for (variables, text, expected) in [
            (vec![(TOKENS[0], "se same")], None, "holds characters that no key has"),
            (
                vec![(FILE, "/nowhere/at/all")],
                None,
                "which GOOGLE_APPLICATION_CREDENTIALS names, cannot be read",
            ),
            (vec![], Some("sesame"), "is not as expected: a JSON object"),
            (vec![], Some(r#"{"type": ["sesame"]}"#), "is not as expected: a JSON object"),
            (vec![], Some(r#"{"refresh_token": "sesame"}"#), "is not told, expected service_account"),
            (
                vec![],
                Some(r#"{"type": "external_account"}"#),
                "application default credentials is external_account, exp",
            ),
            (vec![], Some(r#"{"type": "impersonated_service_account"}"#), "gcloud auth print-access-token"),
            (vec![], Some(r#"{"type": "open/sesame"}"#), "is not told, expected"),
            (
                vec![],
                Some(r#"{"type": "authorized_user", "client_id": "id"}"#),
                "client_secret is missing in the file",
            ),
            (vec![], Some(r#"{"type": "service_account"}"#), "client_email is missing in the file"),
            (
                vec![],
                Some(key),
                "private_key in the file of gcloud's application default credentials is no RSA key",
            ),
            (
                vec![],
                Some(&PERSON.replace("\"account\"", "\"token_uri\": \"http://h/sesame\", \"x\"")),
                "is http:// on another machine",
            ),
        ] {
            let told = found(&variables, text).unwrap_err();
            assert!(told.contains(expected) && !told.contains("sesame"), "{told}");
        }
    }
}

//! Objects of Google's store (`gs://BUCKET/OBJECT`): where they are, which token is sent, what refusals mean.

mod credentials;
mod grant;
mod token;

use ureq::Agent;
use wsi_types::UtcTime;

pub(super) use self::credentials::VARIABLES;
use self::credentials::{Credentials, EMULATOR, Who};
use super::{
    environment::Environment,
    fault::StoreFault,
    naming::{Form, encoded},
    said::Said,
    site::Site,
    stored::{Headers, Stored},
};

const FORM: Form = Form { shape: "gs://BUCKET/OBJECT", settings: "the variables GOOGLE_…" };
const HOST: &str = "storage.googleapis.com";

/// An object of Google's store, and who asks for it.
#[derive(Debug)]
pub(super) struct GoogleObject {
    site: Site,
    /// Encoded, from the root of the site on.
    path: String,
    credentials: Credentials,
}

impl GoogleObject {
    /// Finds out how the object called `BUCKET/OBJECT` is asked for.
    pub(super) fn new(name: &str, environment: &Environment) -> Result<Self, StoreFault> {
        let (bucket, object) = FORM.split(name)?;
        let (site, prefix) = match environment.get(EMULATOR) {
            None => (Site::secure(HOST), String::new()),
            // Google's own programs take it with and without a scheme.
            Some(endpoint) if endpoint.contains("://") => Site::of_endpoint(endpoint, EMULATOR)?,
            Some(host) => Site::of_endpoint(&format!("http://{host}"), EMULATOR)?,
        };
        let credentials = Credentials::find(environment)?;
        if !matches!(credentials.who, Who::Anybody) {
            site.check_private(EMULATOR)?;
        }
        Ok(Self { site, path: encoded(&format!("{prefix}/{bucket}/{object}")), credentials })
    }
}

impl Stored for GoogleObject {
    fn url(&self) -> String {
        self.site.url(&self.path)
    }

    fn signed(&self, mut headers: Headers, _at: UtcTime, agent: &Agent) -> Result<Headers, StoreFault> {
        let token = match &self.credentials.who {
            Who::Anybody => return Ok(headers),
            Who::Token(token) => token.clone(),
            Who::Granted(tokens) => tokens.get(agent)?,
        };
        headers.insert("authorization", format!("Bearer {}", token.tell()));
        Ok(headers)
    }

    fn renews(&self, refused: &Headers) -> bool {
        let sent = refused.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        match (&self.credentials.who, sent) {
            (Who::Granted(tokens), Some(sent)) => {
                tokens.forget(sent);
                true
            }
            _ => false,
        }
    }

    fn credentials(&self) -> &str {
        &self.credentials.source
    }

    fn elsewhere(&self) -> &'static str {
        "check STORAGE_EMULATOR_HOST if it is set"
    }

    fn refused(&self, said: &Said<'_>) -> Option<String> {
        let code = said.code();
        Some(match (code.as_str(), said.number()) {
            ("NoSuchBucket", _) => said.no_bucket("bucket", "STORAGE_EMULATOR_HOST if it is set"),
            ("NoSuchKey", _) => said.no_object("bucket"),
            ("UserProjectMissing", _) => format!(
                "the bucket charges those who read it ({}), which is not supported: copy the slide to a disk",
                said.answers()
            ),
            (_, 401) => said.with_credentials(
                "the store does not accept the token, which may have expired, or wants one",
                &self.credentials.source,
            ),
            (_, 403) => format!(
                "{}; who asks needs the right storage.objects.get, as the role Storage Object Viewer has it",
                said.with_credentials(
                    "the store refuses it, or has no such object and does not say so",
                    &self.credentials.source
                )
            ),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use ureq::http::{HeaderMap, StatusCode};

    use super::{super::stored, *};

    fn url(name: &str, variables: &[(&'static str, &str)]) -> String {
        GoogleObject::new(name, &Environment::of(variables)).unwrap().url()
    }

    #[test]
    fn objects_are_asked_for_at_google_or_at_the_emulator() {
        for (name, emulator, expected) in [
            ("bkt/a b/ü+.svs", "", "https://storage.googleapis.com/bkt/a%20b/%C3%BC%2B.svs"),
            ("my.bkt_1/a//k", "", "https://storage.googleapis.com/my.bkt_1/a//k"),
            ("bkt/k", "localhost:4443", "http://localhost:4443/bkt/k"),
            ("bkt/k", "https://h/at/", "https://h/at/bkt/k"),
        ] {
            assert_eq!(url(name, &[(EMULATOR, emulator)]), expected);
        }
    }

    #[test]
    fn what_names_no_object_or_no_store_is_refused_in_words() {
        let token = ("GOOGLE_OAUTH_ACCESS_TOKEN", "sesame");
        for (name, variables, expected) in [
            ("bucket", vec![], "the address is malformed, expected gs://BUCKET/OBJECT"),
            ("bucket/", vec![], "folders of a store are not listed, expected gs://BUCKET/OBJECT"),
            ("me:sesame@b/k", vec![], "neither settings nor a user"),
            ("b/k", vec![(EMULATOR, "http://me:sesame@h")], "STORAGE_EMULATOR_HOST is no address of a store"),
            (
                "b/k",
                vec![(EMULATOR, "http://h"), token],
                "STORAGE_EMULATOR_HOST is http:// on another machine",
            ),
            ("b/k", vec![(EMULATOR, "h:4443"), token], "where others could read the token"),
        ] {
            let fault = GoogleObject::new(name, &Environment::of(&variables)).unwrap_err();
            assert!(!fault.is_passing && fault.what.contains(expected), "{name}: {fault}");
            assert!(!fault.what.contains("sesame"), "{fault}");
        }
        assert_eq!(url("b/k", &[(EMULATOR, "h:4443")]), "http://h:4443/b/k", "nothing secret is sent");
    }

    #[test]
    fn reasons_are_told_with_what_to_do_and_without_tokens() {
        let variables = [("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.sesame")];
        let object = GoogleObject::new("b/k", &Environment::of(&variables)).unwrap();
        for (status, code, expected) in [
            (
                404,
                "NoSuchBucket",
                "the store has no bucket of this name (the store answers 404, NoSuchBucket)",
            ),
            (404, "NoSuchKey", "the bucket has no object of this name"),
            (400, "UserProjectMissing", "charges those who read it"),
            (401, "AuthenticationRequired", "the store does not accept the token"),
            (401, "sesame?", "the credentials used are the token of GOOGLE_OAUTH_ACCESS_TOKEN"),
            (403, "AccessDenied", "the role Storage Object Viewer"),
            (307, "", "sends to another address (the store answers 307), which is not followed"),
            (400, "InvalidArgument", "the store answers 400, InvalidArgument, expected 206"),
        ] {
            let body = format!("<Error><Code>{code}</Code><Message>ya29.sesame</Message></Error>");
            let said = HeaderMap::new();
            let said = Said::new(StatusCode::from_u16(status).unwrap(), &said, &body);
            let fault = stored::refused(&object, &said).unwrap();
            assert!(fault.what.contains(expected) && !fault.what.contains("sesame"), "{fault}");
            assert!(!fault.is_passing, "{fault}");
        }
    }
}

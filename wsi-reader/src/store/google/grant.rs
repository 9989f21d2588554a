//! What Google's token server gives tokens for.

use std::{fmt, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde_json::json;
use wsi_types::UtcTime;

use super::super::{fault::StoreFault, naming::encoded, secret::Secret, site::Site};

/// The right to read objects, and no other.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_only";
/// Where tokens come from if a file does not say so.
const USUAL_SERVER: &str = "https://oauth2.googleapis.com/token";
/// Seconds for which a signed request for a token holds: the most that Google allows.
const HOLDS: u64 = 3600;

/// What is shown to a token server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    /// The token server.
    pub(super) url: String,
    proof: Proof,
}

/// What proves who asks for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    Account(Account),
    Person(Person),
}

/// A service account, which signs.
#[derive(Clone)]
pub(super) struct Account {
    email: String,
    key_id: Option<String>,
    key: Arc<RsaKeyPair>,
    /// The key as it was written.
    written: Secret,
}

/// A user, who has logged in before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
    pub(super) refresh_token: Secret,
}

impl Grant {
    /// A grant of the token server at an address; what gave it is named where the address is wrong.
    pub(super) fn new(proof: Proof, token_uri: Option<&str>, place: &str) -> Result<Self, StoreFault> {
        let url = token_uri.unwrap_or(USUAL_SERVER);
        let named_by = format!("token_uri in {place}");
        let (site, path) = Site::of_endpoint(url, &named_by)?;
        site.check_private(&named_by)?;
        Ok(Self { url: site.url(&path), proof })
    }

    /// What is sent for a token at a time: the values of a form.
    pub(super) fn form(&self, at: UtcTime) -> Result<String, StoreFault> {
        Ok(match &self.proof {
            Proof::Account(account) => {
                let assertion = account.assertion(&self.url, at)?;
                form(&[
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", &assertion),
                ])
            }
            Proof::Person(person) => form(&[
                ("grant_type", "refresh_token"),
                ("client_id", &person.client_id),
                ("client_secret", person.client_secret.tell()),
                ("refresh_token", person.refresh_token.tell()),
            ]),
        })
    }

    /// What to do where it is not accepted.
    pub(super) fn mended_by(&self) -> &'static str {
        match self.proof {
            Proof::Account(_) => "the key may have been taken back, or the clock of this machine is wrong",
            Proof::Person(_) => "log in again: gcloud auth application-default login",
        }
    }
}

fn form(values: &[(&str, &str)]) -> String {
    let values = values.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    values.collect::<Vec<_>>().join("&")
}

impl Account {
    pub(super) fn new(
        email: &str,
        key: &str,
        key_id: Option<String>,
        place: &str,
    ) -> Result<Self, StoreFault> {
        let pair = match PrivateKeyDer::from_pem_slice(key.as_bytes()) {
            Ok(PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
            Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok(),
            _ => None,
        };
        let pair = pair.ok_or_else(|| {
            StoreFault::lasting(format!(
                "private_key in {place} is no RSA key of at least 2048 bits in PEM; have Google make another"
            ))
        })?;
        // Only compared, never sent.
        let written = Secret::new(&BASE64_URL_SAFE_NO_PAD.encode(key), "private_key", place)?;
        Ok(Self { email: email.to_owned(), key_id, key: Arc::new(pair), written })
    }

    /// A signed request for a token (RFC 7523).
    fn assertion(&self, url: &str, at: UtcTime) -> Result<String, StoreFault> {
        let header = match &self.key_id {
            Some(id) => json!({"alg": "RS256", "typ": "JWT", "kid": id}),
            None => json!({"alg": "RS256", "typ": "JWT"}),
        };
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": url,
            "iat": at.secs(),
            "exp": at.secs() + HOLDS,
        });
        signed(&self.key, &header.to_string(), &claims.to_string())
    }
}

/// Tells who it is, and no key.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("email", &self.email).finish_non_exhaustive()
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        (&self.email, &self.key_id, &self.written) == (&other.email, &other.key_id, &other.written)
    }
}

impl Eq for Account {}

/// A JSON Web Signature by RS256 (RFC 7515) in its compact form.
fn signed(key: &RsaKeyPair, header: &str, claims: &str) -> Result<String, StoreFault> {
    let [header, claims] = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let text = format!("{header}.{claims}");
    let mut signature = vec![0; key.public().modulus_len()];
    let signing = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature);
    signing.map_err(|_| StoreFault::lasting("private_key cannot sign; have Google make another"))?;
    Ok(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
mod tests {
    use super::{super::super::google_store::private_key, *};

    #[test]
    fn signatures_are_those_of_rfc_7515() {
        let account = Account::new("a", &private_key(), None, "x").unwrap();
        let claims = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
        assert_eq!(
            signed(&account.key, "{\"alg\":\"RS256\"}", claims).unwrap(),
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0\
             cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9u\
             JdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383\
             LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVm\
             tVrBp0igcN_IoypGlUPQGe77Rw"
        );
    }

    #[test]
    fn what_is_sent_for_a_token_is_as_google_wants_it() {
        let account = Account::new("a@b", &private_key(), Some("k1".into()), "x").unwrap();
        assert!(!format!("{account:?}").contains("MII"));
        let grant = Grant::new(Proof::Account(account), Some("https://h/token"), "x").unwrap();
        let form = grant.form(UtcTime::from_secs(1000)).unwrap();
        let jwt =
            form.strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
        let parts = jwt.unwrap().split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap());
        let parts: Vec<Vec<u8>> = parts.collect();
        let [header, claims] =
            [0, 1].map(|at| serde_json::from_slice::<serde_json::Value>(&parts[at]).unwrap());
        assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        let expected =
            json!({"iss": "a@b", "scope": SCOPE, "aud": "https://h/token", "iat": 1000, "exp": 4600});
        assert_eq!((claims, parts.len()), (expected, 3));

        let [client_secret, refresh_token] = ["s&=", "1//t+"].map(|text| Secret::new(text, "", "").unwrap());
        let person = Person { client_id: "i d".into(), client_secret, refresh_token };
        let grant = Grant::new(Proof::Person(person), None, "x").unwrap();
        assert_eq!(grant.url, "https://oauth2.googleapis.com/token");
        let expected = "grant_type=refresh_token&client_id=i%20d&client_secret=s%26%3D&refresh_token=1//t%2B";
        assert_eq!(grant.form(UtcTime::from_secs(0)).unwrap(), expected);
    }
}

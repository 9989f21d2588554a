//! Signatures of requests without a body, by version 4 of Amazon's scheme.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::fmt::Write as _;

use ring::hmac;
use sha2::{Digest as _, Sha256};
use wsi_types::{UtcTime, wording::hex};

use super::super::stored::Headers;
use super::credentials::Keys;

/// The SHA-256 of no bytes, which is the body.
pub(super) const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What a signature holds for: a day, a region and a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) at: UtcTime,
    pub(super) region: &'a str,
    pub(super) service: &'static str,
}

impl Scope<'_> {
    /// The value of `Authorization` for fetching an encoded path with these headers, all of which are signed.
    pub(super) fn authorization(&self, keys: &Keys, path: &str, headers: &Headers) -> String {
        let names = headers.keys().copied().collect::<Vec<_>>().join(";");
        let signature = self.signature(keys, &canonical(path, headers, &names));
        let id = keys.id.tell();
        format!("{ALGORITHM} Credential={id}/{self}, SignedHeaders={names}, Signature={signature}")
    }

    fn signature(&self, keys: &Keys, request: &str) -> String {
        let hashed = hex(&Sha256::digest(request));
        let signed = format!("{ALGORITHM}\n{}\n{self}\n{hashed}", date_and_time(self.at));
        let first = format!("AWS4{}", keys.secret.tell()).into_bytes();
        let parts = [&date(self.at), self.region, self.service, END];
        let key = parts.iter().fold(first, |key, part| hmac(&key, part.as_bytes()).as_ref().to_vec());
        hex(hmac(&key, signed.as_bytes()).as_ref())
    }
}

/// The last part of every scope.
const END: &str = "aws4_request";

impl std::fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{END}", date(self.at), self.region, self.service)
    }
}

/// The request in the form that is signed.
fn canonical(path: &str, headers: &Headers, names: &str) -> String {
    let mut text = format!("GET\n{path}\n\n");
    for (name, value) in headers {
        let _ = writeln!(text, "{name}:{}", value.trim());
    }
    text + "\n" + names + "\n" + NO_BODY
}

fn date(at: UtcTime) -> String {
    let (year, month, day) = at.date();
    format!("{year:04}{month:02}{day:02}")
}

/// A time as headers have it: `20130524T000000Z`.
pub(super) fn date_and_time(at: UtcTime) -> String {
    let (hour, minute, second) = at.time_of_day();
    format!("{}T{hour:02}{minute:02}{second:02}Z", date(at))
}

fn hmac(key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{naming::encoded, secret::Secret},
        *,
    };

    fn keys(id: &str, secret: &str) -> Keys {
        let [id, secret] = [id, secret].map(|text| Secret::new(text, "", "").unwrap());
        Keys { id, secret, token: None }
    }

    #[test]
    fn a_range_is_signed_as_in_amazons_example() {
        let scope = Scope { at: UtcTime::from_secs(1_369_353_600), region: "us-east-1", service: "s3" };
        let headers = Headers::from([
            ("host", "examplebucket.s3.amazonaws.com".into()),
            ("range", "bytes=0-9".into()),
            ("x-amz-content-sha256", NO_BODY.into()),
            ("x-amz-date", date_and_time(scope.at)),
        ]);
        let keys = keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        assert_eq!(
            scope.authorization(&keys, "/test.txt", &headers),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }

    /// `get-vanilla`, `get-utf8` and `get-unreserved` of Amazon's suite of tests.
    #[test]
    fn paths_are_signed_as_in_amazons_suite() {
        let scope = Scope { at: UtcTime::from_secs(1_440_938_160), region: "us-east-1", service: "service" };
        let headers = Headers::from([
            ("host", "example.amazonaws.com".into()),
            ("x-amz-date", date_and_time(scope.at)),
        ]);
        let keys = keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let unreserved = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for (path, expected) in [
            ("/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("/\u{1234}", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
            (unreserved, "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        ] {
            let authorization = scope.authorization(&keys, &encoded(path), &headers);
            assert!(authorization.ends_with(expected), "{path}: {authorization}");
        }
    }
}

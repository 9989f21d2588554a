//! Signatures of requests without a body, by version 4 of Amazon's scheme.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::{collections::BTreeMap, fmt::Write as _};

use sha2::{Digest as _, Sha256};
use wsi_types::{UtcTime, wording::hex};

use super::credentials::Keys;

/// The SHA-256 of no bytes, which is the body.
pub(super) const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Headers by their names in lower case.
pub(in super::super) type Headers = BTreeMap<&'static str, String>;

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
        let id = &keys.id;
        format!("{ALGORITHM} Credential={id}/{self}, SignedHeaders={names}, Signature={signature}")
    }

    fn signature(&self, keys: &Keys, request: &str) -> String {
        let hashed = hex(&Sha256::digest(request));
        let signed = format!("{ALGORITHM}\n{}\n{self}\n{hashed}", date_and_time(self.at));
        let first = format!("AWS4{}", keys.secret).into_bytes();
        let parts = [&date(self.at), self.region, self.service, END];
        let key = parts.iter().fold(first, |key, part| hmac(&key, part.as_bytes()).to_vec());
        hex(&hmac(&key, signed.as_bytes()))
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

/// A path as it stands in an address, each byte of a name that is not plain as `%XX`. Names are not normalised.
pub(super) fn encoded(path: &str) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
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

/// HMAC with SHA-256, as in RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str, secret: &str) -> Keys {
        Keys { id: id.into(), secret: secret.into(), token: None }
    }

    #[test]
    fn codes_are_those_of_rfc_4231() {
        let first = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(hex(&hmac(&[0x0b; 20], b"Hi There")), first);
        let sixth = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
        let message = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(hex(&hmac(&[0xaa; 131], message)), sixth);
        assert_eq!(hex(&Sha256::digest(b"")), NO_BODY);
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

    #[test]
    fn names_are_encoded_byte_by_byte() {
        assert_eq!(encoded("/a b+c%20/ü//..&=:@,"), "/a%20b%2Bc%2520/%C3%BC//..%26%3D%3A%40%2C");
    }
}

//! Signatures of requests by the key of an account (Shared Key).
//!
//! <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::hmac;

use super::super::stored::Headers;

/// Headers that are signed by their values alone, in this order: those that a request without a body can have.
const STANDARD: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// The value of `Authorization` for fetching an encoded path with these headers.
pub(super) fn authorization(account: &str, key: &hmac::Key, path: &str, headers: &Headers) -> String {
    let signature = hmac::sign(key, canonical(account, path, headers).as_bytes());
    format!("SharedKey {account}:{}", BASE64_STANDARD.encode(signature))
}

/// The request in the form that is signed.
fn canonical(account: &str, path: &str, headers: &Headers) -> String {
    let mut lines = vec!["GET".to_owned()];
    lines.extend(STANDARD.map(|name| headers.get(name).cloned().unwrap_or_default()));
    let own = headers.iter().filter(|(name, _)| name.starts_with("x-ms-"));
    lines.extend(own.map(|(name, value)| format!("{name}:{}", value.trim())));
    lines.push(format!("/{account}{path}"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in the example of "Get Blob" on that page, with a range and a version beside.
    #[test]
    fn what_is_signed_has_every_line_that_azure_expects() {
        let headers = Headers::from([
            ("if-match", "\"0x8D\"".to_owned()),
            ("range", "bytes=0-9".to_owned()),
            ("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT".to_owned()),
            ("x-ms-version", "2015-02-21".to_owned()),
        ]);
        assert_eq!(
            canonical("myaccount", "/mycontainer/a%20b", &headers),
            "GET\n\n\n\n\n\n\n\n\"0x8D\"\n\n\nbytes=0-9\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
             /myaccount/mycontainer/a%20b"
        );
    }
}

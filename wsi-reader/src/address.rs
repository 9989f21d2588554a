//! Paths that are addresses on the web.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

/// `true` if a path is an address such as `https://host/slide.svs`: something in front of `://`. Whether it can be read is
/// found out where it is opened.
#[must_use]
pub fn is_address(path: &Path) -> bool {
    path.to_str().is_some_and(|text| scheme(text).is_some())
}

/// `true` if a file or folder is at a path. Of an address, only opening it tells.
#[must_use]
pub fn may_be_there(path: &Path) -> bool {
    is_address(path) || path.exists()
}

/// The address without what may be secret: user, password, query and fragment. Other paths stay as they are, and so does the
/// container that stands in the place of a user in `abfs://`. For logs, lists and messages.
#[must_use]
pub fn without_secrets(path: &Path) -> Cow<'_, Path> {
    match path.to_str().and_then(|text| scheme(text).map(|scheme| (text, scheme))) {
        None => Cow::Borrowed(path),
        Some((text, scheme)) => Cow::Owned(PathBuf::from(public_part(text, scheme))),
    }
}

fn public_part(text: &str, scheme: &str) -> String {
    let rest = &text[scheme.len() + SEPARATOR.len()..];
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_container = ["abfs", "abfss"].iter().any(|name| scheme.eq_ignore_ascii_case(name));
    let host = match authority.rsplit_once('@') {
        Some((container, _)) if is_container && !container.contains([':', '@']) => authority,
        Some((_, host)) => host,
        None => authority,
    };
    format!("{scheme}{SEPARATOR}{host}{path}")
}

/// Between the protocol and the rest.
pub(crate) const SEPARATOR: &str = "://";

/// What stands in front of `://`, if it can be the name of a protocol. One letter is a drive of Windows.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(SEPARATOR)?;
    let is_name = scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths() {
        for address in ["https://h/a.svs", "http://h:8080/x?y", "s3://bucket/key", "GS://b/k"] {
            assert!(is_address(Path::new(address)), "{address}");
        }
        for path in ["a.svs", "/data/a.svs", "C://a.svs", "a b://c", "://x", "https:/h/a.svs", "../x://y"] {
            assert!(!is_address(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn secrets_are_left_out() {
        for (address, expected) in [
            ("https://h/a/b.svs?X-Amz-Signature=secret#x", "https://h/a/b.svs"),
            ("https://me:p@ss@h:1/a@b.svs", "https://h:1/a@b.svs"),
            ("http://h?token=x", "http://h"),
            ("s3://bucket/a b.svs", "s3://bucket/a b.svs"),
            ("abfss://c@a.dfs.core.windows.net/b.svs", "abfss://c@a.dfs.core.windows.net/b.svs"),
            ("abfs://c:secret@a/b?sig=x", "abfs://a/b"),
            ("az://secret@c/b", "az://c/b"),
            ("/data/a?b#c@d.svs", "/data/a?b#c@d.svs"),
        ] {
            assert_eq!(without_secrets(Path::new(address)), Path::new(expected), "{address}");
        }
    }
}

//! How objects of stores are named in addresses.

use std::fmt::Write as _;

use super::fault::StoreFault;

/// How the objects of a kind of store are named, in words.
pub(super) struct Form {
    /// Such as `s3://BUCKET/KEY`.
    pub(super) shape: &'static str,
    /// Where settings are taken from.
    pub(super) settings: &'static str,
}

impl Form {
    /// The bucket of a name, and the object in it.
    pub(super) fn split<'a>(&self, name: &'a str) -> Result<(&'a str, &'a str), StoreFault> {
        self.check_plain(name)?;
        let (bucket, object) = name.split_once('/').ok_or_else(|| self.malformed())?;
        self.check(bucket, object)?;
        Ok((bucket, object))
    }

    /// Refuses what names no object of a bucket.
    pub(super) fn check(&self, bucket: &str, object: &str) -> Result<(), StoreFault> {
        self.check_plain(object)?;
        if !is_bucket(bucket) {
            return Err(self.malformed());
        }
        if object.is_empty() || object.ends_with('/') {
            return Err(StoreFault::lasting(format!(
                "folders of a store are not listed, expected {}; name each slide, in a list for example",
                self.shape
            )));
        }
        Ok(())
    }

    fn check_plain(&self, name: &str) -> Result<(), StoreFault> {
        let Self { shape, settings } = self;
        if !name.contains(['?', '#', '@']) {
            return Ok(());
        }
        Err(StoreFault::lasting(format!(
            "an address such as {shape} has neither settings nor a user in it, so ?, # and @ are refused; use {settings}, \
             and a signed https:// address for an object with such a name"
        )))
    }

    fn malformed(&self) -> StoreFault {
        StoreFault::lasting(format!("the address is malformed, expected {}", self.shape))
    }
}

/// `true` if it can stand in an address as it is. What some stores allow beside others is allowed.
pub(super) fn is_bucket(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_byte_by_byte() {
        assert_eq!(encoded("/a b+c%20/ü//..&=:@,"), "/a%20b%2Bc%2520/%C3%BC//..%26%3D%3A%40%2C");
    }
}

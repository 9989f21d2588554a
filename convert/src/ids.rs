//! Identifiers that other formats want, made from what we know: the same every time.

use dataset::hex;
use sha2::{Digest, Sha256};

/// A UUID of version 8 (RFC 9562) from `parts`, none of which runs into the next.
#[must_use]
pub fn uuid_bytes(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

/// A UUID as text, as QuPath takes it for the id of an object.
#[must_use]
pub fn uuid(parts: &[&[u8]]) -> String {
    let hex = hex(&uuid_bytes(parts));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The key of a cell in formats that have keys: 32 hex digits, those of its UUID in QuPath.
#[must_use]
pub fn cell_key(slide_id: &str, cell_id: u64) -> String {
    hex(&uuid_bytes(&[slide_id.as_bytes(), b"cell", &cell_id.to_le_bytes()]))
}

/// A DICOM UID under `2.25`, which holds any UUID as a number (PS3.5 B.2).
#[must_use]
pub fn uid(parts: &[&[u8]]) -> String {
    format!("2.25.{}", u128::from_be_bytes(uuid_bytes(parts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(uuid(&[b"ab", b"c"]), uuid(&[b"a", b"bc"]));
        assert_eq!(uuid(&[b"ab", b"c"]), uuid(&[b"ab", b"c"]));
    }

    #[test]
    fn identifiers_have_the_form_they_should() {
        let text = uuid(&[b"cell"]);
        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "8", "the version");
        assert!("89ab".contains(&text[19..20]), "the variant");
        let uid = uid(&[b"cell"]);
        assert!(uid.len() <= 64 && uid.starts_with("2.25.") && !uid[5..].starts_with('0'), "{uid}");
    }
}

//! JSON with its own checksum, so that its readers notice a changed byte.
//!
//! The text ends in `,"seal":"<64 hexadecimal digits>"}`: SHA-256 of all text before it.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use wsi_types::wording::hex;

const START: &[u8] = b",\"seal\":\"";
const DIGITS: usize = 64;
const END: &[u8] = b"\"}";

/// State of the seal of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// Every byte is as it was written.
    Whole,
    /// Some bytes are not as they were written.
    Broken,
    /// It has no seal.
    Missing,
}

/// A value that is an object in JSON, as text with a seal.
///
/// # Errors
///
/// When it cannot be written as JSON.
pub fn sealed(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    // The closing brace is added again after the seal.
    text.pop();
    text.truncate(text.trim_ascii_end().len());
    let seal = hex(&Sha256::digest(&text));
    text.extend([START, seal.as_bytes(), END].concat());
    Ok(text)
}

impl Seal {
    /// Checks the seal of a text.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let body = text.len().saturating_sub(START.len() + DIGITS + END.len());
        let (body, tail) = text.split_at(body);
        let digits = tail.get(START.len()..START.len() + DIGITS).unwrap_or_default();
        // One changed byte can hide only one of the two.
        let has_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
        if !tail.starts_with(START) && !has_digits {
            return Self::Missing;
        }
        let expected = [START, hex(&Sha256::digest(body)).as_bytes(), END].concat();
        if tail == expected { Self::Whole } else { Self::Broken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_sealed() {
        let text = sealed(&serde_json::json!({"a": 1, "b": ["x", 0.1]})).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&read["a"], Seal::of(&text)), (&1.into(), Seal::Whole));
        for place in 0..text.len() {
            for bit in [1, 0x10, 0x80] {
                let mut flipped = text.clone();
                flipped[place] ^= bit;
                assert_eq!(Seal::of(&flipped), Seal::Broken, "byte {place}");
            }
        }
    }

    #[test]
    fn what_was_never_sealed_says_so() {
        assert_eq!(Seal::of(b"{}"), Seal::Missing);
        assert_eq!(Seal::of(format!("{{\"a\": \"{}\"\n}}", "g".repeat(90)).as_bytes()), Seal::Missing);
    }
}

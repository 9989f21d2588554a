//! The text of a file, from any program: UTF-8 or UTF-16 with or without a byte order mark, or Windows-1252,
//! which spreadsheets and QuPath on Windows write.

use std::{fs, path::Path};

use crate::{EvalError, error::Result};

/// Encoding in which the bytes of a file were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 or UTF-16.
    Unicode,
    /// Windows-1252: the bytes are not UTF-8 and do not name their encoding.
    Windows1252,
}

/// The text of a file, without a byte order mark.
///
/// # Errors
///
/// [`EvalError::Read`], also for bytes that are not text.
pub fn read_text(path: &Path) -> Result<(String, Encoding)> {
    let bytes = fs::read(path).map_err(|source| EvalError::Read { source, path: path.to_owned() })?;
    decoded(bytes, path)
}

pub(super) fn decoded(bytes: Vec<u8>, path: &Path) -> Result<(String, Encoding)> {
    decode(bytes).ok_or_else(|| {
        let source = std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "it is neither UTF-8, UTF-16 nor Windows-1252 text",
        );
        EvalError::Read { source, path: path.to_owned() }
    })
}

/// Decodes the bytes; `None` if they are not text.
fn decode(bytes: Vec<u8>) -> Option<(String, Encoding)> {
    let wide = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0xfe, 0xff, rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        // Without a mark, the zeros in the first letters show the encoding.
        rest @ [1..=255, 0, 1..=255, 0, ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        rest @ [0, 1..=255, 0, 1..=255, ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ => None,
    };
    if let Some((rest, unit)) = wide {
        let (pairs, odd) = rest.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|&pair| unit(pair)).collect();
        return String::from_utf16(&units)
            .ok()
            .filter(|_| odd.is_empty())
            .map(|text| (text, Encoding::Unicode));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some((without_mark(text), Encoding::Unicode)),
        Err(error) => {
            let text = error.as_bytes().iter().map(|&byte| windows_1252(byte)).collect::<Option<String>>()?;
            Some((text, Encoding::Windows1252))
        }
    }
}

fn without_mark(text: String) -> String {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// Decodes a byte; `None` for the five bytes without a character, and for zero, which is not in any text.
fn windows_1252(byte: u8) -> Option<char> {
    const FROM_80: [char; 32] = [
        '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘', '’',
        '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
    ];
    let character = match byte {
        0x80..=0x9f => FROM_80[usize::from(byte - 0x80)],
        // The same as in Unicode.
        _ => char::from(byte),
    };
    (character != '\0').then_some(character)
}

/// JSON with `NaN` and `Infinity`, as Python, R and QuPath write unknown numbers, turned into standard JSON:
/// they become `null`. Line breaks stay.
pub(super) fn without_nan(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    // Outside of strings up to a quote, then a string up to its end.
    while let Some(quote) = rest.find('"') {
        let (before, string) = rest.split_at(quote);
        push_without_nan(&mut clean, before);
        let end = end_of_string(string);
        clean.push_str(&string[..end]);
        rest = &string[end..];
    }
    push_without_nan(&mut clean, rest);
    clean.into()
}

fn push_without_nan(clean: &mut String, between_strings: &str) {
    if between_strings.contains(['N', 'I']) {
        let known = between_strings.replace("-Infinity", "null").replace("Infinity", "null");
        clean.push_str(&known.replace("-NaN", "null").replace("NaN", "null"));
    } else {
        clean.push_str(between_strings);
    }
}

/// Offset behind the closing quote of the string that `text` begins with.
fn end_of_string(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    // Not closed; an escaped byte at the very end may be part of a character.
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Option<String> {
        decode(bytes.to_vec()).map(|(text, _)| text)
    }

    #[test]
    fn every_encoding_of_one_text_is_read_alike() {
        let wanted = "Centroid X µm";
        let little: Vec<u8> = wanted.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = wanted.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            wanted.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", wanted.as_bytes()].concat(),
            b"Centroid X \xb5m".to_vec(),
            [b"\xff\xfe", little.as_slice()].concat(),
            [b"\xfe\xff", big.as_slice()].concat(),
            little,
            big,
        ] {
            assert_eq!(text(&bytes).as_deref(), Some(wanted), "{bytes:?}");
        }
        assert_eq!(decode(b"\x80 5".to_vec()), Some(("€ 5".to_owned(), Encoding::Windows1252)));
    }

    #[test]
    fn what_is_no_text_is_none() {
        for bytes in [&b"\x81\xff"[..], b"ab\x00\xff", b"\xff\xfea", b"\xff\xfe\x00\xd8"] {
            assert_eq!(text(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn unknown_numbers_become_null_and_strings_stay() {
        let text = r#"{"a": NaN, "NaN": [-Infinity, Infinity, "say \"NaN\" to Infinity"], "µ\\": -NaN}"#;
        let clean = r#"{"a": null, "NaN": [null, null, "say \"NaN\" to Infinity"], "µ\\": null}"#;
        assert_eq!(without_nan(text), clean);
        assert_eq!(without_nan("[1]"), "[1]");
        // An open string ends the file; the parser says so.
        assert_eq!(without_nan("[NaN, \"NaN\\"), "[null, \"NaN\\");
    }
}

//! Splicing protobuf bytes without understanding all of them.
//!
//! A model holds fields we do not know (training info, quantisation annotations, whatever the next ONNX
//! version adds). Decoding and encoding it again would drop them, so edits copy every field verbatim and
//! write new ones between. Encoding: <https://protobuf.dev/programming-guides/encoding/>.

use std::ops::Range;

/// One field of a message: where it lies in the message's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// The field's number.
    pub number: u32,
    /// Key, length and payload.
    pub whole: Range<usize>,
    /// The payload alone; for numbers, their bytes.
    pub payload: Range<usize>,
}

/// Place and reason of a fault in bytes that should be a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no protobuf field at byte {at}: {reason}")]
pub(crate) struct WireError {
    /// Offset in the message.
    pub at: usize,
    /// Reason, in words.
    pub reason: &'static str,
}

/// The fields of `message`, in order.
pub(crate) fn fields(message: &[u8]) -> Result<Vec<Field>, WireError> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let field = field_at(message, at)?;
        at = field.whole.end;
        found.push(field);
    }
    Ok(found)
}

fn field_at(message: &[u8], at: usize) -> Result<Field, WireError> {
    field_or_reason(message, at).map_err(|reason| WireError { at, reason })
}

fn field_or_reason(message: &[u8], at: usize) -> Result<Field, &'static str> {
    let (key, start) = varint(message, at).ok_or("the key is cut off")?;
    let number = u32::try_from(key >> 3).map_err(|_| "the field number is too large")?;
    if number == 0 {
        return Err("field number 0");
    }
    let payload = match key & 7 {
        0 => start..varint(message, start).ok_or("a number is cut off")?.1,
        1 => start..start.saturating_add(8),
        5 => start..start.saturating_add(4),
        2 => {
            let (length, start) = varint(message, start).ok_or("a length is cut off")?;
            let length = usize::try_from(length).map_err(|_| "a length is too large")?;
            start..start.checked_add(length).ok_or("a length is too large")?
        }
        _ => return Err("unknown wire type"),
    };
    if payload.end > message.len() {
        return Err("the field reaches past the end");
    }
    Ok(Field { number, whole: at..payload.end, payload })
}

/// A base-128 number and the offset after it.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, &byte) in bytes.get(at..)?.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, at + i + 1));
        }
    }
    None
}

/// Appends a length-delimited field.
pub(crate) fn push_message(out: &mut Vec<u8>, number: u32, payload: &[u8]) {
    push_varint(out, u64::from(number) << 3 | 2);
    push_varint(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_wire_type_is_stepped_over() {
        // 1: varint 300, 2: "ab", 3: fixed64, 4: fixed32, 1000: "".
        let mut bytes = vec![0x08, 0xac, 0x02, 0x12, 2, b'a', b'b'];
        bytes.extend([0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4]);
        push_message(&mut bytes, 1000, b"");
        let found = fields(&bytes).unwrap();
        assert_eq!(found.iter().map(|f| f.number).collect::<Vec<_>>(), [1, 2, 3, 4, 1000]);
        assert_eq!(&bytes[found[1].payload.clone()], b"ab");
        assert_eq!(found[4].payload, bytes.len()..bytes.len());
    }

    #[test]
    fn cut_and_wild_bytes_are_errors() {
        assert!(fields(&[0x12, 5, 1]).is_err());
        assert!(fields(&[0x80]).is_err());
        assert!(fields(&[0x0b]).is_err());
        assert!(fields(&[0x02, 0]).is_err());
        assert!(fields(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(found) = fields(&bytes) {
                let joined: Vec<u8> = found.iter().flat_map(|f| bytes[f.whole.clone()].to_vec()).collect();
                prop_assert_eq!(joined, bytes);
            }
        }
    }
}

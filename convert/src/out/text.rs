//! Numbers and words as text of JSON and XML.

use std::io::Write as _;

use crate::ring::{Grid, GridRing, Place};

/// Steps of [`Grid::HUNDREDTHS`] as a decimal number without needless digits.
pub(crate) fn push_hundredths(out: &mut Vec<u8>, steps: i64) {
    debug_assert_eq!(Grid::HUNDREDTHS.steps_per_px(), 100);
    if steps < 0 {
        out.push(b'-');
    }
    let steps = steps.unsigned_abs();
    push_whole(out, steps / 100);
    let rest = (steps % 100) as u8;
    if rest > 0 {
        out.extend([b'.', b'0' + rest / 10]);
        if !rest.is_multiple_of(10) {
            out.push(b'0' + rest % 10);
        }
    }
}

fn push_whole(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// `[[x,y],…,[x,y]]`, closed, from `corner` on.
pub(crate) fn push_closed_ring(out: &mut Vec<u8>, ring: &[Place], corner: Place) {
    out.push(b'[');
    for (place, at) in ring.iter().chain(ring.first()).zip(0..) {
        out.extend_from_slice(if at == 0 { b"[" } else { b",[" });
        push_point(out, *place, corner);
        out.push(b']');
    }
    out.push(b']');
}

/// `x,y` from `corner` on.
pub(crate) fn push_point(out: &mut Vec<u8>, place: Place, corner: Place) {
    push_hundredths(out, place.x - corner.x);
    out.push(b',');
    push_hundredths(out, place.y - corner.y);
}

/// A polygon, or a multi-polygon where there are several parts, as a GeoJSON geometry.
pub(crate) fn push_area(out: &mut Vec<u8>, parts: &[Vec<GridRing>], corner: Place) {
    let many = parts.len() != 1;
    out.extend_from_slice(if many {
        b"{\"type\":\"MultiPolygon\",\"coordinates\":["
    } else {
        b"{\"type\":\"Polygon\",\"coordinates\":"
    });
    for (part, at) in parts.iter().zip(0..) {
        out.extend_from_slice(if at == 0 { b"[" } else { b",[" });
        for (ring, at) in part.iter().zip(0..) {
            if at > 0 {
                out.push(b',');
            }
            push_closed_ring(out, ring, corner);
        }
        out.push(b']');
    }
    out.extend_from_slice(if many { b"]}" } else { b"}" });
}

/// A measured number in the fewest digits that tell it; it is finite.
pub(crate) fn push_measure(out: &mut Vec<u8>, value: f32) {
    // Writing into memory cannot fail.
    let _ = write!(out, "{value}");
}

/// A word in quotes.
pub(crate) fn quoted(word: &str) -> String {
    serde_json::Value::from(word).to_string()
}

/// A word as an attribute of XML.
pub(crate) fn in_xml(word: &str) -> String {
    word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hundredths_are_read_back_as_what_they_are(steps in -1_000_000_000_i64..1_000_000_000) {
            let mut text = Vec::new();
            push_hundredths(&mut text, steps);
            let text = String::from_utf8(text).unwrap();
            let value: f64 = text.parse().unwrap();
            prop_assert_eq!((value * 100.0).round() as i64, steps, "{}", text);
            prop_assert!(!text.contains('.') || !text.ends_with('0'), "{}", text);
        }
    }
}

//! Numbers and words as text of JSON and XML.

use std::borrow::Cow;

use merger::CellRow;
use wsi_types::ClassId;

use crate::{
    measure::Measure,
    ring::{Grid, GridRing, Place},
    source::SlideFacts,
};

/// Steps of [`Grid::HUNDREDTHS`] as a decimal number without needless digits.
pub(crate) fn push_hundredths(out: &mut Vec<u8>, steps: i64) {
    debug_assert_eq!(Grid::HUNDREDTHS.steps_per_px(), 100);
    push_decimal::<2>(out, steps);
}

/// A number of steps of 10 to the power of -`DIGITS` as a decimal number without needless digits: quicker than from a
/// floating-point number, and outlines are full of them.
pub(crate) fn push_decimal<const DIGITS: usize>(out: &mut Vec<u8>, steps: i64) {
    if steps < 0 {
        out.push(b'-');
    }
    let per_whole = 10_u64.pow(DIGITS as u32);
    let (whole, mut rest) = (steps.unsigned_abs() / per_whole, steps.unsigned_abs() % per_whole);
    push_whole(out, whole);
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    if let Some(last) = digits.iter().rposition(|&digit| digit != b'0') {
        out.push(b'.');
        out.extend_from_slice(&digits[..=last]);
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
    // Writing into memory cannot fail. This is quicker than `write!`, and there are millions.
    let _ = serde_json::to_writer(out, &value);
}

/// A word in quotes.
pub(crate) fn quoted(word: &str) -> String {
    serde_json::Value::from(word).to_string()
}

/// A text of each class, made once: cells have few classes.
pub(crate) struct ClassTexts<'a> {
    facts: &'a SlideFacts,
    make: fn(&SlideFacts, ClassId) -> String,
    known: Vec<String>,
}

impl<'a> ClassTexts<'a> {
    /// Texts that `make` makes.
    pub(crate) fn new(facts: &'a SlideFacts, make: fn(&SlideFacts, ClassId) -> String) -> Self {
        let classes = (0..facts.class_names.len()).map(|class| ClassId(class as u16));
        Self { facts, make, known: classes.map(|class| make(facts, class)).collect() }
    }

    /// The text of a class, also of one that the model does not list.
    pub(crate) fn get(&self, class: ClassId) -> Cow<'_, str> {
        match self.known.get(usize::from(class.0)) {
            Some(known) => known.into(),
            None => (self.make)(self.facts, class).into(),
        }
    }
}

/// Measures of cells as members of a JSON object.
pub(crate) struct MeasureTexts<'a> {
    measures: &'a [Measure],
    /// The name of each in quotes, and the colon after it.
    keys: Vec<String>,
}

impl<'a> MeasureTexts<'a> {
    /// Members called by `name`.
    pub(crate) fn new(measures: &'a [Measure], name: fn(&Measure) -> &str) -> Self {
        Self {
            measures,
            keys: measures.iter().map(|measure| format!("{}:", quoted(name(measure)))).collect(),
        }
    }

    /// Those that a cell has, after others or as the first of their object.
    pub(crate) fn push(&self, out: &mut Vec<u8>, row: &CellRow) {
        for (measure, key) in self.measures.iter().zip(&self.keys) {
            let Some(value) = measure.of(row) else { continue };
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            out.extend_from_slice(key.as_bytes());
            push_measure(out, value);
        }
    }
}

/// The name of a class in quotes.
pub(crate) fn quoted_class(facts: &SlideFacts, class: ClassId) -> String {
    quoted(&facts.class_name(class))
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

        #[test]
        fn decimals_are_the_shortest_that_tell_the_number(steps in -10_000_000_000_i64..10_000_000_000) {
            let mut text = Vec::new();
            push_decimal::<7>(&mut text, steps);
            prop_assert_eq!(String::from_utf8(text).unwrap(), (steps as f64 / 1e7).to_string());
        }

        #[test]
        fn measures_keep_all_their_digits(value in proptest::num::f32::NORMAL | proptest::num::f32::ZERO) {
            let mut text = Vec::new();
            push_measure(&mut text, value);
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(text.parse::<f32>().unwrap(), value, "{}", text);
        }
    }
}

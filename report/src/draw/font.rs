//! A small alphabet of straight strokes, drawn for scale bars and captions.
//!
//! Digits, small letters, `µ`, `²` and a few signs; capitals are drawn as small
//! letters, anything else as a space.

/// Units from the baseline to the top of an `l`.
const TOP: f64 = 9.0;
/// Units between two letters.
const GAP: f64 = 2.4;
const SPACE: f64 = 3.0;

/// A letter's width in units and its strokes: pairs of characters, x then y,
/// joined in order; `a` to `c` are 1 to 3 below the baseline.
fn glyph(letter: char) -> Option<(f64, &'static [&'static str])> {
    const ROUND: &str = "010516364541301001";
    Some(match letter {
        'a' => (4.0, &[ROUND, "4640"]),
        'b' => (4.0, &[ROUND, "0900"]),
        'c' => (4.0, &["4536160501103041"]),
        'd' => (4.0, &[ROUND, "4940"]),
        'e' => (4.0, &["03434536160501103041"]),
        'f' => (3.0, &["39291810", "0626"]),
        'g' => (4.0, &[ROUND, "464b3c1c0b"]),
        'h' => (4.0, &["0900", "0516364540"]),
        'i' => (0.6, &["0600", "0808"]),
        'j' => (1.0, &["161b0c", "1818"]),
        'k' => (4.0, &["0900", "4602", "1340"]),
        'l' => (1.0, &["090110"]),
        'm' => (6.0, &["0600", "0516263530", "3546566560"]),
        'n' => (4.0, &["0600", "0516364540"]),
        'o' => (4.0, &[ROUND]),
        'p' => (4.0, &[ROUND, "060c"]),
        'q' => (4.0, &[ROUND, "464c"]),
        'r' => (3.0, &["0600", "042636"]),
        's' => (4.0, &["453616050413334241301001"]),
        't' => (3.0, &["18112030", "0636"]),
        'u' => (4.0, &["0601103041", "4640"]),
        'v' => (4.0, &["062046"]),
        'w' => (6.0, &["0610355066"]),
        'x' => (4.0, &["0640", "4600"]),
        'y' => (4.0, &["0620", "461c"]),
        'z' => (4.0, &["06460040"]),
        '0' => (5.0, &["020719495752401002"]),
        '1' => (4.0, &["072920", "0040"]),
        '2' => (5.0, &["07194957560050"]),
        '3' => (5.0, &["08194958564525", "455451401001"]),
        '4' => (5.0, &["40490353"]),
        '5' => (5.0, &["59190515465452401001"]),
        '6' => (5.0, &["584929060210405254451504"]),
        '7' => (5.0, &["095920"]),
        '8' => (5.0, &["15060819495856451504011040515445"]),
        '9' => (5.0, &["011030535749190705144455"]),
        'µ' => (4.0, &["060c", "01103041", "4640"]),
        '²' => (3.0, &["081929380535"]),
        '.' => (0.6, &["0000"]),
        ',' => (1.0, &["100b"]),
        ':' => (0.6, &["0101", "0505"]),
        '/' => (4.0, &["0a49"]),
        '-' => (4.0, &["0343"]),
        '_' => (4.0, &["0a4a"]),
        '+' => (4.0, &["0343", "2125"]),
        '%' => (5.0, &["0059", "0919180809", "4151504041"]),
        _ => return None,
    })
}

/// Width of a text whose `l` is `height` px tall, px.
pub(super) fn width(text: &str, height: f64) -> f64 {
    let units: f64 = text.chars().map(|letter| advance(letter) + GAP).sum();
    (units - GAP).max(0.0) * height / TOP
}

/// Start and end of every stroke of a text, px right of its left end and above its baseline.
pub(super) fn strokes(text: &str, height: f64) -> Vec<((f64, f64), (f64, f64))> {
    let unit = height / TOP;
    let mut left = 0.0;
    let mut strokes = Vec::new();
    for letter in text.chars() {
        for line in glyph(small(letter)).map_or(&[][..], |(_, lines)| lines) {
            let place = |code: &[u8; 2]| ((left + ordinate(code[0])) * unit, ordinate(code[1]) * unit);
            let points: Vec<_> = line.as_bytes().as_chunks::<2>().0.iter().map(place).collect();
            strokes.extend(points.array_windows::<2>().map(|[from, to]| (*from, *to)));
        }
        left += advance(letter) + GAP;
    }
    strokes
}

fn advance(letter: char) -> f64 {
    glyph(small(letter)).map_or(SPACE, |(width, _)| width)
}

fn small(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

fn ordinate(code: u8) -> f64 {
    match code {
        b'0'..=b'9' => f64::from(code - b'0'),
        _ => -f64::from(code - b'a' + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_lies_in_its_cell() {
        for letter in "abcdefghijklmnopqrstuvwxyz0123456789µ².,:/-_+%".chars() {
            let (width, lines) = glyph(letter).expect("drawn");
            assert!(!lines.is_empty());
            for line in lines {
                assert!(line.len() >= 4 && line.len().is_multiple_of(2), "{letter}: {line}");
                for [x, y] in line.as_bytes().as_chunks::<2>().0 {
                    assert!((0.0..=width.max(1.0)).contains(&ordinate(*x)), "{letter}: {line}");
                    assert!((-3.0..=TOP).contains(&ordinate(*y)), "{letter}: {line}");
                }
            }
        }
    }

    #[test]
    fn texts_end_where_their_width_says() {
        let end = |text: &str| strokes(text, 9.0).iter().flat_map(|(a, b)| [a.0, b.0]).fold(0.0, f64::max);
        for text in ["100 µm", "2 mm", "cells/mm²"] {
            assert_eq!(end(text), width(text, 9.0), "{text}");
        }
        assert_eq!(width("A", 9.0), width("a", 9.0));
        assert_eq!(width("", 9.0), 0.0);
    }
}

//! Yes/no pictures, row by row: what scipy and OpenCV call removing small objects, filling holes and opening.

use crate::parts::Parts;

/// Clears the parts with fewer than `least` places.
pub(super) fn drop_small(bits: &mut [bool], width: usize, least: usize) {
    let parts = Parts::new(bits, width, |bit| bit);
    let sizes = parts.sizes();
    for run in parts.runs().iter().filter(|run| sizes[run.part] < least) {
        bits[run.places()].fill(false);
    }
}

/// Sets the parts of what is not set that do not reach the border of the picture.
pub(super) fn fill_holes(bits: &mut [bool], width: usize) {
    let gaps = Parts::new(bits, width, |bit: bool| !bit);
    let mut is_open = vec![false; gaps.runs().len()];
    for run in gaps.runs() {
        is_open[run.part] |= touches_border(run.start, run.end, width, bits.len());
    }
    for run in gaps.runs().iter().filter(|run| !is_open[run.part]) {
        bits[run.places()].fill(true);
    }
}

/// `true` if places `start..end` of one row hold one of the border.
fn touches_border(start: usize, end: usize, width: usize, places: usize) -> bool {
    start < width || end + width > places || start.is_multiple_of(width) || end.is_multiple_of(width)
}

/// Keeps the places that an ellipse of 5 × 5 places within the set ones covers, wherever it may lie: three rows of five
/// and one place above and below. It may reach past the border of the picture.
pub(super) fn open(bits: &mut [bool], width: usize) {
    if width == 0 {
        return;
    }
    let eroded = spread(bits, width, true, |a, b| a & b);
    let opened = spread(&eroded, width, false, |a, b| a | b);
    bits.copy_from_slice(&opened);
}

/// Each place joined with all others of the ellipse around it; beyond the border is what is `neutral`.
fn spread(bits: &[bool], width: usize, neutral: bool, join: impl Fn(bool, bool) -> bool) -> Vec<bool> {
    let mut five = vec![neutral; bits.len()];
    for (row, into) in bits.chunks_exact(width).zip(five.chunks_exact_mut(width)) {
        into.copy_from_slice(row);
        for step in 1..=2.min(width - 1) {
            join_into(&mut into[step..], row, &join);
            join_into(into, &row[step..], &join);
        }
    }
    let mut all = five.clone();
    let places = bits.len();
    for (from, rows) in [(&five[..], 1), (bits, 2)] {
        let shift = (rows * width).min(places);
        join_into(&mut all[shift..], from, &join);
        join_into(&mut all, &from[shift..], &join);
    }
    all
}

/// Joins each place with the one at the same index, as far as both go.
fn join_into(into: &mut [bool], other: &[bool], join: &impl Fn(bool, bool) -> bool) {
    for (into, &other) in into.iter_mut().zip(other) {
        *into = join(*into, other);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picture(rows: &[&str]) -> Vec<bool> {
        rows.concat().bytes().map(|byte| byte == b'#').collect()
    }

    #[test]
    fn small_parts_go_and_corners_do_not_join_them() {
        let mut bits = picture(&["##..#", "#....", ".#..."]);
        drop_small(&mut bits, 5, 2);
        assert_eq!(bits, picture(&["##...", "#....", "....."]));
    }

    #[test]
    fn holes_are_filled_but_bays_and_what_touches_the_border_are_not() {
        let mut bits = picture(&["###.###", "#.#.#.#", "###.#.#", ".#.#...", "..#...."]);
        fill_holes(&mut bits, 7);
        // Places that touch by a corner enclose a hole.
        assert_eq!(bits, picture(&["###.###", "###.#.#", "###.#.#", ".###...", "..#...."]));
        let mut ring = picture(&[".#.", "#.#", ".#."]);
        fill_holes(&mut ring, 3);
        assert_eq!(ring, picture(&[".#.", "###", ".#."]));
    }

    #[test]
    fn opening_keeps_the_ellipse_and_takes_thin_bridges() {
        let ellipse = ["...#...", ".#####.", ".#####.", ".#####.", "...#..."];
        let mut bits = picture(&ellipse);
        open(&mut bits, 7);
        assert_eq!(bits, picture(&ellipse));
        let mut bridge = picture(&["...#...", ".#####.", "######.", ".#####.", "......."]);
        open(&mut bridge, 7);
        assert_eq!(bridge, vec![false; 35]);
        let mut at_border = picture(&["###....", "###....", "#......"]);
        open(&mut at_border, 7);
        assert_eq!(at_border, picture(&["###....", "###....", "#......"]));
    }

    /// The places of the ellipse around one, as far as the picture goes.
    fn around(place: usize, width: usize, height: usize) -> Vec<usize> {
        let (row, column) = ((place / width) as i64, (place % width) as i64);
        let offsets = (-2..=2).flat_map(|down: i64| {
            let reach = if down.abs() == 2 { 0 } else { 2 };
            (-reach..=reach).map(move |right| (down, right))
        });
        let places = offsets.map(|(down, right)| (row + down, column + right));
        let inside = places.filter(|&(row, column)| {
            (0..height as i64).contains(&row) && (0..width as i64).contains(&column)
        });
        inside.map(|(row, column)| row as usize * width + column as usize).collect()
    }

    proptest! {
        #[test]
        fn opening_is_that_of_the_definition(
            bits in proptest::collection::vec(proptest::bool::weighted(0.9), 99), width in prop_oneof![Just(1usize), Just(3), Just(9), Just(11)],
        ) {
            let height = bits.len() / width;
            let eroded: Vec<bool> =
                (0..bits.len()).map(|place| around(place, width, height).iter().all(|&near| bits[near])).collect();
            let expected: Vec<bool> =
                (0..bits.len()).map(|place| around(place, width, height).iter().any(|&near| eroded[near])).collect();
            let mut opened = bits.clone();
            open(&mut opened, width);
            prop_assert_eq!(opened, expected);
        }
    }
}

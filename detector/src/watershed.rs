//! The watershed of a height map, flooded from markers (Beucher & Meyer 1993; ties by age after Soille & Ansoult 1990).
//!
//! Places are taken lowest first, and of equals the one that was reached first; each gives its number to those of its
//! four neighbours that have none: above, left, right, below. Water that has climbed does not sink: a neighbour that lies
//! lower counts as high as the place it was reached from. So has `skimage.segmentation.watershed` of scikit-image 0.26.0,
//! to the pixel, but for markers of equal height, whose order it leaves to its heap: here they come in row order.

use std::{cmp::Reverse, collections::BinaryHeap};

/// A place that belongs to nothing: it is not flooded.
pub(crate) const OUTSIDE: u32 = u32::MAX;
/// A place that is to be flooded.
pub(crate) const OPEN: u32 = 0;

/// A place that has a number, and may have neighbours without one. In the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Reached {
    height: Height,
    /// Places reached before it; 0 for markers.
    age: u32,
    place: usize,
}

/// A finite height.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Height(f64);

impl Eq for Height {}

impl PartialOrd for Height {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Height {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // -0.0 is as high as 0.0.
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

/// Floods the places of `numbers` that are [`OPEN`] from those that have a number, in rows of `width`. Places that no
/// marker reaches stay open.
pub(crate) fn flood(heights: &[f64], width: usize, numbers: &mut [u32]) {
    let mut front: BinaryHeap<Reverse<Reached>> = (0..numbers.len())
        .filter(|&place| is_marker(numbers[place]) && has_open_neighbour(numbers, width, place))
        .map(|place| Reverse(Reached { height: Height(heights[place]), age: 0, place }))
        .collect();
    let mut age = 0;
    while let Some(Reverse(Reached { height, place, .. })) = front.pop() {
        for near in neighbours(place, width, numbers.len()).into_iter().flatten() {
            if numbers[near] == OPEN {
                age += 1;
                numbers[near] = numbers[place];
                front.push(Reverse(Reached { height: height.max(Height(heights[near])), age, place: near }));
            }
        }
    }
}

fn is_marker(number: u32) -> bool {
    number != OPEN && number != OUTSIDE
}

fn has_open_neighbour(numbers: &[u32], width: usize, place: usize) -> bool {
    neighbours(place, width, numbers.len()).into_iter().flatten().any(|near| numbers[near] == OPEN)
}

/// Places above, left, right and below, as far as they are there.
fn neighbours(place: usize, width: usize, places: usize) -> [Option<usize>; 4] {
    let column = place % width;
    [
        place.checked_sub(width),
        (column > 0).then(|| place - 1),
        (column + 1 < width).then_some(place + 1),
        Some(place + width).filter(|&below| below < places),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const X: u32 = OUTSIDE;

    #[test]
    fn a_ridge_parts_two_basins_and_walls_are_not_passed() {
        let heights = [0.0, 1.0, 2.0, 5.0, 2.0, 1.0, 0.0];
        let mut numbers = [7, 0, 0, 0, 0, 0, 9];
        flood(&heights, 7, &mut numbers);
        // Both sides reach the ridge at the same height; the left was first at each.
        assert_eq!(numbers, [7, 7, 7, 7, 9, 9, 9]);
        let mut walled = [7, 0, X, 0, 0, X, 9];
        flood(&heights, 7, &mut walled);
        assert_eq!(walled, [7, 7, X, 0, 0, X, 9]);
    }

    #[test]
    fn a_plateau_is_halved() {
        let mut numbers = [1, 0, 0, 0, 0, 2];
        flood(&[0.0; 6], 6, &mut numbers);
        assert_eq!(numbers, [1, 1, 1, 2, 2, 2]);
    }

    /// The definition, word by word: of all places that are due, the lowest and then oldest, found by looking at each.
    fn flood_slowly(heights: &[f64], width: usize, numbers: &mut [u32]) {
        let mut due: Vec<(f64, usize, usize)> = Vec::new();
        for (place, &number) in numbers.iter().enumerate() {
            if number != X && number != 0 {
                due.push((heights[place], 0, place));
            }
        }
        let mut clock = 0;
        while !due.is_empty() {
            let mut first = 0;
            for other in 1..due.len() {
                let ((height, age, _), (lowest, oldest, _)) = (due[other], due[first]);
                if height < lowest || height == lowest && age < oldest {
                    first = other;
                }
            }
            let (height, _, place) = due.remove(first);
            let (row, column) = ((place / width) as i64, (place % width) as i64);
            for (down, right) in [(-1, 0), (0, -1), (0, 1), (1, 0)] {
                let (row, column) = (row + down, column + right);
                if row < 0 || column < 0 || column >= width as i64 {
                    continue;
                }
                let near = row as usize * width + column as usize;
                if near < numbers.len() && numbers[near] == 0 {
                    clock += 1;
                    numbers[near] = numbers[place];
                    due.push((f64::max(height, heights[near]), clock, near));
                }
            }
        }
    }

    fn numbered(place: usize, kind: u8) -> u32 {
        match kind {
            0 | 1 => place as u32 + 1,
            2 | 3 => X,
            _ => 0,
        }
    }

    proptest! {
        /// Few heights, so that most places have equals.
        #[test]
        fn every_place_gets_the_number_that_the_definition_gives_it(
            places in proptest::collection::vec((0u8..5, 0u8..20), 9 * 8),
        ) {
            let heights: Vec<f64> = places.iter().map(|&(height, _)| f64::from(height)).collect();
            let mut numbers: Vec<u32> =
                places.iter().enumerate().map(|(place, &(_, kind))| numbered(place, kind)).collect();
            let mut expected = numbers.clone();
            flood(&heights, 9, &mut numbers);
            flood_slowly(&heights, 9, &mut expected);
            prop_assert_eq!(numbers, expected);
        }
    }
}

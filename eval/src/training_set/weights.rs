//! Weights by which rare classes count more.

use super::{split::Split, tile::Tile};

/// Inverse frequencies, N / (classes × n): scikit-learn's `balanced`. Classes
/// without objects get 0 and are not among the classes.
#[must_use]
pub fn balanced_weights(counts: &[u64]) -> Vec<f64> {
    let total: u64 = counts.iter().sum();
    let present = counts.iter().filter(|count| **count > 0).count();
    let weights = (counts.iter())
        .map(|&count| if count == 0 { 0.0 } else { total as f64 / (present as f64 * count as f64) });
    weights.collect()
}

/// The same weights with 1 for the most frequent class and at most `cap`: a class with three examples must
/// not outweigh all others.
#[must_use]
pub fn capped(weights: &[f64], cap: f64) -> Vec<f64> {
    let least = weights.iter().copied().filter(|weight| *weight > 0.0).reduce(f64::min).unwrap_or(1.0);
    weights.iter().map(|weight| (weight / least).min(cap)).collect()
}

/// Sets weight and repeats of training tiles, and returns the weights of the classes.
pub(super) fn weigh(tiles: &mut [Tile], classes: usize, cap: f64) -> Vec<f64> {
    let mut counts = vec![0; classes];
    let training = tiles.iter().filter(|tile| tile.split == Split::Train);
    for label in training.flat_map(|tile| &tile.labels) {
        counts[usize::from(label.class.0)] += 1;
    }
    let weights = capped(&balanced_weights(&counts), cap);
    for tile in tiles.iter_mut().filter(|tile| tile.split == Split::Train) {
        let of_labels = tile.labels.iter().map(|label| weights[usize::from(label.class.0)]);
        tile.weight = of_labels.reduce(f64::max).unwrap_or(1.0);
        tile.repeats = tile.weight.round().max(1.0) as u32;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_inverse_frequencies_with_a_cap() {
        assert_eq!(balanced_weights(&[50, 25, 25]), [2.0 / 3.0, 4.0 / 3.0, 4.0 / 3.0]);
        assert_eq!(balanced_weights(&[6, 0, 2]), [8.0 / 12.0, 0.0, 2.0]);
        assert_eq!(capped(&balanced_weights(&[600, 0, 2]), 10.0), [1.0, 0.0, 10.0]);
        assert_eq!(capped(&[], 10.0), Vec::<f64>::new());
    }
}

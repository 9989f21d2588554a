//! Where a model was fooled before.

use super::{Dataset, Split};
use crate::objects::Object;

/// Training tiles by how surely an earlier model was wrong in them: the places
/// in [`Dataset::tiles`] of at most `most` tiles, the sum of the scores of their
/// false marks falling. Tiles without false marks are not listed.
///
/// `false_marks` are on the same images as the data set; see
/// [`mistakes`](crate::evaluation::mistakes).
#[must_use]
pub fn hard_negatives(dataset: &Dataset, false_marks: &[Object], most: usize) -> Vec<usize> {
    let mut by_image: Vec<&Object> = false_marks.iter().collect();
    by_image.sort_by_key(|mark| mark.image);
    let mut ranked: Vec<(f64, usize)> = Vec::new();
    for (place, tile) in dataset.tiles.iter().enumerate().filter(|(_, tile)| tile.split == Split::Train) {
        let from = by_image.partition_point(|mark| mark.image < tile.image);
        let to = by_image.partition_point(|mark| mark.image <= tile.image);
        let inside = by_image[from..to].iter().filter(|mark| tile.area.contains(mark.shape.centroid()));
        let sum: f64 = inside.map(|mark| f64::from(mark.score_or_one())).sum();
        if sum > 0.0 {
            ranked.push((sum, place));
        }
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranked.into_iter().take(most).map(|(_, place)| place).collect()
}

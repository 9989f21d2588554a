//! Where a model was fooled before.

use super::{Split, Tile, TrainingSet};
use crate::objects::Object;

/// Training tiles by how surely an earlier model was wrong in them: the places
/// in [`TrainingSet::tiles`] of at most `most` tiles, the sum of the scores of their
/// false marks falling. Tiles without false marks are not listed.
///
/// `false_marks` are on the same images as the data set; see
/// [`mistakes`](crate::evaluation::mistakes).
#[must_use]
pub fn hard_negatives(plan: &TrainingSet, false_marks: &[Object], most: usize) -> Vec<usize> {
    let scores = false_scores(&plan.tiles, false_marks);
    let train = |place: &usize| plan.tiles[*place].split == Split::Train && scores[*place] > 0.0;
    let mut ranked: Vec<usize> = (0..scores.len()).filter(train).collect();
    ranked.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    ranked.truncate(most);
    ranked
}

/// By tile: the sum of the scores of the false marks in it.
pub(super) fn false_scores(tiles: &[Tile], false_marks: &[Object]) -> Vec<f64> {
    let mut by_image: Vec<&Object> = false_marks.iter().collect();
    by_image.sort_by_key(|mark| mark.image);
    let score = |tile: &Tile| -> f64 {
        let from = by_image.partition_point(|mark| mark.image < tile.image);
        let to = by_image.partition_point(|mark| mark.image <= tile.image);
        let inside = by_image[from..to].iter().filter(|mark| tile.area.contains(mark.shape.centroid()));
        inside.map(|mark| f64::from(mark.score_or_one())).sum()
    };
    tiles.iter().map(score).collect()
}

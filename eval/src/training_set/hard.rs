//! Tiles in which an earlier model made false marks.

use super::{
    split::Split,
    tile::{Tile, TrainingSet},
};
use crate::objects::Object;

/// Training tiles by the confidence of an earlier model's mistakes in them: the places in
/// [`TrainingSet::tiles`] of at most `most` tiles, by falling sum of the scores of their false marks. Tiles
/// without false marks are not listed.
///
/// `false_marks` are on the same images as the data set; see
/// [`mistakes`](crate::evaluation::mistakes).
#[must_use]
pub fn hard_negatives(plan: &TrainingSet, false_marks: &[Object], most: usize) -> Vec<usize> {
    let scores = false_scores(&plan.tiles, false_marks);
    let mut ranked: Vec<usize> = (0..scores.len())
        .filter(|&place| plan.tiles[place].split == Split::Train && scores[place] > 0.0)
        .collect();
    ranked.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    ranked.truncate(most);
    ranked
}

/// By tile: the sum of the scores of the false marks in it.
pub(super) fn false_scores(tiles: &[Tile], false_marks: &[Object]) -> Vec<f64> {
    let mut by_image: Vec<&Object> = false_marks.iter().collect();
    by_image.sort_by_key(|mark| mark.image);
    tiles.iter().map(|tile| score_in(tile, &by_image)).collect()
}

/// The scores of the marks inside a tile, added; `marks` are in order of their images.
fn score_in(tile: &Tile, marks: &[&Object]) -> f64 {
    let from = marks.partition_point(|mark| mark.image < tile.image);
    let to = marks.partition_point(|mark| mark.image <= tile.image);
    let inside = marks[from..to].iter().filter(|mark| tile.area.contains(mark.shape.centroid()));
    inside.map(|mark| f64::from(mark.score_or_one())).sum()
}

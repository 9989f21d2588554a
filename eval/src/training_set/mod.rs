//! A data set for training from annotated images: its tiles, labels, splits and repeats. Pure: no pixel is
//! read here; the caller cuts [`Tile::area`] at [`Tile::scale`] and writes [`yolo`] lines beside it.

mod hard;
mod settings;
mod split;
mod tile;
mod tiles;
mod weights;
pub mod yolo;

use std::collections::BTreeSet;

use self::tiles::Piece;
pub use self::{
    hard::hard_negatives,
    settings::{BorderRule, Task, TrainingSettings},
    split::{GroupRule, Split, SplitMethod, SplitSettings},
    tile::{Label, SplitReport, Tile, TileBox, TileRing, TrainingSet},
    weights::{balanced_weights, capped},
};
use crate::{
    EvalError,
    error::Result,
    objects::{Image, ImageId, Object, ObjectSet},
};

/// Plans the data set of all images of `set`, after sorting its objects by image. Training tiles that hold
/// `false_marks` of an earlier model (see [`mistakes`](crate::evaluation::mistakes); empty without such a
/// model) stay even when they hold no objects.
///
/// # Errors
///
/// [`EvalError::Setting`]; [`EvalError::NoMpp`] when the settings give a scale and an image's is not known;
/// [`EvalError::PointsHaveNoArea`] for dots without `dot_um`; [`EvalError::CrowdsAlone`];
/// [`EvalError::Empty`] for images whose size is not known.
pub fn plan_training_set(
    mut set: ObjectSet,
    settings: &TrainingSettings,
    false_marks: &[Object],
) -> Result<TrainingSet> {
    settings.check()?;
    if let Some(objects) = set.crowds_alone() {
        return Err(EvalError::CrowdsAlone { side: "truth".to_owned(), objects });
    }
    set.sort_by_image();
    let splits = split::splits(&set, &settings.split);
    let names = set.file_names();
    let mut tiles = Vec::new();
    for (place, objects) in set.per_image().into_iter().enumerate() {
        let piece = Piece { image: &set.images[place], id: ImageId(place as u32), name: &names[place] };
        tiles.extend(tiles::tiles_of(piece, objects, splits[place], settings)?);
    }
    let first_of_image = first_objects(&set);
    for tile in &mut tiles {
        let first = first_of_image[tile.image.0 as usize];
        tile.labels.iter_mut().for_each(|label| label.object += first);
    }
    let hard = hard::false_scores(&tiles, false_marks);
    tiles::thin_out_empty(&mut tiles, &hard, settings);
    let class_weights = weights::weigh(&mut tiles, set.classes.len(), settings.weight_cap);
    let splits: Vec<SplitReport> =
        Split::ALL.iter().map(|&split| report(split, &set, &splits, &tiles, &settings.split)).collect();
    Ok(TrainingSet {
        settings: settings.clone(),
        classes: set.classes.iter().map(|class| class.name.clone()).collect(),
        class_weights,
        notes: notes(&splits, settings),
        tiles,
        splits,
    })
}

fn first_objects(set: &ObjectSet) -> Vec<usize> {
    let mut first = 0;
    let per_image = set.per_image().into_iter().map(|objects| {
        let this = first;
        first += objects.len();
        this
    });
    per_image.collect()
}

fn report(
    split: Split,
    set: &ObjectSet,
    splits: &[Split],
    tiles: &[Tile],
    rule: &SplitSettings,
) -> SplitReport {
    let images: Vec<&Image> =
        set.images.iter().zip(splits).filter(|(_, of)| **of == split).map(|(image, _)| image).collect();
    let own: Vec<&Tile> = tiles.iter().filter(|tile| tile.split == split).collect();
    let mut labels = vec![0; set.classes.len()];
    for label in own.iter().flat_map(|tile| &tile.labels) {
        labels[usize::from(label.class.0)] += 1;
    }
    SplitReport {
        split,
        groups: images.iter().map(|image| rule.groups.of(image)).collect::<BTreeSet<_>>().len(),
        images: images.len(),
        tiles: own.len(),
        empty_tiles: own.iter().filter(|tile| tile.labels.is_empty()).count(),
        labels,
        hidden: own.iter().map(|tile| tile.hidden.len() as u64).sum(),
    }
}

fn notes(splits: &[SplitReport], settings: &TrainingSettings) -> Vec<String> {
    let empty = splits.iter().filter(|s| s.images == 0 && settings.split.share(s.split) > 0.0);
    empty
        .map(|report| {
            format!(
                "no image fell to {}; few groups are divided better by method = \"balanced\"",
                report.split
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;

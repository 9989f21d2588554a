//! Annotated images into a data set to train on: which tiles, which labels,
//! which split, how often. Pure: no pixel is read here; the caller cuts
//! [`Tile::area`] at [`Tile::scale`] and writes [`yolo`] lines beside it.

mod hard;
mod split;
mod tiles;
mod weights;
pub mod yolo;

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use wsi_types::{ClassId, Level0Box, WindowPx};

pub use hard::hard_negatives;
pub use split::{GroupRule, Split, SplitMethod, SplitSettings};
use tiles::Piece;
pub use weights::{balanced_weights, capped};

use crate::{
    EvalError,
    error::Result,
    objects::{Image, ImageId, Object, ObjectSet},
    table::{Cell, Table},
};

/// A box in one tile, in its px, ends excluded.
pub type TileBox = euclid::Box2D<f64, WindowPx>;
/// A closed ring in one tile, in its px; the last point joins the first.
pub type TileRing = Vec<euclid::Point2D<f64, WindowPx>>;

/// What is asked of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingSettings {
    /// Boxes or outlines.
    pub task: Task,
    /// µm per px of the tiles; `None` keeps each image's own pixels.
    pub mpp: Option<f64>,
    /// Side of a tile in its px.
    pub tile_px: u32,
    /// What neighbouring tiles share, in their px.
    pub overlap_px: u32,
    /// What becomes of objects that a tile's border cuts.
    pub border: BorderRule,
    /// Side of the box that stands for a dot, in µm. Without it dots are an
    /// error: a detector needs sizes.
    pub dot_um: Option<f64>,
    /// How images are divided.
    pub split: SplitSettings,
    /// Training tiles without objects, at most so many for each with objects.
    /// Validation and test keep all of theirs, so that their false positives
    /// are honest.
    pub empty_per_full: f64,
    /// No class weight, and no number of repeats, is larger than this times
    /// the smallest.
    pub weight_cap: f64,
}

impl Default for TrainingSettings {
    fn default() -> Self {
        Self {
            task: Task::Detect,
            mpp: None,
            tile_px: 640,
            overlap_px: 64,
            border: BorderRule::Visible(0.5),
            dot_um: None,
            split: SplitSettings::default(),
            empty_per_full: 0.1,
            weight_cap: 10.0,
        }
    }
}

/// What a model is to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Boxes: `class cx cy w h`.
    #[default]
    Detect,
    /// Outlines: `class x1 y1 x2 y2 …`. Holes are left out, and of separate
    /// parts the largest stays: the format holds one ring.
    Segment,
}

/// Which objects at a tile's border are labelled there, clipped to the tile.
/// The others are listed in [`Tile::hidden`], for the caller to paint over: an
/// object in sight without a label teaches the model not to see it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BorderRule {
    /// At least this share of the object's area is in the tile.
    Visible(f64),
    /// Its centre of mass is in the tile: without overlap, each object is
    /// labelled exactly once.
    Centre,
    /// All of it is in the tile.
    Whole,
}

/// The plan of a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingSet {
    /// What was asked.
    pub settings: TrainingSettings,
    /// Class names, in the order of the label files' numbers.
    pub classes: Vec<String>,
    /// Weight of each class in a loss: inverse frequency among training
    /// labels, capped, 1 for the most frequent class. 0 for classes without
    /// training labels.
    pub class_weights: Vec<f64>,
    /// All tiles, by image, then row by row.
    pub tiles: Vec<Tile>,
    /// One row per split.
    pub splits: Vec<SplitReport>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// One picture of the data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tile {
    /// A name that no other tile has and that is safe for files: the image's
    /// stem, with folders where others have the same, and the tile's place in
    /// tile px.
    pub name: String,
    /// The image it is cut from.
    #[serde(skip)]
    pub image: ImageId,
    /// The part of level 0 it shows; may reach past the image, where the caller
    /// fills in background.
    #[serde(skip)]
    pub area: Level0Box,
    /// Level-0 px per tile px.
    pub scale: f64,
    /// Where it belongs.
    pub split: Split,
    /// The objects to learn.
    #[serde(skip)]
    pub labels: Vec<Label>,
    /// What is in sight without a label: objects cut too far, crowds, ignore
    /// areas.
    #[serde(skip)]
    pub hidden: Vec<TileRing>,
    /// The largest class weight among its labels; 1 without labels.
    pub weight: f64,
    /// How often it stands in the oversampled list.
    pub repeats: u32,
}

/// One labelled object in one tile.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Its place in [`ObjectSet::objects`] of the sorted set.
    pub object: usize,
    /// Its class.
    pub class: ClassId,
    /// The part of its box in the tile.
    pub bounds: TileBox,
    /// The part of its outer ring in the tile, when it has one and the task is
    /// to segment.
    pub ring: Option<TileRing>,
}

/// What one split holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitReport {
    /// Which.
    pub split: Split,
    /// Patients, slides or fields.
    pub groups: usize,
    /// Images.
    pub images: usize,
    /// Tiles.
    pub tiles: usize,
    /// Tiles without labels.
    pub empty_tiles: usize,
    /// Labels by class; an object in two tiles counts twice.
    pub labels: Vec<u64>,
    /// Objects in sight without a label.
    pub hidden: u64,
}

/// Plans the data set of all images of `set`, whose objects are sorted by image
/// first. Training tiles that hold `false_marks` of an earlier model (see
/// [`mistakes`](crate::evaluation::mistakes); none, for no such model) stay even
/// when they are empty.
///
/// # Errors
///
/// [`EvalError::Setting`]; [`EvalError::NoMpp`] when a scale is asked for and
/// not known; [`EvalError::PointsHaveNoArea`] for dots without `dot_um`;
/// [`EvalError::CrowdsAlone`]; [`EvalError::Empty`] for images whose size is not
/// known.
pub fn plan_training_set(
    mut set: ObjectSet,
    settings: &TrainingSettings,
    false_marks: &[Object],
) -> Result<TrainingSet> {
    check(settings)?;
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

fn check(settings: &TrainingSettings) -> Result<()> {
    let bad = |name, found: String, expected| Err(EvalError::Setting { name, found, expected });
    if settings.tile_px == 0 {
        return bad("tile_px", "0".to_owned(), "at least 1");
    }
    if settings.overlap_px >= settings.tile_px {
        return bad("overlap_px", settings.overlap_px.to_string(), "less than tile_px");
    }
    if let BorderRule::Visible(share) = settings.border
        && !(share > 0.0 && share <= 1.0)
    {
        return bad("border.visible", share.to_string(), "over 0 and at most 1");
    }
    if settings.mpp.is_some_and(|mpp| !(mpp > 0.0 && mpp.is_finite())) {
        return bad("mpp", format!("{:?}", settings.mpp), "a positive number");
    }
    if settings.weight_cap.is_nan() || settings.weight_cap < 1.0 {
        return bad("weight_cap", settings.weight_cap.to_string(), "at least 1");
    }
    if settings.empty_per_full.is_nan() || settings.empty_per_full < 0.0 {
        return bad("empty_per_full", settings.empty_per_full.to_string(), "at least 0");
    }
    settings.split.check()
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

impl TrainingSet {
    /// The names of a split's tiles, each as often as it should be seen.
    pub fn oversampled(&self, split: Split) -> impl Iterator<Item = &str> {
        let tiles = self.tiles.iter().filter(move |tile| tile.split == split);
        tiles.flat_map(|tile| std::iter::repeat_n(tile.name.as_str(), tile.repeats as usize))
    }
}

impl fmt::Display for TrainingSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = ["groups", "images", "tiles", "empty", "hidden"].into_iter();
        let numbers = own.chain(self.classes.iter().map(String::as_str)).map(Cell::right);
        let mut table = Table::new([Cell::left("split")].into_iter().chain(numbers).collect());
        for report in &self.splits {
            let own = [report.groups, report.images, report.tiles, report.empty_tiles].map(|n| n as u64);
            let numbers = own.into_iter().chain([report.hidden]).chain(report.labels.iter().copied());
            let cells = numbers.map(|n| Cell::right(n.to_string()));
            table.push([Cell::left(report.split.to_string())].into_iter().chain(cells).collect());
        }
        let blank = (0..5).map(|_| Cell::right(""));
        let weights = self.class_weights.iter().map(|weight| Cell::right(format!("{weight:.2}")));
        table.push([Cell::left("weight")].into_iter().chain(blank).chain(weights).collect());
        table.fmt(f)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

#[cfg(test)]
mod tests;

//! The plan of a data set: its tiles, their labels, and the contents of each split.

use std::fmt;

use serde::Serialize;
use wsi_types::{ClassId, Level0Box, WindowPx};

use super::{settings::TrainingSettings, split::Split};
use crate::{
    objects::ImageId,
    table::{Cell, Table},
};

/// A box in one tile, in its px, ends excluded.
pub type TileBox = euclid::Box2D<f64, WindowPx>;
/// A closed ring in one tile, in its px; the last point joins the first.
pub type TileRing = Vec<euclid::Point2D<f64, WindowPx>>;

/// The plan of a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingSet {
    /// Settings it was made with.
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
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// One picture of the data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tile {
    /// A name that no other tile has and that is safe for files: the image's stem, with folders where others
    /// have the same, and the tile's position in tile px.
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
    /// Its split.
    pub split: Split,
    /// The objects to learn.
    #[serde(skip)]
    pub labels: Vec<Label>,
    /// Visible areas without a label: objects cut too far, crowds, ignore areas.
    #[serde(skip)]
    pub hidden: Vec<TileRing>,
    /// The largest class weight among its labels; 1 without labels.
    pub weight: f64,
    /// Number of times it stands in the oversampled list.
    pub repeats: u32,
}

/// One labelled object in one tile.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Place of the object in [`ObjectSet::objects`](crate::objects::ObjectSet::objects) of the sorted set.
    pub object: usize,
    /// Its class.
    pub class: ClassId,
    /// The part of its box in the tile.
    pub bounds: TileBox,
    /// The part of its outer ring in the tile, when it has one and the task is `Task::Segment`.
    pub ring: Option<TileRing>,
}

/// Contents of one split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitReport {
    /// The split.
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
    /// Visible objects without a label.
    pub hidden: u64,
}

impl TrainingSet {
    /// The names of a split's tiles, each repeated as often as it should be seen.
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

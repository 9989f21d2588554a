#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod centre_crop;
pub mod class_map;
pub mod detection;
pub mod drawn_class;
pub mod embedding;
pub mod frame;
pub mod interest;
pub mod key;
pub mod margin;
pub mod model;
pub mod palette;
pub mod pixels;
pub mod pyramid;
pub mod ring;
pub mod stain_vectors;
pub mod stretch;
pub mod tile;
pub mod unit;
pub mod utc;
pub mod window;
pub mod wording;

pub use centre_crop::{CentreCrop, Steps};
pub use class_map::{ClassMap, ClassRun};
pub use detection::{ClassId, Detection, Outline, Score};
pub use drawn_class::{distinct_classes, is_same_class};
pub use embedding::Embedding;
pub use frame::{
    DrawnPoint, DrawnPx, GridPx, GridRect, Level0Box, Level0Point, Level0Px, LevelPx, LevelRect, Placement,
    WindowBox, WindowPoint, WindowPx,
};
pub use interest::{
    Canvas, Corner, DrawnFrame, DrawnRegion, InterestError, PlacedRegions, RegionsOfInterest,
};
pub use key::{DetectorIndex, ModelClass, WindowKey};
pub use margin::{Margin, MarginError};
pub use model::ModelFacts;
pub use palette::{RegionColours, class_colour, css_colour};
pub use pixels::{Rgb, RgbBuffer};
pub use pyramid::{Level, LevelIndex, Pyramid, PyramidError, Sampling, SamplingError};
pub use stain_vectors::{Absorption, StainVectorError, StainVectors};
pub use stretch::{Percentiles, Stretch, StretchedChannels, ValueCounts};
pub use tile::{TileGrid, TileId};
pub use unit::{AreaUm2, Mpp, MppError, ObjectivePower};
pub use utc::UtcTime;
pub use window::{Window, WindowIndex};

#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod arena;
pub mod border;
pub mod cell;
mod cells_table;
mod class_names;
mod column;
mod error;
mod feature;
mod files;
pub mod filters;
pub mod fusion;
mod geometry;
mod geoparquet;
pub mod id;
pub mod layout;
pub mod mask;
pub mod merge;
pub mod morphology;
pub mod mosaic;
mod near;
pub mod neighbours;
pub mod outline;
mod outline_grid;
mod patches_table;
pub mod place;
mod ranked;
pub mod raw;
mod reader;
pub mod regions;
mod regions_table;
mod seam;
pub mod seam_audit;
pub mod settings;
pub mod sides;
mod slabs;
pub mod stain;
#[cfg(test)]
mod testing;
pub mod texture;
mod window_pixels;
pub mod wkb;

pub use border::Border;
pub use cell::{Cell, MergeCounts};
pub use cells_table::{CellMeasure, CellRow, stage_cells, write_cells};
pub use class_names::ClassNames;
pub use column::{Column, StoredRow, columns_as_markdown, schema_of};
pub use error::MergeError;
pub use feature::{Feature, Features};
pub use filters::CellFilter;
pub use geoparquet::{GeometryColumn, ROWS_PER_GROUP, TableContext, WriteReport, corner_fields, covering};
pub use layout::Layout;
pub use merge::{CellMerger, MergeReport, WindowOutcome};
pub use mosaic::Mosaic;
pub use neighbours::{Ground, Neighbours};
pub use outline::PlacedOutline;
pub use outline_grid::OUTLINE_STEP_PX;
pub use patches_table::{Patch, PatchRow, VectorFacts, stage_patches, write_patches};
pub use place::{RawCell, Sighting, place};
pub use raw::{decode_window, encode_window};
pub use reader::{Provenance, ROWS_PER_BATCH, ReadSettings, RowBatch, TableHeader, TableReader};
pub use regions::{
    MaskFrame, Region, RegionFinder, RegionPainter, RegionSettings, assign_cells, drawn_regions, outlined,
    regions_from_mask,
};
pub use regions_table::{RegionRow, stage_regions, write_regions};
pub use seam_audit::{SeamAudit, audit_seams};
pub use settings::{MergeSettings, Method, Metric, PerClass, UnseenCut};
pub use stain::{ColourDeconvolution, StainOd};
pub use texture::Texture;

/// Reads the cells of a slide back.
pub type CellReader = TableReader<CellRow>;
/// Reads the patches of a slide back, without their vectors.
pub type PatchReader = TableReader<PatchRow>;
/// Reads the regions of a slide back.
pub type RegionReader = TableReader<RegionRow>;

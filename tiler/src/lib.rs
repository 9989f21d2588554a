#![doc = include_str!("../README.md")]

pub mod batch;
mod cells;
mod error;
pub mod examination;
mod fields;
pub mod interest;
mod lattice;
mod morphology;
mod order;
mod past_cache;
pub mod picture;
pub mod plan;
mod reading;
pub mod resample;
mod scale_space;
mod schedule;
mod stain;
pub mod stain_estimate;
pub mod stream;
mod strip;
pub mod survey;
#[cfg(test)]
mod testing;
mod tile_cache;
pub mod tissue_mask;
pub mod tissue_scale;
pub mod tissue_stretch;

pub use batch::{Batch, Batcher};
pub use error::PlanError;
pub use examination::{Appearance, Doubt, Examination, WantedStain};
pub use interest::{Band, Interest};
pub use order::{estimate_peak_bytes, reading_order};
pub use picture::draw_plan;
pub use plan::{Overlap, Plan, PlanCost, PlanSettings, Sides};
pub use stain_estimate::{NoStainVectors, estimate_stain_vectors};
pub use stream::{ReadCounters, StreamSettings, WindowFault, WindowStream};
pub use survey::{Survey, SurveyError, SurveySettings, Tissue};
pub use tissue_mask::{TilerError, TissueMask, TissueNote, TissueSettings};
pub use tissue_scale::{NoTissueScale, ScaleDoubt, TissueScale};
pub use tissue_stretch::{NoPercentiles, WantedStretch, tissue_stretch};

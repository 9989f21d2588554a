//! Where to look on a slide, in which order, and the pixels read ahead in that
//! order.
//!
//! A pixel's way through this crate:
//!
//! 1. [`tissue_mask`] finds the tissue on a small level: a yes/no picture.
//! 2. [`plan`] lays windows over the tissue, in a fixed order. Nothing is read.
//! 3. [`stream`] reads ahead in that order. Every stored tile is decoded once,
//!    resampled once ([`resample`]) into *cells* that the windows share, and
//!    dropped at its last use, which is known beforehand.
//! 4. [`batch`] groups windows for a model.
//!
//! [`survey`] does 1 and 2 for all detectors of a job; [`picture`] draws mask and
//! plan over the tissue, for people.
//!
//! ```no_run
//! use std::sync::Arc;
//! use tiler::{Batch, Batcher, Plan, PlanSettings, StreamSettings, TissueMask, TissueSettings, WindowStream};
//! use wsi_types::Mpp;
//!
//! fn read(slide: Arc<dyn wsi_reader::Slide>) -> Result<(), Box<dyn std::error::Error>> {
//!     let mpp = Mpp::new(0.25)?;
//!     let mask = TissueMask::compute(&*slide, Some(mpp), &TissueSettings::default());
//!     let plan = Plan::new(&slide.info().pyramid, mpp, &mask, &PlanSettings::new(mpp))?;
//!     let wanted = plan.windows().iter().map(|window| window.index).collect();
//!     let mut stream = WindowStream::start(slide, Arc::new(plan), wanted, StreamSettings::default());
//!     let (mut batch, mut faults) = (Batch::default(), Vec::new());
//!     while Batcher::new(4).fill(&mut stream, &mut batch, &mut faults) {
//!         println!("{:?}: {} bytes", batch.windows, batch.pixels.len());
//!     }
//!     Ok(())
//! }
//! ```

pub mod batch;
mod cells;
pub mod examination;
mod fields;
mod morphology;
mod past_cache;
pub mod picture;
pub mod plan;
mod reading;
pub mod resample;
mod scale_space;
mod schedule;
mod stain;
pub mod stream;
mod strip;
pub mod survey;
#[cfg(test)]
mod testing;
mod tile_cache;
pub mod tissue_mask;
pub mod tissue_scale;

pub use batch::{Batch, Batcher};
pub use examination::{Appearance, Doubt, Examination};
pub use picture::draw_plan;
pub use plan::{Overlap, Plan, PlanCost, PlanError, PlanSettings, Sides};
pub use schedule::{estimate_peak_bytes, reading_order};
pub use stream::{ReadCounters, StreamSettings, WindowFault, WindowStream};
pub use survey::{Survey, SurveyError, SurveySettings, Tissue};
pub use tissue_mask::{TilerError, TissueMask, TissueNote, TissueSettings};
pub use tissue_scale::{NoTissueScale, ScaleDoubt, TissueScale};

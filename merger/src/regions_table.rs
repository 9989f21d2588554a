//! The table of the regions of one slide, written and read back.

mod columns;
mod row;
mod write;

pub use row::RegionRow;
pub use write::{stage_regions, write_regions};

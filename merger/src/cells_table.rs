//! The table of the cells of one slide, written and read back.

mod columns;
mod measure;
mod row;
mod write;

pub use measure::CellMeasure;
pub use row::CellRow;
pub use write::{stage_cells, write_cells};

//! Measures of a dataset: hot spots, indices and grades of each slide, from its tables alone. The model is not needed,
//! so another definition gives other measures of the same cells at any time.

mod count;
mod definition;
mod line;
mod remark;
mod slides;
mod table;

pub(crate) use count::{ChosenCells, measured, unit};
pub use definition::Definition;
pub(crate) use line::{Graded, Measured};
pub use remark::MeasureRemark;
pub(crate) use remark::remarks;
pub(crate) use slides::{MeasuredSlide, MeasuredSlides};
pub(crate) use table::{MeasureLine, StoredMeasures, read_measures, remove_measures, write_measures};

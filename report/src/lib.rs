#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod chart;
mod cohort;
pub mod draw;
mod error;
mod evaluation;
mod measured;
mod night;
mod overall;
mod page;
mod private_facts;
mod sheet;
mod slide_files;
mod summary;

pub use cohort::{COHORT_FILES, Clinical, CohortEnd, CohortQuestion, SlideColumns, write_cohort};
pub use error::ReportError;
pub use evaluation::evaluation_page;
pub use measured::{Definition, MeasureRemark};
pub use night::{ReportForm, remove_private_report, want_print_pages, write_private_report, write_report};
pub use overall::write_overall;
pub use slide_files::SlideFiles;
pub use summary::write_summary;

#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod chart;
mod cohort;
pub mod draw;
mod error;
mod evaluation;
mod file_names;
mod measured;
mod night;
mod overall;
mod page;
mod slide_files;
mod summary;

pub use cohort::{COHORT_FILES, Clinical, CohortEnd, CohortQuestion, SlideColumns, write_cohort};
pub use error::ReportError;
pub use evaluation::evaluation_page;
pub use file_names::FileNames;
pub use measured::Definition;
pub use night::{remove_private_report, write_private_report, write_report};
pub use overall::write_overall;
pub use slide_files::SlideFiles;
pub use summary::write_summary;

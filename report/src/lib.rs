#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod chart;
mod clock;
pub mod draw;
mod error;
mod evaluation;
mod night;
mod page;
mod summary;

pub use error::ReportError;
pub use evaluation::evaluation_page;
pub use night::write_report;
pub use summary::write_summary;

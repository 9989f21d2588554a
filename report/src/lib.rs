#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod chart;
pub mod draw;
mod error;
mod evaluation;
mod measured;
mod night;
mod overall;
mod page;
mod summary;

pub use error::ReportError;
pub use evaluation::evaluation_page;
pub use measured::Definition;
pub use night::{FileNames, remove_private_report, write_private_report, write_report};
pub use overall::write_overall;
pub use summary::write_summary;

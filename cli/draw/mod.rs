//! Pictures.
mod file;

pub use file::write_png;
pub(crate) use file::write_whole;

//! The corner from which coordinates count.

/// Origin that coordinates count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Frame {
    /// The corner of level 0, as our tables do.
    Level0,
    /// The corner of what was scanned, as QuPath does.
    Qupath,
}

//! What can go wrong, one variant per thing a caller might do differently.

use std::{io, ops::RangeInclusive, path::PathBuf};

use tiff::TiffError;

/// Why no slide was painted, or no score could be made. Each message is whole in
/// itself: the system's reason stands in it.
#[derive(Debug, thiserror::Error)]
pub enum PaintError {
    /// A side that makes no slide.
    #[error("cannot paint a slide with a side of {side_um} µm, expected {} to {}", expected.start(), expected.end())]
    Side {
        /// As given.
        side_um: f64,
        /// What makes a slide.
        expected: RangeInclusive<f64>,
    },
    /// Window borders too close to each other.
    #[error("cannot paint for window borders {step_um} µm apart, expected at least {least_um}")]
    Borders {
        /// As given.
        step_um: f64,
        /// What leaves room for cells between them.
        least_um: f64,
    },
    /// A file cannot be written.
    #[error("cannot write {what}: {reason}: {}", path.display())]
    Write {
        /// `the painted slide` or `the painted cells`.
        what: &'static str,
        /// As the system says it.
        reason: io::Error,
        /// Its path.
        path: PathBuf,
    },
    /// The slide cannot be encoded, or not be written on the way.
    #[error("cannot write the painted slide: {reason}: {}", path.display())]
    Encode {
        /// As the encoder says it.
        reason: EncodeError,
        /// Its path.
        path: PathBuf,
    },
    /// Found cells cannot be compared with the painted ones.
    #[error(transparent)]
    Score(#[from] eval::EvalError),
}

/// Why a painted slide cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// In the container, or in the file below it.
    #[error(transparent)]
    Tiff(#[from] TiffError),
    /// In a tile.
    #[error(transparent)]
    Jpeg(#[from] jpeg_encoder::EncodingError),
    /// More bytes or px than the format can count.
    #[error("larger than the format can hold: {0}")]
    TooLarge(#[from] std::num::TryFromIntError),
}

//! Errors of painting and scoring, one variant per thing a caller might do differently.

use std::{io, ops::RangeInclusive, path::PathBuf};

use tiff::TiffError;

/// Reason why no slide was painted, or no score could be made. Each message is complete: the system's reason
/// is part of it.
#[derive(Debug, thiserror::Error)]
pub enum PaintError {
    /// A side with which no slide can be made.
    #[error("cannot paint a slide with a side of {side_um} µm, expected {} to {}", expected.start(), expected.end())]
    Side {
        /// The side given.
        side_um: f64,
        /// The sides accepted.
        expected: RangeInclusive<f64>,
    },
    /// Window borders too close to each other.
    #[error("cannot paint for window borders {step_um} µm apart, expected at least {least_um}")]
    Borders {
        /// The distance given.
        step_um: f64,
        /// The smallest distance that leaves room for cells between the borders.
        least_um: f64,
    },
    /// A file cannot be written.
    #[error("cannot write {what}: {reason}: {}", path.display())]
    Write {
        /// `the painted slide` or `the painted cells`.
        what: &'static str,
        /// The system's message.
        reason: io::Error,
        /// Its path.
        path: PathBuf,
    },
    /// The slide cannot be encoded, or a write on the way failed.
    #[error("cannot write the painted slide: {reason}: {}", path.display())]
    Encode {
        /// The encoder's message.
        reason: EncodeError,
        /// Its path.
        path: PathBuf,
    },
    /// Found cells cannot be compared with the painted ones.
    #[error(transparent)]
    Score(#[from] eval::EvalError),
}

/// Reason why a painted slide cannot be encoded.
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

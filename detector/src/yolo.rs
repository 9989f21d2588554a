//! Raw heads become detections, still in window px.
//!
//! All tensors are row-major; B is the batch, N the anchors (one per grid cell and stride), K the answers
//! of an end-to-end head, M the mask coefficients.
//!
//! | head | tensor | rows |
//! | --- | --- | --- |
//! | [`detect`] | `[B, 4+nc, N]` | centre x, centre y, width, height, then one score per class |
//! | [`segment`] | `[B, 4+nc+M, N]`, `[B, M, H/4, W/4]` | the same, then M coefficients; prototypes |
//! | [`end2end`] | `[B, K, 6]`, `[B, K, 6+M]` | columns x0, y0, x1, y1, score, class, then coefficients |
//! | [`objectness`] | `[B, N, 5+nc]` | columns centre x, centre y, width, height, objectness, then one score per class |
//!
//! Strides are the exporter's business: boxes are already in window px, so any set of strides, P2 heads
//! included, decodes alike. There is no cap on the number of detections.

pub mod decoder;
pub mod detect;
pub mod end2end;
#[cfg(test)]
mod levels;
pub mod nms;
pub mod objectness;
pub mod outline;
pub mod segment;

pub(crate) use self::detect::all_finite;
pub use self::{
    decoder::{Decoder, Found, Instances, TensorView},
    detect::Candidate,
};
use crate::WindowFault;

/// Amount that rounding in fp16 and int8 may add to a probability.
const ROUNDING: f32 = 0.05;

/// The probability that a raw score stands for by itself.
pub(crate) fn sigmoid(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

/// Place of the largest of some numbers, none of them NaN, the first of equals; `None` of none.
pub(crate) fn first_largest(values: impl Iterator<Item = f32>) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for (place, value) in values.enumerate() {
        if best.is_none_or(|(_, largest)| value > largest) {
            best = Some((place, value));
        }
    }
    best.map(|(place, _)| place)
}

/// Checks that a score can be a probability.
///
/// # Errors
///
/// [`WindowFault::ScoreRange`] for one that is not: usually a logit, which would pass for a sure object.
pub(crate) fn check_probability(score: f32) -> Result<(), WindowFault> {
    if (-ROUNDING..=1.0 + ROUNDING).contains(&score) {
        Ok(())
    } else {
        Err(WindowFault::ScoreRange { score })
    }
}

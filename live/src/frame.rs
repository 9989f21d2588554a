//! Pictures as a camera gives them.

use std::time::Instant;

use wsi_types::RgbBuffer;

/// One picture of the field.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Place among the pictures of its source, from 0; numbers that are missing were dropped.
    pub number: u64,
    /// Time at which it was complete; latency counts from here.
    pub captured: Instant,
    /// Its pixels, at the camera's µm per px.
    pub pixels: RgbBuffer,
}

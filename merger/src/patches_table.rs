//! The table of the patches of one slide, each with the vector that a model gave for it, written and read back.

mod columns;
mod write;

use wsi_types::{Embedding, Level0Box, ModelFacts, Mpp, WindowIndex};

pub use columns::PatchRow;
pub use write::{stage_patches, write_patches};

/// A window of a model that gives vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// Its place in the plan of the model.
    pub window: WindowIndex,
    /// The part of level 0 that the model saw; may reach past the slide's edge.
    pub area: Level0Box,
    /// Share of tissue in it, 0 to 1.
    pub tissue: f64,
    /// Its vector.
    pub embedding: Embedding,
}

/// Facts about the vectors of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorFacts {
    /// The model that gave them.
    pub model: ModelFacts,
    /// µm per px of its windows.
    pub mpp: Mpp,
    /// Numbers of each.
    pub dimensions: usize,
}

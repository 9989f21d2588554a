//! Columns that only some tables of cells have.

use crate::neighbours::Ground;

/// A set of columns of the cells table that is there where it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// The cells around each: distances, counts, density, triangulation.
    Neighbours,
    /// Direction and elongation of the outline.
    Shape,
    /// Texture of the pixels inside.
    Texture,
    /// DAB in and around the nucleus.
    Dab,
}

impl Feature {
    /// The option of a run that measures it.
    #[must_use]
    pub fn asked_with(self) -> &'static str {
        match self {
            Self::Neighbours => "--features neighbours",
            Self::Shape => "--features shape, of a model that draws outlines",
            Self::Texture => "--features texture",
            Self::Dab => "--stains h-dab",
        }
    }
}

/// The features of a table, and their sources beside the cells.
#[derive(Debug, Clone, Default)]
pub struct Features {
    /// Ground that the density of neighbours is measured on; `None`: the table has none of these columns.
    pub neighbours: Option<Ground>,
    /// `true` if it has those of shape.
    pub shape: bool,
    /// `true` if it has those of texture.
    pub texture: bool,
    /// `true` if it has those of DAB.
    pub dab: bool,
}

impl Features {
    /// Those that the table has.
    #[must_use]
    pub fn list(&self) -> Vec<Feature> {
        let all = [
            (self.neighbours.is_some(), Feature::Neighbours),
            (self.shape, Feature::Shape),
            (self.texture, Feature::Texture),
            (self.dab, Feature::Dab),
        ];
        all.into_iter().filter(|(is_there, _)| *is_there).map(|(_, feature)| feature).collect()
    }
}

//! How well a cell is seen, and how sure the model has to be of it.

/// Quality of a look at a cell. A better look replaces what was seen before, a worse one changes nothing: the rule by
/// which windows of a slide are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The border of what the model saw cuts it.
    Cut,
    /// It lies near that border, so the model did not see all its surroundings.
    Rim,
    /// Neither.
    Deep,
}

/// Scores at which a cell is shown, and at which it no longer is.
///
/// Between them nothing changes, so that noise does not make cells flicker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// A cell is born with a mean score of at least this.
    pub born: f64,
    /// A cell lives with a mean score of at least this.
    pub lives: f64,
}

impl Thresholds {
    /// Distance of both thresholds from the model's own, as a share of it.
    pub const SPREAD: f64 = 0.2;

    /// Makes the thresholds around that of a model.
    #[must_use]
    pub fn around(threshold: f32) -> Self {
        let threshold = f64::from(threshold);
        Self { born: threshold * (1.0 + Self::SPREAD), lives: threshold * (1.0 - Self::SPREAD) }
    }

    /// Mean score from which a cell is counted in the mosaic: the model's own threshold, so that neither side is favoured.
    #[must_use]
    pub fn counted(&self) -> f64 {
        f64::midpoint(self.born, self.lives)
    }

    /// Score below which answers of the model are not needed: those between it and `lives` hold a cell that the model
    /// still sees a little.
    #[must_use]
    pub fn floor(&self) -> f32 {
        (self.lives / 2.0) as f32
    }
}

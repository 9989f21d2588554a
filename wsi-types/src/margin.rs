//! Bands along the border of regions of interest.

use serde::{Deserialize, Serialize};

use crate::is_same_class;

/// The border of regions of interest that distances are measured from, and the bands along it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Margin {
    /// Classes of the regions whose border it is, whatever their case; empty: the only class that there is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<String>,
    /// Ends of the bands, µm from the border, ascending, negative inside of the regions. Each two neighbours are a
    /// band; empty: no bands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges_um: Vec<f64>,
}

/// Distances from a border that cannot be the ends of bands.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MarginError {
    /// There is no band between fewer than two.
    #[error(
        "is {found}, expected at least two distances in µm, such as -200,0,200: a band lies between each two"
    )]
    TooFew {
        /// As given.
        found: String,
    },
    /// One is NaN, infinite, or no distance on a slide.
    #[error(
        "has {value}, expected distances from -{} to {} µm, negative inside",
        Margin::MOST_UM,
        Margin::MOST_UM
    )]
    Value {
        /// As given.
        value: f64,
    },
    /// One is not above the one before it.
    #[error("has {next} after {before}, expected distances that ascend, such as -200,0,200")]
    Order {
        /// The first of the two.
        before: f64,
        /// The second.
        next: f64,
    },
}

impl Margin {
    /// The largest distance from a border, µm.
    pub const MOST_UM: f64 = 20_000.0;

    /// Bands between each two neighbours of `edges_um`, along the border of the classes `of`.
    ///
    /// # Errors
    ///
    /// [`MarginError`] when the distances are fewer than two, not ascending, or no distances.
    pub fn new(of: Vec<String>, edges_um: Vec<f64>) -> Result<Self, MarginError> {
        if let Some(&value) = edges_um.iter().find(|value| value.is_nan() || value.abs() > Self::MOST_UM) {
            return Err(MarginError::Value { value });
        }
        if edges_um.len() < 2 {
            let found = edges_um.first().map_or_else(|| "empty".to_owned(), f64::to_string);
            return Err(MarginError::TooFew { found });
        }
        if let Some(pair) = edges_um.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(MarginError::Order { before: pair[0], next: pair[1] });
        }
        // A zero has no sign in the names of bands.
        Ok(Self { of, edges_um: edges_um.into_iter().map(|edge| edge + 0.0).collect() })
    }

    /// Both ends of each band, µm, from the innermost on.
    pub fn bands_um(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.edges_um.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// Both ends of the part of all bands that lies outside of the regions, µm.
    #[must_use]
    pub fn outside_um(&self) -> Option<(f64, f64)> {
        let (first, last) = (self.edges_um.first()?.max(0.0), *self.edges_um.last()?);
        (first < last).then_some((first, last))
    }

    /// `true` if nothing was asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `true` if the border is that of regions of this class.
    #[must_use]
    pub fn is_of(&self, class: Option<&str>) -> bool {
        self.of.is_empty() || class.is_some_and(|class| self.of.iter().any(|of| is_same_class(of, class)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(edges_um: &[f64]) -> Result<Margin, String> {
        Margin::new(Vec::new(), edges_um.to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn bands_lie_between_neighbours() {
        let margin = edges(&[-200.0, -0.0, 50.0, 200.0]).unwrap();
        let bands: Vec<_> = margin.bands_um().collect();
        assert_eq!(bands, [(-200.0, 0.0), (0.0, 50.0), (50.0, 200.0)]);
        assert!(margin.edges_um[1].is_sign_positive());
        assert_eq!(margin.outside_um(), Some((0.0, 200.0)));
        assert_eq!(edges(&[-200.0, 0.0]).unwrap().outside_um(), None);
        assert_eq!(edges(&[50.0, 80.0]).unwrap().outside_um(), Some((50.0, 80.0)));
        assert_eq!(Margin::default().outside_um(), None);
    }

    #[test]
    fn what_is_no_list_of_distances_is_refused() {
        assert!(edges(&[]).unwrap_err().starts_with("is empty, expected at least two distances"));
        assert!(edges(&[200.0]).unwrap_err().starts_with("is 200, expected at least two"));
        assert!(edges(&[0.0, f64::NAN]).unwrap_err().starts_with("has NaN, expected distances from -20000"));
        assert!(edges(&[0.0, f64::INFINITY]).is_err() && edges(&[-30_000.0, 0.0]).is_err());
        for wrong in [[200.0, 0.0], [0.0, 0.0]] {
            let refused = edges(&wrong).unwrap_err();
            assert!(refused.contains("has 0 after") && refused.contains("ascend"), "{refused}");
        }
    }
}

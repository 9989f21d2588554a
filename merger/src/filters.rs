//! Filters that leave out cells by size, shape and score, and count them by reason.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wsi_types::Mpp;

use crate::cell::Cell;
use crate::geometry::box_area;
use crate::morphology::Shape;

/// A range, ends included; an end that is not given does not limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Range {
    /// At least this.
    pub min: Option<f64>,
    /// At most this.
    pub max: Option<f64>,
}

impl Range {
    fn holds(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

/// Conditions a cell must meet to stay. Ranges of shape apply to cells with an outline; cells without one are
/// judged by score and area alone.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CellFilter {
    /// The model's confidence.
    pub score: Range,
    /// As in the table: of the outline, or of the ellipse in the box.
    pub area_um2: Range,
    /// 4π·area / perimeter².
    pub circularity: Range,
    /// Area over that of the convex hull.
    pub solidity: Range,
    /// Of the ellipse with the same second moments.
    pub eccentricity: Range,
    /// Diameter of the smallest enclosing circle, µm.
    pub max_diam_um: Range,
    /// Least width, µm.
    pub min_diam_um: Range,
    /// Mean optical density of hematoxylin; where it was measured.
    pub hematoxylin_od: Range,
    /// The same of eosin.
    pub eosin_od: Range,
    /// The same of DAB.
    pub dab_od: Range,
    /// Mean optical density of DAB in the ring around the nucleus; where it was measured.
    pub dab_ring_od: Range,
}

impl CellFilter {
    /// The columns that can be filtered by, in the order in which they are tested; their units are those of
    /// the table.
    pub const MEASURES: [&str; 11] = [
        "score",
        "area_um2",
        "circularity",
        "solidity",
        "eccentricity",
        "max_diam_um",
        "min_diam_um",
        "hematoxylin_od",
        "eosin_od",
        "dab_od",
        "dab_ring_od",
    ];

    /// The range of one of [`MEASURES`](Self::MEASURES).
    pub fn range_mut(&mut self, measure: &str) -> Option<&mut Range> {
        match measure {
            "score" => Some(&mut self.score),
            "area_um2" => Some(&mut self.area_um2),
            "circularity" => Some(&mut self.circularity),
            "solidity" => Some(&mut self.solidity),
            "eccentricity" => Some(&mut self.eccentricity),
            "max_diam_um" => Some(&mut self.max_diam_um),
            "min_diam_um" => Some(&mut self.min_diam_um),
            "hematoxylin_od" => Some(&mut self.hematoxylin_od),
            "eosin_od" => Some(&mut self.eosin_od),
            "dab_od" => Some(&mut self.dab_od),
            "dab_ring_od" => Some(&mut self.dab_ring_od),
            _ => None,
        }
    }

    /// The reason why `cell` is left out: the first column it fails, in the order of
    /// [`MEASURES`](Self::MEASURES).
    #[must_use]
    pub fn refuses(&self, cell: &Cell, mpp: Mpp) -> Option<&'static str> {
        let shape = cell.outline.as_deref().and_then(|ring| Shape::of(ring, mpp));
        let ellipse = box_area(&cell.bbox) * mpp.get() * mpp.get() * std::f64::consts::FRAC_PI_4;
        let area = shape.map_or(ellipse, |shape| shape.area_um2);
        let always =
            [("score", &self.score, f64::from(cell.score.get())), ("area_um2", &self.area_um2, area)];
        let of_shape = shape.map(|shape| {
            [
                ("circularity", &self.circularity, shape.circularity),
                ("solidity", &self.solidity, shape.solidity),
                ("eccentricity", &self.eccentricity, shape.eccentricity),
                ("max_diam_um", &self.max_diam_um, shape.max_diam_um),
                ("min_diam_um", &self.min_diam_um, shape.min_diam_um),
            ]
        });
        let of_stains = cell.stains.map(|od| {
            let measured = [
                ("hematoxylin_od", &self.hematoxylin_od, Some(od.hematoxylin())),
                ("eosin_od", &self.eosin_od, od.eosin()),
                ("dab_od", &self.dab_od, od.dab()),
                ("dab_ring_od", &self.dab_ring_od, od.dab_ring()),
            ];
            measured.into_iter().filter_map(|(name, range, value)| Some((name, range, f64::from(value?))))
        });
        let shaped = always.into_iter().chain(of_shape.into_iter().flatten());
        let mut all = shaped.chain(of_stains.into_iter().flatten());
        all.find(|(_, range, value)| !range.holds(*value)).map(|(name, ..)| name)
    }

    /// Removes the cells that it refuses. Returns their number, by reason.
    pub fn apply(&self, cells: &mut Vec<Cell>, mpp: Mpp) -> BTreeMap<&'static str, u64> {
        let mut gone = BTreeMap::new();
        cells.retain(|cell| {
            let reason = self.refuses(cell, mpp);
            if let Some(reason) = reason {
                *gone.entry(reason).or_insert(0) += 1;
            }
            reason.is_none()
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cell, level0, ring};

    #[test]
    fn every_measure_has_its_own_range() {
        let mut filter = CellFilter::default();
        for (index, measure) in CellFilter::MEASURES.into_iter().enumerate() {
            filter.range_mut(measure).unwrap().min = Some(index as f64);
        }
        let json = serde_json::to_value(filter).unwrap();
        for (index, measure) in CellFilter::MEASURES.into_iter().enumerate() {
            assert_eq!(json[measure]["min"], index as f64, "{measure}");
        }
    }

    #[test]
    fn each_cell_goes_for_its_first_reason() {
        let mpp = Mpp::new(0.5).unwrap();
        let mut thin = cell(level0(0.0, 0.0, 40.0, 4.0), 0, 0.9);
        thin.outline = Some(ring(&[(0.0, 0.0), (40.0, 0.0), (40.0, 4.0), (0.0, 4.0)]).into());
        let mut cells = vec![
            cell(level0(0.0, 0.0, 20.0, 20.0), 0, 0.9),
            cell(level0(0.0, 0.0, 20.0, 20.0), 0, 0.1),
            cell(level0(0.0, 0.0, 2.0, 2.0), 0, 0.9),
            thin,
        ];
        let filter: CellFilter = serde_json::from_str(
            r#"{"score": {"min": 0.2}, "area_um2": {"min": 5}, "circularity": {"min": 0.6}}"#,
        )
        .unwrap();
        let gone = filter.apply(&mut cells, mpp);
        assert_eq!(gone.into_iter().collect::<Vec<_>>(), [("area_um2", 1), ("circularity", 1), ("score", 1)]);
        assert_eq!(cells.len(), 1);
    }
}

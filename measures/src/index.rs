//! Indices: the number of some cells among others, or on an area.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::interval::{Level, poisson, ratio, wilson};

/// Choice of cells: by class, and by ranges of their measures.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Selection {
    /// Classes by name; all when there are none.
    #[serde(default)]
    pub class: Vec<String>,
    /// Ranges of columns of the cells table, such as `area_um2`, ends included.
    #[serde(default, rename = "where")]
    pub ranges: BTreeMap<String, Range>,
}

/// Range of a measure, ends included.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Smallest value; no limit when absent.
    pub min: Option<f64>,
    /// Largest value; no limit when absent.
    pub max: Option<f64>,
}

impl Range {
    fn holds(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    /// `true` if every value of this range is one of `other`.
    fn is_within(&self, other: &Self) -> bool {
        let low = other.min.is_none_or(|outer| self.min.is_some_and(|own| own >= outer));
        let high = other.max.is_none_or(|outer| self.max.is_some_and(|own| own <= outer));
        low && high
    }
}

impl Selection {
    /// `true` if a cell of `class`, of which `measure` gives the value of a column, is selected. A measure
    /// that is not known (`None`, NaN) is in no range.
    pub fn holds(&self, class: &str, measure: impl Fn(&str) -> Option<f64>) -> bool {
        let of_class = self.class.is_empty() || self.class.iter().any(|known| known == class);
        of_class
            && self.ranges.iter().all(|(name, range)| measure(name).is_some_and(|value| range.holds(value)))
    }

    /// `true` if every cell that is selected here is selected by `other`.
    #[must_use]
    pub fn is_part_of(&self, other: &Self) -> bool {
        let classes = other.class.is_empty()
            || (!self.class.is_empty() && self.class.iter().all(|class| other.class.contains(class)));
        let mut ranges = other.ranges.iter();
        classes && ranges.all(|(name, outer)| self.ranges.get(name).is_some_and(|own| own.is_within(outer)))
    }
}

/// Divisor of an index.
#[derive(Debug, Clone, PartialEq)]
pub enum Over {
    /// Cells that include those counted: a share, 0 to 1.
    Share(Selection),
    /// Other cells: a ratio.
    Ratio(Selection),
    /// An area, in mm²; the value is for `mm2` of them, such as 2 for mitoses per 2 mm².
    Area {
        /// Area that the value is for, mm².
        mm2: f64,
    },
}

/// A number with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndexValue {
    /// The index; `None` when there is nothing to divide by.
    pub value: Option<f64>,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval; infinite where there is none.
    pub high: f64,
    /// Cells counted.
    pub cells: u64,
}

impl Over {
    /// The index of `cells` over `others` cells or `area_mm2`, whichever it divides
    /// by. Intervals are those of [`wilson`] for shares, exact Poisson ones for areas
    /// and [`ratio`] for ratios.
    #[must_use]
    pub fn value(&self, cells: u64, others: u64, area_mm2: f64, level: Level) -> IndexValue {
        let count = cells as f64;
        let (whole, (low, high)) = match self {
            Self::Share(_) => (others as f64, wilson(cells, others, level)),
            Self::Ratio(_) => (others as f64, ratio(cells, others, level)),
            Self::Area { mm2 } => {
                let whole = area_mm2 / mm2;
                let (low, high) = poisson(cells, level);
                let ends = if whole > 0.0 { (low / whole, high / whole) } else { (0.0, f64::INFINITY) };
                (whole, ends)
            }
        };
        IndexValue { value: (whole > 0.0).then(|| count / whole), low, high, cells }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(names: &[&str]) -> Selection {
        Selection { class: names.iter().map(|name| (*name).to_owned()).collect(), ..Selection::default() }
    }

    fn large(mut selection: Selection, min: f64) -> Selection {
        selection.ranges.insert("area_um2".to_owned(), Range { min: Some(min), max: None });
        selection
    }

    #[test]
    fn cells_are_meant_by_class_and_measure() {
        let size = |um2: f64| move |name: &str| (name == "area_um2").then_some(um2);
        let meant = large(classes(&["tumour"]), 40.0);
        assert!(meant.holds("tumour", size(40.0)));
        assert!(!meant.holds("tumour", size(39.9)) && !meant.holds("stroma", size(50.0)));
        assert!(!meant.holds("tumour", |_| None) && !meant.holds("tumour", size(f64::NAN)));
        assert!(Selection::default().holds("anything", |_| None));
    }

    #[test]
    fn a_part_has_fewer_classes_or_narrower_ranges() {
        let (positive, both) = (classes(&["positive"]), classes(&["positive", "negative"]));
        assert!(positive.is_part_of(&both) && !both.is_part_of(&positive));
        assert!(both.is_part_of(&Selection::default()) && !Selection::default().is_part_of(&both));
        let large_ones = large(both.clone(), 40.0);
        assert!(large_ones.is_part_of(&both) && !both.is_part_of(&large_ones));
        assert!(large(positive, 50.0).is_part_of(&large_ones));
    }

    #[test]
    fn values_are_shares_ratios_and_densities() {
        let value = |over: Over, cells, others, area| over.value(cells, others, area, Level::PERCENT_95);
        let share = value(Over::Share(Selection::default()), 20, 100, 0.0);
        assert_eq!((share.value, share.low < 0.2, share.high > 0.2), (Some(0.2), true, true));
        assert_eq!(value(Over::Ratio(Selection::default()), 30, 20, 0.0).value, Some(1.5));
        let density = value(Over::Area { mm2: 2.0 }, 7, 0, 4.0);
        assert_eq!(density.value, Some(3.5));
        let (low, high) = poisson(7, Level::PERCENT_95);
        assert_eq!((density.low, density.high), (low / 2.0, high / 2.0));
        assert_eq!(value(Over::Area { mm2: 1.0 }, 0, 0, 0.0).value, None);
        assert_eq!(value(Over::Share(Selection::default()), 0, 0, 0.0).value, None);
    }
}

//! Indices: the number of some cells among others, or on an area.

use std::{collections::BTreeMap, iter::Sum};

use serde::Deserialize;

use crate::{
    h_score::{self, h_score},
    interval::{Level, poisson, ratio, wilson},
};

/// Choice of cells: by class, and by ranges of their measures.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Selection {
    /// Classes by name; all when there are none.
    #[serde(default)]
    pub class: Vec<String>,
    /// Ranges of columns of the cells table, such as `area_um2`.
    #[serde(default, rename = "where")]
    pub ranges: BTreeMap<String, Range>,
}

/// Range of a measure; `min` and `max` are included, `below` is not.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(try_from = "GivenRange")]
pub struct Range {
    /// Smallest value; no limit when absent.
    pub min: Option<f64>,
    /// Largest value; no limit when absent.
    pub max: Option<f64>,
    /// Limit that a value stays below; none when absent.
    pub below: Option<f64>,
}

/// A range as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenRange {
    min: Option<f64>,
    max: Option<f64>,
    below: Option<f64>,
}

impl TryFrom<GivenRange> for Range {
    type Error = String;

    fn try_from(GivenRange { min, max, below }: GivenRange) -> Result<Self, String> {
        let least = min.unwrap_or(f64::NEG_INFINITY);
        if max.is_none_or(|max| least <= max) && below.is_none_or(|below| least < below) {
            return Ok(Self { min, max, below });
        }
        let ends = [("min", min), ("max", max), ("below", below)];
        let given = ends.iter().filter_map(|(name, end)| Some(format!("{name} = {}", (*end)?)));
        Err(format!("no number lies in the range {}", given.collect::<Vec<_>>().join(", ")))
    }
}

impl Range {
    fn holds(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min)
            && self.max.is_none_or(|max| value <= max)
            && self.below.is_none_or(|below| value < below)
    }

    /// `true` if every value of this range is one of `other`.
    fn is_within(&self, other: &Self) -> bool {
        let low = other.min.is_none_or(|outer| self.min.is_some_and(|own| own >= outer));
        let high = other.max.is_none_or(|outer| self.stays_at_most(outer));
        let below = other.below.is_none_or(|outer| self.stays_below(outer));
        low && high && below
    }

    fn stays_at_most(&self, outer: f64) -> bool {
        self.max.is_some_and(|own| own <= outer) || self.below.is_some_and(|own| own <= outer)
    }

    fn stays_below(&self, outer: f64) -> bool {
        self.max.is_some_and(|own| own < outer) || self.below.is_some_and(|own| own <= outer)
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
        /// What of a region is its area.
        of: AreaOf,
    },
    /// Cells that include those counted: an H-score, 0 to 300, where those counted are stained at least weakly (1+).
    HScore {
        /// All cells, stained or not.
        all: Selection,
        /// Those counted that are stained at least moderately (2+), and strongly (3+).
        stronger: [Selection; 2],
    },
}

/// What of regions is their area. That of slides and hot spots is always tissue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AreaOf {
    /// All that was analysed, with the glass that lies in them.
    #[default]
    All,
    /// The tissue in them that was analysed.
    Tissue,
}

/// Numbers of cells, and the area they lie on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counts {
    /// Cells counted.
    pub cells: u64,
    /// Cells they are divided by.
    pub others: u64,
    /// Of an H-score: those of 2+ and more, and of 3+.
    pub stronger: [u64; 2],
    /// Area they lie on, mm².
    pub area_mm2: f64,
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |all, one| Self {
            cells: all.cells + one.cells,
            others: all.others + one.others,
            stronger: [all.stronger[0] + one.stronger[0], all.stronger[1] + one.stronger[1]],
            area_mm2: all.area_mm2 + one.area_mm2,
        })
    }
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
    /// The index of the cells counted over other cells or the area, whichever it divides by. Intervals are those of
    /// [`wilson`] for shares, exact Poisson ones for areas, [`ratio`] for ratios and [`h_score::interval`] for
    /// H-scores.
    #[must_use]
    pub fn value(&self, counts: Counts, level: Level) -> IndexValue {
        let Counts { cells, others, stronger: [moderate, strong], area_mm2 } = counts;
        let count = cells as f64;
        let (whole, (low, high)) = match self {
            Self::Share(_) => (others as f64, wilson(cells, others, level)),
            Self::Ratio(_) => (others as f64, ratio(cells, others, level)),
            Self::HScore { .. } => {
                let at_least = [cells, moderate, strong];
                let (low, high) = h_score::interval(at_least, others, level);
                return IndexValue { value: h_score(at_least, others), low, high, cells };
            }
            Self::Area { mm2, .. } => {
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
        selection.ranges.insert("area_um2".to_owned(), Range { min: Some(min), ..Range::default() });
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

    fn value(over: Over, cells: u64, others: u64, area_mm2: f64) -> IndexValue {
        over.value(Counts { cells, others, area_mm2, stronger: [0, 0] }, Level::PERCENT_95)
    }

    #[test]
    fn an_h_score_weighs_cells_by_their_strength() {
        let over = Over::HScore { all: Selection::default(), stronger: Default::default() };
        let found = over
            .value(Counts { cells: 60, others: 100, stronger: [30, 10], area_mm2: 0.0 }, Level::PERCENT_95);
        assert_eq!((found.value, found.cells), (Some(100.0), 60));
        assert!(
            found.low > 75.0 && found.low < 95.0 && found.high > 105.0 && found.high < 125.0,
            "{found:?}"
        );
        assert_eq!(value(over, 0, 0, 0.0).value, None);
    }

    #[test]
    fn below_is_not_included() {
        let weak = Range { min: Some(0.1), below: Some(0.3), max: None };
        assert!(weak.holds(0.1) && !weak.holds(0.3) && weak.holds(0.29));
        let up_to = Range { max: Some(0.3), ..Range::default() };
        assert!(weak.is_within(&up_to) && !up_to.is_within(&weak));
        assert!(!up_to.is_within(&Range { below: Some(0.3), ..Range::default() }));
        assert!(up_to.is_within(&Range { below: Some(0.4), ..Range::default() }));
        assert!(
            weak.is_within(&weak) && weak.is_within(&Range::default()) && !Range::default().is_within(&weak)
        );
    }

    #[test]
    fn values_are_shares_ratios_and_densities() {
        let share = value(Over::Share(Selection::default()), 20, 100, 0.0);
        assert_eq!((share.value, share.low < 0.2, share.high > 0.2), (Some(0.2), true, true));
        assert_eq!(value(Over::Ratio(Selection::default()), 30, 20, 0.0).value, Some(1.5));
        let density = value(Over::Area { mm2: 2.0, of: AreaOf::All }, 7, 0, 4.0);
        assert_eq!(density.value, Some(3.5));
        let (low, high) = poisson(7, Level::PERCENT_95);
        assert_eq!((density.low, density.high), (low / 2.0, high / 2.0));
        assert_eq!(value(Over::Area { mm2: 1.0, of: AreaOf::All }, 0, 0, 0.0).value, None);
        assert_eq!(value(Over::Share(Selection::default()), 0, 0, 0.0).value, None);
    }
}

//! Counts of what was written: to be told, and to be compared with what is read back.

use std::{collections::BTreeMap, path::PathBuf};

/// Counts of one export.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Cells by class name.
    pub by_class: BTreeMap<String, u64>,
    /// Area of all their rings as written, µm².
    pub area_um2: f64,
    /// Rings that were repaired to be simple.
    pub repaired: u64,
    /// Cells whose box stands for a ring that could not be repaired.
    pub boxed: u64,
    /// Regions written.
    pub regions: u64,
    /// Files and folders written.
    pub files: Vec<PathBuf>,
    /// Their bytes.
    pub bytes: u64,
    /// Notes for the user.
    pub notes: Vec<String>,
}

impl Tally {
    /// Cells of all classes.
    #[must_use]
    pub fn cells(&self) -> u64 {
        self.by_class.values().sum()
    }

    /// Difference from counts and areas found elsewhere, in words; `None` when counts by class are equal and areas
    /// within `share` of each other.
    #[must_use]
    pub fn difference(
        &self,
        by_class: &BTreeMap<String, u64>,
        area_um2: Option<f64>,
        share: f64,
    ) -> Option<String> {
        let written: BTreeMap<_, _> = self.by_class.iter().filter(|(_, count)| **count > 0).collect();
        let found: BTreeMap<_, _> = by_class.iter().filter(|(_, count)| **count > 0).collect();
        if written != found {
            return Some(format!("cells by class are {found:?}, expected {written:?}"));
        }
        let area = area_um2.filter(|area| (area - self.area_um2).abs() > share * self.area_um2.abs())?;
        Some(format!("the area of all cells is {area} µm², expected {} µm²", self.area_um2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_areas_are_compared() {
        let counts = |one: u64| BTreeMap::from([("a".to_owned(), one), ("none".to_owned(), 0)]);
        let tally = Tally { by_class: counts(3), area_um2: 100.0, ..Tally::default() };
        assert_eq!(tally.difference(&counts(3), Some(100.05), 0.001), None);
        assert!(
            tally
                .difference(&counts(2), Some(100.0), 0.001)
                .unwrap()
                .contains("{\"a\": 2}, expected {\"a\": 3}")
        );
        assert!(tally.difference(&counts(3), Some(100.2), 0.001).unwrap().contains("100.2 µm²"));
    }
}

//! Class maps: the class that a model sees at each place of a window.

use crate::ModelClass;

/// Classes of a window, place by place: row by row, from the left. A place is a square of one or more window px; the
/// map covers the whole window.
///
/// Kept as runs: areas are smooth, so that a map of a million places has some thousand of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMap {
    columns: u32,
    rows: u32,
    runs: Box<[ClassRun]>,
}

/// Places of one class, one after the other; a run may go on in the next row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassRun {
    /// The class; `None` for places of no class.
    pub class: Option<ModelClass>,
    /// Number of places, at least 1.
    pub places: u32,
}

impl ClassMap {
    /// Makes a map of `columns` places per row; `None` when the places are not whole rows, or more than `u32::MAX`.
    #[must_use]
    pub fn from_places(columns: u32, classes: impl IntoIterator<Item = Option<ModelClass>>) -> Option<Self> {
        let mut runs: Vec<ClassRun> = Vec::new();
        for class in classes {
            match runs.last_mut().filter(|run| run.class == class && run.places < u32::MAX) {
                Some(run) => run.places += 1,
                None => runs.push(ClassRun { class, places: 1 }),
            }
        }
        Self::from_runs(columns, runs)
    }

    /// Makes a map of runs; `None` when they are not whole rows of `columns` places, when a run is empty, or when there
    /// are more than `u32::MAX` places.
    #[must_use]
    pub fn from_runs(columns: u32, runs: Vec<ClassRun>) -> Option<Self> {
        let places = runs.iter().try_fold(0_u32, |sum, run| match run.places {
            0 => None,
            places => sum.checked_add(places),
        })?;
        let is_whole = columns > 0 && places > 0 && places.is_multiple_of(columns);
        is_whole.then(|| Self { columns, rows: places / columns, runs: runs.into_boxed_slice() })
    }

    /// Places per row.
    #[must_use]
    pub fn columns(&self) -> u32 {
        self.columns
    }

    /// Rows of places.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The runs, in the order of the places.
    #[must_use]
    pub fn runs(&self) -> &[ClassRun] {
        &self.runs
    }

    /// The class of each place, unpacked: row by row.
    #[must_use]
    pub fn places(&self) -> Vec<Option<ModelClass>> {
        let runs = self.runs.iter();
        runs.flat_map(|run| std::iter::repeat_n(run.class, run.places as usize)).collect()
    }

    /// Window px per place along both axes, for a window of `width` × `height` px; `None` when that is no whole number, or
    /// another one along the other axis.
    #[must_use]
    pub fn px_per_place(&self, width: u32, height: u32) -> Option<u32> {
        let px = width / self.columns;
        let covers = |places: u32, side: u32| places.checked_mul(px) == Some(side);
        (px > 0 && covers(self.columns, width) && covers(self.rows, height)).then_some(px)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_map_has_whole_rows() {
        let run = |places| ClassRun { class: Some(ModelClass(1)), places };
        assert_eq!(ClassMap::from_runs(4, vec![run(3), run(5)]).unwrap().rows(), 2);
        for runs in [vec![run(7)], vec![run(4), run(0), run(4)], vec![], vec![run(u32::MAX), run(1)]] {
            assert_eq!(ClassMap::from_runs(4, runs), None);
        }
        assert_eq!(ClassMap::from_runs(0, vec![run(4)]), None);
    }

    #[test]
    fn places_are_whole_and_square() {
        let map = ClassMap::from_places(4, [None; 12]).unwrap();
        assert_eq!(map.px_per_place(32, 24), Some(8));
        for (width, height) in [(32, 32), (34, 24), (32, 25), (2, 2), (u32::MAX, 24)] {
            assert_eq!(map.px_per_place(width, height), None, "{width} × {height}");
        }
    }

    proptest! {
        #[test]
        fn places_come_back(columns in 1_u32..9, rows in 1_usize..9, seed in proptest::collection::vec(0_u16..3, 64)) {
            let classes: Vec<_> = (seed.iter().cycle().take(columns as usize * rows))
                .map(|&class| (class > 0).then_some(ModelClass(class)))
                .collect();
            let map = ClassMap::from_places(columns, classes.clone()).unwrap();
            prop_assert_eq!((map.places(), map.rows() as usize), (classes, rows));
            prop_assert!(map.runs().windows(2).all(|pair| pair[0].class != pair[1].class));
        }
    }
}

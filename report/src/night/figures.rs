//! Figures for the charts of one slide, and the parts of it to be shown, from one pass over its cells.

use dataset::{Analysis, CellRow, SeenTissue};
use wsi_types::{ClassId, Level0Point};

use super::{
    crops::{Crop, chosen},
    thresholds::Thresholds,
};
use crate::{
    draw::{DensityMap, Ground, density_map},
    error::ReportError,
};

/// Steps of score that are counted apart.
pub(super) const SCORE_BINS: usize = 100;
/// Steps of diameter that are counted apart, and their width in µm. The last
/// holds all that is larger.
pub(super) const DIAMETER_BINS: usize = 300;
pub(super) const DIAMETER_STEP_UM: f64 = 0.2;

/// Columns that are needed of each cell.
pub(super) const COLUMNS: [&str; 6] = ["class_id", "class_name", "score", "x_px", "y_px", "area_um2"];

/// One class on one slide.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClassFigures {
    pub(super) name: String,
    /// Number of the colour that its charts take.
    pub(super) colour: usize,
    pub(super) cells: u64,
    /// Cells by score, in steps of 1/[`SCORE_BINS`].
    pub(super) scores: Vec<u64>,
    /// Cells by diameter of the circle of the same area, in steps of
    /// [`DIAMETER_STEP_UM`].
    pub(super) diameters: Vec<u64>,
}

/// All classes on one slide, and where the cells lie.
pub(super) struct Figures {
    pub(super) classes: Vec<ClassFigures>,
    /// `None` for an account that does not state the size of the slide, and without a picture of the tissue
    /// seen.
    pub(super) density: Option<DensityMap>,
    /// Parts to be shown at full size.
    pub(super) crops: Vec<Crop>,
}

/// Counts that become [`Figures`], from a pass over the cells of a slide.
pub(super) struct Counting<'a> {
    /// Which cells are unsure.
    thresholds: Option<&'a Thresholds>,
    classes: Vec<ClassFigures>,
    /// Place of each class by its number.
    places: Vec<Option<usize>>,
    centres: Vec<Level0Point>,
    unsure: Vec<Level0Point>,
}

impl<'a> Counting<'a> {
    pub(super) fn new(thresholds: Option<&'a Thresholds>) -> Self {
        Self { thresholds, classes: Vec::new(), places: Vec::new(), centres: Vec::new(), unsure: Vec::new() }
    }

    /// Takes a cell that has [`COLUMNS`].
    pub(super) fn add(&mut self, cell: &CellRow) {
        let id = usize::from(cell.class_id.0);
        self.places.resize(self.places.len().max(id + 1), None);
        let place = *self.places[id].get_or_insert_with(|| {
            self.classes.push(ClassFigures::empty(cell.class_id, &cell.class_name));
            self.classes.len() - 1
        });
        self.classes[place].add(cell);
        self.centres.push(cell.centroid);
        if self.thresholds.is_some_and(|least| least.is_near(&cell.class_name, cell.score)) {
            self.unsure.push(cell.centroid);
        }
    }

    /// The figures of all cells that were taken; densities are of the tissue that was `seen`.
    ///
    /// # Errors
    ///
    /// When the density cannot be drawn, or the place of a cell is no number.
    pub(super) fn finish(
        mut self,
        analysis: &Analysis,
        seen: Option<&SeenTissue>,
    ) -> Result<Figures, ReportError> {
        self.classes.sort_by_key(|class| class.colour);
        let ground = seen.filter(|_| analysis.slide_px[0] > 0);
        let ground = ground.map(|seen| Ground::from_coverage(seen, analysis.slide_px));
        let crops = chosen(&self.centres, &self.unsure, analysis, ground.as_ref())?;
        let density = ground
            .map(|ground| density_map(analysis.slide_px, analysis.mpp, &ground, self.centres.into_iter()))
            .transpose()?;
        Ok(Figures { classes: self.classes, density, crops })
    }
}

impl ClassFigures {
    fn empty(class: ClassId, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            colour: usize::from(class.0),
            cells: 0,
            scores: vec![0; SCORE_BINS],
            diameters: vec![0; DIAMETER_BINS],
        }
    }

    /// Cells whose score is at least this, to a hundredth.
    pub(super) fn at_least(&self, least: f32) -> u64 {
        let first = (f64::from(least) * SCORE_BINS as f64 + 1e-4) as usize;
        self.scores.iter().skip(first).sum()
    }

    fn add(&mut self, cell: &CellRow) {
        let bin = |value: f64, bins: usize| (value.max(0.0) as usize).min(bins - 1);
        let diameter_um = (f64::from(cell.area_um2) * 4.0 / std::f64::consts::PI).sqrt();
        self.cells += 1;
        // Scores are f32: 0.3 stands as 0.30000001, and 0.29 as 0.28999999.
        self.scores[bin(f64::from(cell.score) * SCORE_BINS as f64 + 1e-4, SCORE_BINS)] += 1;
        self.diameters[bin(diameter_um / DIAMETER_STEP_UM, DIAMETER_BINS)] += 1;
    }
}

/// The value below which a share of all counts lies, from counts in bins of
/// `step`; `None` without any.
pub(super) fn quantile(bins: &[u64], step: f64, share: f64) -> Option<f64> {
    let all: u64 = bins.iter().sum();
    let wanted = all as f64 * share;
    let mut below = 0.0;
    for (index, &count) in bins.iter().enumerate().filter(|&(_, &count)| count > 0) {
        let count = count as f64;
        if below + count >= wanted {
            return Some((index as f64 + (wanted - below) / count) * step);
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_their_bin() {
        assert_eq!(quantile(&[0, 4, 0, 4], 0.5, 0.5), Some(1.0));
        assert_eq!(quantile(&[0, 4, 0, 4], 0.5, 0.75), Some(1.75));
        assert_eq!(quantile(&[0, 0], 0.5, 0.5), None);
    }

    #[test]
    fn cells_are_counted_in_their_bins() {
        let mut class = ClassFigures::empty(ClassId(2), "stroma");
        for (score, area_um2) in [(0.3, 78.54), (1.0, 1e9), (0.29, 0.0)] {
            class.add(&CellRow { score, area_um2, ..CellRow::default() });
        }
        assert_eq!((class.name.as_str(), class.cells), ("stroma", 3));
        assert_eq!((class.scores[29], class.scores[30], class.scores[99]), (1, 1, 1));
        // A circle of 78.54 µm² is 10 µm wide.
        assert_eq!((class.diameters[0], class.diameters[50], class.diameters[DIAMETER_BINS - 1]), (1, 1, 1));
    }
}

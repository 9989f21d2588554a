//! The parts of a slide that are shown at full size, chosen by where its cells lie, so always the same.

use std::fmt;

use dataset::Analysis;
use measures::{Field, FieldShape, hot_spots};
use wsi_types::{Level0Box, Level0Point, Mpp};

use crate::{
    draw::{Ground, Squares},
    error::ReportError,
};

/// Side of a crop in level-0 px, which are its own px too.
const SIDE_PX: u32 = 400;
/// Share of a field that must be tissue for the field to be typical of it.
const LEAST_TISSUE: f64 = 0.5;

/// Reason why a part is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// It has most cells.
    Hottest,
    /// Its density is the median of all fields of tissue.
    Typical,
    /// It has most cells whose score is near the threshold, of those that do not share half of another crop, where there
    /// are such.
    LeastSure,
}

/// A square of level 0.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Crop {
    /// One or more reasons.
    pub(super) choices: Vec<Choice>,
    /// Whole px.
    pub(super) bounds: Level0Box,
}

/// Chooses the crops of a slide by its cells, by those of them that are `unsure`, and by the tissue seen. Parts that are
/// the same come once.
///
/// # Errors
///
/// [`ReportError::Encode`] for a cell whose place is no number.
pub(super) fn chosen(
    cells: &[Level0Point],
    unsure: &[Level0Point],
    analysis: &Analysis,
    ground: Option<&Ground>,
) -> Result<Vec<Crop>, ReportError> {
    let Some(fields) = Fields::new(analysis.slide_px) else { return Ok(Vec::new()) };
    let hottest = fields.fullest(cells, &[])?;
    let typical = ground.and_then(|ground| fields.typical(cells, ground));
    let others: Vec<Level0Box> = [hottest, typical].into_iter().flatten().collect();
    let found = [
        (Choice::Hottest, hottest),
        (Choice::Typical, typical),
        (Choice::LeastSure, fields.fullest(unsure, &others)?),
    ];
    let mut crops: Vec<Crop> = Vec::new();
    for (choice, bounds) in found {
        let Some(bounds) = bounds else { continue };
        match crops.iter_mut().find(|crop| crop.bounds == bounds) {
            Some(crop) => crop.choices.push(choice),
            None => crops.push(Crop { choices: vec![choice], bounds }),
        }
    }
    Ok(crops)
}

/// All squares of one size on a slide.
struct Fields {
    slide_px: [u32; 2],
    side_px: u32,
}

impl Fields {
    /// Squares of [`SIDE_PX`], or smaller on a slide that is; `None` where the size of the slide is not known.
    fn new(slide_px: [u32; 2]) -> Option<Self> {
        let side_px = slide_px[0].min(slide_px[1]).min(SIDE_PX);
        (side_px > 1).then_some(Self { slide_px, side_px })
    }

    /// The field whose corner is the whole px at `corner`, moved to lie on the slide.
    fn at(&self, corner: Level0Point) -> Level0Box {
        let [width, height] = self.slide_px.map(|side| f64::from(side - self.side_px));
        let side = f64::from(self.side_px);
        let corner =
            Level0Point::new(corner.x.floor().clamp(0.0, width), corner.y.floor().clamp(0.0, height));
        Level0Box::from_origin_and_size(corner, euclid::size2(side, side))
    }

    /// The field with most cells of all positions; rather the next ones than one that shares half of `others`. `None`
    /// without a cell.
    fn fullest(&self, cells: &[Level0Point], others: &[Level0Box]) -> Result<Option<Level0Box>, ReportError> {
        // In px: one µm each. A px smaller than the crop, which holds all of it wherever its corner is rounded to.
        let side = f64::from(self.side_px - 1);
        let field = Field::new(FieldShape::Square, side * side * 1e-6).map_err(cannot_choose)?;
        let um_per_px = Mpp::new(1.0).map_err(cannot_choose)?;
        let ground = measures::Ground::everywhere();
        let best = hot_spots(cells, um_per_px, field, &ground, 1 + others.len()).map_err(cannot_choose)?;
        let best: Vec<Level0Box> = best.iter().map(|spot| self.at(spot.bounds().min)).collect();
        let apart = best.iter().find(|field| !others.iter().any(|other| shares_half(field, other)));
        Ok(apart.or(best.first()).copied())
    }

    /// The field of median density, of those side by side that are tissue by half or more; `None` without one.
    fn typical(&self, cells: &[Level0Point], ground: &Ground) -> Option<Level0Box> {
        let [columns, rows] = self.slide_px.map(|side| side.div_ceil(self.side_px) as usize);
        let side_px = f64::from(self.side_px);
        let squares = Squares { columns, rows, origin: Level0Point::zero(), side_px };
        let mut counts = vec![0_u64; columns * rows];
        cells.iter().filter_map(|&cell| squares.at(cell)).for_each(|square| counts[square] += 1);
        let shares = ground.shares(&squares);
        let tissue = shares.iter().zip(&counts).enumerate().filter(|(_, (share, _))| **share >= LEAST_TISSUE);
        let mut densities: Vec<(f64, usize)> =
            tissue.map(|(square, (share, &count))| (count as f64 / share, square)).collect();
        densities.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        let (_, square) = densities.get(densities.len().saturating_sub(1) / 2)?;
        let [x, y] = [square % columns, square / columns].map(|place| place as f64 * side_px);
        Some(self.at(Level0Point::new(x, y)))
    }
}

/// `true` if half of a field or more lies in another one of its size.
fn shares_half(field: &Level0Box, other: &Level0Box) -> bool {
    field.intersection(other).is_some_and(|shared| shared.area() >= field.area() / 2.0)
}

fn cannot_choose(error: impl fmt::Display) -> ReportError {
    ReportError::encode("the parts at full size", &error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(x: f64, y: f64, count: usize) -> impl Iterator<Item = Level0Point> {
        (0..count).map(move |place| Level0Point::new(x + (place % 10) as f64, y + (place / 10) as f64))
    }

    fn corner(crop: &Crop) -> (f64, f64) {
        crop.bounds.min.to_tuple()
    }

    #[test]
    fn the_hottest_the_typical_and_the_least_sure_are_where_they_were_put() {
        let analysis = Analysis { slide_px: [2000, 1200], ..Analysis::default() };
        // Fields of 400 px side by side, five across: each with 5 cells but for a few.
        let mut cells: Vec<Level0Point> = (0..15)
            .flat_map(|field| {
                let (x, y) = (f64::from(field % 5) * 400.0 + 50.0, f64::from(field / 5) * 400.0 + 50.0);
                cluster(x, y, if field == 2 { 1 } else { 5 })
            })
            .collect();
        // The densest place lies across the corner of four fields.
        cells.extend(cluster(1195.0, 795.0, 90));
        let unsure: Vec<_> = cluster(1650.0, 50.0, 5).collect();
        let crops = chosen(&cells, &unsure, &analysis, Some(&Ground::whole([2000, 1200]))).unwrap();
        let choices: Vec<_> = crops.iter().map(|crop| crop.choices.clone()).collect();
        assert_eq!(choices, [[Choice::Hottest], [Choice::Typical], [Choice::LeastSure]]);
        let held = |crop: &Crop| cells.iter().filter(|&&cell| crop.bounds.contains(cell)).count();
        assert!(held(&crops[0]) >= 90, "{crops:?}");
        assert_eq!((held(&crops[1]), corner(&crops[1])), (5, (1600.0, 400.0)));
        assert!(unsure.iter().all(|&cell| crops[2].bounds.contains(cell)), "{crops:?}");
        for crop in &crops {
            assert_eq!(crop.bounds.size(), euclid::size2(400.0, 400.0));
            assert_eq!(crop.bounds, crop.bounds.round());
        }
        let mut shuffled = cells.clone();
        shuffled.reverse();
        assert_eq!(chosen(&shuffled, &unsure, &analysis, Some(&Ground::whole([2000, 1200]))).unwrap(), crops);
    }

    #[test]
    fn a_crop_lies_on_the_slide_and_a_small_slide_has_one() {
        let ground = Ground::whole([300, 250]);
        let analysis = Analysis { slide_px: [300, 250], ..Analysis::default() };
        let cells: Vec<_> = cluster(285.0, 240.0, 30).collect();
        let crops = chosen(&cells, &cells, &analysis, Some(&ground)).unwrap();
        assert_eq!(corner(&crops[0]), (50.0, 0.0));
        assert_eq!(crops[0].choices, [Choice::Hottest, Choice::LeastSure]);
        let none = chosen(&[], &[], &Analysis::default(), Some(&ground)).unwrap();
        assert_eq!(none, []);
        assert!(chosen(&[Level0Point::new(f64::NAN, 0.0)], &[], &analysis, None).is_err());
    }

    #[test]
    fn tissue_without_cells_is_typical_too_and_fields_without_tissue_are_not() {
        let analysis = Analysis { slide_px: [1200, 400], ..Analysis::default() };
        // The first and the last third are tissue.
        let ground = Ground::new((3, 1), vec![true, false, true], [1200, 400]);
        let cells: Vec<_> = cluster(500.0, 50.0, 9).chain(cluster(900.0, 50.0, 3)).collect();
        let crops = chosen(&cells, &[], &analysis, Some(&ground)).unwrap();
        assert_eq!(crops.len(), 2);
        assert_eq!((crops[1].choices.as_slice(), corner(&crops[1])), (&[Choice::Typical][..], (0.0, 0.0)));
    }

    #[test]
    fn the_least_sure_field_is_another_than_the_hottest_where_there_is_one() {
        let analysis = Analysis { slide_px: [2000, 1200], ..Analysis::default() };
        let hot: Vec<_> = cluster(300.0, 300.0, 90).collect();
        let away: Vec<_> = cluster(1500.0, 800.0, 20).collect();
        let cells = [hot.clone(), away.clone()].concat();
        let crops = chosen(&cells, &cells, &analysis, None).unwrap();
        assert_eq!(crops.len(), 2);
        assert!(hot.iter().all(|&cell| crops[0].bounds.contains(cell)), "{crops:?}");
        assert!(away.iter().all(|&cell| crops[1].bounds.contains(cell)), "{crops:?}");
        let only = chosen(&hot, &hot, &analysis, None).unwrap();
        assert_eq!(only[0].choices, [Choice::Hottest, Choice::LeastSure]);
    }
}

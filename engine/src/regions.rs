//! The regions of one slide: tissue, areas a model found, and where many cells
//! lie.

pub use dataset::{DENSE, ROI, TISSUE};
use merger::{
    Cell, ClassNames, MaskFrame, Region, RegionPainter, RegionSettings, drawn_regions,
    mask::Mask,
    regions::{cleaned, density_mask, sieved},
};
use tiler::{Interest, TissueMask};
use wsi_types::{DrawnRegion, Level0Box, Level0Point, Level0Px, Mpp};

use crate::rules::{DenseOf, SlideRules};

/// The grid that areas of detections and dense places are worked on: px of 4 µm, or larger where a slide would have more
/// than 16 million of them. Class maps have a grid of their own (`merger::mosaic`).
#[derive(Debug, Clone, Copy)]
pub struct RegionGrid {
    /// Its place on level 0.
    pub frame: MaskFrame,
    /// Width and height, px.
    pub size: (usize, usize),
}

/// Side of a px of the grid, µm.
const PX_UM: f64 = 4.0;
/// 16 million px: 16 × 16 mm at 4 µm, larger slides at coarser px; see
/// [`RegionGrid::note`].
const MOST_PX: f64 = 16e6;

impl RegionGrid {
    /// The grid over a slide of `extent`, from level-0 (0, 0).
    #[must_use]
    pub fn over(extent: &Level0Box, mpp: Mpp) -> Self {
        let area = extent.max.x * extent.max.y;
        let step = (PX_UM / mpp.get()).max((area / MOST_PX).sqrt());
        let count = |length: f64| ((length / step).ceil() as usize).max(1);
        Self {
            frame: MaskFrame {
                origin: Level0Point::zero(),
                level0_per_px: (step, step),
                mpp,
                slide_end: extent.max,
            },
            size: (count(extent.max.x), count(extent.max.y)),
        }
    }

    /// Note for the user if regions are coarser than they are on other slides.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let um = self.frame.level0_per_px.0 * self.frame.mpp.get();
        (um > PX_UM * (1.0 + 1e-9)).then(|| {
            format!(
                "regions of this slide are worked on squares of {um:.1} µm, not {PX_UM} µm: it is larger than \
                 {} million of those",
                MOST_PX / 1e6
            )
        })
    }

    /// The px whose centres some of `boxes` hold.
    #[must_use]
    pub fn covered_by(&self, boxes: impl IntoIterator<Item = Level0Box>) -> Mask {
        let (width, height) = self.size;
        let mut mask = Mask::new(width, height);
        let (dx, dy) = self.frame.level0_per_px;
        for area in boxes {
            let corner = |x: f64, y: f64| Level0Point::new(x / dx, y / dy);
            let (min, max) = (area.min, area.max);
            mask.paint(&[
                corner(min.x, min.y),
                corner(max.x, min.y),
                corner(max.x, max.y),
                corner(min.x, max.y),
            ]);
        }
        mask
    }

    /// The px whose centres each of the detectors saw.
    #[must_use]
    pub fn covered_by_each(&self, seen: &[Vec<Level0Box>]) -> Mask {
        let mut covered = Mask::from_fn(self.size.0, self.size.1, |_, _| true);
        for boxes in seen {
            covered.keep_within(&self.covered_by(boxes.iter().copied()));
        }
        covered
    }

    /// The px whose centres lie in one of the regions.
    #[must_use]
    pub fn within(&self, regions: &[DrawnRegion<Level0Px>]) -> Mask {
        let (width, height) = self.size;
        let (dx, dy) = self.frame.level0_per_px;
        let mut mask = Mask::new(width, height);
        for region in regions {
            let to_px = |corner: &Level0Point| Level0Point::new(corner.x / dx, corner.y / dy);
            let rings: Vec<Vec<Level0Point>> =
                region.rings.iter().map(|ring| ring.iter().map(to_px).collect()).collect();
            mask.paint_rings(&rings.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        mask
    }

    /// The px whose centres are tissue.
    #[must_use]
    pub fn tissue(&self, tissue: &TissueMask) -> Mask {
        let (dx, dy) = self.frame.level0_per_px;
        let (mask_dx, mask_dy) = tissue.downsample();
        Mask::from_fn(self.size.0, self.size.1, |x, y| {
            let (at_x, at_y) = ((x as f64 + 0.5) * dx / mask_dx, (y as f64 + 0.5) * dy / mask_dy);
            tissue.is_tissue(at_x as u32, at_y as u32)
        })
    }
}

/// The pieces of tissue. Specks below the least area of a region are none, though windows looked at them too.
#[must_use]
pub fn tissue_regions(mask: &TissueMask, mpp: Mpp, settings: &RegionSettings, slide_key: u64) -> Vec<Region> {
    let (width, height) = mask.level0_size();
    let frame = MaskFrame {
        origin: Level0Point::zero(),
        level0_per_px: mask.downsample(),
        mpp,
        slide_end: Level0Point::new(f64::from(width), f64::from(height)),
    };
    let bits = Mask::from_fn(mask.width() as usize, mask.height() as usize, |x, y| {
        mask.is_tissue(x as u32, y as u32)
    });
    let pieces = sieved(&bits, &frame, settings);
    merger::outlined(&pieces, &frame, TISSUE, settings.simplify_um, slide_key)
}

/// Regions where many of `cells` lie on `ground`, a mask of the grid: tissue that was seen. Cleaning a region
/// does not carry it past the ground.
#[must_use]
pub fn dense_regions(
    cells: &[Cell],
    dense: &DenseOf,
    grid: &RegionGrid,
    ground: &Mask,
    settings: &RegionSettings,
    slide_key: u64,
) -> Vec<Region> {
    let counted = |cell: &&Cell| dense.classes.is_empty() || dense.classes.contains(&cell.class);
    let centroids = cells.iter().filter(counted).map(|cell| cell.centroid);
    let found = density_mask(centroids, &grid.frame, ground, dense.radius_um, dense.per_mm2);
    let mut cleaned = cleaned(&found, &grid.frame, settings);
    cleaned.keep_within(ground);
    let parts = sieved(&cleaned, &grid.frame, settings);
    merger::outlined(&parts, &grid.frame, DENSE, settings.simplify_um, slide_key)
}

/// Inputs for the regions of one slide.
pub struct Sources<'a> {
    /// Mask of the tissue in which cells are counted.
    pub tissue: &'a TissueMask,
    /// Mask of all tissue of the slide: how much of a region is tissue does not hang on what else was drawn.
    pub all_tissue: &'a TissueMask,
    /// Regions that a person drew, and bands along their border.
    pub interest: Option<&'a Interest>,
    /// Areas that models found: those of detections, and those of each model's class maps.
    pub painted: &'a [RegionPainter],
    /// The grid for all but tissue.
    pub grid: RegionGrid,
    /// The px of it that windows of every detector with a result saw, or decided.
    pub analysed: &'a Mask,
    /// Names of the model's classes.
    pub class_names: &'a ClassNames,
    /// See [`merger::Layout::slide_key`].
    pub slide_key: u64,
}

/// The px of the grid that are tissue and `analysed`.
#[must_use]
pub fn tissue_seen(tissue: &TissueMask, grid: &RegionGrid, analysed: &Mask) -> Mask {
    let mut seen = grid.tissue(tissue);
    seen.keep_within(analysed);
    seen
}

/// All regions of a slide. Each cell notes the smallest one it lies in, each
/// region its cells and how much of it was seen.
#[must_use]
pub fn regions_of(sources: &Sources<'_>, rules: &SlideRules, cells: &mut [Cell]) -> Vec<Region> {
    let Sources { tissue, all_tissue, interest, painted, grid, analysed, class_names, slide_key } = sources;
    let mut regions = tissue_regions(tissue, grid.frame.mpp, &rules.region, *slide_key);
    regions.extend(interest.iter().flat_map(|interest| regions_of_interest(interest, grid, *slide_key)));
    for painter in *painted {
        regions.extend(painter.regions(
            |class| class_names.name(class).into_owned(),
            &rules.region,
            *slide_key,
        ));
    }
    let all_seen = tissue_seen(all_tissue, grid, analysed);
    if let Some(dense) = &rules.dense {
        // Without regions of interest both masks are the same.
        let counted = interest.map(|_| tissue_seen(tissue, grid, analysed));
        let ground = counted.as_ref().unwrap_or(&all_seen);
        regions.extend(dense_regions(cells, dense, grid, ground, &rules.region, *slide_key));
    }
    for region in &mut regions {
        region.note_coverage(analysed, &all_seen, &grid.frame);
    }
    merger::assign_cells(&mut regions, cells);
    regions
}

/// Regions that a person drew, then the parts of each band along their border.
fn regions_of_interest(interest: &Interest, grid: &RegionGrid, slide_key: u64) -> Vec<Region> {
    let mpp = grid.frame.mpp;
    let mut regions = drawn_regions(&interest.regions, ROI, mpp, slide_key);
    for band in &interest.bands {
        regions.extend(drawn_regions(&band.parts, &band.kind(), mpp, slide_key));
    }
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_four_micrometres_until_a_slide_is_too_large_for_it() {
        let of = |width: f64, height: f64| {
            let extent = Level0Box::new(Level0Point::zero(), Level0Point::new(width, height));
            RegionGrid::over(&extent, Mpp::new(0.25).unwrap())
        };
        let small = of(6144.0, 5120.0);
        assert_eq!((small.frame.level0_per_px, small.size), ((16.0, 16.0), (384, 320)));
        assert_eq!(small.note(), None);
        // 50 × 25 mm: 1.25e9 µm² over 16e6 squares.
        let large = of(200_000.0, 100_000.0);
        assert!(large.size.0 * large.size.1 < 16_100_000);
        let expected = "regions of this slide are worked on squares of 8.8 µm, not 4 µm: it is larger than \
            16 million of those";
        assert_eq!(large.note().as_deref(), Some(expected));
    }

    /// A slide of 1000 × 600 px at 0.5 µm, with the tissue that `is_tissue` says by px of 10 level-0 px.
    fn tissue(is_tissue: impl Fn(u32, u32) -> bool) -> TissueMask {
        let mpp = Mpp::new(0.5).ok();
        let slide =
            wsi_reader::MemorySlide::painted(&[(1000, 600)], (256, 256), mpp, |_, _, _| [200; 3]).unwrap();
        let flags = (0..60).flat_map(|y| (0..100).map(move |x| (x, y))).map(|(x, y)| is_tissue(x, y));
        TissueMask::from_bits(wsi_reader::Slide::info(&slide), 100, 60, flags.collect()).unwrap()
    }

    #[test]
    fn a_speck_is_no_piece_of_tissue() {
        // 30,000 µm² and 400 µm².
        let mask = tissue(|x, y| (x < 40 && y < 30) || (x >= 96 && y >= 56));
        let mpp = Mpp::new(0.5).unwrap();
        let pieces = tissue_regions(&mask, mpp, &RegionSettings::default(), 7);
        assert_eq!(pieces.iter().map(|piece| piece.area_um2).collect::<Vec<_>>(), [30_000.0]);
        let all = RegionSettings { least_area_um2: 0.0, ..RegionSettings::default() };
        assert_eq!(tissue_regions(&mask, mpp, &all, 7).len(), 2);
    }

    /// Closing carried dense places over the glass beside the tissue, and at borders there were none.
    #[test]
    fn a_dense_place_is_all_of_the_evenly_dense_tissue_and_no_glass() {
        // Two pieces, 20 µm apart.
        let mask = tissue(|x, _| x < 40 || (44..80).contains(&x));
        let mpp = Mpp::new(0.5).unwrap();
        let extent = Level0Box::from_size(euclid::size2(1000.0, 600.0));
        let grid = RegionGrid::over(&extent, mpp);
        // A cell per 100 µm²: 10,000 per mm².
        let centroids = (0..50 * 30)
            .map(|i| Level0Point::new(f64::from(i % 50) * 20.0 + 10.0, f64::from(i / 50) * 20.0 + 10.0));
        let ground = grid.tissue(&mask);
        let cells: Vec<Cell> = centroids.map(cell_at).collect();
        let dense = DenseOf { per_mm2: 7000.0, radius_um: 40.0, classes: Vec::new() };
        let settings = RegionSettings { simplify_um: 0.0, ..RegionSettings::default() };
        let found = dense_regions(&cells, &dense, &grid, &ground, &settings, 7);
        let pieces = tissue_regions(&mask, mpp, &settings, 7);
        assert_eq!(found.len(), 2);
        for (found, piece) in found.iter().zip(&pieces) {
            assert!(
                (found.area_um2 / piece.area_um2 - 1.0).abs() < 0.03,
                "{} {}",
                found.area_um2,
                piece.area_um2
            );
        }
    }

    #[test]
    fn glass_in_a_region_thins_its_density_and_not_that_of_its_tissue() {
        let mpp = Mpp::new(0.5).unwrap();
        let grid = RegionGrid::over(&Level0Box::from_size(euclid::size2(1000.0, 600.0)), mpp);
        let corners = [(200.0, 0.0), (600.0, 0.0), (600.0, 320.0), (200.0, 320.0)];
        let ring = corners.map(|(x, y)| Level0Point::new(x, y)).to_vec();
        let drawn = DrawnRegion { name: None, class: None, rings: vec![ring] };
        // Tissue ends in the middle of the region, and windows saw its upper half: of four quarters, one is
        // tissue that was seen.
        let seen = grid.covered_by([Level0Box::from_size(euclid::size2(1000.0, 160.0))]);
        let ground = tissue_seen(&tissue(|x, _| x < 40), &grid, &seen);
        let mut region = drawn_regions(&[drawn], ROI, mpp, 7).remove(0);
        region.note_coverage(&seen, &ground, &grid.frame);
        region.cells.insert(wsi_types::ClassId(0), 8);
        assert_eq!((region.area_um2, region.coverage, region.tissue), (32_000.0, 0.5, 0.25));
        assert_eq!((region.cells_per_mm2(), region.cells_per_mm2_tissue()), (500.0, Some(1000.0)));
        let glass = grid.covered_by([]);
        region.note_coverage(&seen, &glass, &grid.frame);
        assert_eq!((region.analysed_tissue_um2(), region.cells_per_mm2_tissue()), (0.0, None));
    }

    fn cell_at(centroid: Level0Point) -> Cell {
        let score = wsi_types::Score::new(0.9).unwrap();
        Cell::new(0, wsi_types::ClassId(0), score, Level0Box::new(centroid, centroid))
    }

    #[test]
    fn boxes_cover_the_centres_they_hold() {
        let extent = Level0Box::new(Level0Point::zero(), Level0Point::new(160.0, 160.0));
        let grid = RegionGrid::over(&extent, Mpp::new(0.25).unwrap());
        let mask =
            grid.covered_by([Level0Box::new(Level0Point::new(7.0, 0.0), Level0Point::new(40.0, 25.0))]);
        assert_eq!(mask.area(), 4, "columns 0 and 1 (centres 8 and 24), rows 0 and 1");
    }
}

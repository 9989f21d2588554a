//! Regions: areas of one kind (tumour, tissue, a dense cluster), from masks or
//! from the density of cells. Radii and areas are in µm and µm².

use std::collections::BTreeMap;

use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, RTree};
use serde::{Deserialize, Serialize};
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp};

use crate::MergeError;
use crate::cell::Cell;
use crate::geometry::{ring_bounds, ring_centroid};
use crate::mask::{Mask, Polygon, simplified_polygon};

/// Where a mask lies on the slide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskFrame {
    /// The corner of the mask's first pixel, level-0 px.
    pub origin: Level0Point,
    /// Level-0 px per mask px.
    pub level0_per_px: f64,
    /// µm per level-0 px.
    pub mpp: Mpp,
}

impl MaskFrame {
    /// µm per mask px.
    #[must_use]
    pub fn um_per_px(&self) -> f64 {
        self.mpp.times(self.level0_per_px)
    }

    fn level0_from_mask(&self, point: Level0Point) -> Level0Point {
        self.origin + point.to_vector() * self.level0_per_px
    }

    fn mask_from_level0(&self, point: Level0Point) -> Level0Point {
        ((point - self.origin) / self.level0_per_px).to_point()
    }
}

/// How a mask becomes regions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegionSettings {
    /// Gaps that no disc of this radius fits into are closed, µm.
    pub closing_um: f64,
    /// Then what no disc of this radius fits into is taken away, µm.
    pub opening_um: f64,
    /// Then holes up to this area are filled, µm².
    pub largest_hole_um2: f64,
    /// Then parts below this area are left out, µm².
    pub least_area_um2: f64,
    /// Outlines may be this far from the mask's, µm.
    pub simplify_um: f64,
}

impl Default for RegionSettings {
    fn default() -> Self {
        Self {
            closing_um: 20.0,
            opening_um: 20.0,
            largest_hole_um2: 5_000.0,
            least_area_um2: 10_000.0,
            simplify_um: 4.0,
        }
    }
}

impl RegionSettings {
    /// Checks every number once.
    ///
    /// # Errors
    ///
    /// [`MergeError::Setting`] names the first that is negative or not finite.
    pub fn validate(&self) -> Result<(), MergeError> {
        let all = [
            ("closing_um", self.closing_um),
            ("opening_um", self.opening_um),
            ("largest_hole_um2", self.largest_hole_um2),
            ("least_area_um2", self.least_area_um2),
            ("simplify_um", self.simplify_um),
        ];
        for (name, value) in all {
            if !(value >= 0.0 && value.is_finite()) {
                let found = value.to_string();
                return Err(MergeError::Setting { name, found, expected: "0 or more, finite" });
            }
        }
        Ok(())
    }
}

/// An area of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// From the slide's key, the kind and the place: the same every time.
    pub id: u64,
    /// What it is: "tissue", "tumour".
    pub kind: String,
    /// Its outline with holes, level-0 px.
    pub polygon: Polygon,
    /// The box around it, level-0 px.
    pub bbox: Level0Box,
    /// Where its outer ring balances, level-0 px.
    pub centroid: Level0Point,
    /// Area without holes.
    pub area_um2: f64,
    /// Length of all its rings.
    pub perimeter_um: f64,
    /// Cells whose centroid lies in it, by class; see [`assign_cells`].
    pub cells: BTreeMap<ClassId, u64>,
}

impl Region {
    /// Cells of all classes.
    #[must_use]
    pub fn cell_count(&self) -> u64 {
        self.cells.values().sum()
    }

    /// Cells per mm².
    #[must_use]
    pub fn cells_per_mm2(&self) -> f64 {
        if self.area_um2 > 0.0 { self.cell_count() as f64 / (self.area_um2 * 1e-6) } else { 0.0 }
    }
}

/// Cleans `mask` and outlines its parts. `slide_key` is
/// [`Layout::slide_key`](crate::Layout::slide_key).
#[must_use]
pub fn regions_from_mask(
    mask: &Mask,
    frame: &MaskFrame,
    kind: &str,
    settings: &RegionSettings,
    slide_key: u64,
) -> Vec<Region> {
    let cleaned = cleaned(mask, frame, settings);
    let tolerance = settings.simplify_um / frame.um_per_px();
    let region = |polygon: &Polygon| region(&simplified_polygon(polygon, tolerance), frame, kind, slide_key);
    cleaned.polygons().iter().filter_map(region).collect()
}

/// The mask closed, opened, its small holes filled and its small parts left out.
#[must_use]
pub fn cleaned(mask: &Mask, frame: &MaskFrame, settings: &RegionSettings) -> Mask {
    let um = frame.um_per_px();
    let px2 = |um2: f64| um2 / (um * um);
    mask.closed(settings.closing_um / um)
        .opened(settings.opening_um / um)
        .filled(px2(settings.largest_hole_um2).floor() as u64)
        .without_small(px2(settings.least_area_um2).ceil() as u64)
}

fn region(polygon: &Polygon, frame: &MaskFrame, kind: &str, slide_key: u64) -> Option<Region> {
    let um = frame.um_per_px();
    let place = |ring: &Vec<Level0Point>| ring.iter().map(|&point| frame.level0_from_mask(point)).collect();
    let placed = Polygon { outer: place(&polygon.outer), holes: polygon.holes.iter().map(place).collect() };
    let centroid = ring_centroid(&placed.outer)?;
    Some(Region {
        id: region_id(slide_key, kind, &placed.outer),
        kind: kind.to_owned(),
        bbox: ring_bounds(&placed.outer)?,
        centroid,
        area_um2: polygon.area() * um * um,
        perimeter_um: polygon.perimeter() * um,
        polygon: placed,
        cells: BTreeMap::new(),
    })
}

/// From the kind and the first corner, which no two regions of one kind share.
fn region_id(slide_key: u64, kind: &str, outer: &[Level0Point]) -> u64 {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hash.update(slide_key.to_le_bytes());
    hash.update(kind.as_bytes());
    if let Some(point) = outer.first() {
        hash.update(point.x.to_le_bytes());
        hash.update(point.y.to_le_bytes());
    }
    hash.finalize().iter().take(8).fold(0, |id, &byte| (id << 8) | u64::from(byte))
}

/// Where at least `least_per_mm2` cells lie within `radius_um`, per area of the
/// disc: a mask of `width` × `height` pixels in `frame`.
#[must_use]
pub fn density_mask(
    centroids: impl Iterator<Item = Level0Point>,
    frame: &MaskFrame,
    (width, height): (usize, usize),
    radius_um: f64,
    least_per_mm2: f64,
) -> Mask {
    // Cells left of each pixel, row by row: a disc is a sum over its rows.
    let stride = width + 1;
    let mut before = vec![0_u32; stride * height];
    for centroid in centroids {
        let at = frame.mask_from_level0(centroid);
        let (x, y) = (at.x.floor(), at.y.floor());
        if x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64 {
            before[y as usize * stride + x as usize + 1] += 1;
        }
    }
    for row in before.chunks_exact_mut(stride) {
        let mut sum = 0;
        for count in row {
            sum += *count;
            *count = sum;
        }
    }
    let radius = radius_um / frame.um_per_px();
    let reach = radius.floor() as usize;
    let halves: Vec<usize> =
        (0..=reach).map(|dy| (radius * radius - (dy * dy) as f64).max(0.0).sqrt() as usize).collect();
    let disc_mm2 = halves.iter().enumerate().map(|(dy, half)| (2 * half + 1) * if dy == 0 { 1 } else { 2 });
    let um = frame.um_per_px();
    let least = least_per_mm2 * disc_mm2.sum::<usize>() as f64 * um * um * 1e-6;
    Mask::from_fn(width, height, |x, y| {
        let in_row = |row: usize| {
            let half = halves[row.abs_diff(y)];
            let (from, to) = (x.saturating_sub(half), (x + half + 1).min(width));
            before[row * stride + to] - before[row * stride + from]
        };
        let count: u32 = (y.saturating_sub(reach)..(y + reach + 1).min(height)).map(in_row).sum();
        count > 0 && f64::from(count) >= least
    })
}

/// Finds the region that a point lies in.
pub struct RegionFinder<'a> {
    regions: &'a [Region],
    tree: RTree<GeomWithData<Rectangle<[f64; 2]>, usize>>,
}

impl<'a> RegionFinder<'a> {
    /// A finder over `regions`.
    #[must_use]
    pub fn new(regions: &'a [Region]) -> Self {
        let boxed = |(index, region): (usize, &Region)| {
            let (min, max) = (region.bbox.min, region.bbox.max);
            GeomWithData::new(Rectangle::from_corners([min.x, min.y], [max.x, max.y]), index)
        };
        Self { regions, tree: RTree::bulk_load(regions.iter().enumerate().map(boxed).collect()) }
    }

    /// Indices of the regions that hold `point`, the smallest first: a nest
    /// before the tissue around it.
    #[must_use]
    pub fn all_at(&self, point: Level0Point) -> Vec<usize> {
        let near = self.tree.locate_in_envelope_intersecting(AABB::from_point([point.x, point.y]));
        let mut found: Vec<usize> = near
            .map(|found| found.data)
            .filter(|&index| self.regions[index].polygon.contains(point))
            .collect();
        found.sort_unstable_by(|&a, &b| {
            let (a, b) = (&self.regions[a], &self.regions[b]);
            a.area_um2.total_cmp(&b.area_um2).then_with(|| a.id.cmp(&b.id))
        });
        found
    }
}

/// Counts `cells` into every region that holds their centroid, and notes in each
/// cell the smallest one.
pub fn assign_cells(regions: &mut [Region], cells: &mut [Cell]) {
    let mut counts: Vec<BTreeMap<ClassId, u64>> = vec![BTreeMap::new(); regions.len()];
    let finder = RegionFinder::new(regions);
    for cell in cells {
        let found = finder.all_at(cell.centroid);
        cell.region = found.first().map(|&index| regions[index].id);
        for index in found {
            *counts[index].entry(cell.class).or_default() += 1;
        }
    }
    for (region, count) in regions.iter_mut().zip(counts) {
        region.cells = count;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn frame() -> MaskFrame {
        MaskFrame {
            origin: Level0Point::new(1000.0, 500.0),
            level0_per_px: 16.0,
            mpp: Mpp::new(0.25).unwrap(),
        }
    }

    fn disc(cx: f64, cy: f64, radius: f64) -> impl Fn(usize, usize) -> bool {
        move |x, y| {
            let (dx, dy) = (x as f64 + 0.5 - cx, y as f64 + 0.5 - cy);
            dx * dx + dy * dy < radius * radius
        }
    }

    #[test]
    fn a_ring_of_tissue_keeps_its_large_hole_and_loses_specks() {
        let (outer, inner, speck, pin) =
            (disc(60.0, 60.0, 50.0), disc(60.0, 60.0, 25.0), disc(125.0, 10.0, 3.0), disc(25.0, 60.0, 2.0));
        let mask = Mask::from_fn(140, 130, |x, y| (outer(x, y) && !inner(x, y) && !pin(x, y)) || speck(x, y));
        let regions = regions_from_mask(&mask, &frame(), "tumour", &RegionSettings::default(), 7);
        assert_eq!(regions.len(), 1);
        let region = &regions[0];
        assert_eq!(region.polygon.holes.len(), 1);
        let expected = std::f64::consts::PI * (50.0 * 50.0 - 25.0 * 25.0) * 16.0;
        assert!((region.area_um2 / expected - 1.0).abs() < 0.01, "{}", region.area_um2);
        let length = std::f64::consts::TAU * 75.0 * 4.0;
        assert!((region.perimeter_um / length - 1.0).abs() < 0.03, "{}", region.perimeter_um);
        assert!((region.centroid - Level0Point::new(1960.0, 1460.0)).length() < 8.0);
    }

    #[test]
    fn dense_cells_make_a_region_and_lone_ones_do_not() {
        let grid = (0..30).flat_map(|row| (0..30).map(move |column| (column, row)));
        let dense = grid.map(|(column, row)| {
            Level0Point::new(1200.0 + 20.0 * f64::from(column), 700.0 + 20.0 * f64::from(row))
        });
        let lone = [Level0Point::new(3000.0, 2000.0)];
        let mask = density_mask(dense.chain(lone), &frame(), (140, 130), 30.0, 5000.0);
        let settings = RegionSettings { least_area_um2: 5_000.0, ..RegionSettings::default() };
        let regions = regions_from_mask(&mask, &frame(), "cluster", &settings, 7);
        assert_eq!(regions.len(), 1);
        assert!(regions[0].polygon.contains(Level0Point::new(1500.0, 1000.0)));
        assert!(!regions[0].polygon.contains(Level0Point::new(3000.0, 2000.0)));
    }
}

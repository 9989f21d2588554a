//! Regions: areas of one kind (tumour, tissue, a dense cluster), from masks or
//! from the density of cells. Radii and areas are in µm and µm².

use std::collections::BTreeMap;
use std::ops::Range;

use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, RTree};
use serde::{Deserialize, Serialize};
use wsi_types::{ClassId, DrawnRegion, Level0Box, Level0Point, Level0Px, Mpp, Score};

use crate::MergeError;
use crate::cell::Cell;
use crate::geometry::{ring_bounds, ring_centroid};
use crate::id::{first_bits, id_from, next_id};
use crate::mask::{Mask, Polygon, simplified_polygon};
use crate::place::RawCell;
use crate::slabs::Slabs;

/// Place of a mask on the slide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskFrame {
    /// The corner of the mask's first pixel, level-0 px.
    pub origin: Level0Point,
    /// Level-0 px per mask px, along x and y.
    pub level0_per_px: (f64, f64),
    /// µm per level-0 px.
    pub mpp: Mpp,
    /// The slide's lower right corner, level-0 px. The last mask px may reach past it; outlines do not.
    pub slide_end: Level0Point,
}

impl MaskFrame {
    /// µm per mask px: of a square px of the same area.
    #[must_use]
    pub fn um_per_px(&self) -> f64 {
        self.mpp.times((self.level0_per_px.0 * self.level0_per_px.1).sqrt())
    }

    fn level0_from_mask(&self, point: Level0Point) -> Level0Point {
        let (x, y) = self.level0_per_px;
        (self.origin + euclid::vec2(point.x * x, point.y * y)).min(self.slide_end)
    }

    pub(crate) fn mask_from_level0(&self, point: Level0Point) -> Level0Point {
        let (x, y) = self.level0_per_px;
        let off = point - self.origin;
        Level0Point::new(off.x / x, off.y / y)
    }
}

/// Settings for making regions from a mask.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegionSettings {
    /// Radius in µm: gaps that no disc of it fits into are closed.
    pub closing_um: f64,
    /// Radius in µm: then places that no disc of it fits into are taken away.
    pub opening_um: f64,
    /// Area in µm²: then holes up to it are filled.
    pub largest_hole_um2: f64,
    /// Area in µm²: then parts below it are left out.
    pub least_area_um2: f64,
    /// Largest distance of outlines from the mask's, µm.
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
    /// Regions as the mask has them: neither cleaned nor simplified.
    pub const EXACT: Self = Self {
        closing_um: 0.0,
        opening_um: 0.0,
        largest_hole_um2: 0.0,
        least_area_um2: 0.0,
        simplify_um: 0.0,
    };

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
    /// Id made from the slide's key, the kind and the place: the same every time.
    pub id: u64,
    /// Its kind: "tissue", "tumour".
    pub kind: String,
    /// Name that a person gave it, if one drew it.
    pub name: Option<String>,
    /// The class that person gave it.
    pub class_name: Option<String>,
    /// Its outline with holes, level-0 px.
    pub polygon: Polygon,
    /// The box around it, level-0 px.
    pub bbox: Level0Box,
    /// Centre of mass of its outer ring, level-0 px.
    pub centroid: Level0Point,
    /// Area without holes.
    pub area_um2: f64,
    /// Length of all its rings.
    pub perimeter_um: f64,
    /// The share of it that a window with a result saw, 0 to 1.
    pub coverage: f64,
    /// The share of it that is tissue that such a window saw, at most `coverage`.
    pub tissue: f64,
    /// Confidence of the model, if a model found it: the best of the detections it is made of.
    pub score: Option<Score>,
    /// Cells whose centroid lies in it, by class; see [`assign_cells`].
    pub cells: BTreeMap<ClassId, u64>,
}

impl Region {
    /// An area that is all tissue and that all windows saw, without cells yet; `None` where it encloses nothing.
    fn new(id: u64, kind: &str, polygon: Polygon, mpp: Mpp) -> Option<Self> {
        let um = mpp.get();
        Some(Self {
            id,
            kind: kind.to_owned(),
            name: None,
            class_name: None,
            bbox: ring_bounds(&polygon.outer)?,
            centroid: ring_centroid(&polygon.outer)?,
            area_um2: polygon.area() * um * um,
            perimeter_um: polygon.perimeter() * um,
            coverage: 1.0,
            tissue: 1.0,
            score: None,
            polygon,
            cells: BTreeMap::new(),
        })
    }

    /// Cells of all classes.
    #[must_use]
    pub fn cell_count(&self) -> u64 {
        self.cells.values().sum()
    }

    /// The part of its area that was analysed.
    #[must_use]
    pub fn analysed_um2(&self) -> f64 {
        self.area_um2 * self.coverage
    }

    /// The part of its area that is tissue and was analysed.
    #[must_use]
    pub fn analysed_tissue_um2(&self) -> f64 {
        self.area_um2 * self.tissue
    }

    /// Cells per mm² of the part that was analysed.
    #[must_use]
    pub fn cells_per_mm2(&self) -> f64 {
        self.cells_per_mm2_of(self.analysed_um2()).unwrap_or(0.0)
    }

    /// Cells per mm² of the tissue in it that was analysed; `None` where there is none.
    #[must_use]
    pub fn cells_per_mm2_tissue(&self) -> Option<f64> {
        self.cells_per_mm2_of(self.analysed_tissue_um2())
    }

    fn cells_per_mm2_of(&self, area_um2: f64) -> Option<f64> {
        (area_um2 > 0.0).then(|| self.cell_count() as f64 / (area_um2 * 1e-6))
    }

    /// Notes the share of it that was `analysed`, and the share that is `tissue` and was analysed: masks in `frame`.
    pub fn note_coverage(&mut self, analysed: &Mask, tissue: &Mask, frame: &MaskFrame) {
        let polygon = self.polygon.mapped(|point| frame.mask_from_level0(point));
        let centroid = frame.mask_from_level0(self.centroid);
        self.coverage = share_of(analysed, &polygon, centroid);
        self.tissue = share_of(tissue, &polygon, centroid);
    }
}

/// The share of `polygon` that `mask` holds, both in px of the mask. If it is smaller than a px, the one at its
/// `centroid` decides.
fn share_of(mask: &Mask, polygon: &Polygon, centroid: Level0Point) -> f64 {
    mask.share_within(polygon).unwrap_or_else(|| {
        f64::from(u8::from(mask.get(centroid.x.max(0.0) as usize, centroid.y.max(0.0) as usize)))
    })
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
    outlined(&cleaned(mask, frame, settings), frame, kind, settings.simplify_um, slide_key)
}

/// Outlines the parts of `mask` as they are; an outline may be `simplify_um` off. `slide_key` as in
/// [`regions_from_mask`].
#[must_use]
pub fn outlined(mask: &Mask, frame: &MaskFrame, kind: &str, simplify_um: f64, slide_key: u64) -> Vec<Region> {
    let tolerance = simplify_um / frame.um_per_px();
    let simple = mask.polygons().into_iter().map(|polygon| simplified_polygon(&polygon, tolerance));
    simple.filter_map(|polygon| region(&polygon, frame, kind, slide_key)).collect()
}

/// The mask closed, opened, its small holes filled and its small parts left out.
#[must_use]
pub fn cleaned(mask: &Mask, frame: &MaskFrame, settings: &RegionSettings) -> Mask {
    let um = frame.um_per_px();
    let filled = mask
        .closed(settings.closing_um / um)
        .opened(settings.opening_um / um)
        .filled((settings.largest_hole_um2 / (um * um)).floor() as u64);
    sieved(&filled, frame, settings)
}

/// The mask without its parts below the least area.
#[must_use]
pub fn sieved(mask: &Mask, frame: &MaskFrame, settings: &RegionSettings) -> Mask {
    let um = frame.um_per_px();
    mask.without_small((settings.least_area_um2 / (um * um)).ceil() as u64)
}

fn region(polygon: &Polygon, frame: &MaskFrame, kind: &str, slide_key: u64) -> Option<Region> {
    let placed = polygon.mapped(|point| frame.level0_from_mask(point));
    let id = region_id(slide_key, kind, placed.outer.first());
    Region::new(id, kind, placed, frame.mpp)
}

/// Regions of interest, in their order and as they were drawn; `kind` is what the table calls them. What encloses
/// nothing is left out.
#[must_use]
pub fn drawn_regions(drawn: &[DrawnRegion<Level0Px>], kind: &str, mpp: Mpp, slide_key: u64) -> Vec<Region> {
    let mut copies: BTreeMap<u64, u64> = BTreeMap::new();
    let regions = drawn.iter().filter_map(|drawn| {
        let mut rings = drawn.rings.iter().cloned();
        let polygon = Polygon { outer: rings.next()?, holes: rings.collect() };
        let id = drawn_id(slide_key, kind, drawn);
        let copy = copies.entry(id).or_default();
        // Drawn twice, they are two.
        let own = (0..*copy).fold(id, |id, _| next_id(id));
        *copy += 1;
        let region = Region::new(own, kind, polygon, mpp)?;
        Some(Region { name: drawn.name.clone(), class_name: drawn.class.clone(), ..region })
    });
    regions.collect()
}

/// Id from the slide's key, the kind and the first corner, which no two regions of one kind share.
fn region_id<'a>(slide_key: u64, kind: &str, corners: impl IntoIterator<Item = &'a Level0Point>) -> u64 {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hash.update(slide_key.to_le_bytes());
    hash.update(kind.as_bytes());
    for point in corners {
        hash.update(point.x.to_le_bytes());
        hash.update(point.y.to_le_bytes());
    }
    id_from(first_bits(&hash.finalize()))
}

/// From all that was drawn: regions of interest may begin at one corner.
fn drawn_id(slide_key: u64, kind: &str, drawn: &DrawnRegion<Level0Px>) -> u64 {
    let words = [kind, drawn.name.as_deref().unwrap_or_default(), drawn.class.as_deref().unwrap_or_default()];
    region_id(slide_key, &words.join("\0"), drawn.rings.iter().flatten())
}

/// Mask of the places with at least `least_per_mm2` cells within `radius_um`, per area of `ground` in that
/// disc: near a border of `ground`, a disc holds less of it and fewer cells are enough. Only px of `ground`
/// (a mask in `frame`) are in the result, and only cells on it count.
#[must_use]
pub fn density_mask(
    centroids: impl Iterator<Item = Level0Point>,
    frame: &MaskFrame,
    ground: &Mask,
    radius_um: f64,
    least_per_mm2: f64,
) -> Mask {
    let (width, height) = (ground.width(), ground.height());
    let um = frame.um_per_px();
    let disc = Disc::new(radius_um / um);
    let mut cells = RowSums::new(width, height);
    for centroid in centroids {
        let at = frame.mask_from_level0(centroid);
        if at.x >= 0.0 && at.y >= 0.0 && ground.get(at.x as usize, at.y as usize) {
            cells.add(at.x as usize, at.y as usize);
        }
    }
    let (cells, seen) = (cells.summed(), RowSums::from_mask(ground));
    // On a sliver of tissue, a single cell would otherwise make a dense place.
    let least_seen = disc.px() as f64 * LEAST_SEEN;
    let least_per_px = least_per_mm2 * um * um * 1e-6;
    Mask::from_fn(width, height, |x, y| {
        if !ground.get(x, y) {
            return false;
        }
        let count = disc.sum(&cells, x, y);
        let area = f64::from(disc.sum(&seen, x, y)).max(least_seen);
        count > 0 && f64::from(count) >= least_per_px * area
    })
}

/// Smallest share of a disc that is taken as seen.
pub(crate) const LEAST_SEEN: f64 = 0.25;

/// Sums along the rows of a picture of whole numbers, so that the sum of a span is found in one step.
struct RowSums {
    width: usize,
    /// Per row, one more than it has px: the sum left of each px.
    before: Vec<u32>,
}

impl RowSums {
    fn new(width: usize, height: usize) -> Self {
        Self { width, before: vec![0; (width + 1) * height] }
    }

    fn from_mask(mask: &Mask) -> Self {
        let mut sums = Self::new(mask.width(), mask.height());
        for y in 0..mask.height() {
            (0..mask.width()).filter(|&x| mask.get(x, y)).for_each(|x| sums.add(x, y));
        }
        sums.summed()
    }

    /// Adds one at a px, before the picture is [summed](Self::summed).
    fn add(&mut self, x: usize, y: usize) {
        self.before[y * (self.width + 1) + x + 1] += 1;
    }

    fn summed(mut self) -> Self {
        for row in self.before.chunks_exact_mut(self.width + 1) {
            let mut sum = 0;
            for count in row {
                sum += *count;
                *count = sum;
            }
        }
        self
    }

    fn rows(&self) -> usize {
        self.before.len() / (self.width + 1)
    }

    /// The sum of a row from `first` to before `end`; both may lie past its end.
    fn within(&self, row: usize, first: usize, end: usize) -> u32 {
        let row = &self.before[row * (self.width + 1)..];
        row[end.min(self.width)] - row[first.min(self.width)]
    }
}

/// A disc of whole px around the middle of one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Disc {
    /// Px to each side of the middle, for the middle row and each below it.
    halves: Vec<usize>,
}

impl Disc {
    pub(crate) fn new(radius: f64) -> Self {
        let rows = 0..=radius.floor() as usize;
        let halves = rows.map(|dy| (radius * radius - (dy * dy) as f64).max(0.0).sqrt() as usize);
        Self { halves: halves.collect() }
    }

    pub(crate) fn px(&self) -> usize {
        let rows = self.halves.iter().enumerate();
        rows.map(|(dy, half)| (2 * half + 1) * if dy == 0 { 1 } else { 2 }).sum()
    }

    /// The sum over the disc around px (x, y).
    fn sum(&self, sums: &RowSums, x: usize, y: usize) -> u32 {
        self.spans(x, y, sums.rows()).map(|(row, span)| sums.within(row, span.start, span.end)).sum()
    }

    /// `true` if the disc around px (x, y) does not reach past a mask.
    pub(crate) fn fits_into(&self, mask: &Mask, x: usize, y: usize) -> bool {
        let reach = self.halves.len() - 1;
        x >= reach && y >= reach && x + reach < mask.width() && y + reach < mask.height()
    }

    /// The px of a mask in the disc around px (x, y).
    pub(crate) fn area_in(&self, mask: &Mask, x: usize, y: usize) -> u64 {
        self.spans(x, y, mask.height()).map(|(row, span)| mask.area_of_row(row, span)).sum()
    }

    /// The px of each row, of `height`, in the disc around px (x, y); they may lie past its end.
    fn spans(&self, x: usize, y: usize, height: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let reach = self.halves.len() - 1;
        (y.saturating_sub(reach)..(y + reach + 1).min(height)).map(move |row| {
            let half = self.halves[row.abs_diff(y)];
            (row, x.saturating_sub(half)..x + half + 1)
        })
    }
}

/// Painter of detections that are areas and not objects, such as those of a tissue model: it paints the area
/// they cover together, class by class. Neither their order matters nor the number of times a place is
/// covered: overlapping windows need no seam rule here.
#[derive(Debug, Clone)]
pub struct RegionPainter {
    frame: MaskFrame,
    size: (usize, usize),
    masks: BTreeMap<ClassId, Mask>,
    /// Centre of mass of each detection, and its score.
    marks: Vec<(ClassId, Level0Point, Score)>,
}

impl RegionPainter {
    /// A painter of masks of `size` (width, height) px in `frame`; each class
    /// that occurs has one.
    #[must_use]
    pub fn new(frame: MaskFrame, size: (usize, usize)) -> Self {
        Self { frame, size, masks: BTreeMap::new(), marks: Vec::new() }
    }

    /// Adds the outline of a detection, or its box.
    pub fn paint(&mut self, cell: &RawCell) {
        let (min, max) = (cell.bbox.min, cell.bbox.max);
        let corners = [min, Level0Point::new(max.x, min.y), max, Level0Point::new(min.x, max.y)];
        let outline = cell.outline.as_ref().map(|outline| outline.on_level0());
        let ring = outline.as_deref().unwrap_or(&corners);
        let (width, height) = self.size;
        let mask = self.masks.entry(cell.class).or_insert_with(|| Mask::new(width, height));
        let drawn: Vec<Level0Point> = ring.iter().map(|&point| self.frame.mask_from_level0(point)).collect();
        mask.paint(&drawn);
        let centroid = ring_centroid(ring).unwrap_or_else(|| cell.bbox.center());
        self.marks.push((cell.class, centroid, cell.score));
    }

    /// Adds px of a row, from left to right.
    pub(crate) fn fill(&mut self, class: ClassId, row: usize, columns: Range<usize>) {
        let (width, height) = self.size;
        self.masks.entry(class).or_insert_with(|| Mask::new(width, height)).fill(row, columns);
    }

    /// The area of a class so far; `None` if nothing was painted.
    #[must_use]
    pub fn mask(&self, class: ClassId) -> Option<&Mask> {
        self.masks.get(&class)
    }

    /// Place and size (width, height) of the grid.
    #[must_use]
    pub fn grid(&self) -> (MaskFrame, (usize, usize)) {
        (self.frame, self.size)
    }

    /// Adds the areas of another painter of the same grid.
    pub fn absorb(&mut self, other: Self) {
        for (class, mask) in other.masks {
            match self.masks.get_mut(&class) {
                Some(own) => own.add(&mask),
                None => {
                    self.masks.insert(class, mask);
                }
            }
        }
        self.marks.extend(other.marks);
    }

    /// Leaves out what lies outside of `ground`, a mask of the same grid.
    pub fn keep_within(&mut self, ground: &Mask) {
        self.masks.values_mut().for_each(|mask| mask.keep_within(ground));
    }

    /// The regions of all classes, cleaned; `kind` names a class.
    #[must_use]
    pub fn regions(
        &self,
        kind: impl Fn(ClassId) -> String,
        settings: &RegionSettings,
        slide_key: u64,
    ) -> Vec<Region> {
        let by_class = self.masks.iter().flat_map(|(&class, mask)| {
            let mut regions = regions_from_mask(mask, &self.frame, &kind(class), settings, slide_key);
            self.note_scores(class, &mut regions);
            regions
        });
        by_class.collect()
    }

    fn note_scores(&self, class: ClassId, regions: &mut [Region]) {
        let mut best: Vec<Option<Score>> = vec![None; regions.len()];
        let finder = RegionFinder::new(regions);
        for (_, at, score) in self.marks.iter().filter(|mark| mark.0 == class) {
            for index in finder.all_at(*at) {
                best[index] = best[index].max(Some(*score));
            }
        }
        regions.iter_mut().zip(best).for_each(|(region, score)| region.score = score);
    }
}

/// Finds the region that a point lies in.
pub struct RegionFinder<'a> {
    regions: &'a [Region],
    /// Per region: its sides.
    slabs: Vec<Slabs>,
    tree: RTree<GeomWithData<Rectangle<[f64; 2]>, usize>>,
}

impl<'a> RegionFinder<'a> {
    /// A finder over `regions`.
    #[must_use]
    pub fn new(regions: &'a [Region]) -> Self {
        let leaves = regions.iter().enumerate().map(|(index, region)| {
            let Level0Box { min, max } = region.bbox;
            GeomWithData::new(Rectangle::from_corners(min.to_array(), max.to_array()), index)
        });
        let slabs = regions.iter().map(|region| Slabs::new(&region.polygon.sides()));
        Self { regions, slabs: slabs.collect(), tree: RTree::bulk_load(leaves.collect()) }
    }

    /// `true` if some region holds `point`.
    #[must_use]
    pub fn holds(&self, point: Level0Point) -> bool {
        let mut near = self.tree.locate_in_envelope_intersecting(AABB::from_point([point.x, point.y]));
        near.any(|found| self.slabs[found.data].contains(point))
    }

    /// Indices of the regions that hold `point`, the smallest first: a nest before the tissue around it.
    #[must_use]
    pub fn all_at(&self, point: Level0Point) -> Vec<usize> {
        let near = self.tree.locate_in_envelope_intersecting(AABB::from_point([point.x, point.y]));
        let mut found: Vec<usize> =
            near.map(|found| found.data).filter(|&index| self.slabs[index].contains(point)).collect();
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
    use super::*;

    fn frame() -> MaskFrame {
        MaskFrame {
            origin: Level0Point::new(1000.0, 500.0),
            level0_per_px: (16.0, 16.0),
            mpp: Mpp::new(0.25).unwrap(),
            slide_end: Level0Point::new(1000.0 + 140.0 * 16.0, 500.0 + 130.0 * 16.0),
        }
    }

    fn everywhere() -> Mask {
        Mask::from_fn(140, 130, |_, _| true)
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
        let mask = density_mask(dense.chain(lone), &frame(), &everywhere(), 30.0, 5000.0);
        let settings = RegionSettings { least_area_um2: 5_000.0, ..RegionSettings::default() };
        let regions = regions_from_mask(&mask, &frame(), "cluster", &settings, 7);
        assert_eq!(regions.len(), 1);
        assert!(regions[0].polygon.contains(Level0Point::new(1500.0, 1000.0)));
        assert!(!regions[0].polygon.contains(Level0Point::new(3000.0, 2000.0)));
    }

    /// A cell in every fourth px of `ground`.
    fn even_cells(ground: &Mask) -> Vec<Level0Point> {
        let places = (0..130).flat_map(|y| (0..140).map(move |x| (x, y)));
        places
            .filter(|&(x, y)| x % 2 == 0 && y % 2 == 0 && ground.get(x, y))
            .map(|(x, y)| frame().level0_from_mask(Level0Point::new(x as f64 + 0.5, y as f64 + 0.5)))
            .collect()
    }

    /// The density was once that of the whole disc, even if half of it was glass or past the slide: it faded
    /// at every border.
    #[test]
    fn evenly_dense_tissue_is_dense_up_to_its_border_and_no_further() {
        let tissue = Mask::from_fn(140, 130, |x, y| x < 60 && y < 90);
        // A quarter of a cell per 16 µm²: 15,625 per mm².
        let mask = density_mask(even_cells(&tissue).into_iter(), &frame(), &tissue, 40.0, 12_000.0);
        assert_eq!(mask, tissue);
        let none = density_mask(even_cells(&tissue).into_iter(), &frame(), &tissue, 40.0, 20_000.0);
        assert_eq!(none.area(), 0);
    }

    #[test]
    fn a_cell_on_a_sliver_of_tissue_is_no_dense_place() {
        let sliver = Mask::from_fn(140, 130, |x, y| (x, y) == (50, 50));
        let cell = even_cells(&sliver);
        assert_eq!(cell.len(), 1);
        let mask = density_mask(cell.into_iter(), &frame(), &sliver, 40.0, 12_000.0);
        assert_eq!(mask.area(), 0, "one cell in a quarter of a disc of 40 µm is 796 per mm²");
    }

    #[test]
    fn outlines_end_where_the_slide_does() {
        let frame = MaskFrame { slide_end: Level0Point::new(3235.0, 2570.5), ..frame() };
        let regions = outlined(&everywhere(), &frame, "tissue", 4.0, 7);
        assert_eq!(regions[0].bbox.max, frame.slide_end);
        assert_eq!(regions[0].area_um2, 2235.0 * 2070.5 * 0.0625);
    }

    #[test]
    fn holes_and_parts_are_measured_in_square_microns() {
        // A frame of 4 µm/px: the hole and the part have 1,600 µm² each.
        let mask = Mask::from_fn(140, 130, |x, y| match (x / 10, y / 10) {
            (3, 3) => false,
            (10, 10) => true,
            (column, row) => column < 9 && row < 9,
        });
        let plain = RegionSettings { closing_um: 0.0, opening_um: 0.0, ..RegionSettings::default() };
        for (largest_hole_um2, least_area_um2, is_filled, is_kept) in
            [(1600.0, 1600.0, true, true), (1599.0, 1601.0, false, false)]
        {
            let settings = RegionSettings { largest_hole_um2, least_area_um2, ..plain };
            let cleaned = cleaned(&mask, &frame(), &settings);
            assert_eq!((cleaned.get(35, 35), cleaned.get(105, 105)), (is_filled, is_kept), "{settings:?}");
        }
    }

    #[test]
    fn a_disc_fits_where_none_of_its_px_lies_past_the_mask() {
        let (disc, mask) = (Disc::new(2.5), Mask::new(9, 7));
        for (x, y) in (0..7).flat_map(|y| (0..9).map(move |x| (x, y))) {
            let all_inside = disc.area_in(&mask.inverted(), x, y) == disc.px() as u64;
            assert_eq!(disc.fits_into(&mask, x, y), all_inside, "({x}, {y})");
        }
    }

    #[test]
    fn the_finder_agrees_with_the_polygon() {
        let (outer, inner) = (disc(60.0, 60.0, 50.0), disc(60.0, 60.0, 25.0));
        let mask = Mask::from_fn(140, 130, |x, y| outer(x, y) && !inner(x, y));
        let regions = regions_from_mask(&mask, &frame(), "tumour", &RegionSettings::default(), 7);
        let finder = RegionFinder::new(&regions);
        for step in 0..5000_u32 {
            let at = Level0Point::new(
                900.0 + f64::from(step * 37 % 2111) * 1.1,
                450.0 + f64::from(step * 101 % 2003) * 1.1,
            );
            let expected: Vec<usize> = regions[0].polygon.contains(at).then_some(0).into_iter().collect();
            assert_eq!(finder.all_at(at), expected, "{at:?}");
            assert_eq!(finder.holds(at), !expected.is_empty(), "{at:?}");
        }
    }

    #[test]
    fn half_of_a_region_that_a_failed_window_hides_is_not_analysed() {
        let mask = Mask::from_fn(140, 130, |x, y| (20..80).contains(&x) && (20..80).contains(&y));
        let mut regions = regions_from_mask(&mask, &frame(), "tissue", &RegionSettings::default(), 7);
        let analysed = Mask::from_fn(140, 130, |x, _| x < 50);
        let tissue = Mask::from_fn(140, 130, |x, y| x < 50 && y < 35);
        regions[0].note_coverage(&analysed, &tissue, &frame());
        assert!(
            (regions[0].tissue - 0.125).abs() < 0.01,
            "a quarter of what was seen: {}",
            regions[0].tissue
        );
        assert!((regions[0].coverage - 0.5).abs() < 0.02, "{}", regions[0].coverage);
        regions[0].cells.insert(ClassId(0), 30);
        let per_mm2 = 30.0 / (regions[0].area_um2 * regions[0].coverage * 1e-6);
        assert!((regions[0].cells_per_mm2() - per_mm2).abs() < 1e-9);
    }

    #[test]
    fn what_two_windows_paint_is_one_region_with_the_better_score() {
        let piece = |x0: f64, x1: f64, score: f32| RawCell {
            bbox: crate::testing::level0(x0, 600.0, x1, 1400.0),
            class: ClassId(2),
            score: Score::new(score).unwrap(),
            outline: None,
            stains: None,
            texture: None,
            window: wsi_types::WindowIndex(0),
            cut: crate::sides::Sides::NONE,
        };
        let pieces = [piece(1100.0, 1700.0, 0.6), piece(1500.0, 2400.0, 0.8)];
        let painted = |pieces: &[RawCell]| {
            let mut painter = RegionPainter::new(frame(), (140, 130));
            pieces.iter().for_each(|piece| painter.paint(piece));
            painter.regions(|class| format!("class {}", class.0), &RegionSettings::default(), 7)
        };
        let regions = painted(&pieces);
        assert_eq!((regions.len(), regions[0].kind.as_str()), (1, "class 2"));
        assert_eq!(regions[0].score, Score::new(0.8));
        let expected = 1300.0 * 800.0 * 0.0625;
        // Opening rounds the corners.
        assert!((regions[0].area_um2 / expected - 1.0).abs() < 0.05, "{}", regions[0].area_um2);
        let [first, second] = pieces;
        assert_eq!(painted(&[second, first]), regions);
    }
}

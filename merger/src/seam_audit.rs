//! Test if the table shows the places of windows: cells near seams against cells a little farther from the
//! same seams.
//!
//! Near is up to [`BAND_UM`] from a seam (a window's border beyond which another window goes on); the control
//! is the band from there to three times as far. The two lie side by side, so that tissue is the same in both
//! and any difference comes from merging.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wsi_types::{Level0Point, WindowIndex};

use crate::cell::Cell;
use crate::geometry::box_area;
use crate::layout::Layout;

/// Width of the near band, µm: about a large cell.
pub const BAND_UM: f64 = 16.0;
/// End of the control band, µm.
const CONTROL_UM: f64 = 3.0 * BAND_UM;
/// Number of standard errors from which a difference is not chance.
const CLEAR_Z: f64 = 4.0;
/// Share below which a difference, however certain, does not matter.
const CLEAR_SHARE: f64 = 0.02;
/// Smallest number of windows with cells at their seams for a statement.
const FEWEST_UNITS: u64 = 8;

/// Cells near seams compared with cells beside them. In each `z`, 0 is no difference and 4 is not chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeamAudit {
    /// Width of the near band, µm; the control band is the next two widths.
    pub band_um: f64,
    /// Cells in the near band.
    pub near_cells: u64,
    /// Cells in the control band.
    pub control_cells: u64,
    /// Density near seams over density beside them; 1 when there is nothing to
    /// compare.
    pub density_ratio: f64,
    /// Significance of its difference from 1: differences per window over their own spread, so that clumps of
    /// cells are not taken for an artefact.
    pub density_z: f64,
    /// Mean box area near seams over that beside them (geometric means).
    pub size_ratio: f64,
    /// Significance of its difference from 1 (Welch).
    pub size_z: f64,
    /// Share of the cells that would have to change class for the mixes to be
    /// the same (total variation distance).
    pub class_shift: f64,
    /// Significance of its difference from 0 (chi-square, as a normal deviate).
    pub class_z: f64,
    /// Windows with cells in these bands.
    pub windows: u64,
    /// `true` if a difference is both clear and larger than 2 %: the grid shows.
    pub grid_shows: bool,
}

/// Compares cells near the seams of `layout` with cells beside them.
#[must_use]
pub fn audit_seams(layout: &Layout, cells: &[Cell]) -> SeamAudit {
    let mut bands = Bands { units: unit_areas(layout), ..Bands::default() };
    for cell in cells {
        bands.add(cell, first_to_see(layout, cell));
    }
    bands.compare()
}

/// The tissue that one window is the first to see. Within it, tissue lies in both bands alike; over the whole
/// plan it need not.
#[derive(Debug, Clone, Copy, Default)]
struct Unit {
    near_area: f64,
    control_area: f64,
    near_cells: f64,
    control_cells: f64,
}

impl Unit {
    /// Number of cells to expect in the near band from those in the control band. `None` when the unit does
    /// not have both bands.
    fn expected(&self) -> Option<f64> {
        (self.near_area > 0.0 && self.control_area > 0.0)
            .then(|| self.control_cells * self.near_area / self.control_area)
    }
}

/// Facts about one band.
#[derive(Debug, Clone, Default)]
struct Band {
    cells: u64,
    log_sizes: Vec<f64>,
    classes: BTreeMap<u16, u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    /// Moments of values in any order: they are added up by size, since sums of floats depend on the order.
    fn new(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let squares = sorted.iter().map(|value| value * value).sum();
        Self { count: sorted.len() as f64, sum: sorted.iter().sum(), squares }
    }

    fn mean(&self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }

    /// Square of the standard error of the mean.
    fn squared_error(&self) -> f64 {
        let variance = (self.squares - self.sum * self.mean()) / (self.count - 1.0).max(1.0);
        variance.max(0.0) / self.count.max(1.0)
    }
}

#[derive(Default)]
struct Bands {
    near: Band,
    control: Band,
    /// By slot of the layout.
    units: Vec<Unit>,
}

impl Bands {
    fn add(&mut self, cell: &Cell, slot: u32) {
        let distance = f64::from(cell.seam_dist_um);
        if distance >= CONTROL_UM {
            return;
        }
        let Some(unit) = self.units.get_mut(slot as usize) else { return };
        let band = if distance < BAND_UM {
            unit.near_cells += 1.0;
            &mut self.near
        } else {
            unit.control_cells += 1.0;
            &mut self.control
        };
        band.cells += 1;
        band.log_sizes.push(box_area(&cell.bbox).max(f64::MIN_POSITIVE).ln());
        *band.classes.entry(cell.class.0).or_default() += 1;
    }

    fn compare(&self) -> SeamAudit {
        let filled: Vec<(f64, f64)> = self
            .units
            .iter()
            .filter(|unit| unit.near_cells + unit.control_cells > 0.0)
            .filter_map(|unit| Some((unit.near_cells, unit.expected()?)))
            .collect();
        let (found, expected) = filled.iter().fold((0.0, 0.0), |sum, unit| (sum.0 + unit.0, sum.1 + unit.1));
        let squares: f64 =
            filled.iter().map(|(found, expected)| (found - expected) * (found - expected)).sum();
        let sizes = (Moments::new(&self.near.log_sizes), Moments::new(&self.control.log_sizes));
        let comparable = sizes.0.count > 0.0 && sizes.1.count > 0.0;
        let size_difference = if comparable { sizes.0.mean() - sizes.1.mean() } else { 0.0 };
        let (class_shift, class_z) = self.classes();
        let mut audit = SeamAudit {
            band_um: BAND_UM,
            near_cells: self.near.cells,
            control_cells: self.control.cells,
            density_ratio: if expected > 0.0 { found / expected } else { 1.0 },
            density_z: ratio(found - expected, squares.sqrt()),
            size_ratio: size_difference.exp(),
            size_z: ratio(size_difference, (sizes.0.squared_error() + sizes.1.squared_error()).sqrt()),
            class_shift,
            class_z,
            windows: filled.len() as u64,
            grid_shows: false,
        };
        audit.grid_shows = audit.windows >= FEWEST_UNITS
            && [
                (audit.density_z, audit.density_ratio - 1.0),
                (audit.size_z, audit.size_ratio - 1.0),
                (audit.class_z, audit.class_shift),
            ]
            .iter()
            .any(|(z, share)| z.abs() > CLEAR_Z && share.abs() > CLEAR_SHARE);
        audit
    }

    /// Shift of the class mix, and chi-square of the 2 × classes table as a
    /// normal deviate (Wilson and Hilferty 1931).
    fn classes(&self) -> (f64, f64) {
        let (near, control) = (self.near.cells as f64, self.control.cells as f64);
        let mut all: Vec<u16> =
            self.near.classes.keys().chain(self.control.classes.keys()).copied().collect();
        all.sort_unstable();
        all.dedup();
        if all.len() < 2 || near == 0.0 || control == 0.0 {
            return (0.0, 0.0);
        }
        let (mut shift, mut chi2) = (0.0, 0.0);
        for class in &all {
            let [n, c] =
                [&self.near, &self.control].map(|band| band.classes.get(class).copied().unwrap_or(0) as f64);
            shift += (n / near - c / control).abs() / 2.0;
            let expected = (n + c) / (near + control);
            let off = n - expected * near;
            chi2 += off * off / (expected * near) + off * off / (expected * control);
        }
        let freedom = (all.len() - 1) as f64;
        let spread = 2.0 / (9.0 * freedom);
        (shift, ((chi2 / freedom).cbrt() - (1.0 - spread)) / spread.sqrt())
    }
}

fn ratio(part: f64, all: f64) -> f64 {
    if all > 0.0 { part / all } else { 0.0 }
}

/// Areas of both bands in each unit, as counts of points of a lattice.
fn unit_areas(layout: &Layout) -> Vec<Unit> {
    let um = layout.mpp().get();
    // Not a simple fraction of a band, so that its points fall on all distances.
    let step = BAND_UM / um / std::f64::consts::PI;
    (0..layout.windows().len() as u32).map(|slot| unit_area(layout, slot, step)).collect()
}

/// The areas of both bands in the part that a window is the first to see, in points of a grid of `step` px.
fn unit_area(layout: &Layout, slot: u32, step: f64) -> Unit {
    let um = layout.mpp().get();
    let mut unit = Unit::default();
    let extent = &layout.window(slot).extent;
    let [left, top] = extent.min.to_array().map(|low| (low / step).ceil() as i64);
    let [right, bottom] = extent.max.to_array().map(|high| (high / step).ceil() as i64);
    for row in top..bottom {
        for column in left..right {
            let point = Level0Point::new(column as f64 * step, row as f64 * step);
            let distance = layout.seam_distance(slot, point) * um;
            if distance < CONTROL_UM && first_slot_to_see(layout, slot, point) == slot {
                let near = if distance < BAND_UM { 1.0 } else { 0.0 };
                unit.near_area += near;
                unit.control_area += 1.0 - near;
            }
        }
    }
    unit
}

/// The first of the windows around `slot` that see `point`; `slot` itself if none does.
fn first_slot_to_see(layout: &Layout, slot: u32, point: Level0Point) -> u32 {
    let mut neighbours = layout.neighbours(slot).iter().copied();
    neighbours.find(|&near| layout.window(near).extent.contains(point)).unwrap_or(slot)
}

fn first_to_see(layout: &Layout, cell: &Cell) -> u32 {
    let window = cell.windows.first().copied().unwrap_or_default();
    let slot = layout.slot(WindowIndex(window)).unwrap_or_default();
    first_slot_to_see(layout, slot, cell.centroid)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wsi_types::Mpp;

    use super::*;
    use crate::testing::{cell, grid_windows, level0};

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
    }

    fn band(classes: &[(u16, u64)], log_sizes: &[f64]) -> Band {
        let cells = classes.iter().map(|(_, cells)| cells).sum();
        Band { cells, log_sizes: log_sizes.to_vec(), classes: classes.iter().copied().collect() }
    }

    fn unit(near_area: f64, control_area: f64, near_cells: f64, control_cells: f64) -> Unit {
        Unit { near_area, control_area, near_cells, control_cells }
    }

    #[test]
    fn figures_are_those_worked_out_by_hand() {
        let bands = Bands {
            near: band(&[(0, 30), (1, 10)], &[4.0_f64.ln(), 16.0_f64.ln()]),
            control: band(&[(0, 20), (1, 40)], &[2.0_f64.ln(), 2.0_f64.ln()]),
            // 5 and 8 are expected; the others have no cells, or no tissue in one of the bands.
            units: vec![
                unit(100.0, 200.0, 10.0, 10.0),
                unit(100.0, 100.0, 2.0, 8.0),
                unit(100.0, 100.0, 0.0, 0.0),
                unit(100.0, 0.0, 9.0, 0.0),
                unit(0.0, 100.0, 0.0, 9.0),
            ],
        };
        let found = bands.compare();
        assert_eq!((found.near_cells, found.control_cells, found.windows), (40, 60, 2));
        close(found.density_ratio, 12.0 / 13.0);
        close(found.density_z, -1.0 / (25.0_f64 + 36.0).sqrt());
        // Means of ln 8 and ln 2; the near one has a standard error of ln 2, the other one none.
        close(found.size_ratio, 4.0);
        close(found.size_z, 2.0);
        // Shares of 3/4 and 1/3; chi-square 100 (30 · 40 − 10 · 20)² / (40 · 60 · 50 · 50).
        close(found.class_shift, 5.0 / 12.0);
        close(found.class_z, ((50.0_f64 / 3.0).cbrt() - 7.0 / 9.0) / (2.0_f64 / 9.0).sqrt());
        assert!(!found.grid_shows);
    }

    #[test]
    fn a_grid_shows_from_eight_windows_on() {
        let [seven, eight] = [7, 8].map(|windows| {
            let units = vec![unit(1.0, 1.0, 20.0, 10.0); windows];
            Bands { units, near: band(&[(0, 500)], &[]), control: band(&[(1, 500)], &[]) }.compare()
        });
        for found in [&seven, &eight] {
            assert_eq!((found.density_ratio, found.class_shift), (2.0, 1.0));
            close(found.density_z, (found.windows as f64).sqrt());
            assert!(found.class_z > CLEAR_Z, "{found:?}");
        }
        assert_eq!((seven.windows, eight.windows), (7, 8));
        assert!(!seven.grid_shows && eight.grid_shows);
    }

    #[test]
    fn one_class_or_an_empty_band_has_no_shift() {
        let two = [(0, 5), (1, 4)];
        for (near, control) in [(&two[..1], &[(0, 9)][..]), (&[], &two), (&two, &[])] {
            let bands = Bands { near: band(near, &[]), control: band(control, &[]), units: Vec::new() };
            assert_eq!(bands.classes(), (0.0, 0.0));
        }
    }

    /// Three windows of 200 px in a row, one every 150 px, at 1 µm/px.
    fn layout() -> Layout {
        let windows = grid_windows(3, 1, 200, 150);
        Layout::new(&windows, level0(0.0, 0.0, 500.0, 200.0), Mpp::new(1.0).unwrap()).unwrap()
    }

    #[test]
    fn bands_cover_the_tissue_that_a_window_is_the_first_to_see() {
        // Seams at 150 and 200, 300 and 350. The first window has tissue up to 200; the near band is 16 µm on
        // each side of 150 and before 200, the control band the next 32 µm: 102 to 134 and 166 to 184.
        let step = 0.5;
        let areas: Vec<[f64; 2]> = (0..3)
            .map(|slot| unit_area(&layout(), slot, step))
            .map(|unit| [unit.near_area, unit.control_area].map(|points| points * step * step / 200.0))
            .collect();
        let expected = [[32.0 + 16.0, 32.0 + 18.0], [16.0 + 32.0 + 16.0, 32.0 + 32.0 + 18.0], [16.0, 32.0]];
        for (found, expected) in areas.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1.1, "{areas:?}, expected {expected:?}");
        }
    }

    /// A cell of 8 px around (`x`, 100) that this window saw.
    fn at(x: f64, seam_dist_um: f32, window: u32) -> Cell {
        let windows = vec![window];
        Cell { seam_dist_um, windows, ..cell(level0(x - 4.0, 96.0, x + 4.0, 104.0), 0, 0.9) }
    }

    #[test]
    fn cells_are_counted_in_the_band_and_the_window_where_they_lie() {
        let cells = [
            at(150.0, 0.0, 0),
            at(166.0, 16.0, 0),
            at(134.1, 15.9, 0),
            // Seen by both of the first windows, and by the second one alone.
            at(180.0, 20.0, 1),
            at(240.0, 40.0, 1),
            at(50.0, 48.0, 0),
        ];
        let mut bands = Bands { units: vec![Unit::default(); 3], ..Bands::default() };
        for cell in &cells {
            bands.add(cell, first_to_see(&layout(), cell));
        }
        let counts: Vec<[f64; 2]> =
            bands.units.iter().map(|unit| [unit.near_cells, unit.control_cells]).collect();
        assert_eq!(counts, [[2.0, 2.0], [0.0, 1.0], [0.0, 0.0]]);
        assert_eq!((bands.near.cells, bands.control.cells), (2, 3));
        assert_eq!(bands.near.log_sizes, [64.0_f64.ln(); 2]);
        assert_eq!(bands.control.classes, [(0, 3)].into());
    }

    /// Windows that were read later than the others once changed the last digits of the audit.
    #[test]
    fn the_order_of_cells_changes_no_digit() {
        let sizes: Vec<f64> = (1..2000).map(|size| f64::from(size * 7919 % 2003).sqrt().ln()).collect();
        let mut turned = sizes.clone();
        turned.rotate_left(777);
        let [one, other] = [sizes, turned].map(|sizes| Moments::new(&sizes));
        assert_eq!((one.count, one.sum, one.squares), (other.count, other.sum, other.squares));
    }
}

//! The painted cells: the truth by which a run over a painted slide is judged.

use std::path::Path;

use wsi_types::{Level0Box, Level0Point};

use crate::{
    error::PaintError,
    micron::{MPP, VectorUm},
};

/// Kind of a painted cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CellKind {
    /// In the wall of a gland.
    Epithelial,
    /// In a solid nest: large, pale, with nucleoli.
    Tumour,
    /// Small, round and dark.
    Lymphocyte,
    /// Spindles between fibres, along vessels and between fat cells.
    Stromal,
}

impl CellKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Epithelial, Self::Tumour, Self::Lymphocyte, Self::Stromal];

    /// The name in tables and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Epithelial => "epithelial",
            Self::Tumour => "tumour",
            Self::Lymphocyte => "lymphocyte",
            Self::Stromal => "stromal",
        }
    }
}

/// One painted nucleus: an ellipse, whose outline was then dented inwards by at most
/// a quarter of its radius.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaintedCell {
    /// Its centre on level 0.
    pub centre: Level0Point,
    /// Half of its length and half of its width, in µm.
    pub radii_um: (f64, f64),
    /// Direction of the long axis, of length 1; x to the right, y down.
    pub axis: VectorUm,
    /// Its kind.
    pub kind: CellKind,
    /// Optical density of DAB in the nucleus, one of [`DAB_ODS`](Self::DAB_ODS) or 0 unless
    /// [`paint_with_dab`](crate::paint_with_dab) was told others.
    pub dab_od: f64,
    /// Optical density of DAB around the nucleus, up to [`DAB_RING_UM`](Self::DAB_RING_UM) from it:
    /// [`DAB_RING_OD`](Self::DAB_RING_OD) or 0.
    pub dab_ring_od: f64,
}

impl PaintedCell {
    /// Optical densities of stained nuclei on slides with DAB: weak, moderate, strong.
    pub const DAB_ODS: [f64; 3] = [0.25, 0.5, 0.9];
    /// Optical density of stained membranes on slides with DAB.
    pub const DAB_RING_OD: f64 = 0.5;
    /// Width of stained membranes, µm.
    pub const DAB_RING_UM: f64 = 3.0;

    /// The smallest upright box around the ellipse, on level 0.
    #[must_use]
    pub fn level0_box(&self) -> Level0Box {
        let (long, short) = (self.radii_um.0 / MPP, self.radii_um.1 / MPP);
        let [width, height] =
            [(self.axis.x, self.axis.y), (self.axis.y, self.axis.x)].map(|(along, across)| {
                ((long * along) * (long * along) + (short * across) * (short * across)).sqrt()
            });
        let half = euclid::vec2(width, height);
        Level0Box::new(self.centre - half, self.centre + half)
    }
}

/// The cells of a painted slide and the grid of window borders they were
/// painted for.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// The cells in the order of planting, the same for the same settings.
    pub cells: Vec<PaintedCell>,
    /// Distance of window borders, which lie on its multiples, level-0 px, on both axes.
    pub seam_step_px: f64,
}

impl Truth {
    /// `true` if a box reaches over a window border.
    #[must_use]
    pub fn is_on_seam(&self, cell: &PaintedCell) -> bool {
        let bounds = cell.level0_box();
        self.crosses(bounds.min.x, bounds.max.x) || self.crosses(bounds.min.y, bounds.max.y)
    }

    /// `true` if a box reaches over a vertical and a horizontal window border, so that four windows meet in
    /// it.
    #[must_use]
    pub fn is_on_corner(&self, cell: &PaintedCell) -> bool {
        let bounds = cell.level0_box();
        self.crosses(bounds.min.x, bounds.max.x) && self.crosses(bounds.min.y, bounds.max.y)
    }

    /// Distance of a point from the nearest window border, in µm.
    #[must_use]
    pub fn seam_distance_um(&self, point: Level0Point) -> f64 {
        let step = self.seam_step_px;
        let [x, y] = point.to_array().map(|v| (v - (v / step).round() * step).abs());
        x.min(y) * MPP
    }

    /// Places worth showing at full size: for each kind but the stromal, the
    /// cell on a window border with most painted cells around it.
    #[must_use]
    pub fn places_to_show(&self) -> Vec<Level0Point> {
        [CellKind::Epithelial, CellKind::Tumour, CellKind::Lymphocyte]
            .into_iter()
            .filter_map(|kind| self.busiest_on_seam(kind))
            .collect()
    }

    fn busiest_on_seam(&self, kind: CellKind) -> Option<Level0Point> {
        const AROUND_UM: f64 = 28.0;
        let reach = (AROUND_UM / MPP) * (AROUND_UM / MPP);
        let candidates = self.cells.iter().filter(|cell| cell.kind == kind && self.is_on_seam(cell));
        // The first of equals: `max_by_key` would take the last.
        let busiest = candidates.rev().max_by_key(|cell| {
            let near = self.cells.iter().filter(|other| (other.centre - cell.centre).square_length() < reach);
            near.count()
        });
        busiest.map(|cell| cell.centre)
    }

    fn crosses(&self, from: f64, to: f64) -> bool {
        (from / self.seam_step_px).floor() < (to / self.seam_step_px).floor()
    }

    /// Writes one row per cell as CSV; positions in level-0 px, radii in µm.
    /// The file appears whole or not at all.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_csv(&self, path: &Path) -> Result<(), PaintError> {
        let mut text = String::from(
            "kind,x_px,y_px,long_um,short_um,axis_x,axis_y,on_seam,on_corner,dab_od,dab_ring_od\n",
        );
        for cell in &self.cells {
            text.push_str(&self.csv_row(cell));
        }
        whole_file::write_bytes(path, text.as_bytes()).map_err(|reason| PaintError::Write {
            what: "the painted cells",
            reason,
            path: path.to_owned(),
        })
    }

    fn csv_row(&self, cell: &PaintedCell) -> String {
        format!(
            "{},{:.3},{:.3},{:.3},{:.3},{:.4},{:.4},{},{},{},{}\n",
            cell.kind.name(),
            cell.centre.x,
            cell.centre.y,
            cell.radii_um.0,
            cell.radii_um.1,
            cell.axis.x,
            cell.axis.y,
            u8::from(self.is_on_seam(cell)),
            u8::from(self.is_on_corner(cell)),
            cell.dab_od,
            cell.dab_ring_od,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(x: f64, y: f64) -> PaintedCell {
        PaintedCell {
            centre: Level0Point::new(x, y),
            radii_um: (4.0, 2.0),
            axis: VectorUm::new(0.6, 0.8),
            kind: CellKind::Stromal,
            dab_od: 0.0,
            dab_ring_od: 0.0,
        }
    }

    #[test]
    fn the_box_holds_the_turned_ellipse() {
        let bounds = cell(100.0, 200.0).level0_box();
        // Half width² = (16·0.6)² + (8·0.8)², half height² = (16·0.8)² + (8·0.6)².
        assert!((bounds.width() / 2.0 - 133.12_f64.sqrt()).abs() < 1e-9);
        assert!((bounds.height() / 2.0 - 186.88_f64.sqrt()).abs() < 1e-9);
        assert_eq!(bounds.center(), Level0Point::new(100.0, 200.0));
    }

    #[test]
    fn the_busiest_place_on_a_seam_is_shown() {
        let lymphocyte = |x, y| PaintedCell { kind: CellKind::Lymphocyte, ..cell(x, y) };
        let cells = vec![
            lymphocyte(2048.0, 300.0),
            lymphocyte(2048.0, 900.0),
            cell(2070.0, 900.0),
            lymphocyte(1000.0, 1000.0),
            cell(1020.0, 1000.0),
            cell(1040.0, 1000.0),
        ];
        let truth = Truth { cells, seam_step_px: 2048.0 };
        assert_eq!(truth.places_to_show(), [Level0Point::new(2048.0, 900.0)]);
    }

    #[test]
    fn seams_and_corners_are_told_apart() {
        let truth = Truth { cells: vec![], seam_step_px: 2048.0 };
        let told = |x, y| (truth.is_on_seam(&cell(x, y)), truth.is_on_corner(&cell(x, y)));
        assert_eq!(told(2050.0, 1000.0), (true, false));
        assert_eq!(told(2050.0, 4095.0), (true, true));
        assert_eq!(told(1000.0, 1000.0), (false, false));
        assert_eq!(truth.seam_distance_um(Level0Point::new(2056.0, 1000.0)), 2.0);
    }
}

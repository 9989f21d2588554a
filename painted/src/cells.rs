//! Places of the nuclei: none overlaps another by more than a stated amount, some touch, some lie across
//! window borders.

use wsi_types::Level0Point;

use crate::{
    dice::Dice,
    micron::{MPP, PointUm, VectorUm},
    noise::smooth_step,
    settings::{PaintSettings, PaintedStain},
    tissue::{Feature, FeatureKind, Place, Tissue, sixteenth},
    truth::{CellKind, PaintedCell},
};

/// Largest depth to which a painted nucleus reaches into another, in µm: about one pixel, less than the
/// thickness of the nuclear membrane.
pub const MAX_OVERLAP_UM: f64 = 0.3;

/// Gap between touching nuclei, µm: negative, so they overlap by this much.
const TOUCH_UM: f64 = -0.2;
/// Smallest gap between nuclei that do not touch, µm.
const APART_UM: f64 = 0.7;
/// Distance of cells planted along a window border, µm.
const SEAM_SPACING_UM: f64 = 30.0;

/// Plants all cells. The first ones lie on window corners and borders.
pub(crate) fn plant(tissue: &Tissue, settings: &PaintSettings) -> Vec<PaintedCell> {
    // Dice of its own: a change of the layout code must not shift the cells.
    let dice = Dice::new(settings.seed ^ 0x0063_656C_6C73);
    let mut planter = Planter { tissue, dice, bed: Bed::new(tissue.size_um) };
    planter.plant_corners(settings.window_step_um);
    planter.plant_seams(settings.window_step_um);
    for feature in &tissue.features {
        match feature.kind {
            FeatureKind::Gland { wall_um } => planter.plant_gland(feature, wall_um),
            FeatureKind::Vessel { wall_um } => planter.plant_vessel(feature, wall_um),
            FeatureKind::Nest => planter.plant_nest(feature),
            FeatureKind::Cluster => planter.plant_cluster(feature),
        }
    }
    planter.plant_stroma();
    planter.plant_fat();
    let mut cells: Vec<PaintedCell> = planter.bed.cells.iter().map(Nucleus::painted).collect();
    if settings.stain == PaintedStain::HDab {
        stain_with_dab(&mut cells, settings.seed);
    }
    cells
}

/// Stains some nuclei weakly, moderately and strongly, and the membranes of some cells, whatever their kind.
fn stain_with_dab(cells: &mut [PaintedCell], seed: u64) {
    const STAINED: f64 = 0.45;
    const STAINED_AROUND: f64 = 0.3;
    // Dice of their own: the cells lie as on a slide without DAB.
    let mut dice = Dice::new(seed ^ 0x0064_6162);
    for cell in cells {
        if dice.chance(STAINED) {
            let [weak, moderate, strong] = PaintedCell::DAB_ODS;
            cell.dab_od = match dice.unit() {
                share if share < 1.0 / 3.0 => weak,
                share if share < 2.0 / 3.0 => moderate,
                _ => strong,
            };
        }
        if dice.chance(STAINED_AROUND) {
            cell.dab_ring_od = PaintedCell::DAB_RING_OD;
        }
    }
}

/// A nucleus in µm.
#[derive(Debug, Clone, Copy)]
struct Nucleus {
    centre: PointUm,
    radii: (f64, f64),
    axis: VectorUm,
    kind: CellKind,
}

impl Nucleus {
    fn painted(&self) -> PaintedCell {
        PaintedCell {
            centre: Level0Point::new(self.centre.x / MPP, self.centre.y / MPP),
            radii_um: self.radii,
            axis: self.axis,
            kind: self.kind,
            dab_od: 0.0,
            dab_ring_od: 0.0,
        }
    }

    fn grown(self, by: f64) -> Self {
        Self { radii: (self.radii.0 + by, self.radii.1 + by), ..self }
    }

    fn outline(&self) -> impl Iterator<Item = PointUm> {
        let across = VectorUm::new(-self.axis.y, self.axis.x);
        (0..16)
            .map(sixteenth)
            .map(move |d| self.centre + self.axis * (d.x * self.radii.0) + across * (d.y * self.radii.1))
    }

    /// Approximate depth of a point inside the ellipse, µm.
    fn depth_um(&self, point: PointUm) -> f64 {
        let away = point - self.centre;
        let (x, y) = (away.dot(self.axis) / self.radii.0, self.axis.cross(away) / self.radii.1);
        let scaled = (x * x + y * y).sqrt();
        if scaled < 1e-6 { self.radii.1 } else { (1.0 - scaled) * away.length() / scaled }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let reach = self.radii.0 + other.radii.0;
        (self.centre - other.centre).square_length() < reach * reach
            && (self.outline().chain([self.centre]).any(|p| other.depth_um(p) > 0.0)
                || other.outline().chain([other.centre]).any(|p| self.depth_um(p) > 0.0))
    }
}

/// Planted nuclei, to be searched by place.
struct Bed {
    cells: Vec<Nucleus>,
    columns: usize,
    rows: usize,
    squares: Vec<Vec<u32>>,
}

impl Bed {
    /// Side of a square, µm: no nucleus reaches farther than one square.
    const SQUARE_UM: f64 = 20.0;

    fn new(size_um: (f64, f64)) -> Self {
        let [columns, rows] = [size_um.0, size_um.1].map(|side| (side / Self::SQUARE_UM) as usize + 1);
        Self { cells: Vec::new(), columns, rows, squares: vec![Vec::new(); columns * rows] }
    }

    fn square_of(&self, point: PointUm) -> (usize, usize) {
        let square = (point / Self::SQUARE_UM).to_array().map(|v| v.max(0.0) as usize);
        (square[0].min(self.columns - 1), square[1].min(self.rows - 1))
    }

    /// Plants a nucleus if it stays `gap` µm from all others; a negative gap
    /// lets it reach into them.
    fn try_add(&mut self, new: Nucleus, gap: f64) -> bool {
        let wide = new.grown(gap);
        let (column, row) = self.square_of(new.centre);
        let columns = column.saturating_sub(1)..=(column + 1).min(self.columns - 1);
        let rows = row.saturating_sub(1)..=(row + 1).min(self.rows - 1);
        let mut around = rows.flat_map(|r| columns.clone().map(move |c| (c, r)));
        let taken = around.any(|(c, r)| {
            self.squares[r * self.columns + c].iter().any(|&i| wide.overlaps(&self.cells[i as usize]))
        });
        if !taken {
            self.squares[row * self.columns + column].push(self.cells.len() as u32);
            self.cells.push(new);
        }
        !taken
    }
}

struct Planter<'a> {
    tissue: &'a Tissue,
    dice: Dice,
    bed: Bed,
}

impl Planter<'_> {
    /// One cell on every corner of four windows that lies in tissue.
    fn plant_corners(&mut self, step: f64) {
        for row in 1..(self.tissue.size_um.1 / step).ceil() as u32 {
            for column in 1..(self.tissue.size_um.0 / step).ceil() as u32 {
                let jitter = VectorUm::new(self.dice.range(-0.8, 0.8), self.dice.range(-0.8, 0.8));
                let corner = PointUm::new(f64::from(column) * step, f64::from(row) * step);
                self.plant_what_belongs(corner + jitter, APART_UM);
            }
        }
    }

    /// Cells strung along every window border, some with a neighbour that
    /// touches them.
    fn plant_seams(&mut self, step: f64) {
        let (width, height) = self.tissue.size_um;
        let [upright, level] = [width, height].map(|across| 1..(across / step).ceil() as u32);
        for line in upright {
            let across = f64::from(line) * step;
            self.plant_seam(height, |along, off| PointUm::new(across + off, along));
        }
        for line in level {
            let across = f64::from(line) * step;
            self.plant_seam(width, |along, off| PointUm::new(along, across + off));
        }
    }

    fn plant_seam(&mut self, length: f64, at: impl Fn(f64, f64) -> PointUm) {
        let mut along = self.dice.range(4.0, SEAM_SPACING_UM);
        while along < length {
            let off = self.dice.range(-2.2, 2.2);
            let planted = self.plant_what_belongs(at(along, off), APART_UM);
            if let Some(cell) = planted
                && self.dice.chance(0.4)
            {
                self.plant_neighbour(cell);
            }
            along += self.dice.range(0.6, 1.4) * SEAM_SPACING_UM;
        }
    }

    /// Plants a second cell like this one that touches it, beside its long axis. Not for spindles: two of
    /// them side by side are hard to tell from one, on a seam or elsewhere, and the painting is to test the
    /// handling of seams.
    fn plant_neighbour(&mut self, cell: Nucleus) {
        if cell.kind == CellKind::Stromal {
            return;
        }
        let side = if self.dice.chance(0.5) { 1.0 } else { -1.0 };
        let direction = VectorUm::new(-cell.axis.y, cell.axis.x) * side;
        for step in 0..60 {
            let centre = cell.centre + direction * (2.5 + f64::from(step) * 0.1);
            if self.may_hold(centre) && self.bed.try_add(Nucleus { centre, ..cell }, TOUCH_UM) {
                return;
            }
        }
    }

    fn plant_what_belongs(&mut self, point: PointUm, gap: f64) -> Option<Nucleus> {
        self.what_belongs(point).filter(|cell| self.bed.try_add(*cell, gap))
    }

    fn may_hold(&self, point: PointUm) -> bool {
        match self.tissue.place(point) {
            Place::Empty => false,
            Place::Stroma => true,
            Place::Feature(feature, depth) => !is_hollow(feature, depth),
        }
    }

    /// The nucleus that would look natural at a point.
    fn what_belongs(&mut self, point: PointUm) -> Option<Nucleus> {
        match self.tissue.place(point) {
            Place::Empty => None,
            Place::Stroma if self.dice.chance(0.35) => Some(self.lymphocyte(point)),
            Place::Stroma => Some(self.spindle(point)),
            Place::Feature(feature, depth) if is_hollow(feature, depth) => None,
            Place::Feature(feature, _) => Some(match feature.kind {
                FeatureKind::Gland { .. } => self.epithelial(point, feature),
                FeatureKind::Nest => self.tumour(point),
                FeatureKind::Cluster => self.lymphocyte(point),
                FeatureKind::Vessel { .. } => self.spindle(point),
            }),
        }
    }

    // -- structures ---------------------------------------------------------

    /// Two uneven rows of nuclei around the lumen, standing on the outline.
    fn plant_gland(&mut self, feature: &Feature, wall_um: f64) {
        self.plant_ring(feature, (5.2, 6.6), 0.5);
        self.plant_ring(feature, (wall_um * 0.48, wall_um * 0.62), 0.8);
    }

    fn plant_ring(&mut self, feature: &Feature, depths: (f64, f64), gap: f64) {
        let mut direction = self.dice.direction();
        let turns = feature.shape.reach_um() * 4.0;
        for _ in 0..turns as usize {
            let depth = self.dice.range(depths.0, depths.1);
            let point = feature.shape.point_at(direction, depth);
            let cell = self.epithelial(point, feature);
            let gap = if self.dice.chance(0.25) { TOUCH_UM } else { gap };
            self.bed.try_add(cell, gap);
            let way = 1.7 / feature.shape.reach_um();
            direction = (direction + VectorUm::new(-direction.y, direction.x) * way).normalize();
        }
    }

    fn plant_vessel(&mut self, feature: &Feature, wall_um: f64) {
        let mut direction = self.dice.direction();
        for _ in 0..12 {
            let point = feature.shape.point_at(direction, wall_um * 0.4);
            let (long, short) = (self.dice.range(3.8, 5.4), self.dice.range(1.3, 1.7));
            let axis = along_outline(feature, point);
            let cell = Nucleus { centre: point, radii: (long, short), axis, kind: CellKind::Stromal };
            self.bed.try_add(cell, APART_UM);
            direction = (direction + VectorUm::new(-direction.y, direction.x) * self.dice.range(0.5, 1.1))
                .normalize();
        }
    }

    fn plant_nest(&mut self, feature: &Feature) {
        self.scatter(feature, 9.0, |planter, point, depth| {
            let gap = if planter.dice.chance(0.12) { TOUCH_UM } else { planter.dice.range(1.3, 3.4) };
            let cell = planter.tumour(point);
            if depth > 4.5 {
                planter.bed.try_add(cell, gap);
            }
        });
    }

    fn plant_cluster(&mut self, feature: &Feature) {
        self.scatter(feature, 2.5, |planter, point, depth| {
            let gap = if planter.dice.chance(0.3) { TOUCH_UM } else { planter.dice.range(0.4, 1.3) };
            let cell = planter.lymphocyte(point);
            let wanted = f64::from(smooth_step(0.0, 34.0, depth as f32));
            if planter.dice.chance(0.03 + 0.9 * wanted * wanted) {
                planter.bed.try_add(cell, gap);
            }
        });
    }

    /// Calls `plant` at random points of a structure, one per `area_um2`.
    fn scatter(&mut self, feature: &Feature, area_um2: f64, plant: impl Fn(&mut Self, PointUm, f64)) {
        let reach = feature.shape.reach_um();
        let half = VectorUm::new(reach, reach);
        for _ in 0..(4.0 * reach * reach / area_um2) as usize {
            let point = self.dice.point(feature.shape.centre - half, feature.shape.centre + half);
            let depth = feature.shape.depth_um(point);
            if depth > 0.0 {
                plant(self, point, depth);
            }
        }
    }

    /// Spindles and single lymphocytes between the structures.
    fn plant_stroma(&mut self) {
        const PER_MM2: f64 = 2200.0;
        let end = PointUm::new(self.tissue.size_um.0, self.tissue.size_um.1);
        for _ in 0..(self.tissue.stroma_mm2() * PER_MM2) as usize {
            let point = self.dice.point(PointUm::origin(), end);
            if self.tissue.place(point) == Place::Stroma {
                let alone = self.dice.chance(0.22);
                let cell = if alone { self.lymphocyte(point) } else { self.spindle(point) };
                self.bed.try_add(cell, 2.0);
            }
        }
    }

    /// Flat nuclei pressed against membranes between fat cells.
    fn plant_fat(&mut self) {
        for (point, axis) in self.tissue.fat_cells.membranes(self.tissue.size_um) {
            let held = self.tissue.fat_um(point) > 30.0
                && self.tissue.edge_um(point) > 10.0
                && self.tissue.ink_um(point) < -12.0;
            if held && self.dice.chance(0.4) {
                let radii = (self.dice.range(3.6, 5.0), self.dice.range(1.3, 1.7));
                self.bed.try_add(Nucleus { centre: point, radii, axis, kind: CellKind::Stromal }, APART_UM);
            }
        }
    }

    // -- kinds --------------------------------------------------------------

    /// Oval, standing upright on the gland's outline.
    fn epithelial(&mut self, centre: PointUm, gland: &Feature) -> Nucleus {
        let outline = along_outline(gland, centre);
        let tilt = self.dice.range(-0.25, 0.25);
        let axis = (VectorUm::new(-outline.y, outline.x) + outline * tilt).normalize();
        let radii = (self.dice.range(3.7, 4.6), self.dice.range(2.6, 3.2));
        Nucleus { centre, radii, axis, kind: CellKind::Epithelial }
    }

    fn tumour(&mut self, centre: PointUm) -> Nucleus {
        let long = self.dice.range(3.9, 5.0);
        let radii = (long, long * self.dice.range(0.68, 0.96));
        Nucleus { centre, radii, axis: self.dice.direction(), kind: CellKind::Tumour }
    }

    fn lymphocyte(&mut self, centre: PointUm) -> Nucleus {
        let long = self.dice.range(2.6, 3.3);
        let radii = (long, long * self.dice.range(0.86, 1.0));
        Nucleus { centre, radii, axis: self.dice.direction(), kind: CellKind::Lymphocyte }
    }

    /// Long and thin, along the fibres.
    fn spindle(&mut self, centre: PointUm) -> Nucleus {
        let fibre = self.tissue.fibre_direction(centre);
        let axis = (fibre + VectorUm::new(-fibre.y, fibre.x) * self.dice.range(-0.25, 0.25)).normalize();
        let radii = (self.dice.range(3.8, 5.0), self.dice.range(1.4, 2.1));
        Nucleus { centre, radii, axis, kind: CellKind::Stromal }
    }
}

/// `true` if only air or blood lies at this depth of a structure.
fn is_hollow(feature: &Feature, depth: f64) -> bool {
    match feature.kind {
        FeatureKind::Gland { wall_um } => !(4.5..wall_um - 4.5).contains(&depth),
        // Endothelium is planted by its own rule.
        FeatureKind::Vessel { .. } => true,
        FeatureKind::Nest | FeatureKind::Cluster => depth < 3.0,
    }
}

/// The direction of a structure's outline near a point, of length 1.
fn along_outline(feature: &Feature, point: PointUm) -> VectorUm {
    const STEP: f64 = 0.5;
    let [right, left, below, above] = [(STEP, 0.0), (-STEP, 0.0), (0.0, STEP), (0.0, -STEP)]
        .map(|(dx, dy)| feature.shape.depth_um(point + VectorUm::new(dx, dy)));
    let rise = VectorUm::new(right - left, below - above);
    if rise.length() > 1e-9 { VectorUm::new(-rise.y, rise.x).normalize() } else { VectorUm::new(1.0, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::Truth;

    fn planted() -> Truth {
        let settings =
            PaintSettings { width_um: 1024.0, height_um: 832.0, window_step_um: 256.0, ..Default::default() };
        let tissue = Tissue::lay_out(&settings);
        Truth { cells: plant(&tissue, &settings), seam_step_px: 1024.0 }
    }

    /// Overlap by another rule than the planter's: the length that both ellipses cover of the line between
    /// their centres.
    fn overlap_um(a: &PaintedCell, b: &PaintedCell) -> f64 {
        let way = (b.centre - a.centre).to_f64() * MPP;
        let distance = way.length();
        let [reach_a, reach_b] = [a, b].map(|cell| {
            let unit = VectorUm::new(way.x, way.y) / distance;
            let (along, across) = (unit.dot(cell.axis), unit.cross(cell.axis));
            let (x, y) = (along / cell.radii_um.0, across / cell.radii_um.1);
            1.0 / (x * x + y * y).sqrt()
        });
        reach_a + reach_b - distance
    }

    #[test]
    fn nuclei_may_touch_but_hardly_overlap() {
        let truth = planted();
        assert!(truth.cells.len() > 500, "{}", truth.cells.len());
        let mut touching = 0;
        for (i, a) in truth.cells.iter().enumerate() {
            for b in &truth.cells[i + 1..] {
                if (a.centre - b.centre).length() * MPP < 11.0 {
                    let overlap = overlap_um(a, b);
                    assert!(overlap <= MAX_OVERLAP_UM, "{a:?} and {b:?} overlap by {overlap} µm");
                    touching += usize::from(overlap > -0.3);
                }
            }
        }
        assert!(touching * 20 > truth.cells.len(), "only {touching} pairs touch");
    }

    #[test]
    fn seams_and_corners_hold_cells() {
        let truth = planted();
        let seams = truth.cells.iter().filter(|cell| truth.is_on_seam(cell)).count();
        let corners = truth.cells.iter().filter(|cell| truth.is_on_corner(cell)).count();
        assert!(seams * 20 > truth.cells.len(), "{seams} of {} cells lie on seams", truth.cells.len());
        assert!(corners >= 3, "{corners} cells lie on corners");
    }

    #[test]
    fn dab_moves_no_cell_and_is_in_some_of_each_kind() {
        let settings = PaintSettings { width_um: 1024.0, height_um: 832.0, ..Default::default() };
        let tissue = Tissue::lay_out(&settings);
        let plain = plant(&tissue, &settings);
        let stained = plant(&tissue, &PaintSettings { stain: PaintedStain::HDab, ..settings });
        assert!(plain.iter().all(|cell| (cell.dab_od, cell.dab_ring_od) == (0.0, 0.0)));
        assert_eq!(plain.len(), stained.len());
        assert!(plain.iter().zip(&stained).all(|(a, b)| (a.centre, a.radii_um) == (b.centre, b.radii_um)));
        for od in PaintedCell::DAB_ODS {
            let share = stained.iter().filter(|cell| cell.dab_od == od).count() as f64 / stained.len() as f64;
            assert!((0.1..0.2).contains(&share), "{od}: {share}");
        }
        for kind in CellKind::ALL {
            assert!(stained.iter().any(|cell| cell.kind == kind && cell.dab_ring_od > 0.0), "{kind:?}");
        }
    }

    #[test]
    fn every_kind_is_planted_and_the_seed_decides() {
        let truth = planted();
        for kind in CellKind::ALL {
            assert!(truth.cells.iter().any(|cell| cell.kind == kind), "no {}", kind.name());
        }
        assert_eq!(truth, planted());
    }
}

//! Places and kinds of tissue: the plan of the slide, without cells.

use crate::{
    blob::Blob,
    dice::Dice,
    micron::{PointUm, VectorUm},
    noise::{Noise, lerp, smooth_step},
    settings::PaintSettings,
};

/// All facts about the slide except its cells.
#[derive(Debug)]
pub(crate) struct Tissue {
    /// Width and height of the slide.
    pub(crate) size_um: (f64, f64),
    pieces: Vec<Blob>,
    fat: Vec<Blob>,
    /// Glands, nests, clusters, vessels. They do not overlap each other.
    pub(crate) features: Vec<Feature>,
    /// Centres of red cells, in vessels.
    pub(crate) red_cells: Vec<PointUm>,
    /// A pen stroke, from point to point.
    pen: Vec<PointUm>,
    /// Direction across most fibres.
    fibre_normal: VectorUm,
    edge_noise: Noise,
    fibre_noise: Noise,
    loose_noise: Noise,
    pub(crate) fat_cells: FatCells,
}

/// One structure in the stroma.
#[derive(Debug, PartialEq)]
pub(crate) struct Feature {
    pub(crate) shape: Blob,
    pub(crate) kind: FeatureKind,
}

/// Kind of a structure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FeatureKind {
    /// Epithelium around an empty lumen.
    Gland {
        /// Thickness of the epithelium.
        wall_um: f64,
    },
    /// Solid tumour.
    Nest,
    /// Lymphocytes, denser in the middle.
    Cluster,
    /// A thin wall around red cells.
    Vessel {
        /// Thickness of the wall.
        wall_um: f64,
    },
}

/// Surroundings of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place<'a> {
    /// Glass, ink, lumen or fat: no cell belongs here.
    Empty,
    /// Between fibres.
    Stroma,
    /// Within a structure, at a depth in µm.
    Feature(&'a Feature, f64),
}

/// Smooth facts about one point, cheap to interpolate.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ground {
    /// Depth inside the tissue's edge, µm; negative on glass.
    pub(crate) edge_um: f32,
    /// Fibres run along lines of equal phase; one unit is one µm.
    pub(crate) phase_um: f32,
    /// Place along the fibres, µm.
    pub(crate) along_um: f32,
    /// Density of fibres here, 0 to 1.
    pub(crate) bundle: f32,
    /// Looseness of fibres, 0 to 1.
    pub(crate) looseness: f32,
    /// Strength of the stain, from the section's thickness and its uptake of the dye; about 1.
    pub(crate) mottle: f32,
    /// Depth inside a lobule of fat, µm; negative in stroma.
    pub(crate) fat_um: f32,
}

impl Ground {
    /// The facts at a share of the way from this to `next`, one by one.
    #[inline]
    pub(crate) fn towards(&self, next: &Self, share: f32) -> Self {
        Self {
            edge_um: lerp(self.edge_um, next.edge_um, share),
            phase_um: lerp(self.phase_um, next.phase_um, share),
            along_um: lerp(self.along_um, next.along_um, share),
            bundle: lerp(self.bundle, next.bundle, share),
            looseness: lerp(self.looseness, next.looseness, share),
            mottle: lerp(self.mottle, next.mottle, share),
            fat_um: lerp(self.fat_um, next.fat_um, share),
        }
    }
}

/// Half of the width of the pen stroke.
const PEN_HALF_WIDTH_UM: f64 = 52.0;
/// Distance at which fibres begin to bend around a structure.
const FIBRES_BEND_UM: f64 = 85.0;
/// Height of the slide for which edge roughness is given.
const FULL_HEIGHT_UM: f64 = 2304.0;

impl Tissue {
    /// Lays out tissue, structures and ink for these settings.
    pub(crate) fn lay_out(settings: &PaintSettings) -> Self {
        let mut dice = Dice::new(settings.seed);
        let (width, height) = (settings.width_um, settings.height_um);
        let at = |x: f64, y: f64| PointUm::new(x * width, y * height);
        let mut piece = |x, y, rx: f64, ry: f64| {
            let tilt = VectorUm::new(1.0, dice.range(-0.12, 0.12)).normalize();
            Blob::new(&mut dice, at(x, y), tilt, (rx * width, ry * height), 0.05)
        };
        let pieces = vec![piece(0.45, 0.52, 0.385, 0.40), piece(0.915, 0.36, 0.05, 0.24)];
        let fat = vec![piece(0.66, 0.88, 0.20, 0.17), piece(0.21, 0.2, 0.10, 0.10)];
        let pen = (0..=24).map(|i| f64::from(i) / 24.0).map(|t| {
            let ripple = dice.range(-0.003, 0.003);
            at(0.045 + 0.26 * t, 0.40 - 0.52 * t * (1.35 - 0.55 * t) + ripple)
        });
        let mut tissue = Self {
            size_um: (width, height),
            pen: pen.collect(),
            pieces,
            fat,
            features: Vec::new(),
            red_cells: Vec::new(),
            fibre_normal: dice.direction(),
            edge_noise: Noise::new(settings.seed, 1),
            fibre_noise: Noise::new(settings.seed, 2),
            loose_noise: Noise::new(settings.seed, 3),
            fat_cells: FatCells { jitter: Noise::new(settings.seed, 4) },
        };
        tissue.place_features(settings, &mut dice);
        tissue.place_red_cells(&mut dice);
        tissue
    }

    /// Depth inside the tissue's edge, µm; negative on glass.
    pub(crate) fn edge_um(&self, point: PointUm) -> f64 {
        let inside = self.pieces.iter().map(|piece| piece.depth_um(point)).fold(f64::NEG_INFINITY, f64::max);
        let (x, y) = (point.x as f32, point.y as f32);
        let size = (self.size_um.1 / FULL_HEIGHT_UM).min(1.0);
        let wide = f64::from(self.edge_noise.rough(x / 420.0, y / 420.0)) * 120.0 * size;
        let fine = f64::from(self.edge_noise.rough(x / 38.0 + 71.0, y / 38.0)) * 22.0 * size;
        let frayed = f64::from(self.edge_noise.rough(x / 7.0, y / 7.0 + 37.0)) * 5.0 * size;
        inside + wide + fine + frayed
    }

    /// A height of which the fibres follow the contour lines; they wrap structures.
    pub(crate) fn fibre_phase_um(&self, point: PointUm, near: &[&Feature]) -> f64 {
        let (x, y) = (point.x as f32, point.y as f32);
        // Slopes stay below 1 except in few places: contours hardly ever close.
        let wide = f64::from(self.fibre_noise.value(x / 460.0, y / 460.0)) * 170.0;
        let narrow = f64::from(self.fibre_noise.value(x / 125.0 + 7.0, y / 125.0)) * 38.0;
        let crimp = f64::from(self.fibre_noise.value(x / 19.0, y / 19.0 + 77.0)) * 4.6;
        let swirl = wide + narrow + crimp;
        let wrap: f64 = near
            .iter()
            .map(|feature| feature.shape.depth_um(point))
            .filter(|&depth| depth > -FIBRES_BEND_UM)
            .map(|depth| f64::from(smooth_step(-FIBRES_BEND_UM as f32, 0.0, depth as f32)) * 62.0)
            .sum();
        point.to_vector().dot(self.fibre_normal) + swirl + wrap
    }

    /// The direction of fibres, of length 1.
    pub(crate) fn fibre_direction(&self, point: PointUm) -> VectorUm {
        const STEP: f64 = 3.0;
        let near = self.features_near(point, 2.0 * STEP);
        let [right, left, below, above] = [(STEP, 0.0), (-STEP, 0.0), (0.0, STEP), (0.0, -STEP)]
            .map(|(dx, dy)| self.fibre_phase_um(point + VectorUm::new(dx, dy), &near));
        let rise = VectorUm::new(right - left, below - above);
        if rise.length() > 1e-6 {
            VectorUm::new(-rise.y, rise.x).normalize()
        } else {
            VectorUm::new(1.0, 0.0)
        }
    }

    /// Structures whose fibres reach within `margin` of a point.
    pub(crate) fn features_near(&self, point: PointUm, margin: f64) -> Vec<&Feature> {
        let near = self.features.iter().filter(|feature| {
            (feature.shape.centre - point).length() < feature.shape.reach_um() + FIBRES_BEND_UM + margin
        });
        near.collect()
    }

    /// All smooth facts about a point; `near` are the structures around it.
    pub(crate) fn ground(&self, point: PointUm, near: &[&Feature]) -> Ground {
        let edge_um = self.edge_um(point) as f32;
        if edge_um < -8.0 {
            return Ground { edge_um, ..Ground::default() };
        }
        let (x, y) = (point.x as f32, point.y as f32);
        let loose = self.loose_noise.rough(x / 150.0, y / 150.0);
        let along = VectorUm::new(-self.fibre_normal.y, self.fibre_normal.x);
        let phase_um = self.fibre_phase_um(point, near) as f32;
        let along_um = point.to_vector().dot(along) as f32;
        Ground {
            edge_um,
            phase_um,
            along_um,
            bundle: self.loose_noise.value(phase_um / 14.0, along_um / 70.0),
            looseness: smooth_step(-0.45, 0.6, loose),
            mottle: 1.0 + 0.22 * self.loose_noise.rough(x / 75.0 + 90.0, y / 75.0),
            fat_um: self.fat_um(point) as f32,
        }
    }

    /// Depth inside a lobule of fat, µm; negative in stroma. Whole fat cells belong to it: see
    /// [`Tissue::fat_at`].
    pub(crate) fn fat_um(&self, point: PointUm) -> f64 {
        self.fat.iter().map(|lobe| lobe.depth_um(point)).fold(f64::NEG_INFINITY, f64::max)
    }

    /// Fat cells around a point.
    pub(crate) fn fat_at(&self, point: PointUm) -> FatPoint {
        let (inside, beyond, membrane_um) = self.fat_cells.around(point);
        FatPoint { inside: self.fat_um(inside) > 0.0, beyond: self.fat_um(beyond) > 0.0, membrane_um }
    }

    /// Depth inside the pen stroke, µm; negative outside.
    pub(crate) fn ink_um(&self, point: PointUm) -> f64 {
        let distances = self.pen.windows(2).map(|ends| distance_to_line(point, ends[0], ends[1]));
        PEN_HALF_WIDTH_UM - distances.fold(f64::INFINITY, f64::min)
    }

    /// The surroundings of a cell at this point.
    pub(crate) fn place(&self, point: PointUm) -> Place<'_> {
        if self.edge_um(point) < 9.0 || self.ink_um(point) > -12.0 || self.is_in_fat(point) {
            return Place::Empty;
        }
        let around = self.features.iter().find(|feature| {
            let reach = feature.shape.reach_um();
            (feature.shape.centre - point).square_length() < reach * reach
                && feature.shape.depth_um(point) > -4.0
        });
        match around {
            None => Place::Stroma,
            Some(feature) => Place::Feature(feature, feature.shape.depth_um(point)),
        }
    }

    /// `true` if a nucleus here would reach into a fat cell.
    fn is_in_fat(&self, point: PointUm) -> bool {
        const NUCLEUS_UM: f64 = 6.0;
        if self.fat_um(point) < -FatCells::PITCH_UM {
            return false;
        }
        let fat = self.fat_at(point);
        fat.inside || (fat.beyond && fat.membrane_um < NUCLEUS_UM)
    }

    /// Tissue without fat, in mm², sampled every 16 µm.
    pub(crate) fn stroma_mm2(&self) -> f64 {
        const STEP: f64 = 16.0;
        let (columns, rows) = ((self.size_um.0 / STEP) as u32, (self.size_um.1 / STEP) as u32);
        let points = (0..rows).flat_map(|row| {
            (0..columns).map(move |column| {
                PointUm::new((f64::from(column) + 0.5) * STEP, (f64::from(row) + 0.5) * STEP)
            })
        });
        let counted = points.filter(|&p| self.edge_um(p) > 0.0 && self.fat_um(p) < 0.0).count();
        counted as f64 * STEP * STEP * 1e-6
    }

    fn place_features(&mut self, settings: &PaintSettings, dice: &mut Dice) {
        // Numbers per mm² of tissue; structures that are hard to place come first.
        let orders: [(f64, Drafter); 4] =
            [(4.5, draft_nest), (6.0, draft_cluster), (12.0, draft_gland), (9.0, draft_vessel)];
        let area = self.stroma_mm2();
        for (per_mm2, draft) in orders {
            let wanted = (per_mm2 * area).round() as usize;
            let mut placed = 0;
            for _ in 0..wanted * 200 {
                if placed == wanted {
                    break;
                }
                let centre = dice.point(PointUm::origin(), PointUm::new(self.size_um.0, self.size_um.1));
                let feature = draft(dice).at(dice, centre);
                if self.has_room_for(&feature, settings.window_step_um) {
                    self.features.push(feature);
                    placed += 1;
                }
            }
        }
    }

    fn has_room_for(&self, new: &Feature, window_step_um: f64) -> bool {
        let centre = new.shape.centre;
        let reach = new.shape.reach_um();
        if self.edge_um(centre) < reach * 0.8 || self.fat_um(centre) > -reach - 30.0 {
            return false;
        }
        let around = (0..16).map(|i| new.shape.point_at(sixteenth(i), 0.0));
        let others = self.features.iter().map(|feature| &feature.shape);
        others.into_iter().all(|other| (other.centre - centre).length() > other.reach_um() + reach + 14.0)
            && around.into_iter().all(|p| self.edge_um(p) > 14.0 && self.ink_um(p) < -20.0)
            && !new.is_empty_at(nearest_corner(centre, window_step_um))
    }

    fn place_red_cells(&mut self, dice: &mut Dice) {
        const SPACING_UM: f64 = 6.0;
        for feature in &self.features {
            let FeatureKind::Vessel { wall_um } = feature.kind else { continue };
            let reach = feature.shape.reach_um();
            let half = VectorUm::new(reach, reach);
            let first = self.red_cells.len();
            for _ in 0..(reach * reach * 0.25) as usize {
                let point = dice.point(feature.shape.centre - half, feature.shape.centre + half);
                let is_free =
                    self.red_cells[first..].iter().all(|&other| (other - point).length() > SPACING_UM);
                if is_free && feature.shape.depth_um(point) > wall_um + 3.5 {
                    self.red_cells.push(point);
                }
            }
        }
    }
}

impl Feature {
    /// `true` if a point lies in the lumen or close to it, where no nucleus can be.
    fn is_empty_at(&self, point: PointUm) -> bool {
        match self.kind {
            FeatureKind::Gland { wall_um } => self.shape.depth_um(point) > wall_um - 8.0,
            FeatureKind::Vessel { .. } => self.shape.depth_um(point) > -5.0,
            FeatureKind::Nest | FeatureKind::Cluster => false,
        }
    }
}

/// Makes one kind of structure, of random size.
type Drafter = fn(&mut Dice) -> Draft;

/// A structure that still needs a place.
struct Draft {
    radii: (f64, f64),
    wobble: f64,
    kind: FeatureKind,
}

impl Draft {
    fn at(self, dice: &mut Dice, centre: PointUm) -> Feature {
        let axis = dice.direction();
        Feature { shape: Blob::new(dice, centre, axis, self.radii, self.wobble), kind: self.kind }
    }
}

fn draft_gland(dice: &mut Dice) -> Draft {
    let long = dice.range(38.0, 88.0);
    let radii = (long, long * dice.range(0.6, 1.0));
    Draft { radii, wobble: 0.09, kind: FeatureKind::Gland { wall_um: dice.range(17.0, 24.0) } }
}

fn draft_nest(dice: &mut Dice) -> Draft {
    let long = dice.range(70.0, 150.0);
    Draft { radii: (long, long * dice.range(0.5, 0.9)), wobble: 0.13, kind: FeatureKind::Nest }
}

fn draft_cluster(dice: &mut Dice) -> Draft {
    let long = dice.range(45.0, 115.0);
    Draft { radii: (long, long * dice.range(0.5, 1.0)), wobble: 0.12, kind: FeatureKind::Cluster }
}

fn draft_vessel(dice: &mut Dice) -> Draft {
    let long = dice.range(13.0, 34.0);
    let radii = (long, long * dice.range(0.45, 0.9));
    Draft { radii, wobble: 0.06, kind: FeatureKind::Vessel { wall_um: dice.range(2.5, 4.5) } }
}

/// The corner of four windows that is nearest to a point.
fn nearest_corner(point: PointUm, step: f64) -> PointUm {
    PointUm::new((point.x / step).round() * step, (point.y / step).round() * step)
}

/// One of sixteen directions around the circle, almost evenly spaced.
pub(crate) fn sixteenth(index: usize) -> VectorUm {
    // Quarter turns of the directions 0, 22.5, 45 and 67.5 degrees.
    const QUARTER: [(f64, f64); 4] = [
        (1.0, 0.0),
        (0.923_879_532_511_286_7, 0.382_683_432_365_089_8),
        (std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::FRAC_1_SQRT_2),
        (0.382_683_432_365_089_8, 0.923_879_532_511_286_7),
    ];
    let (x, y) = QUARTER[index % 4];
    match index / 4 % 4 {
        0 => VectorUm::new(x, y),
        1 => VectorUm::new(-y, x),
        2 => VectorUm::new(-x, -y),
        _ => VectorUm::new(y, -x),
    }
}

fn distance_to_line(point: PointUm, from: PointUm, to: PointUm) -> f64 {
    let way = to - from;
    let share = ((point - from).dot(way) / way.square_length()).clamp(0.0, 1.0);
    (point - from - way * share).length()
}

/// The two fat cells nearest to a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FatPoint {
    /// `true` if the cell around the point is fat, and not stroma.
    pub(crate) inside: bool,
    /// `true` if the next one is.
    pub(crate) beyond: bool,
    /// Distance to the membrane between the two, µm.
    pub(crate) membrane_um: f64,
}

/// Fat cells: a jittered honeycomb.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FatCells {
    jitter: Noise,
}

impl FatCells {
    /// Distance between columns; rows lie 0.866 of it apart.
    const PITCH_UM: f64 = 58.0;
    const ROW_UM: f64 = Self::PITCH_UM * 0.866;

    /// The centre of one fat cell.
    fn centre(self, column: i32, row: i32) -> PointUm {
        let shift = if row.rem_euclid(2) == 0 { 0.0 } else { 0.5 };
        let [jitter_x, jitter_y] = [0, 1].map(|purpose| {
            f64::from(self.jitter.at(column.wrapping_mul(2).wrapping_add(purpose), row)) - 0.5
        });
        PointUm::new(
            (f64::from(column) + shift + jitter_x * 0.45) * Self::PITCH_UM,
            (f64::from(row) + jitter_y * 0.45) * Self::ROW_UM,
        )
    }

    /// Column and row of the honeycomb cell around a point.
    fn cell_of(point: PointUm) -> (i32, i32) {
        let row = (point.y / Self::ROW_UM).round() as i32;
        let shift = if row.rem_euclid(2) == 0 { 0.0 } else { 0.5 };
        ((point.x / Self::PITCH_UM - shift).round() as i32, row)
    }

    /// The nearest and the next nearest centre, and the distance of the point from the membrane between those
    /// two, µm.
    fn around(self, point: PointUm) -> (PointUm, PointUm, f64) {
        let (column, row) = Self::cell_of(point);
        let mut nearest = [(f64::INFINITY, PointUm::origin()); 2];
        for row in row.wrapping_sub(1)..=row.wrapping_add(1) {
            for column in column.wrapping_sub(2)..=column.wrapping_add(2) {
                let centre = self.centre(column, row);
                let square = (centre - point).square_length();
                if square < nearest[0].0 {
                    nearest = [(square, centre), nearest[0]];
                } else if square < nearest[1].0 {
                    nearest[1] = (square, centre);
                }
            }
        }
        let [(square, inside), (next, beyond)] = nearest;
        (inside, beyond, (next - square) / (2.0 * (beyond - inside).length()))
    }

    /// The middle of each membrane and its direction, over a rectangle from the
    /// origin.
    pub(crate) fn membranes(self, size_um: (f64, f64)) -> impl Iterator<Item = (PointUm, VectorUm)> {
        let (columns, rows) = ((size_um.0 / Self::PITCH_UM) as i32, (size_um.1 / Self::ROW_UM) as i32);
        (0..rows).flat_map(move |row| {
            let below = if row % 2 == 0 { [-1, 0] } else { [0, 1] };
            (0..columns).flat_map(move |column| {
                let others = [(column + 1, row), (column + below[0], row + 1), (column + below[1], row + 1)];
                others.map(|(other_column, other_row)| {
                    let (a, b) = (self.centre(column, row), self.centre(other_column, other_row));
                    let way = (b - a).normalize();
                    (a.lerp(b, 0.5), VectorUm::new(-way.y, way.x))
                })
            })
        })
    }
}

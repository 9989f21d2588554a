//! Paints one square of the slide: ground, structures, nuclei, ink, optics.

use wsi_types::RgbBuffer;

use crate::{
    micron::{MPP, PointUm},
    noise::{Noise, bump, lerp, smooth_step},
    settings::PaintedStain,
    stain::{Light, Stain},
    tissue::{Feature, FeatureKind, Ground, Tissue},
    truth::{CellKind, PaintedCell},
};

/// Paints any part of the slide; any number of threads at once.
pub(crate) struct Painter<'a> {
    tissue: &'a Tissue,
    cells: CellGrid<'a>,
    light: Light,
    fibres: Noise,
    grain: Noise,
    chromatin: Noise,
    sensor: Noise,
}

/// A square of stain amounts, with a margin for the optics.
struct Canvas {
    /// Slide px of the first column and row, margin included.
    origin_px: (i32, i32),
    side: usize,
    stains: Vec<Stain>,
}

/// Pixels painted around a square so that blur does not show its border.
const MARGIN_PX: i32 = 1;
/// Distance of the lattice on which the smooth facts are computed, px.
const GROUND_STEP_PX: i32 = 8;
const MPP_F32: f32 = MPP as f32;

impl<'a> Painter<'a> {
    pub(crate) fn new(tissue: &'a Tissue, cells: &'a [PaintedCell], seed: u64, stain: PaintedStain) -> Self {
        Self {
            tissue,
            cells: CellGrid::new(cells, tissue.size_um),
            light: Light::new(stain),
            fibres: Noise::new(seed, 10),
            grain: Noise::new(seed, 11),
            chromatin: Noise::new(seed, 12),
            sensor: Noise::new(seed, 13),
        }
    }

    /// Paints a square of `side` px whose upper left level-0 px is `origin_px`.
    pub(crate) fn paint(&self, origin_px: (u32, u32), side: u32, out: &mut RgbBuffer) {
        let mut canvas = Canvas::new(origin_px, side);
        let tissue = self.lay_ground(&mut canvas);
        if tissue {
            for feature in &self.tissue.features {
                self.paint_feature(feature, &mut canvas);
            }
            for &centre in &self.tissue.red_cells {
                paint_red_cell(centre, &mut canvas);
            }
            let cells = self.cells.near(&canvas);
            for cell in &cells {
                self.paint_surroundings(cell, &mut canvas);
            }
            for cell in &cells {
                self.paint_membrane(cell, &mut canvas);
            }
            for cell in &cells {
                self.paint_nucleus(cell, &mut canvas);
            }
        }
        let ink = self.paint_ink(&mut canvas);
        if tissue || ink {
            self.expose(&canvas, out);
        } else {
            self.expose_glass(&canvas, out);
        }
    }

    // -- ground -------------------------------------------------------------

    /// Fibres and fat; false when the square is all glass.
    fn lay_ground(&self, canvas: &mut Canvas) -> bool {
        let nodes = GroundNodes::new(self.tissue, canvas);
        if nodes.all_glass() {
            return false;
        }
        let mut row = GroundRow::default();
        canvas.repaint_all(|x, y, point, _| {
            let ground = row.at(&nodes, x, y);
            let cover = smooth_step(-0.8, 1.4, ground.edge_um);
            if cover == 0.0 {
                return Stain::default();
            }
            let stain =
                if ground.fat_um > -80.0 { self.fatty(point, &ground) } else { self.stroma(point, &ground) };
            // Edges of a section take up more dye.
            stain.thinned(cover * ground.mottle * (1.0 + 0.3 * bump(0.0, 12.0, ground.edge_um)))
        });
        true
    }

    /// Wavy collagen with clefts.
    fn stroma(&self, point: (f32, f32), ground: &Ground) -> Stain {
        let (x, y) = point;
        let wave = self.fibres.value(x / 5.6, y / 5.6) * 2.7;
        let (across, along) = (ground.phase_um + wave, ground.along_um);
        let thin = self.fibres.value(across / 0.95, along / 10.0);
        let thick = self.fibres.value(across / 2.9 + 50.0, along / 26.0 + 9.0);
        let grain = self.grain.value(x / 0.75, y / 0.75);
        let (loose, bundle) = (ground.looseness, ground.bundle);
        let eosin = 0.03 + 0.26 * thin + 0.26 * thick + 0.14 * bundle + 0.12 * grain;
        let haematoxylin = 0.02 + 0.07 * loose + 0.04 * thin + 0.05 * grain;
        // Clefts open between fibres, more of them where they lie loosely.
        let parted = 0.50 * thick + 0.28 * thin + 0.22 * bundle;
        let cleft = smooth_step(0.27 + 0.17 * loose, 0.15 + 0.15 * loose, parted);
        Stain::he(haematoxylin, eosin).thinned(1.0 - 0.86 * cleft)
    }

    /// Empty cells between thin membranes, up to the stroma around the lobule.
    fn fatty(&self, point: (f32, f32), ground: &Ground) -> Stain {
        let (x, y) = point;
        let [bend_x, bend_y] =
            [0.0, 40.0].map(|shift| (self.grain.soft(x / 13.0 + shift, y / 13.0) - 0.5) * 7.0);
        let fat = self.tissue.fat_at(PointUm::new(f64::from(x + bend_x), f64::from(y + bend_y)));
        if !fat.inside && !fat.beyond {
            return self.stroma(point, ground);
        }
        let distance = fat.membrane_um as f32 * if fat.inside { 1.0 } else { -1.0 };
        let width = 0.6 + 1.5 * self.grain.value(x / 21.0, y / 21.0);
        let haze = 0.03 * self.grain.value(x / 30.0, y / 30.0);
        let membrane = Stain::he(0.09, 0.34 + 0.2 * self.grain.value(x / 2.0, y / 2.0));
        let outside = if fat.inside { membrane } else { self.stroma(point, ground) };
        let inside = membrane.blend(Stain::he(0.0, haze), smooth_step(width - 0.3, width + 0.9, distance));
        outside.blend(inside, smooth_step(-0.6, 0.6, distance))
    }

    // -- structures ---------------------------------------------------------

    fn paint_feature(&self, feature: &Feature, canvas: &mut Canvas) {
        let centre = feature.shape.centre;
        canvas.repaint_around(centre, feature.shape.reach_um() + 6.0, |point, under| {
            let depth = feature.shape.depth_um(PointUm::new(f64::from(point.0), f64::from(point.1))) as f32;
            if depth < -6.0 {
                return under;
            }
            match feature.kind {
                FeatureKind::Gland { wall_um } => self.gland(point, depth, wall_um as f32, under),
                FeatureKind::Nest => self.nest(point, depth, under),
                FeatureKind::Cluster => self.cluster(point, depth, under),
                FeatureKind::Vessel { wall_um } => self.vessel(point, depth, wall_um as f32, under),
            }
        });
    }

    /// Basement membrane, epithelium, ragged lumen with a little secretion.
    fn gland(&self, point: (f32, f32), depth: f32, wall_um: f32, under: Stain) -> Stain {
        let (x, y) = point;
        let ragged = (self.grain.rough(x / 6.0, y / 6.0) + 0.6 * self.grain.rough(x / 2.1, y / 2.1)) * 1.6;
        let membrane = Stain::he(0.10, 0.62);
        let outside = under.blend(membrane, 0.8 * bump(-0.4, 1.5, depth));
        // Towards the lumen the cytoplasm is pinker: nuclei lie at the base.
        let tip = smooth_step(0.45, 1.0, depth / wall_um);
        let epithelium = self.cytoplasm(point).blend(self.apical(point), tip * 0.8);
        let secretion = smooth_step(0.5, 0.75, self.grain.soft(x / 24.0, y / 24.0))
            * (0.3 + 0.7 * self.grain.soft(x / 2.4, y / 2.4));
        let lumen = Stain::he(0.02, 0.02).blend(Stain::he(0.08, 0.30), secretion);
        let inside = epithelium.blend(lumen, smooth_step(-0.5, 0.7, depth - wall_um + ragged));
        outside.blend(inside, smooth_step(-0.4, 0.6, depth))
    }

    /// Cytoplasm to the outline, in places pulled away from the stroma.
    fn nest(&self, point: (f32, f32), depth: f32, under: Stain) -> Stain {
        let (x, y) = point;
        let gap = smooth_step(0.5, 0.68, self.grain.value(x / 60.0, y / 60.0)) * bump(-1.6, 2.2, depth);
        let outside = under.thinned(1.0 - 0.85 * gap);
        outside.blend(self.cytoplasm(point), smooth_step(-0.7, 0.7, depth))
    }

    /// Looser, bluer ground under lymphocytes.
    fn cluster(&self, point: (f32, f32), depth: f32, under: Stain) -> Stain {
        let (x, y) = point;
        let threads = self.grain.value(x / 4.0, y / 4.0) * self.grain.value(x / 1.7, y / 1.7 + 5.0);
        let ground = Stain::he(0.07 + 0.10 * threads, 0.14 + 0.34 * threads);
        under.blend(ground, 0.85 * smooth_step(-2.0, 26.0, depth))
    }

    fn vessel(&self, point: (f32, f32), depth: f32, wall_um: f32, under: Stain) -> Stain {
        let wall = Stain::he(0.10, 0.50).thinned(0.85 + 0.3 * self.grain.value(point.0 / 2.0, point.1 / 2.0));
        let outside = under.blend(wall, smooth_step(-1.2, 0.4, depth));
        outside.blend(Stain::he(0.015, 0.03), smooth_step(-0.6, 0.6, depth - wall_um))
    }

    /// Grainy pink-violet body of epithelial cells.
    fn cytoplasm(&self, point: (f32, f32)) -> Stain {
        let (x, y) = point;
        let grain = self.grain.value(x / 1.3, y / 1.3);
        let froth = self.grain.soft(x / 3.1 + 17.0, y / 3.1);
        let cloud = self.grain.value(x / 17.0, y / 17.0 + 3.0);
        Stain::he(0.10 + 0.07 * grain + 0.10 * cloud, 0.12 + 0.11 * grain + 0.20 * froth + 0.08 * cloud)
    }

    /// Pale, pink cell tips.
    fn apical(&self, point: (f32, f32)) -> Stain {
        let (x, y) = point;
        let froth = self.grain.soft(x / 2.6, y / 2.6 + 23.0);
        Stain::he(0.06, 0.18 + 0.20 * froth)
    }

    // -- cells --------------------------------------------------------------

    /// Paints the surroundings of a nucleus that belong to its cell: a rim of cytoplasm or a clear halo from
    /// shrinking.
    fn paint_surroundings(&self, cell: &PaintedCell, canvas: &mut Canvas) {
        let nucleus = NucleusShape::new(cell, self.chromatin);
        let variant = nucleus.variant;
        canvas.repaint_around(nucleus.centre, nucleus.reach_um() + 3.5, |point, under| {
            let out = nucleus.outside_um(point);
            if out > 4.4 {
                return under;
            }
            match cell.kind {
                CellKind::Lymphocyte => {
                    let body = smooth_step(1.3, 0.3, out);
                    let torn = self.grain.soft(point.0 / 2.3, point.1 / 2.3);
                    let halo = bump(1.5, 1.2, out) * smooth_step(0.35, 0.7, 0.5 * variant + 0.5 * torn);
                    under.thinned(1.0 - 0.5 * halo).blend(Stain::he(0.16, 0.24), 0.7 * body)
                }
                CellKind::Stromal => {
                    let halo = bump(0.9, 1.5, out) * smooth_step(0.45, 0.9, variant);
                    under.thinned(1.0 - 0.7 * halo)
                }
                CellKind::Epithelial => {
                    let halo = bump(0.8, 1.3, out) * smooth_step(0.6, 1.0, variant);
                    under.thinned(1.0 - 0.4 * halo)
                }
                CellKind::Tumour => {
                    // A body of its own, a little denser at its border.
                    let bent = out + 1.6 * (self.grain.soft(point.0 / 5.0, point.1 / 5.0) - 0.5);
                    let body = smooth_step(3.4, 2.6, bent);
                    let tone = 0.80 + 0.4 * variant + 0.3 * bump(2.9, 0.8, bent);
                    let halo = bump(0.8, 1.3, out) * smooth_step(0.7, 1.0, variant);
                    under.blend(self.cytoplasm(point).thinned(tone), body).thinned(1.0 - 0.4 * halo)
                }
            }
        });
    }

    /// Paints DAB around a nucleus, where its cell has some.
    fn paint_membrane(&self, cell: &PaintedCell, canvas: &mut Canvas) {
        if cell.dab_ring_od == 0.0 {
            return;
        }
        let nucleus = NucleusShape::new(cell, self.chromatin);
        let (amount, width) = (cell.dab_ring_od as f32, PaintedCell::DAB_RING_UM as f32);
        canvas.repaint_around(
            nucleus.centre,
            nucleus.reach_um() + PaintedCell::DAB_RING_UM + 0.5,
            |point, under| {
                let cover = smooth_step(width + 0.3, width - 0.3, nucleus.outside_um(point));
                // What several cells share is not stained twice.
                Stain { dab: under.dab.max(amount * cover), ..under }
            },
        );
    }

    fn paint_nucleus(&self, cell: &PaintedCell, canvas: &mut Canvas) {
        let nucleus = NucleusShape::new(cell, self.chromatin);
        let look = Look::of(cell.kind, nucleus.variant);
        canvas.repaint_around(nucleus.centre, nucleus.reach_um() + 0.6, |point, under| {
            let out = nucleus.outside_um(point);
            if out > 0.5 {
                return under;
            }
            let inside = self.nucleoplasm(point, -out, &look, &nucleus);
            let inside = Stain { dab: cell.dab_od as f32, ..inside };
            under.blend(inside, smooth_step(0.36, -0.36, out))
        });
    }

    /// Chromatin clumps, a dense rim, nucleoli.
    fn nucleoplasm(&self, point: (f32, f32), depth: f32, look: &Look, nucleus: &NucleusShape) -> Stain {
        let (x, y) = (point.0 + nucleus.shift, point.1 - nucleus.shift);
        let coarse = self.chromatin.value(x / 1.25, y / 1.25);
        let fine = self.chromatin.value(x / 0.55, y / 0.55);
        let clumps = smooth_step(0.38, 0.78, 0.68 * coarse + 0.32 * fine);
        let rim = bump(0.32, 0.62, depth);
        let nucleolus = nucleus
            .nucleoli
            .iter()
            .map(|&(nx, ny, radius)| {
                let (dx, dy) = (point.0 - nx, point.1 - ny);
                smooth_step(radius + 0.3, radius - 0.3, (dx * dx + dy * dy).sqrt())
            })
            .fold(0.0, f32::max);
        let haematoxylin = look.ground + look.clumps * clumps + look.rim * rim + 0.42 * nucleolus;
        Stain::he(haematoxylin, look.eosin + 0.16 * nucleolus)
    }

    // -- ink, optics --------------------------------------------------------

    /// Paints the pen stroke; `false` when it is not here.
    fn paint_ink(&self, canvas: &mut Canvas) -> bool {
        let half_diagonal = canvas.side as f64 * MPP * std::f64::consts::FRAC_1_SQRT_2;
        if self.tissue.ink_um(canvas.middle()) < -half_diagonal - 8.0 {
            return false;
        }
        canvas.repaint_all(|_, _, (x, y), under| {
            let depth = self.tissue.ink_um(PointUm::new(f64::from(x), f64::from(y))) as f32;
            if depth < -8.0 {
                return under;
            }
            let rough = self.grain.rough(x / 11.0, y / 11.0) * 5.0;
            let cover = smooth_step(-0.6, 1.6, depth + rough);
            let streaks = 0.6 + 0.4 * self.grain.value(depth / 5.0, (x - y) / 240.0);
            let pooled = 1.0 + 0.5 * bump(3.0, 8.0, depth);
            Stain { ink: cover * streaks * pooled * 0.75, ..under }
        });
        true
    }

    /// Light through the stains, a lens that spreads a point by 0.18 µm
    /// (binomial 1 2 1), and a sensor with a little noise.
    fn expose(&self, canvas: &Canvas, out: &mut RgbBuffer) {
        let margin = MARGIN_PX as usize;
        let side = canvas.side - 2 * margin;
        let light: Vec<[f32; 3]> = canvas.stains.iter().map(|&stain| self.light.through(stain)).collect();
        let across: Vec<[f32; 3]> = light
            .chunks_exact(canvas.side)
            .flat_map(|row| row.array_windows::<3>().map(|taps| blur(*taps)))
            .collect();
        out.reset(side, side);
        for y in 0..side {
            let taps: [&[[f32; 3]]; 3] = std::array::from_fn(|i| &across[(y + i) * side..][..side]);
            self.sense_row(canvas, y, out, |x| blur(taps.map(|row| row[x])));
        }
    }

    fn expose_glass(&self, canvas: &Canvas, out: &mut RgbBuffer) {
        let glass = self.light.through(Stain::default());
        let side = canvas.side - 2 * MARGIN_PX as usize;
        out.reset(side, side);
        for y in 0..side {
            self.sense_row(canvas, y, out, |_| glass);
        }
    }

    /// Writes one row of pixels: the light that arrives, and the sensor's noise.
    fn sense_row(&self, canvas: &Canvas, y: usize, out: &mut RgbBuffer, seen: impl Fn(usize) -> [f32; 3]) {
        let first = canvas.origin_px.0.wrapping_add(MARGIN_PX);
        let row = canvas.origin_px.1.wrapping_add(MARGIN_PX).wrapping_add(y as i32);
        for (x, pixel) in out.row_mut(y).as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = with_noise(seen(x), self.sensor.bits(first.wrapping_add(x as i32), row));
        }
    }
}

/// The mean of three neighbours, weighted a quarter, a half and a quarter.
fn blur(taps: [[f32; 3]; 3]) -> [f32; 3] {
    std::array::from_fn(|c| ((taps[0][c] + taps[2][c]) + taps[1][c] * 2.0) * 0.25)
}

/// Adds noise of about ±2 grey levels, half of it common to all channels.
fn with_noise(seen: [f32; 3], bits: u32) -> [u8; 3] {
    let [red, green, blue, common] = bits.to_le_bytes().map(|part| f32::from(part) * (1.0 / 128.0) - 1.0);
    let common = common * 1.6;
    [seen[0] + red * 1.3, seen[1] + green * 1.3, seen[2] + blue * 1.3]
        .map(|value| (value + common + 0.5) as u8)
}

/// A biconcave disc, seen from above.
fn paint_red_cell(centre: PointUm, canvas: &mut Canvas) {
    const RADIUS_UM: f32 = 3.0;
    let (cx, cy) = (centre.x as f32, centre.y as f32);
    canvas.repaint_around(centre, f64::from(RADIUS_UM) + 0.5, |(x, y), under| {
        let distance = ((x - cx) * (x - cx) + (y - cy) * (y - cy)).sqrt();
        let cover = smooth_step(RADIUS_UM + 0.35, RADIUS_UM - 0.35, distance);
        let amount = 0.62 - 0.22 * smooth_step(1.8, 0.0, distance);
        under.blend(Stain { red_cells: amount, ..Stain::default() }, cover)
    });
}

/// Strength of the stain in the parts of a nucleus.
struct Look {
    ground: f32,
    clumps: f32,
    rim: f32,
    eosin: f32,
}

impl Look {
    fn of(kind: CellKind, variant: f32) -> Self {
        let (ground, clumps, rim, eosin) = match kind {
            CellKind::Epithelial => (0.54, 0.56, 0.30, 0.14),
            CellKind::Tumour => (0.36, 0.58, 0.42, 0.15),
            CellKind::Lymphocyte => (0.88, 0.62, 0.16, 0.12),
            CellKind::Stromal => (0.66, 0.52, 0.20, 0.16),
        };
        let strength = lerp(0.82, 1.22, variant);
        Self { ground: ground * strength, clumps: clumps * strength, rim: rim * strength, eosin }
    }
}

/// One nucleus with its dents and nucleoli, ready to be painted.
struct NucleusShape {
    centre: PointUm,
    at: (f32, f32),
    axis: (f32, f32),
    radii: (f32, f32),
    /// Cosine and sine parts of dents of order 2 and 3.
    dents: [(f32, f32); 2],
    /// The outline is drawn in by this share, so that no dent leaves the ellipse.
    room: f32,
    /// x, y and radius, µm.
    nucleoli: Vec<(f32, f32, f32)>,
    /// Moves the chromatin, so that no two nuclei are alike.
    shift: f32,
    /// A random number of this nucleus, 0 to 1.
    variant: f32,
}

impl NucleusShape {
    fn new(cell: &PaintedCell, noise: Noise) -> Self {
        let centre = PointUm::new(cell.centre.x * MPP, cell.centre.y * MPP);
        let place = ((cell.centre.x * 16.0) as i32, (cell.centre.y * 16.0) as i32);
        let own = |purpose: i32| noise.at(place.0.wrapping_add(purpose), place.1.wrapping_sub(purpose));
        let depth = match cell.kind {
            CellKind::Lymphocyte => 0.04,
            CellKind::Stromal => 0.08,
            CellKind::Epithelial | CellKind::Tumour => 0.07,
        };
        let dent = |purpose: i32| ((own(purpose) - 0.5) * depth, (own(purpose + 1) - 0.5) * depth);
        let dents = [dent(1), dent(3)];
        let room = dents.iter().map(|(c, s)| (c * c + s * s).sqrt()).sum();
        let axis = (cell.axis.x as f32, cell.axis.y as f32);
        let radii = (cell.radii_um.0 as f32, cell.radii_um.1 as f32);
        let at = (centre.x as f32, centre.y as f32);
        let count = match cell.kind {
            CellKind::Tumour => 1 + i32::from(own(7) > 0.65),
            CellKind::Epithelial => i32::from(own(7) > 0.5),
            CellKind::Lymphocyte | CellKind::Stromal => 0,
        };
        let nucleolus = |i: i32| {
            let along = (own(20 + 3 * i) - 0.5) * 1.0 * radii.0;
            let across = (own(21 + 3 * i) - 0.5) * 0.9 * radii.1;
            let x = at.0 + axis.0 * along - axis.1 * across;
            let y = at.1 + axis.1 * along + axis.0 * across;
            (x, y, 0.65 + 0.4 * own(22 + 3 * i))
        };
        Self {
            centre,
            at,
            axis,
            radii,
            dents,
            room,
            nucleoli: (0..count).map(nucleolus).collect(),
            shift: own(5) * 200.0,
            variant: own(6),
        }
    }

    fn reach_um(&self) -> f64 {
        f64::from(self.radii.0)
    }

    /// Approximate distance of a point outside the dented outline, µm; negative inside. The outline never
    /// leaves the ellipse.
    fn outside_um(&self, point: (f32, f32)) -> f32 {
        let (dx, dy) = (point.0 - self.at.0, point.1 - self.at.1);
        let x = (dx * self.axis.0 + dy * self.axis.1) / self.radii.0;
        let y = (dy * self.axis.0 - dx * self.axis.1) / self.radii.1;
        let scaled = (x * x + y * y).sqrt();
        if scaled < 1e-4 {
            return -self.radii.1;
        }
        let (cos, sin) = (x / scaled, y / scaled);
        let (cos2, sin2) = (cos * cos - sin * sin, 2.0 * cos * sin);
        let (cos3, sin3) = (cos2 * cos - sin2 * sin, sin2 * cos + cos2 * sin);
        let [two, three] = self.dents;
        let dent = two.0 * cos2 + two.1 * sin2 + three.0 * cos3 + three.1 * sin3;
        let factor = 1.0 + dent - self.room;
        let away = (dx * dx + dy * dy).sqrt();
        (scaled - factor) * away / scaled
    }
}

// -- canvas -----------------------------------------------------------------

impl Canvas {
    /// An empty square of `side` px and its margin.
    fn new(origin_px: (u32, u32), side: u32) -> Self {
        let origin_px = (origin_px.0 as i32 - MARGIN_PX, origin_px.1 as i32 - MARGIN_PX);
        let side = side as usize + 2 * MARGIN_PX as usize;
        Self { origin_px, side, stains: vec![Stain::default(); side * side] }
    }

    /// The middle of a pixel, µm.
    fn point(&self, x: usize, y: usize) -> (f32, f32) {
        let [x, y] = [(self.origin_px.0, x), (self.origin_px.1, y)]
            .map(|(origin, i)| (origin.wrapping_add(i as i32) as f32 + 0.5) * MPP_F32);
        (x, y)
    }

    fn middle(&self) -> PointUm {
        let (x, y) = self.point(self.side / 2, self.side / 2);
        PointUm::new(f64::from(x), f64::from(y))
    }

    fn repaint_all(&mut self, mut paint: impl FnMut(usize, usize, (f32, f32), Stain) -> Stain) {
        for y in 0..self.side {
            for x in 0..self.side {
                let point = self.point(x, y);
                let stain = &mut self.stains[y * self.side + x];
                *stain = paint(x, y, point, *stain);
            }
        }
    }

    /// Repaints the upright square around `centre` as far as it lies here.
    fn repaint_around(&mut self, centre: PointUm, reach_um: f64, paint: impl Fn((f32, f32), Stain) -> Stain) {
        let sides = [(centre.x, self.origin_px.0), (centre.y, self.origin_px.1)];
        let [columns, rows] = sides.map(|(middle, origin)| {
            let from = (middle - reach_um) / MPP - f64::from(origin);
            let to = (middle + reach_um) / MPP - f64::from(origin);
            let [from, to] = [from.floor(), to.ceil()].map(|v| v.clamp(0.0, self.side as f64) as usize);
            from..to
        });
        for y in rows {
            for x in columns.clone() {
                let point = self.point(x, y);
                let stain = &mut self.stains[y * self.side + x];
                *stain = paint(point, *stain);
            }
        }
    }
}

/// [`Ground`] on a coarse lattice fixed to the slide, joined linearly.
struct GroundNodes {
    first: (i32, i32),
    origin_px: (i32, i32),
    columns: usize,
    nodes: Vec<Ground>,
}

impl GroundNodes {
    fn new(tissue: &Tissue, canvas: &Canvas) -> Self {
        let first =
            (canvas.origin_px.0.div_euclid(GROUND_STEP_PX), canvas.origin_px.1.div_euclid(GROUND_STEP_PX));
        let columns = canvas.side / GROUND_STEP_PX as usize + 3;
        let near = tissue.features_near(canvas.middle(), canvas.side as f64 * MPP);
        let nodes = (0..columns * columns)
            .map(|i| {
                let (column, row) = ((i % columns) as i32, (i / columns) as i32);
                let [x, y] = [first.0 + column, first.1 + row]
                    .map(|node| f64::from(node) * f64::from(GROUND_STEP_PX) * MPP);
                tissue.ground(PointUm::new(x, y), &near)
            })
            .collect();
        Self { first, origin_px: canvas.origin_px, columns, nodes }
    }

    fn all_glass(&self) -> bool {
        self.nodes.iter().all(|node| node.edge_um < -6.0)
    }

    /// The node before a pixel of the canvas, and the share of the way to the next one.
    fn place(i: usize, origin: i32, first: i32) -> (usize, f32) {
        let px = origin + i as i32 - first * GROUND_STEP_PX;
        let node = px / GROUND_STEP_PX;
        (node as usize, ((px - node * GROUND_STEP_PX) as f32 + 0.5) / GROUND_STEP_PX as f32)
    }
}

/// The nodes above and below one row of pixels, joined once for the row.
#[derive(Default)]
struct GroundRow {
    y: Option<usize>,
    nodes: Vec<Ground>,
}

impl GroundRow {
    /// The ground under one pixel of the canvas; cheap along a row.
    fn at(&mut self, nodes: &GroundNodes, x: usize, y: usize) -> Ground {
        if self.y != Some(y) {
            let (row, down) = GroundNodes::place(y, nodes.origin_px.1, nodes.first.1);
            let upper = &nodes.nodes[row * nodes.columns..][..nodes.columns];
            let lower = &nodes.nodes[(row + 1) * nodes.columns..][..nodes.columns];
            self.nodes.clear();
            self.nodes.extend(upper.iter().zip(lower).map(|(a, b)| a.towards(b, down)));
            self.y = Some(y);
        }
        let (column, across) = GroundNodes::place(x, nodes.origin_px.0, nodes.first.0);
        self.nodes[column].towards(&self.nodes[column + 1], across)
    }
}

/// Cells by place.
struct CellGrid<'a> {
    cells: &'a [PaintedCell],
    columns: usize,
    squares: Vec<Vec<u32>>,
}

impl<'a> CellGrid<'a> {
    const SQUARE_PX: f64 = 256.0;
    /// Largest distance, in px, that a cell with its surroundings reaches.
    const REACH_PX: f64 = 48.0;

    fn new(cells: &'a [PaintedCell], size_um: (f64, f64)) -> Self {
        let [columns, rows] = [size_um.0, size_um.1].map(|side| (side / MPP / Self::SQUARE_PX) as usize + 1);
        let mut squares = vec![Vec::new(); columns * rows];
        for (i, cell) in cells.iter().enumerate() {
            let [x, y] = [(cell.centre.x, columns), (cell.centre.y, rows)]
                .map(|(v, count)| ((v / Self::SQUARE_PX) as usize).min(count - 1));
            squares[y * columns + x].push(i as u32);
        }
        Self { cells, columns, squares }
    }

    /// Cells that may show on a canvas, in the order of planting.
    fn near(&self, canvas: &Canvas) -> Vec<&'a PaintedCell> {
        let rows = self.squares.len() / self.columns;
        let sides = [(canvas.origin_px.0, self.columns), (canvas.origin_px.1, rows)];
        let [columns, rows] = sides.map(|(origin, count)| {
            let from = f64::from(origin) - Self::REACH_PX;
            let to = f64::from(origin) + canvas.side as f64 + Self::REACH_PX;
            let [from, to] = [from, to].map(|v| ((v / Self::SQUARE_PX).max(0.0) as usize).min(count - 1));
            from..=to
        });
        let mut found: Vec<u32> = rows
            .flat_map(|row| columns.clone().map(move |column| row * self.columns + column))
            .flat_map(|square| self.squares[square].iter().copied())
            .collect();
        found.sort_unstable();
        found.into_iter().map(|i| &self.cells[i as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cells, settings::PaintSettings};

    const SIDE: u32 = 128;

    fn with_painter(check: impl Fn(&Painter<'_>, &[PaintedCell])) {
        let settings =
            PaintSettings { width_um: 512.0, height_um: 384.0, window_step_um: 128.0, ..Default::default() };
        let tissue = Tissue::lay_out(&settings);
        let cells = cells::plant(&tissue, &settings);
        check(&Painter::new(&tissue, &cells, settings.seed, settings.stain), &cells);
    }

    fn square(painter: &Painter<'_>, origin: (u32, u32), side: u32) -> RgbBuffer {
        let mut pixels = RgbBuffer::default();
        painter.paint(origin, side, &mut pixels);
        pixels
    }

    #[test]
    fn no_seam_shows_between_squares() {
        with_painter(|painter, _| {
            // A large square across the tissue's edge, against four small ones.
            for origin in [(512, 128), (128, 512), (1024, 768)] {
                let whole = square(painter, origin, 2 * SIDE);
                for (column, row) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let part = square(painter, (origin.0 + column * SIDE, origin.1 + row * SIDE), SIDE);
                    for y in 0..SIDE as usize {
                        let seen =
                            &whole.row(row as usize * SIDE as usize + y)[(column * SIDE * 3) as usize..];
                        assert!(seen.starts_with(part.row(y)), "row {y} of {column}, {row} at {origin:?}");
                    }
                }
            }
        });
    }

    /// Guards the promise of the module: not one bit depends on the machine. After a change of the painting
    /// this sum must be set again.
    #[test]
    fn pixels_are_the_same_on_every_machine() {
        with_painter(|painter, cells| {
            let middle = cells[cells.len() / 2].centre;
            let pixels = square(painter, (middle.x as u32 - SIDE / 2, middle.y as u32 - SIDE / 2), SIDE);
            // FNV-1a.
            let sum = pixels.bytes().iter().fold(0xCBF2_9CE4_8422_2325_u64, |sum, &byte| {
                (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
            });
            assert_eq!(format!("{sum:016x}"), "4dae9a80fc83e591");
        });
    }
}

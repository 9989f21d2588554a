//! The raw detections of a slide, as overlapping windows give them, with the truth beside them. Seeded: the
//! same numbers give the same detections.
//!
//! Cells of five classes lie in blobs of tissue, so near each other that boxes touch (IoU up to 0.15). Each
//! window sees the cells in it with a given recall, draws their boxes with jitter, cut at its border, and
//! sometimes takes one for another class.

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;
use wsi_types::{
    ClassId, Detection, GridRect, Level0Box, Level0Point, ModelClass, Placement, Score, Window, WindowBox,
    WindowIndex, WindowPoint,
};

/// Settings of a simulation.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Edge of the square slide, px.
    pub slide_px: u32,
    /// Edge of a window, px.
    pub window_px: u32,
    /// Distance from one window to the next, px.
    pub stride_px: u32,
    /// Share of the cells in a window that the model finds.
    pub recall: f64,
    /// Standard deviation of each side of a box, px.
    pub jitter_px: f64,
    /// Share of detections that get a wrong class.
    pub flips: f64,
    /// `true` to give detections outlines (24-gons).
    pub outlines: bool,
    /// The seed.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slide_px: 8192,
            window_px: 2048,
            stride_px: 1024,
            recall: 0.95,
            jitter_px: 0.7,
            flips: 0.03,
            outlines: false,
            seed: 1,
        }
    }
}

/// Raw detections and their truth.
pub struct Simulation {
    /// Windows of the slide.
    pub windows: Vec<Window>,
    /// Area of the slide.
    pub slide: Level0Box,
    /// Detections of each window, in the order of `windows`.
    pub detections: Vec<Vec<Detection>>,
    /// The cells, each with `true` if any window found it.
    pub cells: Vec<(Level0Box, ClassId, bool)>,
}

impl Simulation {
    /// Returns the number of detections over all windows.
    pub fn raw(&self) -> usize {
        self.detections.iter().map(Vec::len).sum()
    }

    /// Returns the number of cells that at least one window found.
    pub fn found(&self) -> usize {
        self.cells.iter().filter(|cell| cell.2).count()
    }
}

const CLASSES: u16 = 5;
/// Pitch of the grid on which cells lie before they are moved at random.
const PITCH_PX: f64 = 34.0;
/// Angle by which that grid is turned, radians.
const GRID_ANGLE: f64 = 0.5;

/// Simulates one slide.
pub fn simulate(settings: &Settings) -> Simulation {
    let mut random = Pcg64::seed_from_u64(settings.seed);
    let edge = f64::from(settings.slide_px);
    let tissue = blobs(&mut random, edge);
    let mut cells = place_cells(&mut random, edge, &tissue);
    let windows = plan(settings, &tissue);
    let index = Buckets::new(&cells, edge);
    let detections =
        windows.iter().map(|window| look(&mut random, settings, window, &mut cells, &index)).collect();
    Simulation { windows, slide: boxed(0.0, 0.0, edge, edge), detections, cells }
}

struct Blob {
    centre: Level0Point,
    radius: f64,
}

fn blobs(random: &mut impl Rng, edge: f64) -> Vec<Blob> {
    let blobs = (0..9).map(|_| {
        let [x, y, radius] = [(); 3].map(|()| random.random::<f64>());
        Blob { centre: Level0Point::new(edge * x, edge * y), radius: edge * (0.08 + 0.17 * radius) }
    });
    blobs.collect()
}

fn in_tissue(tissue: &[Blob], point: Level0Point) -> bool {
    tissue.iter().any(|blob| (point - blob.centre).length() < blob.radius)
}

fn place_cells(random: &mut impl Rng, edge: f64, tissue: &[Blob]) -> Vec<(Level0Box, ClassId, bool)> {
    // Turned against the windows: otherwise their borders would follow rows of the grid.
    let (sine, cosine) = GRID_ANGLE.sin_cos();
    let steps = (1.5 * edge / PITCH_PX) as i32;
    let mut cells = Vec::new();
    for row in -steps..steps {
        for column in 0..steps {
            let [along, up] = [column, row]
                .map(|at| (f64::from(at) + 0.5) * PITCH_PX + 10.0 * (random.random::<f64>() - 0.5));
            let centre = Level0Point::new(along * cosine - up * sine, along * sine + up * cosine);
            if !in_tissue(tissue, centre) {
                continue;
            }
            let (w, h) = (14.0 + 14.0 * random.random::<f64>(), 14.0 + 14.0 * random.random::<f64>());
            let class = ClassId((random.random::<f64>() * f64::from(CLASSES)) as u16);
            let bbox = boxed(centre.x - w / 2.0, centre.y - h / 2.0, centre.x + w / 2.0, centre.y + h / 2.0);
            let sides = [bbox.min.x, bbox.min.y, bbox.max.x, bbox.max.y];
            if sides.iter().all(|&value| value > 0.0 && value < edge) {
                cells.push((bbox, class, false));
            }
        }
    }
    cells
}

fn boxed(x0: f64, y0: f64, x1: f64, y1: f64) -> Level0Box {
    Level0Box::new(Level0Point::new(x0, y0), Level0Point::new(x1, y1))
}

/// `true` if any of 32 × 32 points of a window lies in tissue.
fn has_tissue(tissue: &[Blob], (x, y): (i64, i64), size: i64) -> bool {
    (0..32 * 32).any(|at| {
        let [column, row] = [at % 32, at / 32].map(|step| step * size / 32 + size / 64);
        in_tissue(tissue, Level0Point::new((x + column) as f64, (y + row) as f64))
    })
}

/// Returns the windows with tissue, row by row.
fn plan(settings: &Settings, tissue: &[Blob]) -> Vec<Window> {
    let (size, stride) = (i64::from(settings.window_px), i64::from(settings.stride_px));
    let starts: Vec<i64> = (0..)
        .map(|step| step * stride)
        .take_while(|start| start + size < i64::from(settings.slide_px) + stride)
        .collect();
    let places = starts.iter().flat_map(|&y| starts.iter().map(move |&x| (x, y)));
    places
        .filter(|&place| has_tissue(tissue, place, size))
        .zip(0..)
        .map(|((x, y), index)| Window {
            index: WindowIndex(index),
            rect: GridRect::new((x, y).into(), (size, size).into()),
            placement: Placement::new(1.0, 1.0, x as f64, y as f64),
        })
        .collect()
}

/// Cells by place.
struct Buckets {
    columns: usize,
    cells: Vec<Vec<u32>>,
}

const BUCKET_PX: f64 = 256.0;

impl Buckets {
    fn new(cells: &[(Level0Box, ClassId, bool)], edge: f64) -> Self {
        let columns = (edge / BUCKET_PX) as usize + 1;
        let mut buckets = Self { columns, cells: vec![Vec::new(); columns * columns] };
        for (cell, index) in cells.iter().zip(0..) {
            let centre = cell.0.center();
            let (column, row) = ((centre.x / BUCKET_PX) as usize, (centre.y / BUCKET_PX) as usize);
            buckets.cells[row.min(columns - 1) * columns + column.min(columns - 1)].push(index);
        }
        buckets
    }

    /// Returns the cells that may share a pixel with `area`.
    fn near(&self, area: &Level0Box) -> Vec<u32> {
        let sides = [area.min.x - 32.0, area.min.y - 32.0, area.max.x + 32.0, area.max.y + 32.0];
        let [left, top, right, bottom] =
            sides.map(|side| ((side / BUCKET_PX).max(0.0) as usize).min(self.columns - 1));
        (top..=bottom)
            .flat_map(|row| (left..=right).map(move |column| row * self.columns + column))
            .flat_map(|bucket| self.cells[bucket].iter().copied())
            .collect()
    }
}

fn look(
    random: &mut impl Rng,
    settings: &Settings,
    window: &Window,
    cells: &mut [(Level0Box, ClassId, bool)],
    index: &Buckets,
) -> Vec<Detection> {
    let extent = window.level0_box();
    let mut found = Vec::new();
    for cell in index.near(&extent) {
        let (bbox, class, seen) = &mut cells[cell as usize];
        let Some(visible) = bbox.intersection(&extent) else { continue };
        if visible.width() < 3.0 || visible.height() < 3.0 || random.random::<f64>() >= settings.recall {
            continue;
        }
        *seen = true;
        found.push(detect(random, settings, visible, *class, &extent));
    }
    found
}

fn detect(
    random: &mut impl Rng,
    settings: &Settings,
    visible: Level0Box,
    class: ClassId,
    extent: &Level0Box,
) -> Detection {
    let [x0, y0, x1, y1] = [visible.min.x, visible.min.y, visible.max.x, visible.max.y]
        .map(|side| side + settings.jitter_px * normal(random));
    let [x0, x1] =
        [x0.min(x1 - 1.0), x1].map(|x| (x.clamp(extent.min.x, extent.max.x) - extent.min.x) as f32);
    let [y0, y1] =
        [y0.min(y1 - 1.0), y1].map(|y| (y.clamp(extent.min.y, extent.max.y) - extent.min.y) as f32);
    let bbox = WindowBox::new(WindowPoint::new(x0, y0), WindowPoint::new(x1, y1));
    let flipped = random.random::<f64>() < settings.flips;
    let other = 1 + (random.random::<f64>() * f64::from(CLASSES - 1)) as u16;
    let class = if flipped { ClassId((class.0 + other) % CLASSES) } else { class };
    let score = 0.7 + 0.1 * normal(random) - if flipped { 0.1 } else { 0.0 };
    Detection {
        bbox,
        class: ModelClass(class.0),
        score: Score::new(score.clamp(0.05, 0.99) as f32).unwrap_or_default(),
        outline: settings.outlines.then(|| ellipse(&bbox)),
    }
}

fn ellipse(bbox: &WindowBox) -> Box<[WindowPoint]> {
    let (centre, radius) = (bbox.center(), bbox.size() / 2.0);
    (0..24)
        .map(|step| {
            let angle = step as f32 * std::f32::consts::TAU / 24.0;
            WindowPoint::new(centre.x + radius.width * angle.cos(), centre.y + radius.height * angle.sin())
        })
        .collect()
}

/// A standard normal number (Box and Muller 1958).
fn normal(random: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

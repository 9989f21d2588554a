//! Further columns of the cells: time per cell and memory, on simulated slides.
//!
//! `cargo bench -p merger --bench features` measures 10^5 and 10^6 cells. The floor of neighbours is what no own code gets below: the
//! triangulation by `spade` alone, of bare points, in the same run; that of texture is the mean of the stains over the same
//! pixels. Times are CPU times of the one thread that works.

#[path = "../../benches/support/process.rs"]
mod process;
// Its detections and windows are for other benches.
#[allow(dead_code, unreachable_pub)]
#[path = "../../benches/sim/mod.rs"]
mod sim;

use merger::{ColourDeconvolution, Ground, MaskFrame, Neighbours, Texture, mask::Mask, neighbours::Place};
use process::{cpu_secs, peak_mb};
use rand::{RngExt, SeedableRng};
use sim::{Settings, simulate};
use spade::{DelaunayTriangulation, Point2, Triangulation};
use wsi_types::{Detection, Level0Point, ModelClass, Mpp, Score, WindowBox, WindowPoint};

type Failure = Box<dyn std::error::Error>;

/// Edges of slides with about 10^5 and 10^6 cells.
const SLIDES_PX: [u32; 2] = [16_000, 51_000];
const CLASSES: usize = 5;

fn main() -> Result<(), Failure> {
    println!("    cells | per mm² | neighbours µs/cell | floor µs/cell | ratio | peak MB before | after");
    for slide_px in SLIDES_PX {
        neighbours(slide_px)?;
    }
    println!("  cells | px inside | texture µs/cell | floor µs/cell | ratio");
    [16.0, 24.0, 40.0].into_iter().for_each(texture);
    Ok(())
}

/// Texture of boxes of a side, px, in a window of noise.
fn texture(side: f32) {
    const WIDTH: usize = 2048;
    const CELLS: usize = 4000;
    let mut dice = rand_pcg::Pcg64::seed_from_u64(58);
    let pixels: Vec<u8> = (0..WIDTH * WIDTH * 3).map(|_| dice.random()).collect();
    let boxes: Vec<Detection> = (0..CELLS)
        .map(|_| {
            let [x, y] = [(); 2].map(|()| dice.random::<f32>() * (WIDTH as f32 - side));
            let corner = WindowPoint::new(x, y);
            let bbox = WindowBox::new(corner, corner + euclid::vec2(side, side));
            Detection { bbox, class: ModelClass(0), score: Score::ONE, outline: None }
        })
        .collect();
    let unmix = ColourDeconvolution::default();
    let (measured, total) =
        timed(|| boxes.iter().filter_map(|each| Texture::of_detection(&unmix, each, &pixels, WIDTH)).count());
    let (averaged, floor) =
        timed(|| boxes.iter().filter_map(|each| unmix.of_detection(each, &pixels, WIDTH)).count());
    assert_eq!((measured, averaged), (CELLS, CELLS));
    let us = 1e6 / CELLS as f64;
    println!(
        "{CELLS:>7} | {:>9.0} | {:>15.2} | {:>13.2} | {:.2}",
        std::f32::consts::FRAC_PI_4 * side * side,
        total * us,
        floor * us,
        total / floor,
    );
}

fn neighbours(slide_px: u32) -> Result<(), Failure> {
    let mpp = Mpp::new(0.25)?;
    let simulation = simulate(&Settings { slide_px, ..Settings::default() });
    let cells = simulation.cells.iter();
    let places: Vec<Place> =
        cells.map(|(bbox, class, _)| Place { centroid: bbox.center(), class: *class }).collect();
    drop(simulation.detections);
    let ground = ground(slide_px, mpp);
    let before_mb = peak_mb();
    let (measured, total) = timed(|| Neighbours::new(&places, mpp, CLASSES, &ground));
    let measured = measured?;
    let after_mb = peak_mb();
    let points: Vec<Point2<f64>> = places
        .iter()
        .map(|place| Point2::new(place.centroid.x * mpp.get(), place.centroid.y * mpp.get()))
        .collect();
    let (mesh, floor) = timed(|| DelaunayTriangulation::<Point2<f64>>::bulk_load(points));
    assert!(mesh.is_ok_and(|mesh| mesh.num_vertices() <= places.len()), "the places are finite");
    let density =
        (0..places.len()).filter_map(|place| measured.around(place)).map(|around| around.measures.per_mm2);
    let us = 1e6 / places.len() as f64;
    println!(
        "{:>9} | {:>7.0} | {:>18.3} | {:>13.3} | {:>5.2} | {before_mb:>14.0} | {after_mb:.0}",
        places.len(),
        density.sum::<f32>() / places.len() as f32,
        total * us,
        floor * us,
        total / floor,
    );
    Ok(())
}

/// A square slide that was analysed as a whole, in px of 4 µm.
fn ground(slide_px: u32, mpp: Mpp) -> Ground {
    let step = 4.0 / mpp.get();
    let side = (f64::from(slide_px) / step).ceil() as usize;
    let frame = MaskFrame {
        origin: Level0Point::zero(),
        level0_per_px: (step, step),
        mpp,
        slide_end: Level0Point::new(f64::from(slide_px), f64::from(slide_px)),
    };
    Ground::new(Mask::from_fn(side, side, |_, _| true), frame)
}

/// The result of `work`, and the CPU time that it took, seconds.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = cpu_secs();
    let result = work();
    (result, cpu_secs() - start)
}

//! A million predictions judged by a million truth cells, in one image, and the
//! parts of it; and 200,000 rows of a table over few and many images, which should
//! take the same time. Seeded; prints cells per second.
//!
//! `cargo bench --bench eval`

use divan::{Bencher, counter::ItemsCount};
use eval::{
    EvaluationSettings,
    bootstrap::BootstrapSettings,
    evaluate,
    matching::{Candidates, Criterion},
    objects::{Image, Object, ObjectSet, Role, Shape},
    truth::{ReadSettings, read},
};
use rand_pcg::{Pcg64, rand_core::Rng};
use wsi_types::{ClassId, Level0Box, Mpp};

fn main() {
    divan::main();
}

const SIDE: usize = 1000;
const CELLS: usize = SIDE * SIDE;

fn unit(random: &mut Pcg64) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Cells of 20 to 40 px on a grid of 48 px, each moved by up to 8 px: at
/// 0.25 µm/px about 7000 per mm², a dense tumour. `seed` moves every box by up
/// to 3 px and shuffles nothing else; scores are random.
fn cells(seed: u64) -> ObjectSet {
    let mut place = Pcg64::new(1, 1);
    let mut shake = Pcg64::new(u128::from(seed), 2);
    let mut set = ObjectSet::default();
    let image = set.image_named("slide");
    set.images[0] =
        Image { size: Some((48_000.0, 48_000.0)), mpp: Mpp::new(0.25).ok(), ..Image::named("slide") };
    for name in ["tumour", "lymphocyte", "stroma"] {
        let _ = set.class_named(name);
    }
    for id in 0..CELLS {
        let (column, row) = ((id % SIDE) as f64, (id / SIDE) as f64);
        let size = 20.0 + 20.0 * unit(&mut place);
        let class = ClassId((place.next_u32() % 3) as u16);
        let [x, y] =
            [column, row].map(|at| 48.0 * at + 8.0 * unit(&mut place) + 6.0 * unit(&mut shake) - 3.0);
        let bounds = Level0Box::new(euclid::point2(x, y), euclid::point2(x + size, y + size));
        let score = Some(unit(&mut shake) as f32);
        let shape = Shape::Box(bounds);
        set.objects.push(Object { id: id as u64, image, class, score, shape, role: Role::Object });
    }
    set
}

fn whole(bencher: Bencher, criterion: Criterion) {
    let (truth, predictions) = (cells(1), cells(2));
    let settings = EvaluationSettings { criterion, ..EvaluationSettings::default() };
    bencher
        .counter(ItemsCount::new(CELLS))
        .with_inputs(|| (truth.clone(), predictions.clone()))
        .bench_values(|(truth, predictions)| evaluate(truth, predictions, &settings));
}

/// AP at ten IoUs, curves, PQ, confusion, counts.
#[divan::bench(sample_count = 3)]
fn evaluate_by_box_iou(bencher: Bencher) {
    whole(bencher, Criterion::BoxIou(0.5));
}

#[divan::bench(sample_count = 3)]
fn evaluate_by_distance(bencher: Bencher) {
    whole(bencher, Criterion::DistanceUm(3.0));
}

/// The R-tree part alone.
#[divan::bench(sample_count = 3)]
fn find_candidates(bencher: Bencher) {
    let (truth, predictions) = (cells(1), cells(2));
    bencher.counter(ItemsCount::new(CELLS)).bench(|| {
        Candidates::find(&predictions.objects, &truth.objects, Criterion::BoxIou(0.5), &truth.images[0])
    });
}

/// Rows of a table over all its images.
const ROWS: usize = 200_000;

/// Writes a table of [`ROWS`] boxes, the same number in each image, moved by up to 3 px.
fn table(images: usize, seed: u64) -> tempfile::NamedTempFile {
    let mut shake = Pcg64::new(u128::from(seed), 3);
    let mut text = "image,xmin,ymin,xmax,ymax,class,score\n".to_owned();
    for row in 0..ROWS {
        let (image, place) = (row % images, row / images);
        let x = 48.0 * (place % 40) as f64 + 3.0 * unit(&mut shake);
        let y = 48.0 * (place / 40) as f64 + 3.0 * unit(&mut shake);
        let score = unit(&mut shake);
        text += &format!("s{image}.svs,{x:.2},{y:.2},{:.2},{:.2},nucleus,{score:.4}\n", x + 24.0, y + 24.0);
    }
    let file = tempfile::NamedTempFile::with_suffix(".csv").expect("a file can be made");
    std::fs::write(file.path(), text).expect("the table can be written");
    file
}

/// Reads both sides from tables and judges them, with `draws` draws for intervals.
fn tables(bencher: Bencher, images: usize, draws: u32) {
    let files = [table(images, 1), table(images, 2)];
    let settings = EvaluationSettings {
        bootstrap: (draws > 0)
            .then(|| BootstrapSettings { replicates: draws, ..BootstrapSettings::default() }),
        ..EvaluationSettings::default()
    };
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        let [truth, predictions] = files
            .each_ref()
            .map(|file| read(file.path(), &ReadSettings::default()).map(|reading| reading.set));
        evaluate(truth?, predictions?, &settings)
    });
}

#[divan::bench(sample_count = 3, args = [200, 20_000])]
fn read_and_evaluate_tables_over_images(bencher: Bencher, images: usize) {
    tables(bencher, images, 0);
}

#[divan::bench(sample_count = 3, args = [200, 20_000])]
fn read_and_evaluate_tables_over_images_with_intervals(bencher: Bencher, images: usize) {
    tables(bencher, images, 100);
}

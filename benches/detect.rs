//! The detecting stage: heads decoded, duplicates suppressed, masks drawn, and the model through `detector`
//! against the bare ONNX Runtime session.
//!
//! ```sh
//! cargo bench --bench detect [-- MODEL.onnx [SIDE [THREADS [DEVICE]]]]
//! ```
//!
//! DEVICE is `cpu` or, with an ONNX Runtime that has it, `cuda`, where both run on the GPU, or `openvino`, where the
//! bare session runs on the CPU provider of the same library.
//!
//! The bare session gets float tensors made beforehand and its answers are dropped; `detector` gets bytes and
//! gives detections. The two run in turn, each in a process of its own (one ONNX Runtime environment per
//! process), and the best of the rounds counts: these machines are noisy. Seconds are those of the processor,
//! all threads together, where the system tells them (Linux), else of the clock; on a GPU always of the clock.

use std::{
    hint::black_box,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use detector::{
    BatchView, DetectSettings, Detector as _, Device, Manifest, OnnxDetector, SessionSettings,
    manifest::{Activation, ChannelAxis, Head, Hover, HoverScores, Star},
    yolo::{Decoder, TensorView, detect::RawHead, nms},
};
use ort::{
    environment::Environment,
    ep,
    session::{Session, builder::GraphOptimizationLevel},
};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use wsi_types::WindowIndex;

const ROUNDS: usize = 5;
const SEED: u64 = 4;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if let [way, model, sides, threads, batches, device] = &arguments[..] {
        // Of several sides each has its batch, all in one process, as a GPU takes seconds to begin.
        for (side, batch) in sides.split(',').zip(batches.split(',')) {
            let arm = Arm {
                model: model.into(),
                side: side.parse()?,
                threads: threads.parse()?,
                batch: batch.parse()?,
                device: device.parse()?,
            };
            let context = format!("{arm:?}");
            arm_of_child(&arm, way).context(context)?;
        }
        return Ok(());
    }
    heads();
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nuclei-he/nuclei-he.onnx");
    let model = arguments.first().map_or(bundled, PathBuf::from);
    let side = arguments.get(1).map_or(Ok(1024), |side| side.parse())?;
    let threads = match arguments.get(2) {
        Some(threads) => vec![threads.parse()?],
        None => vec![1, SessionSettings::default().threads],
    };
    let device = arguments.get(3).map_or(Ok(Device::Cpu), |device| device.parse())?;
    sessions(&model, side, &threads, &device)
}

/// The best time of some rounds.
fn best(mut work: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS * 4).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    rounds.min().unwrap_or_default()
}

fn report(what: &str, time: Duration) {
    println!("{what:<58} {:8.3} ms", time.as_secs_f64() * 1e3);
}

// ---- heads, one core, no runtime ----

fn heads() {
    for (anchors, classes) in [(86_016, 80), (262_144, 1), (344_064, 5)] {
        let rows = raw_head(anchors, classes);
        let mut found = Vec::new();
        let time = best(|| {
            found.clear();
            if let Some(head) = RawHead::new(&rows, classes, anchors) {
                let _ = black_box(head.candidates(0.25, &mut found));
            }
        });
        report(&format!("decode {anchors} anchors × {classes} classes, {} pass", found.len()), time);
        let time = best(|| nms::suppress(&mut found.clone(), 0.7, false, 2048, 2048));
        report(&format!("suppress among {}", found.len()), time);
    }
    crowd();
    masks();
    stars();
    nuclei(400, 0.0);
    nuclei(400, 0.2);
    nuclei(4000, 0.0);
}

/// Scores mostly near 0, one anchor in a hundred above 0.25; boxes of 8 to 40 px.
fn raw_head(anchors: usize, classes: usize) -> Vec<f32> {
    let mut rng = Pcg64Mcg::seed_from_u64(SEED);
    let mut rows: Vec<f32> = Vec::with_capacity((4 + classes) * anchors);
    rows.extend((0..2 * anchors).map(|_| rng.random_range(0.0..2048.0f32)));
    rows.extend((0..2 * anchors).map(|_| rng.random_range(8.0..40.0f32)));
    rows.extend((0..classes * anchors).map(|_| {
        let passes = rng.random_range(0..100 * classes) == 0;
        if passes { rng.random_range(0.25..1.0f32) } else { rng.random_range(0.0..0.01f32) }
    }));
    rows
}

/// 100,000 candidates, about twenty around each of 5,000 objects.
fn crowd() {
    let mut rng = Pcg64Mcg::seed_from_u64(SEED);
    let objects: Vec<[f32; 4]> = (0..5000)
        .map(|_| {
            let [x, y] = [(); 2].map(|()| rng.random_range(0.0..2048.0));
            let [width, height] = [(); 2].map(|()| rng.random_range(10.0..40.0));
            [x, y, width, height]
        })
        .collect();
    let mut columns = Vec::new();
    for i in 0..100_000 {
        let [x, y, width, height] = objects[i % objects.len()];
        let [dx, dy, dw, dh, off] = [(); 5].map(|()| rng.random_range(-1.5..1.5f32));
        columns.push([x + dx, y + dy, width + dw, height + dh, 0.5 + off * 0.1]);
    }
    let rows: Vec<f32> = (0..5).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
    let mut found = Vec::new();
    if let Some(head) = RawHead::new(&rows, 1, columns.len()) {
        let _ = head.candidates(0.25, &mut found);
    }
    let mut kept = 0;
    let time = best(|| {
        let mut candidates = found.clone();
        nms::suppress(&mut candidates, 0.4, false, 2048, 2048);
        kept = candidates.len();
    });
    report(&format!("suppress among {}, {kept} stay", found.len()), time);
}

/// The segment head of one 2048 px window with 2000 nuclei of 24 px, outlines included.
fn masks() {
    let mut rng = Pcg64Mcg::seed_from_u64(SEED);
    let (anchors, coefficients, cells) = (86_016, 32, 512);
    let manifest = Manifest {
        head: Head::Segment { coefficients },
        ..Manifest::without_model("bench", &["nucleus"], None)
    };
    let mut rows = vec![0.0; (5 + coefficients) * anchors];
    for i in 0..2000 {
        let anchor = i * 43;
        let place = [(i % 50) as f32 * 40.0 + 20.0, (i / 50) as f32 * 50.0 + 20.0, 24.0, 24.0, 0.9];
        for (row, value) in place.into_iter().enumerate() {
            rows[row * anchors + anchor] = value;
        }
        for row in 5..5 + coefficients {
            rows[row * anchors + anchor] = rng.random_range(-1.0..1.0);
        }
    }
    let prototypes: Vec<f32> =
        (0..coefficients * cells * cells).map(|_| rng.random_range(-1.0..1.0)).collect();
    let (head_shape, shape) = ([1, 5 + coefficients, anchors], [1, coefficients, cells, cells]);
    let outputs = [
        TensorView { name: "output0", shape: &head_shape, data: &rows },
        TensorView { name: "output1", shape: &shape, data: &prototypes },
    ];
    let decoder = Decoder::new(&manifest, &DetectSettings::default());
    let mut count = 0;
    let time =
        best(|| count = decoder.window(&outputs, 0, 2048, 2048).map_or(0, |found| found.detections.len()));
    report(&format!("decode a segment head, {count} outlines of 24 px"), time);
}

/// The maps of a star head for one 2048 px window with 2000 round nuclei of 24 px, at every second px.
fn stars() {
    let (side, rays) = (1024, 32);
    let head = Head::Star { activation: Activation::None, channels: ChannelAxis::Last, classes: None };
    let star = Some(Star { overlap: 0.3, log: false });
    let manifest = Manifest { head, star, ..Manifest::without_model("bench", &["nucleus"], None) };
    let mut probability = vec![0.0; side * side];
    let mut distances = vec![1.0; side * side * rays];
    for i in 0..2000 {
        let centre = [(i % 50) as f32 * 40.0 + 20.5, (i / 50) as f32 * 50.0 + 20.5];
        for place in places_near(centre, side) {
            let (dx, dy) = offset(place, side, centre);
            let inside = 12.0 - dx.hypot(dy);
            if inside > 0.0 {
                probability[place] = inside / 12.0;
                distances[place * rays..][..rays].fill(inside);
            }
        }
    }
    let (of_one, of_rays) = ([1, side, side, 1], [1, side, side, rays]);
    let outputs = [
        TensorView { name: "prob", shape: &of_one, data: &probability },
        TensorView { name: "dist", shape: &of_rays, data: &distances },
    ];
    let decoder = Decoder::new(&manifest, &DetectSettings { score_floor: 0.4, ..DetectSettings::default() });
    let mut count = 0;
    let time =
        best(|| count = decoder.window(&outputs, 0, 2048, 2048).map_or(0, |found| found.detections.len()));
    report(&format!("decode a star head, {count} outlines of 24 px"), time);
}

/// Places of a map of every second px within 12 px of a centre, along each axis.
fn places_near([x, y]: [f32; 2], side: usize) -> impl Iterator<Item = usize> {
    let [(left, right), (top, bottom)] =
        [x, y].map(|at| ((at as usize).saturating_sub(12) / 2, (at as usize + 12) / 2));
    (top..=bottom.min(side - 1))
        .flat_map(move |row| (left..=right.min(side - 1)).map(move |column| row * side + column))
}

/// The way from a centre to the first px of a place.
fn offset(place: usize, side: usize, [x, y]: [f32; 2]) -> (f32, f32) {
    ((place % side * 2) as f32 + 0.5 - x, (place / side * 2) as f32 + 0.5 - y)
}

/// The hover head of one 2048 px window with so many nuclei of 20 to 36 px, some of which touch. `noise` of the offsets beside
/// nuclei: what makes slopes there.
fn nuclei(count: usize, noise: f32) {
    const SIDE: usize = 2048;
    let mut rng = Pcg64Mcg::seed_from_u64(SEED);
    let scores = HoverScores::Nuclei { activation: Activation::Softmax };
    let manifest = Manifest {
        head: Head::Hover { scores },
        hover: Some(Hover { sobel_px: 21, min_px: 10 }),
        ..Manifest::without_model("bench", &["nucleus"], None)
    };
    let (mut nuclei, mut offsets) = (vec![0.0; 2 * SIDE * SIDE], vec![0.0; 2 * SIDE * SIDE]);
    nuclei[SIDE * SIDE..].fill(-4.0);
    offsets.iter_mut().for_each(|offset| *offset = noise * rng.random_range(-0.5..0.5f32));
    for _ in 0..count {
        let radius = rng.random_range(10.0..18.0f32);
        let [x, y] = [(); 2].map(|()| rng.random_range(20.0..SIDE as f32 - 20.0));
        for row in (y - radius) as usize..(y + radius) as usize + 1 {
            for column in (x - radius) as usize..(x + radius) as usize + 1 {
                let (across, down) = ((column as f32 - x) / radius, (row as f32 - y) / radius);
                if across * across + down * down <= 1.0 {
                    let place = row * SIDE + column;
                    nuclei[SIDE * SIDE + place] = 4.0;
                    (offsets[place], offsets[SIDE * SIDE + place]) = (across, down);
                }
            }
        }
    }
    let shape = [1, 2, SIDE, SIDE];
    let outputs = [
        TensorView { name: "np", shape: &shape, data: &nuclei },
        TensorView { name: "hv", shape: &shape, data: &offsets },
    ];
    let decoder = Decoder::new(&manifest, &DetectSettings::default());
    let mut found = 0;
    let time =
        best(|| found = decoder.window(&outputs, 0, SIDE, SIDE).map_or(0, |found| found.detections.len()));
    report(&format!("decode a hover head, {found} outlines, noise {noise}"), time);
}

// ---- the model, through `detector` and bare ----

/// One way to run a model.
#[derive(Debug, Clone)]
struct Arm {
    model: PathBuf,
    side: usize,
    threads: usize,
    batch: usize,
    device: Device,
}

fn sessions(model: &Path, side: usize, threads: &[usize], device: &Device) -> anyhow::Result<()> {
    if let Err(absent) = native::find(native::Library::OnnxRuntime) {
        println!("skipped: ONNX Runtime is absent: {absent}");
        return Ok(());
    }
    println!("{}, windows of {side} px, detector on {device}", model.display());
    println!("threads batch   bare s/window   detector s/window   speed of detector over bare");
    for &threads in threads {
        for batch in [1, 2, 4] {
            let arm = Arm { model: model.to_owned(), side, threads, batch, device: device.clone() };
            let (mut bare, mut ours) = (f64::MAX, f64::MAX);
            for _ in 0..ROUNDS {
                bare = bare.min(child(&arm, "bare")?);
                ours = ours.min(child(&arm, "detector")?);
            }
            println!("{threads:>7} {batch:>5} {bare:>15.4} {ours:>19.4} {:>29.3}", bare / ours);
        }
    }
    Ok(())
}

/// Seconds per window, measured in a process of its own.
fn child(arm: &Arm, name: &str) -> anyhow::Result<f64> {
    let numbers = [arm.side, arm.threads, arm.batch].map(|n| n.to_string());
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg(name).arg(&arm.model).args(numbers).arg(arm.device.to_string()).output()?;
    anyhow::ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)?.trim().parse().with_context(|| format!("the answer of {name}"))
}

/// Runs one arm and prints its best seconds per window.
///
/// `bare`: the session alone. `infer`: through the detector, answers dropped. `detector`: answers decoded too. `other`: by
/// how many seconds the first run of one window less than a batch takes longer than the next.
fn arm_of_child(arm: &Arm, way: &str) -> anyhow::Result<()> {
    let mut pixels = vec![0; arm.batch * arm.side * arm.side * 3];
    Pcg64Mcg::seed_from_u64(SEED).fill_bytes(&mut pixels);
    let time = match way {
        "bare" => run_bare(arm, &pixels)?,
        "infer" => run_detector(arm, &pixels, |detector, batch| {
            black_box(detector.infer(batch)?);
            Ok(())
        })?,
        "detector" => run_detector(arm, &pixels, |detector, batch| {
            black_box(detector.detect(batch)?);
            Ok(())
        })?,
        "other" => {
            println!("{}", other_size(arm, &pixels)?);
            return Ok(());
        }
        _ => anyhow::bail!("no such way to run a model: {way}, expected bare, infer, detector or other"),
    };
    println!("{}", time.as_secs_f64() / arm.batch as f64);
    Ok(())
}

/// The best of two runs after one to warm up.
fn best_run(device: &Device, mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    run()?;
    let mut best = Duration::MAX;
    for _ in 0..2 {
        let start = Moment::now(device);
        run()?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

/// A point in processor time, or by the clock where that is not told.
struct Moment {
    clock: Instant,
    processor: Option<Duration>,
}

impl Moment {
    /// A processor that waits for a GPU uses no time.
    fn now(device: &Device) -> Self {
        let processor = processor_time().filter(|_| !is_gpu(device));
        Self { clock: Instant::now(), processor }
    }

    fn elapsed(&self) -> Duration {
        match (self.processor, processor_time()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => self.clock.elapsed(),
        }
    }
}

fn is_gpu(device: &Device) -> bool {
    matches!(device, Device::Cuda(_) | Device::TensorRt(_))
}

/// Returns the processor time that all threads of this process have used so far.
fn processor_time() -> Option<Duration> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let nanos = tasks.map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanos.sum::<Option<u64>>().map(Duration::from_nanos)
}

fn run_detector(
    arm: &Arm,
    pixels: &[u8],
    run: fn(&mut OnnxDetector, BatchView<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Duration> {
    let mut detector = open_detector(arm)?;
    let windows = windows(arm);
    let batch = BatchView { height: arm.side, width: arm.side, windows: &windows, pixels, stretch: None };
    best_run(&arm.device, || run(&mut detector, batch))
}

fn other_size(arm: &Arm, pixels: &[u8]) -> anyhow::Result<f64> {
    let mut detector = open_detector(arm)?;
    let windows = windows(arm);
    let batch = BatchView { height: arm.side, width: arm.side, windows: &windows, pixels, stretch: None };
    let mut seconds = Vec::new();
    for part in [batch, batch.part(1..arm.batch), batch.part(1..arm.batch)] {
        let start = Instant::now();
        detector.infer(part)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(seconds[1] - seconds[2])
}

fn windows(arm: &Arm) -> Vec<WindowIndex> {
    (0..arm.batch as u32).map(WindowIndex).collect()
}

fn open_detector(arm: &Arm) -> anyhow::Result<OnnxDetector> {
    let session = SessionSettings {
        threads: arm.threads,
        batch: arm.batch,
        window: (arm.side, arm.side),
        ..SessionSettings::default()
    };
    Ok(OnnxDetector::open(&arm.model, &arm.device, &DetectSettings::default(), &session)?)
}

/// The one environment of a process that runs bare sessions.
fn bare_environment() -> anyhow::Result<&'static Environment> {
    static OPENED: OnceLock<Environment> = OnceLock::new();
    if let Some(environment) = OPENED.get() {
        return Ok(environment);
    }
    let environment = ort::init_from(native::find(native::Library::OnnxRuntime)?)?.build()?;
    Ok(OPENED.get_or_init(|| environment))
}

fn run_bare(arm: &Arm, pixels: &[u8]) -> anyhow::Result<Duration> {
    let mut builder = Session::builder(bare_environment()?)?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(|e| anyhow::anyhow!("{e}"))?
        .with_intra_threads(arm.threads)
        .map_err(|e| anyhow::anyhow!("{e}"))?;
    if let Device::Cuda(_) = arm.device {
        // TF32 is left out, as by the detector: it computes less.
        let cuda = ep::CUDA::default()
            .with_tf32(false)
            .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic);
        builder = builder
            .with_execution_providers([cuda.build().error_on_failure()])
            .map_err(|e| anyhow::anyhow!("{e}"))?;
    }
    let mut session = builder.commit_from_file(&arm.model)?;
    let plane = arm.side * arm.side;
    let windows = pixels.chunks_exact(plane * 3);
    let planes = windows.flat_map(|window| (0..3).map(move |channel| window.iter().skip(channel).step_by(3)));
    let floats: Vec<f32> = planes.flatten().map(|&byte| f32::from(byte) / 255.0).collect();
    let tensor = ort::value::Tensor::from_array(([arm.batch, 3, arm.side, arm.side], floats))?;
    best_run(&arm.device, || {
        black_box(session.run(ort::inputs![&tensor])?);
        Ok(())
    })
}
